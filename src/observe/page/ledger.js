/* The copy ledger as a flow from where bytes lie to the wire: columns are places, bands are
   passes, and the width of a band is its bytes. */

const PLACES = {
  disk: "disk", page_cache: "page cache", file_cache: "content in memory", page: "made page",
  send_memory: "send memory", socket: "socket", receive_buffer: "receive buffer",
  connection: "connection", wire: "wire", server: "server's socket", held: "held",
};
const SENDING = ["disk", "page_cache", "server", "file_cache", "page", "receive_buffer", "held", "send_memory", "socket", "wire"];
const RECEIVING = ["wire", "socket", "receive_buffer", "connection"];
/** From a receive buffer on to a server of a pool. */
const PASSING_ON = ["receive_buffer", "held", "send_memory", "server", "wire"];
/** Places that stand in one column. */
const COLUMN = { page: "file_cache" };
const ALL = "all responses";
let chosenPath = ALL;

function drawLedger(now, seconds) {
  const paths = ledgerPaths(now.ledger);
  const sending = paths.filter((path) => !path.receiving && !path.passingOn);
  const all = {
    name: ALL, title: "All responses", receiving: false,
    responses: sum(sending, "responses"), payload: sum(sending, "payload"),
    flows: merged(sending.flatMap((path) => path.flows)),
  };
  drawPaths([all, ...paths]);
  const path = [all, ...paths].find((path) => path.name === chosenPath) || all;
  drawFlow(path, seconds);
  drawFlowTable(path);
  sayCompressed(now);
}

/** What encoders did with answers while these were sent, and what they left. */
function sayCompressed(now) {
  const { read_bytes: read, written_bytes: written } = now.ledger.compression;
  const shed = now.totals.compression_shed;
  byId("compressed").hidden = read === 0 && shed === 0;
  say(byId("compressed"), `Compressed while sent: ${bytes(read)} to ${bytes(written)}, each byte copied once more, into an encoder’s window.` +
    (shed > 0 ? ` ${number(shed)} answers went as they are, since there was no time or place to compress them.` : ""));
}

function ledgerPaths(ledger) {
  const path = (receiving, passingOn) => (path) => ({
    name: path.name, title: path.title, receiving, passingOn,
    responses: path.responses === undefined ? null : path.responses,
    payload: path.payload_bytes,
    flows: path.flows.filter((flow) => flow.bytes > 0),
  });
  return [...ledger.paths.map(path(false, false)), ...ledger.receive.map(path(true, false)), ...ledger.uploads.map(path(false, true))];
}

function sum(items, member) {
  return items.reduce((sum, item) => sum + item[member], 0);
}

/** Flows between the same places by the same hand, added up. */
function merged(flows) {
  const sums = new Map();
  for (const flow of flows) {
    const key = [flow.from, flow.to, flow.kind, flow.by, flow.place, flow.basis].join(" ");
    const known = sums.get(key);
    sums.set(key, known ? { ...known, bytes: known.bytes + flow.bytes } : flow);
  }
  return [...sums.values()];
}

function passes(path) {
  return path.payload > 0 ? sum(path.flows, "bytes") / path.payload : null;
}

function drawPaths(paths) {
  const list = byId("paths");
  if (!list.querySelector("div")) list.append(make("div"));
  keyed(list.querySelector("div"), paths, (path) => path.name, (path) => {
    const input = make("input", { type: "radio", name: "path", value: path.name });
    input.checked = path.name === chosenPath;
    input.addEventListener("change", () => {
      chosenPath = path.name;
      redraw();
    });
    return make("label", { class: "path" }, input, make("span", { class: "path-name" }, make("b", {}, path.title), make("small")),
      make("span", { class: "passes" }, make("span", { class: "blocks", "aria-hidden": "true" }), make("span", { class: "path-figure" })));
  }, (label, path) => {
    const through = passes(path);
    label.classList.toggle("empty", through === null);
    const count = path.responses === null ? "" : `${number(path.responses)} responses, `;
    say(label.querySelector("small"), `${count}${bytes(path.payload)}`);
    say(label.querySelector(".path-figure"), through === null ? "–" : `${through.toFixed(2)} passes`);
    label.querySelector(".blocks").style.setProperty("--passes", through || 0);
  });
}

function drawFlow(path, seconds) {
  const svg = byId("flow");
  const room = svg.parentElement.clientWidth;
  const across = room >= 560;
  const flows = path.flows.length ? [...path.flows, wireFlow(path)] : [];
  const user = sum(path.flows.filter((flow) => flow.by === "user"), "bytes");
  const rate = seconds > 0 ? `, ${bytes(path.payload / seconds)}/s` : "";
  say(byId("flow-says"), flows.length === 0
    ? `${path.title}: nothing in this time.`
    : `${path.title}: ${bytes(path.payload)} of content${rate}; ${passes(path).toFixed(2)} passes over each byte, ` +
      `${(user / path.payload).toFixed(2)} of them in user space.`);
  if (flows.length === 0) {
    svg.replaceChildren();
    svg.setAttribute("height", 0);
    return;
  }
  const order = path.receiving ? RECEIVING : path.passingOn ? PASSING_ON : SENDING;
  const layout = placeNodes(flows, order, across ? room : 520, across ? 300 : room - 8, across ? 34 : 4);
  const [width, height] = across ? [room, layout.across] : [room, layout.along + 34];
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 ${across ? 0 : -34} ${width} ${height}`);
  const at = across ? (along, across) => `${along} ${across}` : (along, across) => `${across} ${along}`;
  svg.replaceChildren(...hatching(), ...layout.bands.flatMap((band) => drawBand(band, at, across)),
    ...layout.nodes.flatMap((node) => drawNode(node, across)));
}

/** From the socket on, the card fetches the bytes by itself. */
function wireFlow(path) {
  const [from, to] = path.receiving ? ["wire", "socket"] : [path.passingOn ? "server" : "socket", "wire"];
  return { from, to, kind: "dma", by: "card", place: "DMA", bytes: path.payload, basis: "derived" };
}

/** Gives each place a box and each flow its way. Lengths are pixels, `along` the flow and `across`
    it. A flow that passes by a column keeps room free in it, so that none runs behind a box. */
function placeNodes(flows, order, along, across, top) {
  const [gap, depth] = [44, 16];
  const moving = flows.filter((flow) => flow.from !== flow.to);
  const present = order.filter((name) => moving.some((flow) => flow.from === name || flow.to === name));
  const places = [...new Set(present.map((name) => COLUMN[name] || name))];
  const columnOf = (name) => places.indexOf(COLUMN[name] || name);
  const columns = places.map(() => []);
  const nodes = new Map();
  for (const name of present) {
    const inside = flows.filter((flow) => flow.from === name && flow.to === name);
    const [into, out] = ["to", "from"].map((end) => sum(moving.filter((flow) => flow[end] === name), "bytes"));
    const node = { name, size: Math.max(into, out), inside: sum(inside, "bytes"), by: inside.length ? inside[0].by : null };
    nodes.set(name, node);
    columns[columnOf(name)].push(node);
  }
  const reach = (flow) => columnOf(flow.to) - columnOf(flow.from);
  // What goes far leaves and arrives below what goes near, so that few bands cross.
  const bands = [...moving].sort((a, b) => reach(a) - reach(b)).map((flow) => {
    const ways = [];
    for (let column = columnOf(flow.from) + 1; column < columnOf(flow.to); column += 1) {
      const way = { size: flow.bytes, passing: true };
      ways.push(way);
      columns[column].push(way);
    }
    return { flow, ways };
  });
  const gaps = (column) => column.reduce((sum, box, place) => sum + (place ? (box.passing ? 14 : gap) : 0), 0);
  const scale = Math.min(...columns.map((column) => Math.max(across - gaps(column), 24) / sum(column, "size")));
  const step = (along - depth - 8) / Math.max(columns.length - 1, 1);
  let end = 0;
  columns.forEach((column, place) => {
    let begin = top;
    column.forEach((box, number) => {
      if (number) begin += box.passing ? 14 : gap;
      Object.assign(box, { along: 4 + place * step, depth, begin, height: Math.max(box.size * scale, 2), scale, usedIn: 0, usedOut: 0 });
      begin += box.height;
    });
    end = Math.max(end, begin);
  });
  for (const band of bands) {
    const [from, to] = [nodes.get(band.flow.from), nodes.get(band.flow.to)];
    band.width = Math.max(band.flow.bytes * scale, 1);
    band.points = [[from.along + depth, from.begin + from.usedOut],
      ...band.ways.flatMap((way) => [[way.along, way.begin], [way.along + depth, way.begin]]),
      [to.along, to.begin + to.usedIn]];
    from.usedOut += band.width;
    to.usedIn += band.width;
  }
  return { nodes: [...nodes.values()], bands, across: end + 8, along: along + 8 };
}

function describe(flow) {
  const by = { user: "user space", kernel: "the kernel", card: "the card" }[flow.by];
  return `${PLACES[flow.from] || flow.from} to ${PLACES[flow.to] || flow.to}: ${flow.kind === "dma" ? "fetched" : flow.kind} by ${by}` +
    `${flow.kind === "dma" ? "" : ` in ${flow.place}`}, ${bytes(flow.bytes)}, ${flow.basis}`;
}

function drawBand({ flow, width, points }, at, across) {
  const edge = (points, shift) => points.slice(1).map(([along, across], place) => {
    const [before, begin] = points[place];
    const middle = (before + along) / 2;
    return `C${at(middle, begin + shift)} ${at(middle, across + shift)} ${at(along, across + shift)}`;
  }).join("");
  const [first, last] = [points[0], points[points.length - 1]];
  const d = `M${at(...first)}${edge(points, 0)}L${at(last[0], last[1] + width)}${edge([...points].reverse(), width)}Z`;
  const parts = [make("path", { class: `flow ${flow.by} ${flow.basis}`, d }, make("title", {}, describe(flow)))];
  if (flow.kind === "cipher") parts.push(make("path", { class: "hatched", d }));
  const [next] = points.slice(1);
  const room = next[0] - first[0];
  if (across && width >= 14 && room >= 70) {
    const place = { x: (first[0] + next[0]) / 2, y: (first[1] + next[1] + width) / 2 + 4 };
    parts.push(make("text", { class: "band-name", ...place }, flow.kind === "dma" ? "DMA" : flow.kind));
  }
  return parts;
}

function drawNode(node, across) {
  const box = across
    ? { x: node.along, y: node.begin, width: node.depth, height: node.height }
    : { x: node.begin, y: node.along, width: node.height, height: node.depth };
  const parts = [make("rect", { class: "place", ...box, rx: 2 })];
  if (node.inside > 0) {
    const part = Math.min(node.inside * node.scale, node.height);
    const inner = across ? { ...box, height: part } : { ...box, width: part };
    parts.push(make("rect", { class: `flow ${node.by} counted`, ...inner, rx: 2 },
      make("title", {}, `${bytes(node.inside)} sealed or opened in place`)));
    parts.push(make("rect", { class: "hatched", ...inner, rx: 2 }));
  }
  const label = PLACES[node.name] || node.name;
  const last = node.name === "wire" || node.name === "connection";
  const place = across
    ? { x: last ? node.along + node.depth : node.along, y: node.begin - 20, "text-anchor": last ? "end" : "start" }
    : { x: node.begin, y: node.along - 18, "text-anchor": "start" };
  const second = { ...place, y: place.y + 13, class: "place-size" };
  const inside = node.inside > 0 ? `, ${bytes(node.inside)} in place` : "";
  // Along a phone, a label lies over the band that arrives.
  if (!across) parts.push(make("rect", { class: "place-back", x: place.x - 2, y: place.y - 12, width: 7 * Math.max(label.length, bytes(node.size).length + inside.length) + 4, height: 29 }));
  parts.push(make("text", { class: "place-name", ...place }, label));
  parts.push(make("text", second, bytes(node.size) + inside));
  return parts;
}

function hatching() {
  const lines = make("pattern", { id: "hatching", width: 8, height: 8, patternUnits: "userSpaceOnUse", patternTransform: "rotate(45)" },
    make("path", { class: "hatch", d: "M0 0V8" }));
  return [make("defs", {}, lines)];
}

function drawFlowTable(path) {
  const table = byId("flows");
  const head = make("tr", {}, ...["From", "To", "Pass", "By", "Where in the code", "Bytes", "Basis"].map((name) => make("th", { scope: "col" }, name)));
  const rows = path.flows.map((flow) => make("tr", {},
    ...[PLACES[flow.from] || flow.from, PLACES[flow.to] || flow.to, flow.kind, flow.by].map((text) => make("td", {}, text)),
    make("td", {}, make("code", {}, flow.place)), make("td", { class: "figure" }, number(flow.bytes)), make("td", {}, flow.basis)));
  const none = make("tr", {}, make("td", { colspan: 7 }, "nothing in this time"));
  table.replaceChildren(make("caption", {}, path.title), make("thead", {}, head), make("tbody", {}, ...(rows.length ? rows : [none])));
}
