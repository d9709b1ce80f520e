"use strict";
(() => {
const D = JSON.parse(document.getElementById("data").textContent);
const $ = id => document.getElementById(id);
const root = document.documentElement;
let C = {};
const readColours = () => { const s = getComputedStyle(root); C = {}; for (const k of ["bg", "card", "ink", "muted", "line", "soft", "accent", "good", "bad", "longs", "shorts"]) C[k] = s.getPropertyValue("--" + k).trim(); };
const roleColour = r => ({entry: C.accent, target: C.good, stop: C.bad, close: C.muted})[r] || C.muted;
const sideColour = s => s > 0 ? C.longs : C.shorts;
const two = n => String(n).padStart(2, "0");
const clock = (t, seconds = true, ms = false) => { const d = new Date(D.origin + t); return two(d.getUTCHours()) + ":" + two(d.getUTCMinutes()) + (seconds ? ":" + two(d.getUTCSeconds()) : "") + (ms ? "." + String(d.getUTCMilliseconds()).padStart(3, "0") : ""); };
const day = t => new Date(D.origin + t).toISOString().slice(5, 10);
const usd = v => { const a = Math.abs(v); return (v < 0 ? "−" : "") + "$" + (a >= 1e9 ? (a / 1e9).toFixed(2) + "B" : a >= 1e6 ? (a / 1e6).toFixed(2) + "M" : a >= 1e4 ? (a / 1e3).toFixed(0) + "k" : a >= 1e3 ? (a / 1e3).toFixed(1) + "k" : a.toFixed(a < 100 ? 2 : 0)); };
const signed = (v, n = 1) => (v < 0 ? "−" : "+") + Math.abs(v).toFixed(n);
const span = ms => ms < 1e3 ? ms.toFixed(0) + " ms" : ms < 12e4 ? (ms / 1e3).toFixed(1) + " s" : ms < 72e5 ? (ms / 6e4).toFixed(1) + " min" : (ms / 36e5).toFixed(1) + " h";

/* ---- price series: delta-coded buckets become plain arrays once; a view takes the finest that covers each moment ---- */
function unpack(s, tick) {
  if (!s) return null;
  const n = s.i.length, t = new Float64Array(n), lo = new Float64Array(n), hi = new Float64Array(n), c = new Float64Array(n);
  for (let k = 0, at = 0; k < n; k++) { at += s.i[k]; t[k] = s.t0 + (at + .5) * s.dt; lo[k] = (s.base + s.lo[k]) * tick; hi[k] = lo[k] + s.hi[k] * tick; c[k] = (s.base + s.c[k]) * tick; }
  const lt = s.li.map(i => s.t0 + (i + .5) * s.dt);
  return {t, lo, hi, c, lt, l: s.l, s: s.s, dt: s.dt, a: n ? Math.min(s.t0, t[0]) : s.t0, b: n ? t[n - 1] + s.dt : s.t0, t0: s.t0};
}
for (const i of D.instruments) { i.over = unpack(i.overview, i.tick); i.fine = i.windows.map(w => unpack(w, i.tick)).sort((x, y) => x.dt - y.dt); i.brackets = []; }
D.brackets.forEach(b => D.instruments[b.n].brackets.push(b));
const lower = (a, v) => { let l = 0, h = a.length; while (l < h) { const m = (l + h) >> 1; if (a[m] < v) l = m + 1; else h = m; } return l; };
function points(inst, a, b) {
  const out = [], liq = [];
  let free = [[a, b]];
  for (const s of [...inst.fine, inst.over]) {
    if (!s || s.b < a || s.a > b) continue;
    const rest = [];
    for (const [x, y] of free) {
      const p = Math.max(x, s.a), q = Math.min(y, s.b);
      if (q <= p) { rest.push([x, y]); continue; }
      for (let k = lower(s.t, p); k < s.t.length && s.t[k] <= q; k++) out.push([s.t[k], s.lo[k], s.hi[k], s.c[k]]);
      for (let k = lower(s.lt, p); k < s.lt.length && s.lt[k] <= q; k++) liq.push([s.lt[k], s.l[k], s.s[k], s.dt]);
      if (p > x) rest.push([x, p]);
      if (y > q) rest.push([q, y]);
    }
    free = rest;
  }
  const o = inst.over;                                        // one point beyond each edge, so that the line enters and leaves the view
  if (o) { const k = lower(o.t, a) - 1; if (k >= 0) out.push([o.t[k], o.lo[k], o.hi[k], o.c[k]]); const m = lower(o.t, b + 1e-6); if (m < o.t.length) out.push([o.t[m], o.lo[m], o.hi[m], o.c[m]]); }
  out.sort((p, q) => p[0] - q[0]);
  return {out, liq};
}
const STEPS = [1e3, 2e3, 5e3, 1e4, 15e3, 3e4, 6e4, 12e4, 3e5, 6e5, 9e5, 18e5, 36e5, 72e5, 144e5, 216e5, 432e5, 864e5, 1728e5, 6048e5];
const nice = v => { const p = 10 ** Math.floor(Math.log10(v)); for (const m of [1, 2, 5, 10]) if (m * p >= v * .999) return m * p; return 10 * p; };
const last = o => o.steps.length ? o.steps[o.steps.length - 1][1] : 0;

function fit(canvas) {
  const r = window.devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * r) || canvas.height !== Math.round(h * r)) { canvas.width = Math.round(w * r); canvas.height = Math.round(h * r); }
  const g = canvas.getContext("2d"); g.setTransform(r, 0, 0, r, 0, 0); g.clearRect(0, 0, w, h);
  return [g, w, h];
}

/* ---- one drawing for the large chart and the small ones; returns what the pointer can find ---- */
function draw(canvas, n, a, b, small, chosen) {
  const [g, w, h] = fit(canvas), inst = D.instruments[n], found = [];
  const right = small ? 50 : 74, foot = small ? 16 : 22, lane = small ? 22 : 54, top = small ? 4 : 10;
  const pw = w - right, ph = h - foot - lane - top - 6, font = (small ? 10 : 11.5) + "px system-ui,-apple-system,sans-serif";
  if (pw < 40 || ph < 20 || !(b > a)) return {found};
  const {out, liq} = points(inst, a, b), X = t => (t - a) / (b - a) * pw;
  const brackets = inst.brackets.filter(k => k.opened <= b && (k.flat === null || k.flat >= a));
  let lo = Infinity, hi = -Infinity;
  for (const p of out) if (p[0] >= a && p[0] <= b || out.length < 3) { lo = Math.min(lo, p[1]); hi = Math.max(hi, p[2]); }
  /* order prices widen the axis, but a stop far away must not flatten the price path: it is clamped to the edge and labelled */
  const reach = hi >= lo ? Math.max(2 * (hi - lo), hi * .004) : Infinity, floor = lo - reach, ceiling = hi + reach;
  const widen = p => { if (p >= floor && p <= ceiling || !(hi >= lo)) { lo = Math.min(lo, p); hi = Math.max(hi, p); } };
  for (const k of brackets) {
    for (const o of k.orders) if (o.created <= b && (o.ended === null || o.ended >= a) && !(o.role === "target" && o.rejected)) for (const s of o.steps) widen(s[1]);
    for (const f of k.fills) if (f.t >= a && f.t <= b) widen(f.p);
  }
  const mine = D.cascades.filter(c => c.n === n && c.start <= b && (c.end === null ? c.last : c.end) >= a);
  if (!(hi >= lo)) for (const c of mine) for (const e of c.larges) { lo = Math.min(lo, e[1]); hi = Math.max(hi, e[1]); }
  g.font = font; g.textBaseline = "middle";
  if (!(hi >= lo)) { g.fillStyle = C.muted; g.textAlign = "center"; g.fillText("no trades of " + inst.symbol + " in this span", pw / 2, h / 2); return {found}; }
  const pad = Math.max((hi - lo) * .08, inst.tick * 2); lo -= pad; hi += pad;
  const Y = p => top + (hi - Math.min(hi, Math.max(lo, p))) / (hi - lo) * ph, base = top + ph + 6 + lane;
  /* what was going on: gaps in the feed, phases of cascades, the generator's truth */
  for (const [x, y] of inst.gaps) { if (y < a || x > b) continue; const p = Math.max(0, X(x)), q = Math.min(pw, X(y)); g.fillStyle = C.soft; g.fillRect(p, top, Math.max(1, q - p), base - top); g.save(); g.beginPath(); g.rect(p, top, q - p, base - top); g.clip(); g.strokeStyle = C.line; for (let k = p - h; k < q; k += 9) { g.beginPath(); g.moveTo(k, base); g.lineTo(k + h, base - h); g.stroke(); } g.restore(); if (!small && q - p > 60) { g.fillStyle = C.muted; g.textAlign = "center"; g.fillText("feed gap", (p + q) / 2, top + 10); } }
  for (const c of mine) for (let k = 0; k < c.phases.length; k++) {
    const [t, phase] = c.phases[k], e = k + 1 < c.phases.length ? c.phases[k + 1][0] : c.end === null ? Math.min(b, D.end) : c.end;
    if (phase > 3 || e < a || t > b) continue;
    g.globalAlpha = [0, .07, .2, .09][phase]; g.fillStyle = sideColour(c.side); const p = Math.max(0, X(t)); g.fillRect(p, top, Math.max(1.5, Math.min(pw, X(e)) - p), base - top); g.globalAlpha = 1;
  }
  for (const t of inst.truth) { if (t[1] < a || t[0] > b) continue; const p = Math.max(0, X(t[0])); g.fillStyle = sideColour(t[2]); g.globalAlpha = .9; g.fillRect(p, top - (small ? 3 : 7), Math.max(2, Math.min(pw, X(t[1])) - p), small ? 2 : 4); g.globalAlpha = 1; }
  /* axes */
  g.lineWidth = 1; g.strokeStyle = C.line; g.fillStyle = C.muted; g.textAlign = "left";
  const py = Math.max(inst.tick, nice((hi - lo) / (small ? 3 : 7))), digits = Math.min(inst.decimals, Math.max(0, Math.ceil(-Math.log10(py) - 1e-9)));
  for (let p = Math.ceil(lo / py) * py; p <= hi; p += py) { const y = Math.round(Y(p)) + .5; g.beginPath(); g.moveTo(0, y); g.lineTo(pw, y); g.stroke(); g.fillText(p.toFixed(digits), pw + 8, y); }
  const ts = STEPS.find(s => (b - a) / s <= pw / (small ? 74 : 100)) || 6048e5, seconds = ts < 6e4;
  g.textAlign = "center";
  for (let t = Math.ceil((D.origin + a) / ts) * ts - D.origin; t <= b; t += ts) { const x = Math.round(X(t)) + .5; g.beginPath(); g.moveTo(x, base); g.lineTo(x, base + 3); g.stroke(); if (x > 22 && x < pw - 22) g.fillText(ts >= 864e5 ? day(t) : clock(t, seconds), x, base + (small ? 10 : 13)); }
  g.beginPath(); g.moveTo(0, base + .5); g.lineTo(pw, base + .5); g.moveTo(0, top + ph + 3.5); g.lineTo(pw, top + ph + 3.5); g.stroke();
  /* forced volume by side */
  const bin = new Map(), bw = small ? 2 : 3;
  for (const [t, l, s] of liq) { const x = Math.floor(X(t) / bw); if (x < 0 || x * bw > pw) continue; const v = bin.get(x) || [0, 0]; v[0] += l; v[1] += s; bin.set(x, v); }
  let most = 0; for (const v of bin.values()) most = Math.max(most, v[0] + v[1]);
  for (const [x, v] of bin) { const k = (lane - 3) / most, hl = v[0] * k, hs = v[1] * k; g.fillStyle = C.longs; g.fillRect(x * bw, base - hl, bw - .5, hl); g.fillStyle = C.shorts; g.fillRect(x * bw, base - hl - hs, bw - .5, hs); }
  if (!small && most) { g.fillStyle = C.muted; g.textAlign = "left"; g.fillText(usd(most), pw + 8, base - lane + 8); g.fillText("forced", pw + 8, base - 8); }
  /* price */
  g.save(); g.beginPath(); g.rect(0, 0, pw, top + ph + 3); g.clip();
  g.strokeStyle = C.ink; g.globalAlpha = small ? .28 : .32; g.beginPath(); for (const p of out) { const x = X(p[0]); g.moveTo(x, Y(p[1]) + .5); g.lineTo(x, Y(p[2]) - .5); } g.stroke();
  g.globalAlpha = .9; g.lineWidth = small ? 1 : 1.2; g.beginPath(); out.forEach((p, k) => k ? g.lineTo(X(p[0]), Y(p[3])) : g.moveTo(X(p[0]), Y(p[3]))); g.stroke(); g.globalAlpha = 1;
  const priceAt = t => { let l = 0, r = out.length; while (l < r) { const m = (l + r) >> 1; if (out[m][0] < t) l = m + 1; else r = m; } return out.length ? out[Math.min(l, out.length - 1)][3] : null; };
  for (const c of mine) for (const e of c.larges) { if (e[0] < a || e[0] > b) continue; const y = Y(priceAt(e[0]) ?? e[1]), r = Math.min(small ? 9 : 20, (small ? 1.5 : 3) + Math.sqrt(e[2] / Math.max(1, c.threshold)) * (small ? 1.6 : 3)); g.fillStyle = sideColour(e[3]); g.globalAlpha = .4; g.beginPath(); g.arc(X(e[0]), y, r, 0, 7); g.fill(); g.globalAlpha = 1; found.push({x: X(e[0]), y, r: Math.max(8, r), text: (e[3] > 0 ? "long" : "short") + " liquidated " + usd(e[2]) + "\nreported (bankruptcy) price " + e[1].toFixed(inst.decimals) + "\n" + clock(e[0], true, true)}); }
  /* our orders and fills */
  const dense = b - a > 36e5 * 3;
  for (const k of brackets) {
    const e = k.fills.filter(f => f.role === "entry"), x = k.fills.filter(f => f.role !== "entry");
    if (e.length && x.length) { g.strokeStyle = g.fillStyle = k.net > 0 ? C.good : C.bad; const p = X(e[0].t), q = X(x[x.length - 1].t), y1 = Y(e[0].p), y2 = Y(x[x.length - 1].p); g.globalAlpha = .13; g.fillRect(p, Math.min(y1, y2), Math.max(1, q - p), Math.max(1, Math.abs(y2 - y1))); g.globalAlpha = 1; }
    if (!dense) for (const o of k.orders) {
      if (!o.steps.length || o.rejected && o.role !== "entry") continue;
      const end = o.ended === null ? D.end : o.ended; if (o.created > b || end < a) continue;
      g.strokeStyle = roleColour(o.role); g.lineWidth = small ? 1.1 : 1.5;
      const from = o.role === "entry" || o.role === "close" ? o.created : o.acked ?? o.created;
      g.setLineDash([4, 3]); if (o.acked && o.acked > from) { g.beginPath(); g.moveTo(X(from), Y(o.steps[0][1])); g.lineTo(X(o.acked), Y(o.steps[0][1])); g.stroke(); }
      g.setLineDash(o.role === "entry" ? [] : [6, 3]); g.beginPath();
      o.steps.forEach(([t, p], m) => { const s = Math.max(t, m ? t : o.acked ?? from), q = m + 1 < o.steps.length ? o.steps[m + 1][0] : end; if (m) g.lineTo(X(s), Y(p)); else g.moveTo(X(s), Y(p)); g.lineTo(X(q), Y(p)); }); g.stroke(); g.setLineDash([]);
      const px = X(end), y = Y(last(o));
      if (!(o.filled > 0) && o.ended !== null && o.role === "entry") { g.lineWidth = 1.6; g.beginPath(); g.moveTo(px - 4, y - 4); g.lineTo(px + 4, y + 4); g.moveTo(px + 4, y - 4); g.lineTo(px - 4, y + 4); g.stroke(); }
      const why = o.role === "entry" && !(o.filled > 0) && o.ended !== null ? " · " + (o.reason || k.end || "cancelled") : "";
      if (!small) { const lx = Math.min(Math.max(X(from), 0) + 4, pw - 120), away = last(o) > hi ? " ↑" : last(o) < lo ? " ↓" : "", name = o.role + " " + last(o).toFixed(inst.decimals) + away + why, up = away ? away === " ↓" : (o.role === "target") === (k.side === "long");
        g.textAlign = "left"; g.font = "600 11px system-ui,-apple-system,sans-serif"; const tw = g.measureText(name).width;
        if (X(end) - Math.max(0, X(from)) > tw + 10 || o.role === "entry") { const ly = y + (up ? -8 : 9); g.fillStyle = C.card; g.globalAlpha = .8; g.fillRect(lx - 2, ly - 7, tw + 4, 14); g.globalAlpha = 1; g.fillStyle = roleColour(o.role); g.fillText(name, lx, ly); } g.font = font; }
      else if (end > b && o.role === "entry" && !(o.filled > 0)) { g.fillStyle = roleColour("entry"); g.textAlign = "right"; g.fillText((o.reason || k.end || "cancelled") + " " + clock(end, false) + " →", pw - 3, y + (k.side === "long" ? 8 : -8)); }
    }
    for (const f of k.fills) {
      if (f.t < a || f.t > b) continue;
      const px = X(f.t), y = Y(f.p), s = small ? 4.5 : 6.5, dir = f.side > 0 ? 1 : -1;
      g.fillStyle = f.role === "entry" ? C.accent : f.role === "target" ? C.good : f.role === "stop" ? C.bad : C.muted; g.strokeStyle = C.card; g.lineWidth = 1.5;
      g.beginPath(); g.moveTo(px, y - s * dir); g.lineTo(px + s, y + s * .8 * dir); g.lineTo(px - s, y + s * .8 * dir); g.closePath(); g.fill(); g.stroke();
      found.push({x: px, y, r: 12, text: f.role + " filled: " + (f.side > 0 ? "bought " : "sold ") + f.q + " at " + f.p.toFixed(inst.decimals) + "\n" + (f.maker ? "maker, " : "taker, ") + f.how + ", fee " + usd(f.fee) + "\n" + clock(f.t, true, true)});
      if (!small && f.role !== "entry" && f === x[x.length - 1] && !dense) { const text = k.end + (k.bps === null ? "" : " " + signed(k.bps) + " bps"); g.font = "600 " + font; g.fillStyle = k.net > 0 ? C.good : C.bad; const tw = g.measureText(text).width, rightSide = px + tw + 14 < pw; const tx = rightSide ? px + 11 : px - 11 - tw, ty = Math.min(Math.max(y, top + 8), top + ph - 8); g.textAlign = "left"; g.globalAlpha = .85; const ink = g.fillStyle; g.fillStyle = C.card; g.fillRect(tx - 3, ty - 8, tw + 6, 16); g.globalAlpha = 1; g.fillStyle = ink; g.fillText(text, tx, ty); g.font = font; }
    }
  }
  g.restore();
  if (chosen && !small) { g.strokeStyle = C.muted; g.setLineDash([2, 3]); for (const t of [chosen.start, chosen.active]) if (t >= a && t <= b) { g.beginPath(); g.moveTo(X(t), top); g.lineTo(X(t), base); g.stroke(); } g.setLineDash([]); }
  return {found, pw, top, base, a, b, out, priceAt, ph, lo, hi};
}

/* ---- the large chart: one instrument, any span ---- */
const view = {n: 0, a: 0, b: D.end, chosen: null};
let hits = {found: []}, queued = false;
const chart = $("chart"), tip = $("tip");
const paint = () => { queued = false; hits = draw(chart, view.n, view.a, view.b, false, view.chosen); };
const repaint = () => { if (!queued) { queued = true; requestAnimationFrame(paint); } };
const go = (a, b) => { const least = 2e3, all = Math.max(D.end, least); let s = Math.min(Math.max(b - a, least), all); a = Math.min(Math.max(0, (a + b - s) / 2), all - s); view.a = a; view.b = a + s; $("span").textContent = (s > 864e5 ? day(a) + " " : "") + clock(a) + " – " + clock(a + s) + " UTC · " + span(s); repaint(); };
function pick(n) { view.n = n; document.querySelectorAll("#tabs button").forEach((t, k) => t.setAttribute("aria-selected", k === n)); repaint(); }
function focus(c) {
  view.chosen = c; pick(c.n);
  const k = c.bracket === null ? null : D.brackets[c.bracket], end = k ? (k.flat ?? D.end) : c.last + 6e4;
  const stop = Math.max(c.last + 3e4, end + 15e3), lead = Math.max(15e3, Math.min(6e4, (stop - c.start) * .25)); go(c.start - lead, stop + lead * .4);
  const f = [["cascade", "#" + c.id + " " + D.instruments[c.n].symbol], ["what", c.label], ["first large event", clock(c.start, true, true) + " UTC"], ["large events", c.count + " in " + span(c.last - c.start)],
    ["longs / shorts liquidated", usd(c.long) + " / " + usd(c.short)], ["threshold", usd(c.threshold)], ["z-score of the minute", c.z.toFixed(1)], ["score (uncalibrated)", c.score.toFixed(1) + " / 10"], ["answer", c.verdicts.map(v => v[1]).join(", ") || "policy silent"], ["outcome", c.outcome + (c.interrupted ? " (feed gap)" : "")]];
  if (k) { f.push(["trade", k.side + ", " + k.qty]); if (k.net !== null) f.push(["gross → net", usd(k.gross) + " → " + usd(k.net)], ["fees, slippage inside gross", usd(k.fees) + ", " + usd(k.slip)], ["held", span(k.hold * 1e3)]); }
  const box = $("facts"); box.textContent = ""; for (const [key, v] of f) { const d = document.createElement("div"), s = document.createElement("span"); s.textContent = key; d.append(s, v); box.append(d); }
  document.querySelectorAll(".card-c").forEach(e => e.classList.toggle("on", +e.dataset.id === c.id));
}
const step = d => { if (!D.cascades.length) return; const k = view.chosen ? D.cascades.indexOf(view.chosen) + d : d > 0 ? 0 : D.cascades.length - 1; focus(D.cascades[(k + D.cascades.length) % D.cascades.length]); };
const zoom = (f, at = .5) => { const t = view.a + (view.b - view.a) * at, s = (view.b - view.a) * f; go(t - s * at, t + s * (1 - at)); };
D.instruments.forEach((i, n) => { const b = document.createElement("button"), k = D.cascades.filter(c => c.n === n).length; b.textContent = i.symbol + (k ? " · " + k : ""); b.setAttribute("role", "tab"); b.title = k + " cascades drawn"; b.onclick = () => { view.chosen = null; $("facts").textContent = ""; document.querySelectorAll(".card-c.on").forEach(e => e.classList.remove("on")); pick(n); go(0, D.end); }; $("tabs").append(b); });
$("all").onclick = () => go(0, D.end); $("in").onclick = () => zoom(.5); $("out").onclick = () => zoom(2); $("prev").onclick = () => step(-1); $("next").onclick = () => step(1);
chart.addEventListener("wheel", e => { e.preventDefault(); const r = chart.getBoundingClientRect(), at = Math.min(1, (e.clientX - r.left) / (hits.pw || r.width)); if (Math.abs(e.deltaX) > Math.abs(e.deltaY)) { const d = e.deltaX / (hits.pw || r.width) * (view.b - view.a); go(view.a + d, view.b + d); } else zoom(e.deltaY > 0 ? 1.25 : .8, at); }, {passive: false});
let drag = null;
chart.addEventListener("pointerdown", e => { drag = {x: e.clientX, a: view.a, b: view.b}; chart.setPointerCapture(e.pointerId); tip.style.display = "none"; });
chart.addEventListener("pointerup", () => drag = null);
chart.addEventListener("pointercancel", () => drag = null);
chart.addEventListener("pointermove", e => {
  const r = chart.getBoundingClientRect(), x = e.clientX - r.left, y = e.clientY - r.top;
  if (drag) { const d = (drag.x - e.clientX) / (hits.pw || r.width) * (drag.b - drag.a); go(drag.a + d, drag.b + d); return; }
  if (!hits.pw || x > hits.pw || !hits.priceAt) { tip.style.display = "none"; return; }
  let best = null, d2 = Infinity; for (const f of hits.found) { const d = (f.x - x) ** 2 + (f.y - y) ** 2; if (d < d2 && d < f.r * f.r) { best = f; d2 = d; } }
  const t = hits.a + x / hits.pw * (hits.b - hits.a), p = hits.priceAt(t);
  tip.textContent = best ? best.text : clock(t, true, hits.b - hits.a < 6e5) + (p === null ? "" : "  " + p.toFixed(D.instruments[view.n].decimals));
  tip.style.display = "block"; const tw = tip.offsetWidth; tip.style.left = Math.max(0, x + 14 + tw > r.width ? x - tw - 12 : x + 14) + "px"; tip.style.top = Math.max(0, y - 12 - tip.offsetHeight / 2) + "px";
});
chart.addEventListener("pointerleave", () => tip.style.display = "none");
chart.addEventListener("dblclick", () => go(0, D.end));
chart.addEventListener("keydown", e => { const s = (view.b - view.a) * .2, k = {ArrowLeft: () => go(view.a - s, view.b - s), ArrowRight: () => go(view.a + s, view.b + s), "+": () => zoom(.5), "=": () => zoom(.5), "-": () => zoom(2), "0": () => go(0, D.end), n: () => step(1), p: () => step(-1)}[e.key]; if (k) { e.preventDefault(); k(); } });

/* ---- one small drawing a cascade, painted when it comes into sight ---- */
const cards = $("cards"), sight = new IntersectionObserver(seen => { for (const e of seen) if (e.isIntersecting) sketch(e.target); }, {rootMargin: "200px"});
function sketch(card) { const c = D.cascades.find(k => k.id === +card.dataset.id), k = c.bracket === null ? null : D.brackets[c.bracket], filled = k && k.fills.length; const end = Math.max(c.last + 45e3, filled ? (k.flat ?? D.end) + 12e3 : 0), lead = Math.min(3e4, Math.max(1e4, (end - c.start) * .2)); draw(card.querySelector("canvas"), c.n, Math.max(0, c.start - lead), Math.min(D.end, end), true, null); card.dataset.done = "1"; }
const groups = [["all", "All"], ["won", "Won"], ["lost", "Lost"], ["open", "Open"], ["unfilled", "Not filled"], ["none", "No trade"]];
const FIRST = 12;
let shown = "all", every = false;
function list() {
  let n = 0; for (const e of cards.children) { const match = shown === "all" || e.dataset.group === shown; e.hidden = !match || !every && n >= FIRST; n += match; }
  $("more").hidden = every || n <= FIRST; $("more").textContent = "show all " + n;
}
$("more").onclick = () => { every = true; list(); };
for (const [key, name] of groups) { const n = D.cascades.filter(c => key === "all" || c.group === key).length; if (!n && key !== "all") continue; const b = document.createElement("button"); b.textContent = name + " " + n; b.setAttribute("aria-pressed", key === "all"); b.onclick = () => { shown = key; [...$("filter").children].forEach(o => o.setAttribute("aria-pressed", o === b)); list(); }; $("filter").append(b); }
for (const c of D.cascades) {
  const card = document.createElement("div"), t = document.createElement("div"), o = document.createElement("div"), name = document.createElement("span"), value = document.createElement("span"), side = document.createElement("b"), canvas = document.createElement("canvas");
  card.className = "card-c"; card.tabIndex = 0; card.dataset.id = c.id; card.dataset.group = c.group; t.className = "t"; o.className = "o"; name.textContent = D.instruments[c.n].symbol + "  " + clock(c.start); value.textContent = c.outcome; value.className = c.group === "won" ? "pos" : c.group === "lost" ? "neg" : "muted";
  side.textContent = c.label; side.className = c.side > 0 ? "longs" : "shorts"; o.append(side, " · " + usd(c.long + c.short) + " · " + c.count + " large in " + span(c.last - c.start)); t.append(name, value); card.append(t, o, canvas);
  const open = () => { focus(c); $("charts").scrollIntoView(); }; card.onclick = open; card.onkeydown = e => { if (e.key === "Enter" || e.key === " ") { e.preventDefault(); open(); } };
  cards.append(card); sight.observe(card);
}
list();
const again = () => { readColours(); paint(); for (const e of cards.children) if (e.dataset.done && !e.hidden) sketch(e); };
$("theme").onclick = () => { const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme:dark)").matches; root.dataset.theme = dark ? "light" : "dark"; again(); };
matchMedia("(prefers-color-scheme:dark)").addEventListener("change", again);
new ResizeObserver(again).observe(chart);
if (!D.cascades.length && D.instruments.every(i => !i.over)) chart.style.height = "120px";
readColours();
const first = D.cascades.find(c => c.group === "won" || c.group === "lost") || D.cascades[0];
if (first) focus(first); else { pick(0); go(0, D.end); }
})();
