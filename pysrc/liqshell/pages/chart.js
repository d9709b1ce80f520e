/* Drawing of one instrument over one span of time. Nothing here knows of buttons; report.js decides what is drawn where. */
const D = JSON.parse(document.getElementById("data").textContent);
const root = document.documentElement;
let C = {};
function readColours() {
  const style = getComputedStyle(root);
  C = {};
  for (const name of ["card", "ink", "muted", "line", "soft", "accent", "good", "bad", "longs", "shorts"]) C[name] = style.getPropertyValue("--" + name).trim();
}
const roleColour = role => ({entry: C.accent, target: C.good, stop: C.bad, close: C.muted})[role] || C.muted;
const sideColour = side => side > 0 ? C.longs : C.shorts;

/* ---- words ---- */
const two = n => String(n).padStart(2, "0");
function clock(t, seconds = true, millis = false) {
  const d = new Date(D.origin + t);
  return two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()) + (seconds ? ":" + two(d.getUTCSeconds()) : "")
    + (millis ? "." + String(d.getUTCMilliseconds()).padStart(3, "0") : "");
}
const day = t => new Date(D.origin + t).toISOString().slice(5, 10);
function usd(v) {
  const a = Math.abs(v), sign = v < 0 ? "−$" : "$";
  if (a >= 1e9) return sign + (a / 1e9).toFixed(2) + "B";
  if (a >= 1e6) return sign + (a / 1e6).toFixed(2) + "M";
  if (a >= 1e3) return sign + (a / 1e3).toFixed(a >= 1e4 ? 0 : 1) + "k";
  return sign + a.toFixed(a < 100 ? 2 : 0);
}
const signed = (v, digits = 1) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(digits);
function span(ms) {
  if (ms < 1e3) return ms.toFixed(0) + " ms";
  if (ms < 12e4) return (ms / 1e3).toFixed(1) + " s";
  return ms < 72e5 ? (ms / 6e4).toFixed(1) + " min" : (ms / 36e5).toFixed(1) + " h";
}

/* ---- price series: delta-coded buckets become plain arrays once; a view takes the finest series that covers each moment ---- */
function unpack(s, tick) {
  if (!s) return null;
  const n = s.i.length, t = new Float64Array(n), lo = new Float64Array(n), hi = new Float64Array(n), c = new Float64Array(n);
  for (let k = 0, at = 0; k < n; k++) {
    at += s.i[k];
    t[k] = s.t0 + (at + .5) * s.dt;
    lo[k] = (s.base + s.lo[k]) * tick;
    hi[k] = lo[k] + s.hi[k] * tick;
    c[k] = (s.base + s.c[k]) * tick;
  }
  return {t, lo, hi, c, lt: s.li.map(i => s.t0 + (i + .5) * s.dt), l: s.l, s: s.s, dt: s.dt, a: s.t0, b: t[n - 1] + s.dt};
}
for (const i of D.instruments) {
  i.over = unpack(i.overview, i.tick);
  i.fine = i.windows.map(w => unpack(w, i.tick)).sort((x, y) => x.dt - y.dt);
  i.brackets = [];
}
for (const b of D.brackets) D.instruments[b.n].brackets.push(b);

function lower(a, v) {
  let l = 0, h = a.length;
  while (l < h) {
    const m = (l + h) >> 1;
    if (a[m] < v) l = m + 1; else h = m;
  }
  return l;
}
function points(inst, a, b) {
  const prices = [], forced = [];
  const take = (s, k) => prices.push([s.t[k], s.lo[k], s.hi[k], s.c[k]]);
  let free = [[a, b]];
  for (const s of [...inst.fine, inst.over]) {
    if (!s || s.b < a || s.a > b) continue;
    const rest = [];
    for (const [x, y] of free) {
      const p = Math.max(x, s.a), q = Math.min(y, s.b);
      if (q <= p) { rest.push([x, y]); continue; }
      for (let k = lower(s.t, p); k < s.t.length && s.t[k] <= q; k++) take(s, k);
      for (let k = lower(s.lt, p); k < s.lt.length && s.lt[k] <= q; k++) forced.push([s.lt[k], s.l[k], s.s[k]]);
      if (p > x) rest.push([x, p]);
      if (y > q) rest.push([q, y]);
    }
    free = rest;
  }
  const o = inst.over;                       // one point beyond each edge, so that the line enters and leaves the view
  if (o) {
    const before = lower(o.t, a) - 1, after = lower(o.t, b + 1e-6);
    if (before >= 0) take(o, before);
    if (after < o.t.length) take(o, after);
  }
  prices.sort((p, q) => p[0] - q[0]);
  return {prices, forced};
}

/* ---- one view: a canvas, a span, and the scales that map into it ---- */
function fit(canvas) {
  const r = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight, g = canvas.getContext("2d");
  canvas.width = Math.round(w * r);
  canvas.height = Math.round(h * r);
  g.setTransform(r, 0, 0, r, 0, 0);
  return [g, w, h];
}
const lastPrice = o => o.steps.length ? o.steps[o.steps.length - 1][1] : 0;
const visible = (o, a, b) => o.created <= b && (o.ended === null || o.ended >= a) && !(o.role === "target" && o.rejected);

function range(v) {
  let lo = Infinity, hi = -Infinity;
  const widen = p => { lo = Math.min(lo, p); hi = Math.max(hi, p); };
  for (const p of v.prices) if (p[0] >= v.a && p[0] <= v.b || v.prices.length < 3) { widen(p[1]); widen(p[2]); }
  const seen = hi >= lo, reach = Math.max(2 * (hi - lo), hi * .004), floor = lo - reach, ceiling = hi + reach;
  /* order prices widen the axis, but a stop far away must not flatten the price path: it is clamped to the edge and labelled */
  const near = p => { if (!seen || p >= floor && p <= ceiling) widen(p); };
  for (const k of v.brackets) {
    for (const o of k.orders) if (visible(o, v.a, v.b)) for (const s of o.steps) near(s[1]);
    for (const f of k.fills) if (f.t >= v.a && f.t <= v.b) near(f.p);
  }
  if (!(hi >= lo)) for (const c of v.cascades) for (const e of c.larges) widen(e[1]);
  const pad = Math.max((hi - lo) * .08, v.inst.tick * 2);
  return [lo - pad, hi + pad];
}
function viewOf(canvas, n, a, b, small) {
  const [g, w, h] = fit(canvas), inst = D.instruments[n];
  const foot = small ? 16 : 22, lane = small ? 22 : 54, top = small ? 4 : 10, pw = w - (small ? 50 : 74), ph = h - foot - lane - top - 6;
  const v = {g, w, h, inst, a, b, small, lane, top, pw, ph, base: top + ph + 6 + lane, found: [], ok: false, dense: b - a > 108e5,
    font: (small ? 10 : 11.5) + "px system-ui,-apple-system,sans-serif", ...points(inst, a, b)};
  v.brackets = inst.brackets.filter(k => k.opened <= b && (k.flat === null || k.flat >= a));
  v.cascades = D.cascades.filter(c => c.n === n && c.start <= b && (c.end === null ? c.last : c.end) >= a);
  [v.lo, v.hi] = range(v);
  v.X = t => (t - a) / (b - a) * pw;
  v.Y = p => top + (v.hi - Math.min(v.hi, Math.max(v.lo, p))) / (v.hi - v.lo) * ph;
  const times = v.prices.map(p => p[0]);
  v.priceAt = t => times.length ? v.prices[Math.min(lower(times, t), times.length - 1)][3] : null;
  v.ok = v.hi >= v.lo && pw > 40 && ph > 20 && b > a;
  return v;
}

/* ---- layers, from back to front ---- */
function drawGaps(v) {
  const {g, X, top, base, pw} = v;
  for (const [from, to] of v.inst.gaps) {
    if (to < v.a || from > v.b) continue;
    const p = Math.max(0, X(from)), q = Math.min(pw, X(to)), deep = base - top;
    g.save();
    g.beginPath();
    g.rect(p, top, Math.max(1, q - p), deep);
    g.clip();
    g.fillStyle = C.soft;
    g.fillRect(p, top, Math.max(1, q - p), deep);
    g.strokeStyle = C.line;
    g.beginPath();
    for (let k = p - deep; k < q; k += 9) { g.moveTo(k, base); g.lineTo(k + deep, top); }
    g.stroke();
    g.restore();
    if (!v.small && q - p > 60) { g.fillStyle = C.muted; g.textAlign = "center"; g.fillText("feed gap", (p + q) / 2, top + 10); }
  }
}
function drawPhases(v) {
  const {g, X, top, base, pw} = v;
  for (const c of v.cascades) c.phases.forEach(([t, phase], k) => {
    const end = k + 1 < c.phases.length ? c.phases[k + 1][0] : c.end === null ? D.end : c.end;
    if (phase > 3 || end < v.a || t > v.b) return;
    const p = Math.max(0, X(t));
    g.globalAlpha = [0, .07, .2, .09][phase];
    g.fillStyle = sideColour(c.side);
    g.fillRect(p, top, Math.max(1.5, Math.min(pw, X(end)) - p), base - top);
  });
  g.globalAlpha = .9;
  for (const [from, to, side] of v.inst.truth) {
    if (to < v.a || from > v.b) continue;
    const p = Math.max(0, X(from));
    g.fillStyle = sideColour(side);
    g.fillRect(p, v.small ? 1 : 3, Math.max(2, Math.min(pw, X(to)) - p), v.small ? 2 : 4);
  }
  g.globalAlpha = 1;
}
const STEPS = [1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];
function nice(v) {
  const power = 10 ** Math.floor(Math.log10(v));
  return ([1, 2, 5, 10].find(m => m * power >= v * .999) || 10) * power;
}
function drawAxes(v) {
  const {g, X, Y, pw, base, top, ph, inst} = v;
  const step = Math.max(inst.tick, nice((v.hi - v.lo) / (v.small ? 3 : 7))), digits = Math.min(inst.decimals, Math.max(0, Math.ceil(-Math.log10(step) - 1e-9)));
  g.lineWidth = 1;
  g.strokeStyle = C.line;
  g.fillStyle = C.muted;
  g.textAlign = "left";
  g.beginPath();
  for (let p = Math.ceil(v.lo / step) * step; p <= v.hi; p += step) {
    const y = Math.round(Y(p)) + .5;
    g.moveTo(0, y);
    g.lineTo(pw, y);
    g.fillText(p.toFixed(digits), pw + 8, y);
  }
  const every = STEPS.find(s => (v.b - v.a) / s <= pw / (v.small ? 74 : 100)) || 6048e5;
  g.textAlign = "center";
  for (let t = Math.ceil((D.origin + v.a) / every) * every - D.origin; t <= v.b; t += every) {
    const x = Math.round(X(t)) + .5;
    g.moveTo(x, base);
    g.lineTo(x, base + 3);
    if (x > 22 && x < pw - 22) g.fillText(every >= 864e5 ? day(t) : clock(t, every < 6e4), x, base + (v.small ? 10 : 13));
  }
  for (const y of [base + .5, top + ph + 3.5]) { g.moveTo(0, y); g.lineTo(pw, y); }
  g.stroke();
}
function drawForced(v) {
  const {g, X, pw, base, lane} = v, bars = new Map(), width = v.small ? 2 : 3;
  for (const [t, longs, shorts] of v.forced) {
    const x = Math.floor(X(t) / width);
    if (x < 0 || x * width > pw) continue;
    const bar = bars.get(x) || [0, 0];
    bar[0] += longs;
    bar[1] += shorts;
    bars.set(x, bar);
  }
  const most = Math.max(0, ...[...bars.values()].map(bar => bar[0] + bar[1]));
  if (!most) return;
  for (const [x, [longs, shorts]] of bars) {
    const l = longs * (lane - 3) / most, s = shorts * (lane - 3) / most;
    g.fillStyle = C.longs;
    g.fillRect(x * width, base - l, width - .5, l);
    g.fillStyle = C.shorts;
    g.fillRect(x * width, base - l - s, width - .5, s);
  }
  if (v.small) return;
  g.fillStyle = C.muted;
  g.textAlign = "left";
  g.fillText(usd(most), pw + 8, base - lane + 8);
  g.fillText("forced", pw + 8, base - 8);
}
function drawPrice(v) {
  const {g, X, Y} = v;
  g.strokeStyle = C.ink;
  g.lineWidth = 1;
  g.globalAlpha = .3;
  g.beginPath();
  for (const p of v.prices) { g.moveTo(X(p[0]), Y(p[1]) + .5); g.lineTo(X(p[0]), Y(p[2]) - .5); }
  g.stroke();
  g.globalAlpha = .9;
  g.lineWidth = v.small ? 1 : 1.2;
  g.beginPath();
  for (const p of v.prices) g.lineTo(X(p[0]), Y(p[3]));
  g.stroke();
  g.globalAlpha = 1;
}
function drawLarges(v) {
  const {g, X, Y, small} = v;
  g.globalAlpha = .4;
  for (const c of v.cascades) for (const [t, price, notional, side] of c.larges) {
    if (t < v.a || t > v.b) continue;
    const x = X(t), y = Y(v.priceAt(t) ?? price);
    const r = Math.min(small ? 9 : 20, (small ? 1.5 : 3) + Math.sqrt(notional / Math.max(1, c.threshold)) * (small ? 1.6 : 3));
    g.fillStyle = sideColour(side);
    g.beginPath();
    g.arc(x, y, r, 0, 7);
    g.fill();
    v.found.push({x, y, r: Math.max(8, r), text: (side > 0 ? "long" : "short") + " liquidated " + usd(notional) + "\nreported (bankruptcy) price "
      + price.toFixed(v.inst.decimals) + "\n" + clock(t, true, true)});
  }
  g.globalAlpha = 1;
}
function label(v, text, x, y, colour, bold) {
  const {g} = v;
  g.font = (bold ? "600 " : "") + v.font;
  const width = g.measureText(text).width;
  g.textAlign = "left";
  g.fillStyle = C.card;
  g.globalAlpha = .85;
  g.fillRect(x - 3, y - 7.5, width + 6, 15);
  g.globalAlpha = 1;
  g.fillStyle = colour;
  g.fillText(text, x, y);
  g.font = v.font;
}
function drawOrder(v, k, o) {
  const {g, X, Y, small} = v, end = o.ended === null ? D.end : o.ended, unfilled = !(o.filled > 0) && o.ended !== null && o.role === "entry";
  const from = o.role === "entry" || o.role === "close" ? o.created : o.acked ?? o.created, begin = o.acked ?? from, last = lastPrice(o), y = Y(last);
  g.strokeStyle = roleColour(o.role);
  g.lineWidth = small ? 1.1 : 1.5;
  g.setLineDash([4, 3]);                     // sent, not yet acknowledged
  g.beginPath();
  g.moveTo(X(from), Y(o.steps[0][1]));
  g.lineTo(X(begin), Y(o.steps[0][1]));
  g.stroke();
  g.setLineDash(o.role === "entry" ? [] : [6, 3]);
  g.beginPath();
  o.steps.forEach(([t, p], m) => {
    g.lineTo(X(m ? t : begin), Y(p));
    g.lineTo(X(m + 1 < o.steps.length ? o.steps[m + 1][0] : end), Y(p));
  });
  g.stroke();
  g.setLineDash([]);
  const why = o.reason || k.end || "cancelled";
  if (unfilled) {
    const x = X(end);
    g.lineWidth = 1.6;
    g.beginPath();
    for (const s of [-4, 4]) { g.moveTo(x - 4, y - s); g.lineTo(x + 4, y + s); }
    g.stroke();
    if (small && end > v.b) { g.fillStyle = C.accent; g.textAlign = "right"; g.fillText(why + " " + clock(end, false) + " →", v.pw - 3, y + (y + 18 < v.top + v.ph ? 9 : -9)); }
  }
  if (small) return;
  const away = last > v.hi ? " ↑" : last < v.lo ? " ↓" : "", x = Math.min(Math.max(X(from), 0) + 5, v.pw - 130);
  const text = o.role + " " + last.toFixed(v.inst.decimals) + away + (unfilled ? " · " + why : ""), above = away ? away === " ↓" : (o.role === "target") === (k.side === "long");
  if (o.role === "entry" || X(end) - Math.max(0, X(from)) > 110) label(v, text, x, y + (above ? -9 : 10), roleColour(o.role), true);
}
function drawFill(v, k, f, final) {
  const {g, X, Y, small} = v, x = X(f.t), y = Y(f.p), s = small ? 4.5 : 6.5, up = f.side > 0 ? 1 : -1;
  g.fillStyle = roleColour(f.role);
  g.strokeStyle = C.card;
  g.lineWidth = 1.5;
  g.beginPath();
  g.moveTo(x, y - s * up);
  g.lineTo(x + s, y + s * .8 * up);
  g.lineTo(x - s, y + s * .8 * up);
  g.closePath();
  g.fill();
  g.stroke();
  v.found.push({x, y, r: 12, text: f.role + " filled: " + (f.side > 0 ? "bought " : "sold ") + f.q + " at " + f.p.toFixed(v.inst.decimals) + "\n"
    + (f.maker ? "maker, " : "taker, ") + f.how + ", fee " + usd(f.fee) + "\n" + clock(f.t, true, true)});
  if (!final || small || v.dense) return;
  const text = k.end + (k.bps === null ? "" : " " + signed(k.bps) + " bps"), width = g.measureText(text).width + 14;
  label(v, text, x + width < v.pw ? x + 12 : x - width, Math.min(Math.max(y, v.top + 9), v.top + v.ph - 9), k.net > 0 ? C.good : C.bad, true);
}
function drawBracket(v, k) {
  const {g, X, Y} = v, entry = k.fills.filter(f => f.role === "entry"), exit = k.fills.filter(f => f.role !== "entry");
  if (entry.length && exit.length) {
    const p = X(entry[0].t), q = X(exit[exit.length - 1].t), y1 = Y(entry[0].p), y2 = Y(exit[exit.length - 1].p);
    g.fillStyle = k.net > 0 ? C.good : C.bad;
    g.globalAlpha = .13;
    g.fillRect(p, Math.min(y1, y2), Math.max(1, q - p), Math.max(1, Math.abs(y2 - y1)));
    g.globalAlpha = 1;
  }
  if (!v.dense) for (const o of k.orders) if (o.steps.length && visible(o, v.a, v.b) && !(o.rejected && o.role !== "entry")) drawOrder(v, k, o);
  for (const f of k.fills) if (f.t >= v.a && f.t <= v.b) drawFill(v, k, f, f === exit[exit.length - 1]);
}

/* draws, and returns the view: what the pointer can find, and the scales */
function draw(canvas, n, a, b, small, chosen) {
  const v = viewOf(canvas, n, a, b, small), {g} = v;
  g.font = v.font;
  g.textBaseline = "middle";
  if (!v.ok) {
    g.fillStyle = C.muted;
    g.textAlign = "center";
    g.fillText("no trades of " + v.inst.symbol + " in this span", v.w / 2, v.h / 2);
    return v;
  }
  drawGaps(v);
  drawPhases(v);
  drawAxes(v);
  drawForced(v);
  g.save();
  g.beginPath();
  g.rect(0, 0, v.pw, v.top + v.ph + 3);
  g.clip();
  drawPrice(v);
  drawLarges(v);
  for (const k of v.brackets) drawBracket(v, k);
  g.restore();
  if (chosen && !small) {
    g.strokeStyle = C.muted;
    g.setLineDash([2, 3]);
    g.beginPath();
    for (const t of [chosen.start, chosen.active]) if (t >= a && t <= b) { g.moveTo(v.X(t), v.top); g.lineTo(v.X(t), v.base); }
    g.stroke();
    g.setLineDash([]);
  }
  return v;
}
