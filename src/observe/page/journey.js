/* The journey: a table that is a picture. Each row has its stop on the road, the distribution of
   its times, three quantiles, and its share of the slowest requests. */

/** What happens in each stage, by its name; the answer says it. */
let kinds = new Map();
const KIND_CLASSES = { wait: "waiting", compute: "pure", kernel: "kernel", sum: "sum" };
const kindOf = (stage) => KIND_CLASSES[kinds.get(stage)] || "pure";
const KIND_WORDS = { kernel: "the kernel works", pure: "Ringway computes", waiting: "somebody waits", sum: "sum" };

/** The logarithmic scale: from 100 ns to `scaleEnd`, which only grows. */
const SCALE_BEGIN = 100;
let scaleEnd = 1e7;
const STRIP = 1000;
const ZERO = 34;

function along(ns) {
  if (ns <= 0) return 0;
  const share = Math.log(Math.max(ns, SCALE_BEGIN) / SCALE_BEGIN) / Math.log(scaleEnd / SCALE_BEGIN);
  return ZERO + Math.min(share, 1) * (STRIP - ZERO);
}

function drawJourney(now) {
  kinds = new Map(now.stages.map((stage) => [stage.name, stage.kind]));
  const longest = Math.max(...now.stages.map((stage) => stage.max_ns || 0));
  // With room behind the longest, so that it does not lie on the edge.
  while (longest * 1.5 > scaleEnd && scaleEnd < 1e12) scaleEnd *= 10;
  const tail = tailShares(now.tail);
  const table = byId("stages");
  if (!table.tBodies.length) table.append(stagesHead(), make("tbody", { role: "rowgroup" }));
  drawAxis(byId("axis"));
  const rows = now.stages.map((stage) => ({ stage, tail }));
  keyed(table.tBodies[0], rows, (row) => row.stage.name, stageRow, updateStage);
  drawUnpassed(now);
  drawRoad();
  say(byId("tail-says"), tailSentence(now, tail));
}

/** Stages that no request of this time was in have no row, but their names. */
function drawUnpassed(now) {
  const unpassed = now.stages.filter((stage) => stage.of === "request" && stage.count > 0 && !stage.buckets.some(([bound]) => bound > 0));
  const names = new Set(unpassed.map((stage) => stage.name));
  for (const row of byId("stages").tBodies[0].rows) row.hidden = names.has(row.dataset.key);
  const note = byId("unpassed");
  note.hidden = unpassed.length === 0;
  say(note, `No request of this time was in: ${unpassed.map((stage) => stage.title).join(", ")}.`);
}

function stagesHead() {
  const head = (text, name) => make("th", { scope: "col", role: "columnheader", class: name }, text);
  return make("thead", { role: "rowgroup" }, make("tr", { role: "row" },
    head("Stage", "name"),
    make("th", { scope: "col", role: "columnheader", class: "strip" }, make("span", { class: "hidden" }, "Distribution"),
      make("svg", { id: "axis", viewBox: `0 0 ${STRIP} 20`, preserveAspectRatio: "none", "aria-hidden": "true" }),
      make("span", { id: "axis-names", class: "axis-names", "aria-hidden": "true" })),
    head("p50", "figure"), head("p99", "figure"), head("p99.9", "figure"),
    head("Share of the tail", "share")));
}

function decades() {
  const marks = [];
  for (let ns = SCALE_BEGIN * 10; ns < scaleEnd; ns *= 10) marks.push(ns);
  return marks;
}

function drawAxis(axis) {
  if (axis.dataset.end === String(scaleEnd)) return;
  axis.dataset.end = String(scaleEnd);
  axis.replaceChildren(...decades().map((ns) => make("path", { class: "grid", d: `M${along(ns)} 14V20` })));
  const names = decades().map((ns) => {
    // A unit at its 1 alone: with one each, names would touch.
    const [unit, one] = ns >= 1e9 ? ["s", 1e9] : ns >= 1e6 ? ["ms", 1e6] : ["µs", 1e3];
    const name = make("span", { class: ns === one ? "unit" : "minor" }, ns === one ? `1 ${unit}` : `${ns / one}`);
    name.style.left = `${along(ns) / STRIP * 100}%`;
    return name;
  });
  byId("axis-names").replaceChildren(...names);
}

function stageRow({ stage }) {
  const cell = (name, ...children) => make("td", { role: "cell", class: name }, ...children);
  const kind = kindOf(stage.name);
  return make("tr", { role: "row", class: `${kind} ${stage.name}` },
    make("th", { scope: "row", role: "rowheader", class: "name" },
      make("b", {}, stage.title), make("span", { class: "hidden" }, ` (${KIND_WORDS[kind]})`),
      stage.basis === "counted" ? null : make("i", { class: "basis" }, stage.basis),
      make("small", {}, stage.meaning)),
    cell("strip", make("svg", { viewBox: `0 0 ${STRIP} 40`, preserveAspectRatio: "none", "aria-hidden": "true" }), make("span", { class: "seldom" })),
    cell("figure p50"), cell("figure p99"), cell("figure p999"),
    cell("share", make("span", { class: "bar", "aria-hidden": "true" }), make("span", { class: "percent" })));
}

function updateStage(row, { stage, tail }) {
  const quantiles = [stage.p50_ns, stage.p99_ns, stage.p999_ns];
  ["p50", "p99", "p999"].forEach((name, place) => say(row.querySelector(`td.${name}`), time(quantiles[place])));
  row.classList.toggle("empty", stage.count === 0);
  row.title = `${number(stage.count)} samples`;
  drawStrip(row.querySelector("svg"), stage, quantiles);
  say(row.querySelector(".seldom"), seldom(stage));
  const part = tail.shares.get(stage.name);
  const [bar, words] = [row.querySelector(".bar"), row.querySelector(".percent")];
  bar.style.width = part === undefined ? "0" : `${part * 100}%`;
  say(words, part === undefined || !tail.requests ? "" : percent(part));
  row.classList.toggle("dominant", tail.requests > 0 && tail.dominant === stage.name);
}

/** Of a stage that few pass, how many did and how long: its quantiles are nothing, mostly. */
function seldom(stage) {
  const passed = stage.buckets.filter(([bound]) => bound > 0);
  const count = passed.reduce((sum, [, count]) => sum + count, 0);
  if (count === 0 || count > stage.count / 2 || stage.of !== "request") return "";
  let rest = count / 2;
  const [middle] = passed.find(([, count]) => (rest -= count) <= 0) || passed[passed.length - 1];
  return `${percent(count / stage.count)} of requests, half of them up to ${time(middle)}`;
}

/** The distribution as a shape, zero in a slot of its own at the left, and marks at quantiles. */
function drawStrip(svg, distribution, quantiles) {
  const parts = decades().map((ns) => make("path", { class: "grid", d: `M${along(ns)} 0V40` }));
  const boxes = distribution.buckets.map(([bound, count]) => {
    const [from, to] = bound <= 0 ? [0, ZERO * 0.5] : [along(Math.max(lowerBound(bound), SCALE_BEGIN)), along(bound)];
    return { from, width: Math.max(to - from, 6), count };
  });
  for (const { from, width, count } of boxes) {
    const height = Math.max(Math.sqrt(count / distribution.count) * 34, 1);
    parts.push(make("rect", { class: "shape", x: from, y: 38 - height, width, height }));
  }
  quantiles.forEach((ns, place) => {
    if (ns === null || ns === undefined) return;
    const x = Math.min(Math.max(along(ns), 3), STRIP - 3);
    const d = place === 2 ? `M${x} 32V40` : `M${x} ${place ? 14 : 2}V38`;
    parts.push(make("path", { class: `tick ${["p50", "p99", "p999"][place]}`, d }));
  });
  svg.replaceChildren(...parts);
}

function tailShares(now) {
  const shares = new Map();
  if (!now) return { shares, requests: 0, dominant: null };
  const sums = now.stages.map((stage) => [stage.name, stage.sum_ns]);
  const all = sums.reduce((sum, [, ns]) => sum + ns, 0);
  sums.forEach(([name, ns]) => shares.set(name, all > 0 ? ns / all : 0));
  const [dominant] = sums.reduce((most, next) => (next[1] > most[1] ? next : most), [null, 0]);
  return { shares, requests: now.requests, dominant };
}

function tailSentence(now, tail) {
  if (now.totals.requests === 0 && now.window && now.server.uptime_seconds > now.window.seconds + 1) return "No requests in this time.";
  if (now.totals.requests === 0) {
    return `Nobody has asked for anything yet. Try: ringway anatomy localhost:${now.server.addresses[0].split(":").pop()}/`;
  }
  if (!tail.requests || !tail.dominant) return "No slow requests in this time yet.";
  const stage = now.stages.find((stage) => stage.name === tail.dominant);
  const slowest = `${Math.round(1000 - now.tail.quantile * 1000) / 10} %`;
  return `The slowest ${slowest} (${number(tail.requests)} requests, at present those above ` +
    `${time(now.tail.threshold_ns)}) spent ${percent(tail.shares.get(tail.dominant))} of their time in ` +
    `“${stage.title}”: ${stage.meaning}.`;
}

/** The road beside the table: in through accept and either handshake, round once for every
    request, and out. */
function drawRoad() {
  const road = byId("road");
  const frame = road.parentElement.getBoundingClientRect();
  const at = {};
  for (const row of byId("stages").tBodies[0].rows) {
    if (row.hidden) continue;
    const name = row.querySelector("b").getBoundingClientRect();
    at[row.dataset.key] = { y: name.top + name.height / 2 - frame.top, kind: kindOf(row.dataset.key) };
  }
  const key = JSON.stringify([frame.height, at]);
  if (road.dataset.key === key) return;
  road.dataset.key = key;
  road.setAttribute("viewBox", `0 0 64 ${frame.height}`);
  road.style.height = `${frame.height}px`;
  const stops = ["accept_queue", "handshake_full", "handshake_resumed", "hand_over", "first_byte", at.last_write ? "last_write" : "first_write", "close"];
  if (stops.some((name) => !at[name])) {
    road.replaceChildren();
    return;
  }
  const [accept, full, resumed, over, first, last, close] = stops.map((name) => at[name].y);
  const [main, left, right, back] = [38, 27, 49, 12];
  const side = (x) => `M${main} ${accept}C${main} ${(accept + full) / 2} ${x} ${(accept + full) / 2} ${x} ${full}` +
    `V${resumed}C${x} ${(resumed + over) / 2} ${main} ${(resumed + over) / 2} ${main} ${over}`;
  const parts = [
    make("path", { class: "way", d: `M${main} 0V${accept}` }),
    make("path", { class: "way", d: side(left) }),
    make("path", { class: "way", d: side(right) }),
    make("path", { class: "way", d: `M${main} ${over}V${close}` }),
    make("path", { class: "way back", d: `M${main} ${last + 6}C${main} ${last + 30} ${back} ${last + 30} ${back} ${last}` +
      `V${first}C${back} ${first - 30} ${main} ${first - 30} ${main} ${first - 8}` }),
    make("path", { class: "arrow", d: `M${main - 4} ${first - 14}L${main} ${first - 7}L${main + 4} ${first - 14}` }),
    make("text", { class: "back-name", transform: `translate(${back - 4} ${(first + last) / 2}) rotate(-90)` }, "next request"),
  ];
  for (const [name, { y, kind }] of Object.entries(at)) {
    if (kind === "sum" || name === "handshake_cpu") continue;
    const x = name === "handshake_full" ? left : name === "handshake_resumed" ? right : main;
    parts.push(make("circle", { class: `mark ${kind}`, cx: x, cy: y, r: 6 }));
  }
  road.replaceChildren(...parts);
}
