/* The slowest requests: one line each on one scale; opened, a waterfall and what was beside it. */

const FEW = 8;
let showAll = false;
let stageTitles = new Map();

function stageTitle(name) {
  return stageTitles.get(name) || name;
}

/** What a stall of the loop was spent in: a stage, or something of the loop's own. */
const LOOP_WORK = {
  sendfile: "in sendfile(2)", enter: "in io_uring_enter(2)", snapshot: "for a report like this one", application: "in a handler of an application",
  processor: "waiting for a processor", stopped: "stopped, or out of its share of the processor",
};

function stalledIn(stall) {
  return stall.stage ? LOOP_WORK[stall.stage] || `in ${stageTitle(stall.stage)}` : "in nothing that is measured";
}

/** What a request is listed under: how it ended if that was amiss, else where its time went. */
function causeOf(request) {
  if (!request.complete) return "incomplete";
  if (request.status >= 500) return "5xx";
  if (request.status >= 400) return "4xx";
  return queued(request) > request.total_ns ? "accept_queue" : request.dominant;
}

const CAUSES = { all: "all", incomplete: "incomplete", "5xx": "5xx", "4xx": "4xx" };
let cause = "all";

function queued(request) {
  return request.before.accept_queue_ns || 0;
}

function waited(request) {
  return queued(request) + request.total_ns;
}

/** Under all causes, the slowest of each comes first. */
function inTurn(requests) {
  const seen = new Map();
  const rank = new Map(requests.map((request) => {
    const place = seen.get(causeOf(request)) || 0;
    seen.set(causeOf(request), place + 1);
    return [request, place];
  }));
  return [...requests].sort((a, b) => rank.get(a) - rank.get(b) || waited(b) - waited(a));
}

function drawCauses(requests) {
  const list = byId("causes");
  if (!list.querySelector("div")) list.append(make("div"));
  const counts = new Map();
  requests.forEach((request) => counts.set(causeOf(request), (counts.get(causeOf(request)) || 0) + 1));
  if (cause !== "all" && !counts.has(cause)) cause = "all";
  keyed(list.querySelector("div"), ["all", ...counts.keys()], (name) => name, (name) => {
    const input = make("input", { type: "radio", name: "cause", value: name });
    input.addEventListener("change", () => {
      cause = name;
      redraw();
    });
    return make("label", {}, input, make("span"));
  }, (label, name) => {
    label.querySelector("input").checked = name === cause;
    say(label.querySelector("span"), `${CAUSES[name] || stageTitle(name)} ${name === "all" ? requests.length : counts.get(name)}`);
  });
}

function drawSlowest(now) {
  stageTitles = new Map(now.stages.map((stage) => [stage.name, stage.title]));
  drawCauses(now.slowest);
  const list = byId("slowest");
  const of = inTurn(now.slowest.filter((request) => cause === "all" || causeOf(request) === cause));
  const scale = Math.max(...of.map(waited), 1);
  // The time of day is worked out anew for each report, and may differ by a little. Who reads one
  // keeps it, though slower ones have come.
  const key = (request) => [request.connection, request.number, request.stream, request.total_ns].join(" ");
  const read = new Set([...list.querySelectorAll("details[open]")].map((element) => element.dataset.key));
  const shown = of.filter((request, place) => showAll || place < FEW || read.has(key(request)));
  list.classList.toggle("none", shown.length === 0);
  keyed(list, shown, key,
    (request) => slowRequest(request, now), (element, request) => {
      say(element.querySelector(".ago"), `${since(request.seconds_ago)} ago`);
      element.querySelector(".stack").style.width = `${waited(request) / scale * 100}%`;
    });
  const more = byId("more");
  more.hidden = of.length <= FEW;
  say(more, showAll ? `Show ${FEW}` : `Show all ${of.length}`);
}

function slowRequest(request, now) {
  const parts = request.stages.filter((stage) => stage.ns > 0).map((stage) => {
    const part = make("span", { class: kindOf(stage.name), title: `${stageTitle(stage.name)} ${time(stage.ns)}` });
    part.style.flexGrow = stage.ns;
    return part;
  });
  if (queued(request) > 0) {
    const part = make("span", { class: "queued", title: `accept queue ${time(queued(request))}` });
    part.style.flexGrow = queued(request);
    parts.unshift(part);
  }
  const [who] = Object.entries(BLAMED).find(([name]) => name === request.blame.who) || [request.blame.who];
  const longest = queued(request) > request.total_ns ? "accept_queue" : request.dominant;
  const amiss = request.end ? make("b", { class: "bad" }, request.end) : null;
  return make("details", {},
    make("summary", {},
      make("span", { class: "what" }, make("b", {}, request.method), " ", make("span", { class: "where" }, request.path)),
      make("span", { class: "took" }, time(waited(request))),
      make("span", { class: "lane", "aria-hidden": "true" }, make("span", { class: "stack" }, ...parts)),
      make("span", { class: "why" }, `${request.status || "no answer"}, ${bytes(request.bytes)}; `, amiss, amiss ? " in " : "mostly ",
        make("b", { class: kindOf(longest) }, stageTitle(longest)), `, ${BLAMED[who] || who}’s time, `, make("span", { class: "ago" }))),
    waterfall(request), beside(request, now));
}

const BLAMED = { client: "the client", network: "the network", server: "the server", host: "the host", upstream: "the upstream server" };

function waterfall(request) {
  const rows = request.stages.filter((stage) => stage.ns > 0).map((stage) => {
    const bar = make("span", { class: `bar ${kindOf(stage.name)}` });
    bar.style.marginLeft = `${stage.start_ns / request.total_ns * 100}%`;
    bar.style.width = `${stage.ns / request.total_ns * 100}%`;
    return make("tr", {}, make("th", { scope: "row" }, stageTitle(stage.name)),
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
  const shares = Object.keys(BLAMED).map((who) => [who, request.blame[`${who}_ns`]]).filter(([, ns]) => ns > 0);
  const evidence = [["window_shut_ns", (ns) => `its receive window was shut for ${time(ns)}`], ["retransmits", (count) => `${number(count)} segments were sent again`]]
    .filter(([member]) => request.blame[member] > 0).map(([member, write]) => write(request.blame[member]));
  if (beside.lost_ns > 0) evidence.push(`the worker had no processor for ${time(beside.lost_ns)}`);
  lines.push(["Whose time", [shares.map(([who, ns]) => `${BLAMED[who]}’s ${time(ns)}`).join(", ") || "–", ...evidence].join("; ")]);
  const where = request.number === 1 ? "the first request of its connection" : `request ${number(request.number)} of its connection`;
  lines.push(["Where", `worker ${request.worker}, ${where}, ${request.protocol} over ${request.tls}`]);
  lines.push(["In the log", `connection=${request.connection} number=${request.number}${request.stream ? ` stream=${request.stream}` : ""}, ${request.time}`]);
  if (beside.siblings) lines.push(["Its siblings", siblingsOf(beside.siblings)]);
  const stall = beside.stall
    ? ` The loop stood still for ${time(beside.stall.ns)}, mostly ${stalledIn(beside.stall)}.`
    : "";
  lines.push(["Beside it", `${number(beside.requests)} requests ended in ${number(beside.turns)} turns of the loop; ${number(beside.connections)} connections were open.${stall}`]);
  return make("dl", { class: "beside" }, ...lines.map(([name, text]) => make("div", {}, make("dt", {}, name), make("dd", {}, text))));
}
