/* The slowest requests: one line each on one scale; opened, a waterfall and what was beside it. */

const FEW = 8;
let showAll = false;
let stageTitles = new Map();

function stageTitle(name) {
  return stageTitles.get(name) || name;
}

/** What a stall of the loop was spent in: a stage, or something of the loop's own. */
const LOOP_WORK = {
  sendfile: "in sendfile(2)", enter: "in io_uring_enter(2)", snapshot: "for a report like this one",
  processor: "waiting for a processor",
};

function stalledIn(stall) {
  return stall.stage ? LOOP_WORK[stall.stage] || `in ${stageTitle(stall.stage)}` : "in nothing that is measured";
}

function drawSlowest(now) {
  stageTitles = new Map(now.stages.map((stage) => [stage.name, stage.title]));
  const list = byId("slowest");
  const scale = Math.max(...now.slowest.map((request) => request.total_ns), 1);
  // The time of day is worked out anew for each report, and may differ by a little. Who reads one
  // keeps it, though slower ones have come.
  const key = (request) => [request.worker, request.number, request.total_ns, request.path].join(" ");
  const read = new Set([...list.querySelectorAll("details[open]")].map((element) => element.dataset.key));
  const shown = now.slowest.filter((request, place) => showAll || place < FEW || read.has(key(request)));
  list.classList.toggle("none", shown.length === 0);
  keyed(list, shown, key,
    (request) => slowRequest(request, now), (element, request) => {
      say(element.querySelector(".ago"), `${since(request.seconds_ago)} ago`);
      element.querySelector(".stack").style.width = `${request.total_ns / scale * 100}%`;
    });
  const more = byId("more");
  more.hidden = now.slowest.length <= FEW;
  say(more, showAll ? `Show the slowest ${FEW}` : `Show all ${now.slowest.length}`);
}

function slowRequest(request, now) {
  const parts = request.stages.filter((stage) => stage.ns > 0).map((stage) => {
    const part = make("span", { class: kindOf(stage.name), title: `${stageTitle(stage.name)} ${time(stage.ns)}` });
    part.style.flexGrow = stage.ns;
    return part;
  });
  return make("details", {},
    make("summary", {},
      make("span", { class: "what" }, make("b", {}, request.method), " ", make("span", { class: "where" }, request.path)),
      make("span", { class: "took" }, time(request.total_ns)),
      make("span", { class: "lane", "aria-hidden": "true" }, make("span", { class: "stack" }, ...parts)),
      make("span", { class: "why" }, `${request.status}, ${bytes(request.bytes)}; mostly `, make("b", { class: kindOf(request.dominant) }, stageTitle(request.dominant)), ", ", make("span", { class: "ago" }))),
    waterfall(request), beside(request, now));
}

function waterfall(request) {
  const rows = request.stages.map((stage) => {
    const bar = make("span", { class: `bar ${kindOf(stage.name)}` });
    bar.style.marginLeft = `${stage.start_ns / request.total_ns * 100}%`;
    bar.style.width = `${stage.ns / request.total_ns * 100}%`;
    return make("tr", { class: stage.ns > 0 ? "" : "empty" }, make("th", { scope: "row" }, stageTitle(stage.name)),
      make("td", { class: "lane" }, bar), make("td", { class: "figure" }, time(stage.ns)));
  });
  const names = ["Stage", "From its first byte on", "Time"].map((name) => make("th", { scope: "col" }, name));
  return make("table", { class: "waterfall" }, make("thead", { class: "hidden" }, make("tr", {}, ...names)), make("tbody", {}, ...rows));
}

function beside(request, now) {
  const { before, beside } = request;
  const lines = [];
  const came = [["accept_queue_ns", "in the accept queue"], ["handshake_ns", request.resumed ? "for a resumed handshake" : "for the handshake"], ["first_byte_ns", "until its first byte"]]
    .filter(([member]) => before[member] !== null && before[member] !== undefined)
    .map(([member, words]) => `${time(before[member])} ${words}`);
  lines.push(["Before it", came.length ? came.join(", ") : "–"]);
  const path = request.taken && now.ledger.paths.find((path) => path.name === request.taken);
  lines.push(["Its way", path ? path.title : request.taken || "no content"]);
  const where = request.number === 1 ? "the first request of its connection" : `request ${number(request.number)} of its connection`;
  lines.push(["Where", `worker ${request.worker}, ${where}`]);
  const stall = beside.stall
    ? ` The loop stood still for ${time(beside.stall.ns)}, mostly ${stalledIn(beside.stall)}.`
    : "";
  lines.push(["Beside it", `${number(beside.requests)} requests ended in ${number(beside.turns)} turns of the loop; ${number(beside.connections)} connections were open.${stall}`]);
  return make("dl", { class: "beside" }, ...lines.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}
