// Mouse and keyboard, and the page's head and foot; then the first look.

const distance = (px, py, { x0, y0, x1, y1, line }) => {
  if (!line) return px >= x0 && px <= x1 && py >= y0 && py <= y1 ? 0 : Infinity;
  const [dx, dy] = [x1 - x0, y1 - y0];
  const share = Math.min(1, Math.max(0, ((px - x0) * dx + (py - y0) * dy) / (dx * dx + dy * dy || 1)));
  return Math.hypot(px - x0 - share * dx, py - y0 - share * dy);
};
const placeAt = (px, py) => {
  let background = null;
  for (let at = hits.length - 1; at >= 0; at--) {
    if (distance(px, py, hits[at]) > 3) continue;
    // A lane is behind everything that lies in it.
    if (!["seen", "life"].includes(events[hits[at].place].type)) return hits[at].place;
    background ??= hits[at].place;
  }
  return background;
};
const canvas = el("lanes");
const tip = el("tip");
let drag = null;
canvas.addEventListener("wheel", (event) => {
  if (event.offsetX < GUTTER && !event.shiftKey) return;
  event.preventDefault();
  const sideways = event.shiftKey || Math.abs(event.deltaX) > Math.abs(event.deltaY);
  sideways ? move((event.deltaX || event.deltaY) / width) : zoom(1.0015 ** event.deltaY, timeAt(event.offsetX));
}, { passive: false });
canvas.addEventListener("mousedown", (event) => {
  drag = { px: event.clientX, py: event.clientY, from: view.from, to: view.to, top: el("scroller").scrollTop, moved: false };
});
window.addEventListener("mousemove", (event) => {
  if (!drag) return;
  const by = event.clientX - drag.px;
  drag.moved ||= Math.hypot(by, event.clientY - drag.py) > 4;
  if (!drag.moved) return;
  canvas.classList.add("dragging");
  const shift = (by / (width - GUTTER)) * (drag.to - drag.from);
  el("scroller").scrollTop = drag.top - (event.clientY - drag.py);
  show(drag.from - shift, drag.to - shift);
});
window.addEventListener("mouseup", (event) => {
  if (drag && !drag.moved && event.target === canvas) pick(placeAt(event.offsetX, event.offsetY), false);
  drag = null;
  canvas.classList.remove("dragging");
});
canvas.addEventListener("mousemove", (event) => {
  const place = drag?.moved || event.offsetX < GUTTER ? null : placeAt(event.offsetX, event.offsetY);
  tip.hidden = place === null;
  if (place === null) return;
  const e = events[place];
  tip.textContent = `${clock(e.at)}\n${SAY[e.type](e)}${e.detail ? `\n${e.detail}` : ""}`;
  const [right, below] = [event.clientX + 14, event.clientY + 16];
  tip.style.left = `${Math.max(4, Math.min(right, window.innerWidth - tip.offsetWidth - 8))}px`;
  tip.style.top = `${below + tip.offsetHeight > window.innerHeight ? event.clientY - tip.offsetHeight - 10 : below}px`;
});
canvas.addEventListener("mouseleave", () => (tip.hidden = true));
const overview = (event) => {
  if (!event.buttons) return;
  const at = (event.offsetX / el("overview").clientWidth) * (runEnd + 2 * margin) - margin;
  const half = Math.min((view.to - view.from) / 2, runEnd / 4);
  show(at - half, at + half);
};
el("overview").addEventListener("mousedown", overview);
el("overview").addEventListener("mousemove", overview);

el("in").onclick = () => zoom(0.5);
el("out").onclick = () => zoom(2);
el("all").onclick = () => show(-margin, runEnd + margin);
el("violation").onclick = () => next(violations, 1);
let typing = 0;
el("search").oninput = () => {
  clearTimeout(typing);
  typing = setTimeout(search, 150);
};
const KEYS = {
  ArrowLeft: () => move(-0.2), ArrowRight: () => move(0.2), "+": () => zoom(0.5), "=": () => zoom(0.5), "-": () => zoom(2),
  0: () => show(-margin, runEnd + margin), n: () => next(violations, 1), p: () => next(violations, -1),
  "/": () => el("search").focus(), Escape: () => pick(null, false),
};
document.addEventListener("keydown", (event) => {
  const typed = event.target === el("search");
  if (typed && event.key === "Enter" && sought) next(events.filter((e) => sought[e.place]), event.shiftKey ? -1 : 1);
  else if (typed && event.key === "Escape") (el("search").value = ""), el("search").blur(), search();
  else if (!typed && KEYS[event.key] && !event.ctrlKey && !event.metaKey) event.preventDefault(), KEYS[event.key]();
});

for (const [name, value] of run.facts) {
  const pair = make("div", undefined, el("facts"));
  make("dt", name, pair);
  make("dd", value, pair);
}
for (const e of violations) {
  const button = make("button", undefined, el("violations"));
  make("time", clock(e.at), button);
  make("b", e.kind, button);
  button.append(e.detail || (e.nodes.length ? `nodes ${e.nodes.join(", ")}` : ""));
  button.onclick = () => pick(e.place, true);
}
if (!violations.length) make("p", "No promise was broken.", el("violations"));
el("violation").hidden = !violations.length;
const LEGEND = [
  ["leader", "leader"], ["candidate", "candidate"], ["follower", "follower"], ["learner", "learner"], ["starting", "starting"],
  ["down", "down"], ["succeeded", "succeeded"], ["failed", "failed"], ["unknown", "outcome unknown"], ["pending", "never told"],
  ["sync", "sync"], ["accent", "applied, or a record followed"], ["band", "fault lasts"], ["bad", "violation, lost"],
];
for (const [name, text] of LEGEND) {
  const entry = make("span", undefined, el("legend"));
  make("i", undefined, entry).style.background = `var(--${name})`;
  entry.append(text);
}
make("span", "▷ starts ▶ serves ✖ killed ■ stopped ⊘ refused ◆ restored · c committed, a applied", el("legend"));

window.addEventListener("resize", redraw);
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
// `#t=11.9,12.1` opens the page on these seconds: a place in a run can be handed on.
const asked = /^#t=([\d.]+),([\d.]+)$/.exec(location.hash);
if (asked) show(asked[1] * 1000, asked[2] * 1000);
else if (violations.length) {
  picked = violations[0].place;
  show(violations[0].at - 2000, violations[0].at + 300);
} else show(-margin, runEnd + margin);
