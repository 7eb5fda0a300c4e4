// Where everything lies from top to bottom, and how long each node was what.

const GUTTER = 104;
const sorted = (set) => [...set].sort((a, b) => a - b);
const ids = { node: new Set(), subscriber: new Set(), client: new Set() };
for (const e of events) {
  if (e.node !== undefined) ids.node.add(e.node);
  if (e.client !== undefined) ids.client.add(e.client);
  if (e.subscriber !== undefined) ids.subscriber.add(e.subscriber);
}
for (const e of events) {
  if (e.type !== "message") continue;
  for (const id of [e.from, e.to]) if (!ids.client.has(id)) ids[id > 100 ? "client" : "node"].add(id);
}
const lanes = [];
const laneOf = { node: new Map(), subscriber: new Map(), client: new Map() };
let lanesHeight = 0;
const addLane = (kind, id, height, gap) => {
  const lane = { kind, id, height, top: lanesHeight + gap };
  lane.middle = lane.top + height / 2;
  lanesHeight = lane.top + height;
  lanes.push(lane);
  laneOf[kind].set(id, lane);
  return lane;
};
// Between nodes there is room for what they send each other.
sorted(ids.node).forEach((id, at) => Object.assign(addLane("node", id, 46, at ? 46 : 22), { spans: [], labels: [] }));
sorted(ids.subscriber).forEach((id, at) => addLane("subscriber", id, 14, at ? 3 : 22));
// A client with much under way has rows, so that no bar hides another; a bar that finds none lies in the last.
const ROW = 11;
const ROWS_MAX = 6;
const UNTOLD_SHOWN = 500;
const byClient = new Map(sorted(ids.client).map((id) => [id, []]));
for (const operation of operations.values()) byClient.get(operation.client).push(operation);
let first = true;
for (const [id, list] of byClient) {
  const ends = [];
  for (const operation of list) {
    let row = ends.findIndex((end) => end <= operation.begin);
    if (row < 0) row = Math.min(ends.length, ROWS_MAX - 1);
    // What nobody was told the end of is shown for a while, and does not push aside all that comes later.
    operation.until = operation.end ?? Math.min(runEnd, operation.begin + UNTOLD_SHOWN);
    ends[row] = operation.until;
    operation.row = row;
  }
  addLane("client", id, Math.max(1, ends.length) * ROW + 2, first ? 22 : 3);
  first = false;
}
lanesHeight += 12;
const laneOfAddress = (id) => laneOf.node.get(id) ?? laneOf.client.get(id);

for (const e of events) {
  if (e.type !== "life" && e.type !== "seen") continue;
  const lane = laneOf.node.get(e.node);
  const state = e.type === "seen" ? e.role : ["starting", "follower", "down", "down", "down"][e.turn];
  const last = lane.spans.at(-1);
  if (!last || last.state !== state || (e.type === "seen" && last.term !== e.term)) {
    lane.spans.push({ at: e.at, state, term: e.type === "seen" ? e.term : null, event: e });
  }
  if (e.type === "seen") lane.labels.push(e);
}
