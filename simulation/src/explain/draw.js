// The pictures: only what is in sight is drawn, all of it anew at each change.

let colour = {};
const readColours = () => {
  const style = getComputedStyle(document.documentElement);
  for (const name of ("back panel line text dim accent leader candidate follower learner down starting succeeded failed unknown pending " +
    "sync bad fault band pick").split(" ")) colour[name] = style.getPropertyValue(`--${name}`).trim();
};
const open = (canvas, width, height) => {
  const scale = window.devicePixelRatio || 1;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    Object.assign(canvas, { width: Math.round(width * scale), height: Math.round(height * scale) });
    Object.assign(canvas.style, { width: `${width}px`, height: `${height}px` });
  }
  const context = canvas.getContext("2d");
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = "11px system-ui, sans-serif";
  context.textBaseline = "middle";
  return context;
};
let width = 800;
const x = (time) => GUTTER + ((time - view.from) / (view.to - view.from)) * (width - GUTTER);
const timeAt = (px) => view.from + ((px - GUTTER) / (width - GUTTER)) * (view.to - view.from);
const firstFrom = (time) => {
  let [low, high] = [0, events.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    events[middle].at < time ? (low = middle + 1) : (high = middle);
  }
  return low;
};
// What can be pointed at: rectangles and lines, each with its event; what was drawn last lies on top.
let hits = [];
const hit = (x0, y0, x1, y1, place, line) => hits.push({ x0, y0, x1, y1, place, line });
const vertical = (c, px, top, bottom) => {
  c.beginPath();
  c.moveTo(px, top);
  c.lineTo(px, bottom);
  c.stroke();
};

const drawNodes = (c) => {
  for (const lane of lanes) {
    if (lane.kind !== "node") {
      c.fillStyle = colour.panel;
      c.fillRect(GUTTER, lane.top, width - GUTTER, lane.height);
      continue;
    }
    c.fillStyle = colour.down;
    c.globalAlpha = 0.35;
    c.fillRect(GUTTER, lane.top, width - GUTTER, lane.height);
    c.globalAlpha = 1;
    lane.spans.forEach((span, at) => {
      const [left, right] = [Math.max(x(span.at), GUTTER), Math.min(x(lane.spans[at + 1]?.at ?? runEnd), width)];
      if (right < GUTTER || left > width) return;
      c.fillStyle = colour[span.state] || colour.follower;
      c.fillRect(left, lane.top, Math.max(right - left, 0.5), lane.height);
      hit(left, lane.top, right, lane.top + lane.height, span.event.place);
      if (right - left > 60) {
        c.fillStyle = colour.text;
        c.fillText(span.state + (span.term === null ? "" : ` · term ${span.term}`), left + 5, lane.top + 9, right - left - 8);
      }
    });
  }
  for (const band of bands) {
    const [left, right] = [Math.max(x(band.begin), GUTTER), Math.min(x(band.end ?? runEnd), width)];
    if (right < GUTTER || left > width) continue;
    for (const lane of lanes) {
      const isStruck = band.nodes.length ? band.nodes.includes(lane.id) : lane.kind === "node";
      if (!isStruck || lane.kind === "subscriber") continue;
      c.fillStyle = colour.band;
      c.fillRect(left, lane.top - 7, right - left, lane.height + 14);
      c.fillStyle = colour.fault;
      c.fillRect(left, lane.top - 7, right - left, 2);
      hit(left, lane.top - 8, right, lane.top - 3, band.event.place);
    }
  }
};

const drawLabels = (c) => {
  for (const lane of lanes) {
    let free = GUTTER;
    for (const e of lane.labels || []) {
      const px = x(e.at);
      if (px > width) break;
      if (px < free) continue;
      const text = `c ${e.committed} · a ${e.applied}`;
      free = px + c.measureText(text).width + 12;
      c.fillStyle = colour.text;
      c.globalAlpha = 0.7;
      c.fillRect(px, lane.top + 19, 1, 7);
      c.fillText(text, px + 3, lane.top + 22);
      c.globalAlpha = 1;
    }
  }
};

const drawMarks = (c, from, to) => {
  const many = to - from > 20000;
  for (let at = from; at < to; at++) {
    const e = events[at];
    if (isHidden(e)) continue;
    c.globalAlpha = fades(e) ? 0.12 : 1;
    const px = x(e.at);
    if (e.type === "sync") {
      const lane = laneOf.node.get(e.node);
      const long = Math.max(x(e.at + e.lasts) - px, 1);
      c.fillStyle = colour.sync;
      c.fillRect(px, lane.top + lane.height - 7, long, 5);
      if (!many) hit(px, lane.top + lane.height - 8, px + long, lane.top + lane.height, at);
    } else if (px < GUTTER || px > width) {
      continue;
    } else if (e.type === "applied" || e.type === "executed") {
      const lane = laneOf.node.get(e.node);
      const top = lane.top + lane.height - (e.type === "applied" ? 14 : 21);
      c.fillStyle = e.type === "applied" ? colour.accent : colour.pending;
      c.fillRect(px, top, 1.5, 5);
      if (!many) hit(px - 1, top - 1, px + 2.5, top + 6, at);
    } else if (e.type === "followed") {
      const lane = laneOf.subscriber.get(e.subscriber);
      c.fillStyle = { state: colour.pending, purged: colour.bad }[e.kind] || colour.accent;
      c.fillRect(px, lane.top + 2, e.kind === "record" ? 1.5 : 4, lane.height - 4);
      if (!many) hit(px - 1, lane.top, px + 3, lane.top + lane.height, at);
    } else if (e.type === "life" || e.type === "restored") {
      const lane = laneOf.node.get(e.node);
      const dies = e.type === "life" && e.turn >= 2;
      c.fillStyle = dies ? colour.bad : e.type === "restored" ? colour.unknown : colour.succeeded;
      const sign = e.type === "restored" ? "◆" : ["▷", "▶", "✖", "■", "⊘"][e.turn];
      c.font = "13px system-ui, sans-serif";
      c.fillText(sign, px - 5, lane.top - 7);
      c.font = "11px system-ui, sans-serif";
      vertical(Object.assign(c, { strokeStyle: c.fillStyle, lineWidth: 1.5 }), px, lane.top, lane.top + lane.height);
      hit(px - 6, lane.top - 14, px + 7, lane.top + 2, at);
    }
  }
  c.globalAlpha = 1;
};

const MESSAGES_MAX = 25000;
const drawMessages = (c, from, to) => {
  const seen = [];
  for (let at = from; at < to; at++) {
    const e = events[at];
    if (e.type !== "message" || isHidden(e) || e.at + (e.takes ?? 0) < view.from) continue;
    if (!fades(e) || at === picked) seen.push(e);
  }
  const every = Math.ceil(seen.length / MESSAGES_MAX);
  // The more there are, the fainter each is, so that what lies behind stays legible.
  const thin = Math.min(0.85, Math.max(0.05, 600 / seen.length));
  c.lineWidth = 1;
  for (let at = 0; at < seen.length; at += every) {
    const e = seen[at];
    const [start, end] = [laneOfAddress(e.from), laneOfAddress(e.to)];
    const down = end.top >= start.top;
    const [x0, y0] = [x(e.at), down ? start.top + start.height : start.top];
    let [x1, y1] = [x(e.at + (e.takes ?? 0)), down ? end.top : end.top + end.height];
    c.globalAlpha = thin;
    c.strokeStyle = colours.get(e.kind);
    if (e.takes === null) {
      [x1, y1] = [x0 + 12, y0 + (down ? 20 : -20)];
      c.globalAlpha = Math.max(c.globalAlpha, 0.6);
      c.strokeStyle = colour.bad;
      c.setLineDash([3, 3]);
    }
    c.beginPath();
    c.moveTo(x0, y0);
    c.lineTo(x1, y1);
    c.stroke();
    c.setLineDash([]);
    if (seen.length < 800) {
      c.fillStyle = c.strokeStyle;
      e.takes === null ? c.fillText("×", x1 - 3, y1) : c.fillRect(x1 - 1.5, y1 - 1.5, 3, 3);
    }
    if (seen.length <= 6000) hit(x0, y0, x1, y1, e.place, true);
  }
  c.globalAlpha = 1;
  return every;
};

const drawOperations = (c) => {
  for (const operation of operations.values()) {
    const [left, right] = [x(operation.begin), x(operation.until)];
    if (right < GUTTER || left > width) continue;
    const lane = laneOf.client.get(operation.client);
    const top = lane.top + 1 + operation.row * ROW;
    const [begin, long] = [Math.max(left, GUTTER), Math.max(right - Math.max(left, GUTTER), 2)];
    c.globalAlpha = fades(events[operation.last]) ? 0.15 : 1;
    c.fillStyle = colour[STAGES[operation.stage]];
    c.fillRect(begin, top + 1, long, ROW - 2);
    if (long > 46) {
      c.fillStyle = colour.back;
      c.fillText(operation.kind, begin + 4, top + ROW / 2 + 0.5, long - 6);
    }
    hit(begin - 1, top, begin + long + 1, top + ROW, operation.last);
  }
  c.globalAlpha = 1;
};

const drawGutter = (c) => {
  c.fillStyle = colour.back;
  c.fillRect(0, 0, GUTTER - 1, lanesHeight);
  for (const lane of lanes) {
    c.fillStyle = lane.kind === "node" ? colour.text : colour.dim;
    c.fillText(`${lane.kind} ${lane.id}`, 12, lane.middle, GUTTER - 16);
  }
};

const drawPicked = (c, height) => {
  for (const e of violations) {
    Object.assign(c, { strokeStyle: colour.bad, lineWidth: 1.5 });
    if (x(e.at) >= GUTTER) vertical(c, x(e.at), 0, height);
    hit(x(e.at) - 3, 0, x(e.at) + 3, height, e.place);
  }
  if (picked === null || x(events[picked].at) < GUTTER) return;
  Object.assign(c, { strokeStyle: colour.pick, lineWidth: 1 });
  c.setLineDash([2, 3]);
  vertical(c, x(events[picked].at), 0, height);
  c.setLineDash([]);
  for (const { x0, y0, x1, y1, place, line } of hits) {
    if (place !== picked || events[place].type === "violation") continue;
    c.lineWidth = 2.5;
    c.beginPath();
    line ? (c.moveTo(x0, y0), c.lineTo(x1, y1)) : c.rect(x0, y0, x1 - x0, y1 - y0);
    c.stroke();
  }
};

const drawRuler = () => {
  const height = 56;
  const c = open(el("ruler"), width, height);
  const about = ((view.to - view.from) / (width - GUTTER)) * 110;
  const power = 10 ** Math.floor(Math.log10(about));
  const step = [1, 2, 5, 10].map((by) => by * power).find((by) => by >= about);
  for (let at = Math.ceil(view.from / step) * step; at <= view.to; at += step) {
    c.fillStyle = colour.line;
    c.fillRect(x(at), 0, 1, height);
    c.fillStyle = colour.dim;
    c.fillText(step >= 1 ? `${(at / 1000).toFixed(step >= 1000 ? 0 : 3)} s` : `${at.toFixed(3)} ms`, x(at) + 4, 9);
  }
  const free = [GUTTER, GUTTER];
  for (const e of events) {
    if (e.type !== "fault" && e.type !== "violation") continue;
    const px = x(e.at);
    if (px < GUTTER - 1 || px > width) continue;
    const text = e.type === "fault" ? SAY.fault(e).slice(7) : e.kind;
    c.fillStyle = e.type === "fault" ? colour.fault : colour.bad;
    c.fillRect(px, 18, 1.5, height - 18);
    const row = free.findIndex((end) => end <= px);
    if (row < 0) continue;
    c.fillText(text, px + 4, 26 + row * 15);
    free[row] = px + c.measureText(text).width + 14;
  }
  c.fillStyle = colour.back;
  c.fillRect(0, 0, GUTTER - 1, height);
  c.fillStyle = colour.fault;
  c.fillText("faults", 12, 33);
};

const drawOverview = () => {
  const canvas = el("overview");
  const wide = document.documentElement.clientWidth;
  const c = open(canvas, wide, 34);
  const px = (time) => ((time + margin) / (runEnd + 2 * margin)) * wide;
  const buckets = new Float64Array(Math.ceil(wide / 2) + 1);
  for (const e of events) buckets[px(e.at) >> 1]++;
  const most = Math.max(1, ...buckets);
  c.fillStyle = colour.dim;
  buckets.forEach((many, at) => many && c.fillRect(at * 2, 34 - 1 - 26 * Math.sqrt(many / most), 1.5, 26 * Math.sqrt(many / most) + 1));
  for (const e of events) {
    if (e.type !== "fault" && e.type !== "violation") continue;
    c.fillStyle = e.type === "fault" ? colour.fault : colour.bad;
    c.fillRect(px(e.at), 0, e.type === "fault" ? 1 : 2, e.type === "fault" ? 8 : 34);
  }
  Object.assign(c, { strokeStyle: colour.accent, lineWidth: 2, fillStyle: colour.accent, globalAlpha: 0.13 });
  const [left, right] = [px(view.from), Math.max(px(view.to), px(view.from) + 3)];
  c.fillRect(left, 0, right - left, 34);
  c.globalAlpha = 1;
  c.strokeRect(left + 1, 1, right - left - 2, 32);
};

let listing = 0;
const draw = () => {
  width = el("picture").clientWidth;
  readColours();
  drawOverview();
  drawRuler();
  const height = Math.max(lanesHeight, el("scroller").clientHeight);
  const c = open(el("lanes"), width, height);
  hits = [];
  drawNodes(c);
  const to = firstFrom(view.to);
  drawMarks(c, firstFrom(view.from - longestSync), to);
  const every = drawMessages(c, firstFrom(view.from - longestMessage), to);
  drawLabels(c);
  drawOperations(c);
  drawPicked(c, height);
  drawGutter(c);
  if (every > 1) {
    c.fillStyle = colour.dim;
    c.fillText(`one of ${every} messages is drawn: zoom in, or hide some kinds`, GUTTER + 8, 9);
  }
  clearTimeout(listing);
  listing = setTimeout(list, 90);
};
let waiting = false;
const redraw = () => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    draw();
  });
};
