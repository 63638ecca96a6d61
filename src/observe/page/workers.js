/* Workers, their rings, and the kernel's own queues: tables, with a bar where balance matters. */

const WORKER_COLUMNS = [
  ["requests", "Requests", "ended"],
  ["connections", "Connections", "open"],
  ["waited", "Without a processor", "short waits included"],
  ["ran", "Ran", "in all; in the kernel"],
  ["waits", "Run queue p99", "from arrival to its turn"],
  ["turn", "Turn p99", "of the loop"],
  ["stall", "Longest stall", "of the loop"],
  ["ring", "Ring, per request", "enters · submissions · completions"],
  ["calls", "System calls, per request", "of the ring"],
  ["low", "Buffers left", "least ever"],
  ["queue", "In flight", "operations · bytes to write"],
  ["trouble", "Trouble", "of its ring"],
];

/** Beyond this share of its time a worker lacks a processor. */
const LACKS = 0.05;

function drawWorkers(now, seconds) {
  const rows = now.workers.map((worker) => ({ worker, passed: Math.max(1, seconds * 1e9) }));
  const most = { requests: Math.max(1, ...now.workers.map((worker) => worker.requests)), connections: Math.max(1, ...now.workers.map((worker) => worker.connections)) };
  const table = byId("workers");
  if (!table.tBodies.length) {
    const names = WORKER_COLUMNS.map(([, name, small]) => make("th", { scope: "col", role: "columnheader" }, name, make("small", {}, small)));
    table.append(make("thead", { role: "rowgroup" }, make("tr", { role: "row" }, make("th", { scope: "col", role: "columnheader" }, "Worker"), ...names)), make("tbody", { role: "rowgroup" }));
  }
  keyed(table.tBodies[0], rows, (row) => row.worker.worker, ({ worker }) => make("tr", { role: "row" },
    make("th", { scope: "row", role: "rowheader" }, String(worker.worker)),
    ...WORKER_COLUMNS.map(([name, title]) => make("td", { role: "cell", class: name, "data-name": title }, make("span"), make("i", { class: "bar", "aria-hidden": "true" })))),
  (element, row) => updateWorker(element, row, most));
}

function updateWorker(element, { worker, passed }, most) {
  const per = (count) => (worker.requests > 0 ? (count / worker.requests).toFixed(2) : "–");
  const set = (name, text, share) => {
    const cell = element.querySelector(`td.${name}`);
    say(cell.firstChild, text);
    cell.lastChild.style.width = share === undefined ? "0" : `${Math.min(share, 1) * 100}%`;
  };
  element.classList.toggle("silent", !worker.answered);
  if (!worker.answered) {
    WORKER_COLUMNS.forEach(([name]) => set(name, "–"));
    set("requests", "does not answer");
    return;
  }
  const stall = worker.longest_stall;
  const trouble = [["full_queue", "full queue"], ["out_of_buffers", "no buffers"], ["overflows", "re-arms by overflow"], ["refused_enters", "refused calls"], ["completion_overflows", "completions held back"], ["kernel_workers", "helped by the kernel’s threads now"], ["accept_pauses", "pauses"]]
    // One such thread stays with its ring for good, once a name was looked up that nobody remembered.
    .filter(([member]) => worker[member] > (member === "kernel_workers" ? 1 : 0)).map(([member, name]) => `${number(worker[member])} ${name}`);
  const part = (ns) => (ns === null ? "–" : percent(Math.min(ns / passed, 1)));
  // The kernel's own account has the waits that end in time as well.
  const waited = Math.max(worker.lost_ns, worker.cpu_wait_ns || 0);
  set("requests", number(worker.requests), worker.requests / most.requests);
  set("connections", number(worker.connections), worker.connections / most.connections);
  set("waited", part(waited));
  element.querySelector("td.waited").classList.toggle("lacks", waited / passed > LACKS);
  set("ran", `${part(worker.cpu_ns)}; ${part(worker.enter_cpu_ns)}`);
  set("waits", time(worker.run_queue_p99_ns));
  set("turn", time(worker.turn_p99_ns));
  set("stall", stall ? `${time(stall.ns)} ${stalledIn(stall)}, ${since(stall.seconds_ago)} ago` : "none");
  set("ring", [worker.enters, worker.submissions, worker.completions].map(per).join(" · "));
  const calls = Object.entries(worker.calls || {}).filter(([, count]) => count > 0).sort(([, one], [, other]) => other - one);
  set("calls", calls.length ? calls.map(([name, count]) => `${per(count)} ${name}`).join(" · ") : "–");
  set("low", `${number(worker.receive_buffers_low_water)} of ${number(worker.receive_buffers)}`, worker.receive_buffers_low_water / worker.receive_buffers);
  set("queue", `${number(worker.operations_in_flight)} · ${bytes(worker.write_queue_bytes)}`);
  set("trouble", trouble.length ? trouble.join(", ") : "none");
}

function drawKernel(now) {
  const { kernel } = now;
  const rows = kernel.listeners.map((listener) => make("tr", {},
    make("th", { scope: "row" }, listener.address), make("td", {}, String(listener.worker)),
    make("td", { class: "figure" }, number(listener.queued)), make("td", { class: "figure" }, number(listener.limit))));
  const names = ["Listener", "Worker", "Waiting", "Limit"].map((name) => make("th", { scope: "col" }, name));
  byId("listeners").replaceChildren(make("caption", {}, "Accept queues"), make("thead", {}, make("tr", {}, ...names)), make("tbody", {}, ...rows));
  // Without a time that began later, the host's counters are those since it booted.
  const begun = now.window && now.window.since_seconds < now.server.uptime_seconds - 0.5;
  const counters = [
    ["ListenOverflows", kernel.listen_overflows], ["ListenDrops", kernel.listen_drops],
    ["RetransSegs", kernel.retransmitted_segments], ["SyncookiesSent", kernel.syn_cookies_sent],
  ];
  const tls = Object.entries(kernel.tls || {}).filter(([, count]) => count > 0);
  byId("counters").replaceChildren(
    make("div", { class: "wide" }, make("dt", {}, begun ? "in the time shown" : "since the host’s boot")),
    ...[...counters, ...tls].map(([name, count]) => make("div", {}, make("dt", {}, name), make("dd", {}, number(count)))),
    ...(kernel.tls ? [] : [make("div", {}, make("dt", {}, "kernel TLS"), make("dd", {}, "not here"))]));
}
