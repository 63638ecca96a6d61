/* Once a second: ask for the chosen time and draw the answer. The server keeps the last hour, so
   the page shows it although nobody was looking. */

const EVERY = 1000;
const PATIENCE = 4000;
const HISTORY_EVERY = 5000;
let answer = null;
let points = [];
let paused = false;
let failures = 0;
let lost = null;
let historyAt = -Infinity;
/** A time that was chosen in the figure of the hour, in seconds of the server's uptime. */
let chosen = null;

async function get(path) {
  const stop = new AbortController();
  const timer = setTimeout(() => stop.abort(), PATIENCE);
  try {
    const response = await fetch(path, { cache: "no-store", signal: stop.signal });
    if (!response.ok) throw new Error(`it answered ${response.status}`);
    return await response.json();
  } finally {
    clearTimeout(timer);
  }
}

async function ask() {
  try {
    const known = answer && answer.server.uptime_seconds;
    const next = await get(`/anatomy.json${query()}`);
    // A younger server has begun to count anew.
    if (known && next.server.uptime_seconds < known) [chosen, historyAt] = [null, -Infinity];
    if (performance.now() - historyAt >= HISTORY_EVERY) {
      points = (await get("/history.json")).points.map((point) => ({ ...point, at: next.server.uptime_seconds - point.seconds_ago }));
      historyAt = performance.now();
    }
    answer = next;
    [failures, lost] = [0, null];
    banner(answer.server.anatomy === false ? "Stages are not recorded: this server was started with --no-anatomy." : null);
    redraw();
  } catch (error) {
    gone(error);
  }
}

/** What to ask for: a number of seconds before the present, a chosen time, or nothing for all. */
function query() {
  if (chosen && answer) {
    const ago = (at) => Math.max(0, answer.server.uptime_seconds - at).toFixed(3);
    return `?since=${ago(chosen.from)}&until=${ago(chosen.to)}`;
  }
  const window = document.querySelector("input[name=window]:checked").value;
  return window === "0" ? "" : `?since=${window}`;
}

function gone(error) {
  failures += 1;
  lost = lost || Date.now();
  if (failures < 2 && answer) return;
  // The moment, not the time since: what is announced must not change with every attempt.
  const moment = new Date(lost).toLocaleTimeString();
  const why = { AbortError: "it takes too long", TypeError: "it cannot be reached" }[error.name] || error.message;
  state("gone", "no answer");
  banner(answer
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

/** How long the shown time is, in seconds. */
function shownSeconds() {
  return answer.window ? answer.window.seconds : answer.server.uptime_seconds;
}

function shownTime() {
  if (!answer.window) return "since the start";
  const { since_seconds: from, until_seconds: until, seconds } = answer.window;
  return until > 0 ? `${since(seconds)} that ended ${since(until)} ago` : `the last ${since(from)}`;
}

function redraw() {
  if (!answer) return;
  if (!lost && !paused) state("live", chosen ? "a chosen time" : "live");
  say(byId("shown"), `Shown: ${shownTime()}.`);
  byId("whole").hidden = !chosen;
  drawAttention(answer);
  drawHour(answer);
  drawTiles(answer, shownSeconds());
  drawJourney(answer);
  drawEndpoints(answer.endpoints);
  drawOffload(answer.offload);
  drawSlowest(answer);
  drawStreams(answer);
  drawHttp2(answer.http2);
  drawLedger(answer, shownSeconds());
  drawWorkers(answer, shownSeconds());
  drawPools(answer);
  drawRates(answer);
  drawKernel(answer);
  drawServer(answer);
}

/** What is wrong now, whatever time is shown. */
function drawAttention(now) {
  const list = byId("attention");
  const items = now.attention.length
    ? now.attention
    : [{ what: "none", bad: false, says: "Nothing is unusual in the last minute, compared with the hour before." }];
  list.classList.toggle("calm", !now.attention.some((item) => item.bad));
  keyed(list, items, (item) => item.what, () => make("li"), (element, item) => {
    element.className = item.bad ? "bad" : "";
    say(element, item.says);
  });
}

function drawTiles(now, seconds) {
  const total = now.stages.find((stage) => stage.name === "total");
  const payload = now.ledger.total.payload_bytes;
  const touched = now.ledger.paths.reduce((all, path) => all + sum(path.flows, "bytes"), 0);
  const rate = (count) => (seconds > 0 ? count / seconds : 0);
  const ended = (of) => sum(now.ends.filter((end) => end.of === of), "count");
  const failed = sum(now.statuses.filter((each) => each.status >= 500), "count");
  const amiss = failed + ended("aborted") + now.totals.failed_handshakes;
  const tiles = [
    ["requests", `${number(rate(now.totals.requests))}/s`, "requests", (point) => point.requests / point.seconds],
    ["payload", `${bytes(rate(payload))}/s`, "content", (point) => point.payload_bytes / point.seconds],
    ["p50", time(total.p50_ns), "half of them within", (point) => point.p50_ns],
    ["p99", time(total.p99_ns), "99 % within", (point) => point.p99_ns],
    ["p999", time(total.p999_ns), "99.9 % within", null],
    ["amiss", number(amiss), "5xx, aborted, failed handshakes", (point) => point.failed + point.aborted + point.failed_handshakes],
    ["open", number(now.totals.open), "open connections", (point) => point.connections],
    ["passes", payload > 0 ? (touched / payload).toFixed(2) : "–", "passes over each byte", null],
  ];
  keyed(byId("tiles"), tiles, ([name]) => name, ([, , label]) => make("div", {}, make("dt", {}, label), make("dd")),
    (element, [, text, , of]) => {
      say(element.querySelector("dd"), text);
      if (of) sparkline(element, points.map((point) => of(point) || 0));
    });
}

/** A figure over the hour. */
function sparkline(tile, values) {
  let svg = tile.querySelector("svg");
  if (!svg) tile.append(svg = make("svg", { class: "spark", viewBox: "0 0 100 16", preserveAspectRatio: "none", "aria-hidden": "true" }));
  const most = Math.max(...values, 1e-9);
  const step = 100 / Math.max(values.length - 1, 1);
  const d = values.map((value, place) => `${place ? "L" : "M"}${(place * step).toFixed(2)} ${(15 - value / most * 14).toFixed(2)}`).join("");
  svg.replaceChildren(make("path", { d: values.length > 1 ? d : "M0 15H100" }));
}

function drawServer(now) {
  const { server } = now;
  say(byId("server"), `${server.name} ${server.version} at ${server.addresses.join(", ")}, up ${since(server.uptime_seconds)}, ` +
    `${server.workers} ${server.workers === 1 ? "worker" : "workers"}. ${server.tls[0].toUpperCase()}${server.tls.slice(1)}. ` +
    `In the time shown ${number(now.totals.requests)} requests and ${number(now.totals.accepted)} new connections, ` +
    `${number(now.totals.resumed)} of ${number(now.totals.handshakes)} handshakes resumed.`);
  const log = now.access_log;
  say(byId("log"), log ? `Access log: ${number(log.written)} lines, ${number(log.dropped)} dropped, ${number(log.failed)} failed.` : "");
}

/** Another time is chosen: at once, and not with the next second. */
function choose(time) {
  chosen = time;
  redraw();
  ask();
}

byId("window").addEventListener("change", () => choose(null));
byId("whole").addEventListener("click", () => choose(null));
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
