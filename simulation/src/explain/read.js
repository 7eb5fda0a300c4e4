// What happened, read from the JSON in the page. Times are milliseconds; `events` are in their order, and everything on the page
// names an event by its place there. Texts of the run reach the page as text alone (textContent, fillText), never as markup.

const run = JSON.parse(document.getElementById("run").textContent);
const el = (id) => document.getElementById(id);
const make = (tag, text, parent) => {
  const made = document.createElement(tag);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
};

const TURNS = ["starts", "serves", "killed", "stopped by itself", "refused to start"];
const STAGES = ["pending", "succeeded", "failed", "unknown"];
const READ = [
  (e, [kind, nodes]) => Object.assign(e, { type: "fault", kind: run.words[kind], nodes }),
  (e, [node, life, turn]) => Object.assign(e, { type: "life", node, life, turn }),
  (e, [node, role, term, committed, applied]) =>
    Object.assign(e, { type: "seen", node, role: run.words[role], term, committed, applied }),
  (e, [from, to, kind, bytes, takes]) =>
    Object.assign(e, { type: "message", from, to, kind: run.words[kind], bytes, takes: takes < 0 ? null : takes / 1e6 }),
  (e, [node, lasts]) => Object.assign(e, { type: "sync", node, lasts: lasts / 1e6 }),
  (e, [node, life, index, digest]) => Object.assign(e, { type: "applied", node, life, index, digest }),
  (e, [node, life, term]) => Object.assign(e, { type: "executed", node, life, term }),
  (e, [node, life, index, digest]) => Object.assign(e, { type: "restored", node, life, index, digest }),
  (e, [client, number, kind, stage, index]) =>
    Object.assign(e, { type: "operation", client, number, kind: run.words[kind], stage, index }),
  (e, [subscriber, kind, index]) => Object.assign(e, { type: "followed", subscriber, kind: run.words[kind], index }),
  (e, [kind, nodes]) => Object.assign(e, { type: "violation", kind: run.words[kind], nodes }),
];
let nanos = 0;
const events = run.rows.map(([since, what, detail, ...then], place) => {
  nanos += since;
  return READ[what]({ place, at: nanos / 1e6, detail: run.words[detail] }, then);
});
const violations = events.filter((e) => e.type === "violation");

// Operations, from what begins them and what ends them.
const operations = new Map();
for (const e of events) {
  if (e.type !== "operation") continue;
  const name = `${e.client}/${e.number}`;
  const known = operations.get(name);
  if (!known) operations.set(name, { begin: e.at, end: null, stage: e.stage, kind: e.kind, client: e.client, last: e.place });
  else Object.assign(known, { end: e.at, stage: e.stage, last: e.place });
  e.operation = operations.get(name);
}

let runEnd = 1;
let longestMessage = 0;
let longestSync = 0;
for (const e of events) {
  runEnd = Math.max(runEnd, e.at);
  if (e.takes) longestMessage = Math.max(longestMessage, e.takes);
  if (e.lasts) longestSync = Math.max(longestSync, e.lasts);
}

// What lasts until something undoes it, of the same nodes or the same link; whatever else is inflicted is a moment. A link is told
// by the detail alone (`from: 1, to: 2`), and so is how long a pause lasts, or that a setting is what it was: all numbers are 0.
const UNDONE_BY = {
  cut: "heal", isolate: "rejoin", weather: "weather", drift: "drift", leap: "leap", "slow disk": "slow disk", "full disk": "space",
  pause: "",
};
const OF_LINKS = ["cut", "isolate"];
const field = (e, name) => new RegExp(`\\b${name}: (-?\\d+)`).exec(e.detail)?.[1];
const struck = (e) => {
  const link = [field(e, "from"), field(e, "to")];
  return e.nodes.length || link.includes(undefined) ? e.nodes : link.map(Number);
};
const isOff = (e) => {
  const settings = [...e.detail.matchAll(/\b(\w+): (-?\d+)/g)].filter(([, name]) => !["node", "from", "to"].includes(name));
  return settings.length > 0 && settings.every(([, , value]) => Number(value) === 0);
};
const bands = [];
for (const e of events) {
  if (e.type !== "fault") continue;
  const nodes = struck(e);
  for (const band of bands) {
    const kind = band.event.kind;
    const all = nodes.length === 0 && (e.kind.startsWith("heal") || (e.kind === "rejoin" && OF_LINKS.includes(kind)));
    if (band.end === null && (all || (UNDONE_BY[kind] === e.kind && String(band.nodes) === String(nodes)))) band.end = e.at;
  }
  if (UNDONE_BY[e.kind] === undefined || isOff(e)) continue;
  const lasts = e.kind === "pause" ? Number(field(e, "for_ms") ?? 0) : null;
  bands.push({ event: e, nodes, begin: e.at, end: lasts === null ? null : e.at + lasts });
}

const ms = (time) => (time < 0.1 ? `${(time * 1000).toFixed(1)} µs` : `${time.toFixed(time < 10 ? 3 : 1)} ms`);
const clock = (time) => `${(time / 1000).toFixed(6)} s`;
const count = (number) => number.toLocaleString("en");
const SAY = {
  fault: (e) => `fault: ${e.kind}${struck(e).length ? ` (${struck(e).join(", ")})` : ""}`,
  life: (e) => `node ${e.node}, life ${e.life}: ${TURNS[e.turn]}`,
  seen: (e) => `node ${e.node}: ${e.role}, term ${e.term}, committed ${e.committed}, applied ${e.applied}`,
  message: (e) => `${e.kind} ${e.from} → ${e.to}, ${count(e.bytes)} bytes, ${e.takes === null ? "lost" : `takes ${ms(e.takes)}`}`,
  sync: (e) => `node ${e.node} syncs for ${ms(e.lasts)}`,
  applied: (e) => `node ${e.node}, life ${e.life}: applies ${e.index}, digest ${e.digest}`,
  executed: (e) => `node ${e.node}, life ${e.life}: executes in term ${e.term}`,
  restored: (e) => `node ${e.node}, life ${e.life}: restores the snapshot of ${e.index}, digest ${e.digest}`,
  operation: (e) => {
    const stage = e.stage === 0 ? "begins" : STAGES[e.stage] + (e.stage === 1 ? ` at ${e.index}` : "");
    const took = e.stage === 0 ? "" : `, after ${ms(e.at - e.operation.begin)}`;
    return `client ${e.client}, operation ${e.number}: ${e.operation.kind} ${stage}${took}`;
  },
  followed: (e) => `subscriber ${e.subscriber}: ${e.kind} ${e.index}`,
  violation: (e) => `VIOLATION: ${e.kind}${e.nodes.length ? ` (${e.nodes.join(", ")})` : ""}`,
};
const say = (e) => SAY[e.type](e) + (e.detail ? ` · ${e.detail}` : "");
