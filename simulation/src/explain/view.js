// What is in sight: the window of time, what is hidden, sought or picked, and the list of events beside the picture.

const margin = runEnd * 0.01;
const view = { from: -margin, to: runEnd + margin };
const SPAN_MIN = 0.02;
const show = (from, to) => {
  let span = Math.min(Math.max(to - from, SPAN_MIN), runEnd + 2 * margin);
  from = Math.min(Math.max(from, -margin), runEnd + margin - span);
  Object.assign(view, { from, to: from + span });
  redraw();
};
const zoom = (factor, around = (view.from + view.to) / 2) =>
  show(around - (around - view.from) * factor, around + (view.to - around) * factor);
const move = (share) => {
  const by = (view.to - view.from) * share;
  show(view.from + by, view.to + by);
};

const PALETTE = ["#3b7dd8", "#2f9e8f", "#8a63d2", "#b8860b", "#5c8a3a", "#c2557a", "#4f94b8", "#9a6b4b", "#7a7f2a", "#6c6fd6"];
const kinds = new Map();
for (const e of events) if (e.type === "message") kinds.set(e.kind, (kinds.get(e.kind) || 0) + 1);
const colours = new Map([...kinds.keys()].sort().map((kind, at) => [kind, PALETTE[at % PALETTE.length]]));
const hidden = new Set();
const addFilter = (name, label, colour, number) => {
  const box = make("label", undefined, el("filters"));
  const input = make("input", undefined, box);
  input.type = "checkbox";
  input.checked = true;
  if (colour) make("i", undefined, box).style.background = colour;
  make("span", label, box);
  box.title = `${count(number)} of these; click to hide or show them`;
  input.onchange = () => {
    input.checked ? hidden.delete(name) : hidden.add(name);
    box.classList.toggle("off", !input.checked);
    search();
  };
};
const number = (test) => events.reduce((sum, e) => sum + (test(e) ? 1 : 0), 0);
for (const [kind, colour] of colours) addFilter(`message ${kind}`, kind, colour, kinds.get(kind));
const lost = number((e) => e.takes === null);
if (lost) addFilter("delivered", "delivered", undefined, number((e) => e.type === "message") - lost);
if (lost) addFilter("lost", "lost", "var(--bad)", lost);
for (const type of ["sync", "applied", "executed"]) {
  const all = number((e) => e.type === type);
  if (all) addFilter(type, { sync: "syncs" }[type] || type, undefined, all);
}
const isHidden = (e) =>
  e.type === "message"
    ? hidden.has(`message ${e.kind}`) || hidden.has(e.takes === null ? "lost" : "delivered")
    : hidden.has(e.type);

let sought = null;
let picked = null;
const search = () => {
  const words = el("search").value.toLowerCase().split(/\s+/).filter(Boolean);
  sought = null;
  if (words.length) {
    sought = new Uint8Array(events.length);
    let found = 0;
    for (const e of events) {
      const text = say(e).toLowerCase();
      if (!isHidden(e) && words.every((word) => text.includes(word))) found += sought[e.place] = 1;
    }
    el("matches").textContent = `${count(found)} found`;
  } else el("matches").textContent = "";
  redraw();
};
const fades = (e) => sought !== null && !sought[e.place];
const pick = (place, moves) => {
  picked = place;
  const e = place === null ? null : events[place];
  if (e && moves) {
    const half = Math.min((view.to - view.from) / 2, 1000);
    show(e.at - half, e.at + half);
  }
  redraw();
};
const next = (list, step) => {
  if (!list.length) return;
  const here = picked ?? -1;
  const found = step > 0 ? list.find((e) => e.place > here) : list.findLast((e) => e.place < here);
  pick((found ?? (step > 0 ? list[0] : list.at(-1))).place, true);
};

const LISTED_MAX = 400;
const FREQUENT = ["message", "sync", "applied", "executed", "followed", "seen"];
const list = () => {
  const inside = [];
  const to = firstFrom(view.to);
  for (let at = firstFrom(view.from); at < to; at++) if (!isHidden(events[at]) && !fades(events[at])) inside.push(events[at]);
  let rows = inside;
  let note = "";
  if (inside.length > LISTED_MAX && sought === null) {
    rows = inside.filter((e) => !FREQUENT.includes(e.type) || e.place === picked);
    note = "; without messages, syncs and the like: zoom in to list them";
  }
  if (rows.length > LISTED_MAX && sought === null) {
    rows = rows.filter((e) => e.type !== "operation" || e.place === picked);
    note = "; without messages, operations and the like: zoom in to list them";
  }
  if (rows.length > LISTED_MAX) {
    rows = rows.slice(0, LISTED_MAX);
    note += `; the first ${LISTED_MAX}`;
  }
  el("window").textContent = `${clock(Math.max(view.from, 0))} – ${clock(view.to)}: ${count(inside.length)} events${note}`;
  const items = rows.map((e) => {
    const item = document.createElement("li");
    make("time", (e.at / 1000).toFixed(6), item);
    item.append(say(e));
    if (e.type === "violation") item.className = "bad";
    if (e.type === "fault" || (e.type === "life" && e.turn >= 2)) item.className = "fault";
    if (e.place === picked) item.classList.add("picked");
    item.onclick = () => pick(e.place, false);
    return item;
  });
  el("list").replaceChildren(...items);
  el("list").querySelector(".picked")?.scrollIntoView({ block: "nearest" });
};
