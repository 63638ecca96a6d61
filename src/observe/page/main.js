/* Once a second: ask, remember a minute of answers, draw the difference that was asked for. */

const EVERY = 1000;
const PATIENCE = 4000;
const REMEMBERED = 62;
let answers = [];
let paused = false;
let failures = 0;
let lost = null;

async function ask() {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE);
  try {
    const response = await fetch("/anatomy.json", { cache: "no-store", signal: stop.signal });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    take(await response.json());
  } catch (error) {
    gone(error);
  } finally {
    clearTimeout(timer);
  }
}

function take(answer) {
  const known = answers[answers.length - 1];
  // A younger server has begun to count anew.
  if (known && answer.server.uptime_seconds < known.answer.server.uptime_seconds) answers = [];
  answers.push({ at: answer.server.uptime_seconds, answer });
  answers = answers.slice(-REMEMBERED);
  failures = 0;
  lost = null;
  redraw();
  const off = answer.server.anatomy === false;
  banner(off ? "Stages are not recorded: this server was started with --no-anatomy." : null);
}

function gone(error) {
  failures += 1;
  lost = lost || Date.now();
  if (failures < 2 && answers.length) return;
  // The moment, not the time since: what is announced must not change with every attempt.
  const moment = new Date(lost).toLocaleTimeString();
  const why = { AbortError: "it takes too long", TypeError: "it cannot be reached" }[error.name] || error.message;
  state("gone", "no answer");
  banner(answers.length
    ? `The server has not answered since ${moment}: ${why}. Below is the last that it said.`
    : `The server does not answer: ${why}. Is it running, with --admin?`);
}

function state(name, text) {
  byId("state").dataset.state = name;
  document.body.dataset.state = name;
  say(byId("state-text"), text);
}

function banner(text) {
  const element = byId("banner");
  element.hidden = !text;
  say(element, text || "");
}

/** The answer that the shown time begins with: null for the start of the server. A page that has
    just been opened knows little of the time before: it shows all of it until it has seen half. */
function begin(now, window) {
  if (window === 0 || now.at - answers[0].at < window / 2) return null;
  const wanted = now.at - window - 0.5;
  return answers.find((known) => known.at >= wanted && known !== now) || null;
}

function redraw() {
  const now = answers[answers.length - 1];
  if (!now) return;
  const window = Number(document.querySelector("input[name=window]:checked").value);
  const then = begin(now, window);
  const before = then && then.answer;
  const seconds = then ? now.at - then.at : now.at;
  if (!lost && !paused) state("live", then ? `live, the last ${since(seconds)}` : "live, since the start");
  drawTiles(now.answer, before, seconds);
  drawJourney(now.answer, before);
  drawSlowest(now.answer);
  drawLedger(now.answer, before, seconds);
  drawWorkers(now.answer, before);
  drawKernel(now.answer);
  drawServer(now.answer);
}

function drawTiles(now, then, seconds) {
  const stage = (answer) => answer && answer.stages.find((stage) => stage.name === "total");
  const total = stage(now) && between(stage(now), stage(then));
  const requests = difference(now.totals.requests, then && then.totals.requests);
  const payload = difference(now.ledger.total.payload_bytes, then && then.ledger.total.payload_bytes);
  const touched = (answer) => answer.ledger.paths.reduce((all, path) => all + sum(path.flows, "bytes"), 0);
  const through = payload > 0 ? difference(touched(now), then && touched(then)) / payload : null;
  const at = (q) => time(total ? quantile(total, q) : null);
  const tiles = [
    ["requests", seconds > 0 ? `${number(requests / seconds)}/s` : "–", "requests"],
    ["payload", seconds > 0 ? `${bytes(payload / seconds)}/s` : "–", "content"],
    ["p50", at(0.5), "half of them within"],
    ["p99", at(0.99), "99 % within"],
    ["p999", at(0.999), "99.9 % within"],
    ["open", number(now.totals.open), "open connections"],
    ["passes", through === null ? "–" : through.toFixed(2), "passes over each byte"],
  ];
  keyed(byId("tiles"), tiles, ([name]) => name, ([, , label]) => make("div", {}, make("dt", {}, label), make("dd")),
    (element, [name, text]) => {
      say(element.querySelector("dd"), text);
      if (name === "requests") sparkline(element);
    });
}

/** Requests per second over the remembered minute. */
function sparkline(tile) {
  const rates = answers.slice(1).map((known, place) => {
    const [seconds, count] = [known.at - answers[place].at, known.answer.totals.requests - answers[place].answer.totals.requests];
    return seconds > 0 ? count / seconds : 0;
  });
  let svg = tile.querySelector("svg");
  if (!svg) tile.append(svg = make("svg", { class: "spark", viewBox: "0 0 60 16", preserveAspectRatio: "none", "aria-hidden": "true" }));
  const most = Math.max(...rates, 1);
  const d = rates.map((rate, place) => `${place ? "L" : "M"}${60 - rates.length + place + 1} ${15 - rate / most * 14}`).join("");
  svg.replaceChildren(make("path", { d: d || "M0 15H60" }));
}

function drawServer(now) {
  const { server, totals } = now;
  say(byId("server"), `${server.name} ${server.version} at ${server.addresses.join(", ")}, up ${since(server.uptime_seconds)}, ` +
    `${server.workers} ${server.workers === 1 ? "worker" : "workers"}. ${server.tls[0].toUpperCase()}${server.tls.slice(1)}. ` +
    `Since the start ${number(totals.requests)} requests on ${number(totals.accepted)} connections, ` +
    `${number(totals.resumed)} of ${number(totals.handshakes)} handshakes resumed.`);
  const log = now.access_log;
  say(byId("log"), log ? `Access log: ${number(log.written)} lines, ${number(log.dropped)} dropped, ${number(log.failed)} failed.` : "");
}

byId("window").addEventListener("change", redraw);
byId("more").addEventListener("click", () => {
  showAll = !showAll;
  redraw();
});
byId("pause").addEventListener("click", (event) => {
  paused = !paused;
  event.target.setAttribute("aria-pressed", String(paused));
  say(event.target, paused ? "Go on" : "Pause");
  if (paused) state("paused", "paused");
});
new ResizeObserver(redraw).observe(byId("journey"));

(async function follow() {
  for (;;) {
    if (!paused && !document.hidden) await ask();
    // A server that is gone is asked less often.
    await new Promise((done) => setTimeout(done, EVERY * Math.min(1 + failures, 5)));
  }
})();
