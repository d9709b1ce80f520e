/* The page: one large chart, one small drawing a cascade, and what connects them. */
const $ = id => document.getElementById(id);
const make = (tag, className, text) => {
  const e = document.createElement(tag);
  if (className) e.className = className;
  if (text !== undefined) e.textContent = text;
  return e;
};

/* ---- the large chart: one instrument, any span ---- */
const state = {n: 0, a: 0, b: D.end, chosen: null};
const chart = $("chart"), tip = $("tip"), cards = $("cards");
let shownView = null, queued = false;
function paint() {
  queued = false;
  shownView = draw(chart, state.n, state.a, state.b, false, state.chosen);
}
function repaint() {
  if (queued) return;
  queued = true;
  requestAnimationFrame(paint);
}
function go(a, b) {
  const least = 2e3, all = Math.max(D.end, least), size = Math.min(Math.max(b - a, least), all);
  state.a = Math.min(Math.max(0, (a + b - size) / 2), all - size);
  state.b = state.a + size;
  $("span").textContent = (D.end > 864e5 ? day(state.a) + " " : "") + clock(state.a) + " – " + clock(state.b) + " UTC · " + span(size);
  repaint();
}
function zoom(factor, at = .5) {
  const t = state.a + (state.b - state.a) * at, size = (state.b - state.a) * factor;
  go(t - size * at, t + size * (1 - at));
}
function pick(n) {
  state.n = n;
  [...$("tabs").children].forEach((tab, k) => tab.setAttribute("aria-selected", k === n));
  repaint();
}
/* how long they took is known where each of them is */
const events = (c, word) => c.larges.length ? c.count + word + " in " + span(c.last - c.start) : c.count + " " + c.unit;
function facts(c, k) {
  const rows = [["cascade", "#" + c.id + " " + D.instruments[c.n].symbol], ["what", c.label], ["first large event", (D.end > 864e5 ? day(c.start) + " " : "") + clock(c.start, true, true) + " UTC"],
    [c.unit, events(c, " large")], ["longs / shorts liquidated", usd(c.long) + " / " + usd(c.short)],
    ...c.levels,
    ["answer", c.verdicts.map(v => v[1]).join(", ") || "policy silent"], ["outcome", c.outcome + (c.interrupted ? " (feed gap)" : "")]];
  if (k) rows.push(["trade", k.side + ", " + k.qty]);
  if (k && k.net !== null) rows.push(["gross → net", usd(k.gross) + " → " + usd(k.net)], ["fees, slippage inside gross", usd(k.fees) + ", " + usd(k.slip)], ["held", span(k.hold * 1e3)]);
  return rows;
}
function focus(c) {
  const k = c.bracket === null ? null : D.brackets[c.bracket], over = k ? k.flat ?? D.end : c.last + 6e4;
  const end = Math.max(c.last + 3e4, over + 15e3), lead = Math.max(15e3, Math.min(6e4, (end - c.start) * .25));
  state.chosen = c;
  pick(c.n);
  go(c.start - lead, end + lead * .4);
  $("facts").replaceChildren(...facts(c, k).map(([name, value]) => {
    const row = make("div");
    row.append(make("span", "", name), value);
    return row;
  }));
  for (const card of cards.children) card.classList.toggle("on", +card.dataset.id === c.id);
}
function clear() {
  state.chosen = null;
  $("facts").replaceChildren();
  for (const card of cards.children) card.classList.remove("on");
}
function step(by) {
  if (!D.cascades.length) return;
  const at = state.chosen ? D.cascades.indexOf(state.chosen) + by : by > 0 ? 0 : D.cascades.length - 1;
  focus(D.cascades[(at + D.cascades.length) % D.cascades.length]);
}
const whole = () => go(0, D.end);

D.instruments.forEach((instrument, n) => {
  const count = D.cascades.filter(c => c.n === n).length, tab = make("button", "", instrument.symbol + (count ? " · " + count : ""));
  tab.setAttribute("role", "tab");
  tab.title = count + " cascades drawn";
  tab.onclick = () => { clear(); pick(n); whole(); };
  $("tabs").append(tab);
});
$("all").onclick = whole;
$("in").onclick = () => zoom(.5);
$("out").onclick = () => zoom(2);
$("prev").onclick = () => step(-1);
$("next").onclick = () => step(1);

/* ---- pointer and keys ---- */
let drag = null;
chart.addEventListener("wheel", e => {
  e.preventDefault();
  const box = chart.getBoundingClientRect(), width = shownView.pw;
  if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) {
    const by = e.deltaX / width * (state.b - state.a);
    go(state.a + by, state.b + by);
  } else zoom(e.deltaY > 0 ? 1.25 : .8, Math.min(1, (e.clientX - box.left) / width));
}, {passive: false});
chart.addEventListener("pointerdown", e => {
  drag = {x: e.clientX, a: state.a, b: state.b};
  chart.setPointerCapture(e.pointerId);
  tip.style.display = "none";
});
chart.addEventListener("pointerup", () => { drag = null; });
chart.addEventListener("pointercancel", () => { drag = null; });
chart.addEventListener("pointerleave", () => { tip.style.display = "none"; });
chart.addEventListener("dblclick", whole);
chart.addEventListener("pointermove", e => {
  if (drag) {
    const by = (drag.x - e.clientX) / shownView.pw * (drag.b - drag.a);
    go(drag.a + by, drag.b + by);
    return;
  }
  const box = chart.getBoundingClientRect(), x = e.clientX - box.left, y = e.clientY - box.top, v = shownView;
  tip.style.display = v && v.ok && x <= v.pw ? "block" : "none";
  if (tip.style.display === "none") return;
  let best = null, least = Infinity;
  for (const f of v.found) {
    const d = (f.x - x) ** 2 + (f.y - y) ** 2;
    if (d < least && d < f.r * f.r) { best = f; least = d; }
  }
  const t = v.a + x / v.pw * (v.b - v.a), price = v.priceAt(t);
  tip.textContent = best ? best.text : clock(t, true, v.b - v.a < 6e5) + (price === null ? "" : "  " + price.toFixed(v.inst.decimals));
  const width = tip.offsetWidth;
  tip.style.left = Math.max(0, x + 14 + width > box.width ? x - width - 12 : x + 14) + "px";
  tip.style.top = Math.max(0, y - 12 - tip.offsetHeight / 2) + "px";
});
const pan = by => go(state.a + by * (state.b - state.a), state.b + by * (state.b - state.a));
const KEYS = {ArrowLeft: () => pan(-.2), ArrowRight: () => pan(.2), "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), 0: whole, n: () => step(1), p: () => step(-1)};
chart.addEventListener("keydown", e => {
  if (!KEYS[e.key] || e.ctrlKey || e.metaKey || e.altKey) return;
  e.preventDefault();
  KEYS[e.key]();
});

/* ---- one small drawing a cascade, painted when it comes into sight ---- */
const GROUPS = [["all", "All"], ["won", "Won"], ["lost", "Lost"], ["open", "Open"], ["unfilled", "Not filled"], ["none", "No trade"]], FIRST = 12;
let group = "all", every = false;
function sketch(card) {
  const c = D.cascades[+card.dataset.id - 1], k = c.bracket === null ? null : D.brackets[c.bracket];
  const end = Math.max(c.last + 45e3, k && k.fills.length ? (k.flat ?? D.end) + 12e3 : 0), lead = Math.min(3e4, Math.max(1e4, (end - c.start) * .2));
  draw(card.querySelector("canvas"), c.n, Math.max(0, c.start - lead), Math.min(D.end, end), true, null);
  card.dataset.done = "1";
}
const sight = new IntersectionObserver(seen => { for (const e of seen) if (e.isIntersecting) sketch(e.target); }, {rootMargin: "200px"});
function list() {
  let n = 0;
  for (const card of cards.children) {
    const match = group === "all" || card.dataset.group === group;
    card.hidden = !match || !every && n >= FIRST;
    n += match;
  }
  $("more").hidden = every || n <= FIRST;
  $("more").textContent = "show all " + n;
}
$("more").onclick = () => { every = true; list(); };
for (const [key, name] of GROUPS) {
  const n = D.cascades.filter(c => key === "all" || c.group === key).length;
  if (!n) continue;
  const button = make("button", "", name + " " + n);
  button.setAttribute("aria-pressed", key === group);
  button.onclick = () => {
    group = key;
    for (const other of $("filter").children) other.setAttribute("aria-pressed", other === button);
    list();
  };
  $("filter").append(button);
}
for (const c of D.cascades) {
  const card = make("div", "card-c"), head = make("div", "t"), about = make("div", "o");
  card.tabIndex = 0;
  card.dataset.id = c.id;
  card.dataset.group = c.group;
  head.append(make("span", "", D.instruments[c.n].symbol + "  " + (D.end > 864e5 ? day(c.start) + " " : "") + clock(c.start, D.end <= 864e5)), make("span", {won: "pos", lost: "neg"}[c.group] || "muted", c.outcome));
  about.append(make("b", c.side > 0 ? "longs" : "shorts", c.label), " · " + usd(c.long + c.short) + " · " + events(c, " large"));
  card.append(head, about, make("canvas"));
  card.onclick = () => { focus(c); $("charts").scrollIntoView(); };
  card.onkeydown = e => {
    if (e.key !== "Enter" && e.key !== " ") return;
    e.preventDefault();
    card.onclick();
  };
  cards.append(card);
  sight.observe(card);
}
list();

/* ---- theme, size, and what is shown first ---- */
function again() {
  readColours();
  paint();
  for (const card of cards.children) if (card.dataset.done && !card.hidden) sketch(card);
}
const darkScheme = matchMedia("(prefers-color-scheme:dark)");
$("theme").onclick = () => {
  const dark = root.dataset.theme ? root.dataset.theme === "dark" : darkScheme.matches;
  root.dataset.theme = dark ? "light" : "dark";
  again();
};
darkScheme.addEventListener("change", again);
if (!D.cascades.length && D.instruments.every(i => !i.over)) chart.style.height = "120px";
readColours();
new ResizeObserver(again).observe(chart);
/* the largest cascade that was traded shows best what this page is about */
const rank = c => (c.group === "won" || c.group === "lost" ? 1e15 : 0) + c.long + c.short;
const first = D.cascades.reduce((best, c) => !best || rank(c) > rank(best) ? c : best, null);
if (first) focus(first); else { pick(0); whole(); }
paint();                                     // at once: a browser in the background gives no frames
