/* Workers, their rings, and the kernel's own queues: tables, with a bar where balance matters. */

const WORKER_COLUMNS = [
  ["requests", "Requests", "ended in this time"],
  ["connections", "Connections", "open now"],
  ["waits", "Run queue p99", "since the start"],
  ["turn", "Turn p99", "since the start"],
  ["stall", "Longest stall", "of the loop"],
  ["cpu", "Processor", "ran · in enter, at least · in sendfile · waited for it"],
  ["ring", "Ring, per request", "enters · submissions · completions"],
  ["low", "Buffers left", "least ever, of all"],
  ["queue", "In flight", "operations · bytes to write"],
  ["trouble", "Trouble", "of the ring, the buffers, accepting"],
];

function drawWorkers(now, then) {
  const before = new Map(then ? then.workers.map((worker) => [worker.worker, worker]) : []);
  const rows = now.workers.map((worker) => {
    const earlier = before.get(worker.worker) || {};
    const over = (member) => difference(worker[member], earlier[member]);
    // None is known if the kernel does not report it; nothing of either may be less than nothing.
    const ran = (member) => (worker[member] === null ? null : over(member));
    const passed = Math.max(1, (now.server.uptime_seconds - (then ? then.server.uptime_seconds : 0)) * 1e9);
    return { worker, passed, ran: ran("cpu_ns"), sendfile: over("sendfile_ns"), enter: ran("enter_cpu_ns"), waiting: ran("cpu_wait_ns"), requests: over("requests"), enters: over("enters"), submissions: over("submissions"), completions: over("completions") };
  });
  const most = { requests: Math.max(1, ...rows.map((row) => row.requests)), connections: Math.max(1, ...rows.map((row) => row.worker.connections)) };
  const table = byId("workers");
  if (!table.tBodies.length) {
    const names = WORKER_COLUMNS.map(([, name, small]) => make("th", { scope: "col" }, name, make("small", {}, small)));
    table.append(make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "Worker"), ...names)), make("tbody"));
  }
  keyed(table.tBodies[0], rows, (row) => row.worker.worker, ({ worker }) => make("tr", {},
    make("th", { scope: "row" }, String(worker.worker)),
    ...WORKER_COLUMNS.map(([name]) => make("td", { class: name }, make("span"), make("i", { class: "bar", "aria-hidden": "true" })))),
  (element, row) => updateWorker(element, row, most));
}

function updateWorker(element, row, most) {
  const { worker } = row;
  const per = (count) => (row.requests > 0 ? (count / row.requests).toFixed(2) : "–");
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
  set("requests", number(row.requests), row.requests / most.requests);
  set("connections", number(worker.connections), worker.connections / most.connections);
  set("waits", time(worker.run_queue_p99_ns));
  set("turn", time(worker.turn_p99_ns));
  set("stall", stall ? `${time(stall.ns)} ${stalledIn(stall)}, ${since(stall.seconds_ago)} ago` : "none");
  set("cpu", [row.ran, row.enter, row.sendfile, row.waiting].map((part) => (part === null ? "–" : percent(part / row.passed))).join(" · "));
  set("ring", [row.enters, row.submissions, row.completions].map(per).join(" · "));
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
  const counters = [
    ["ListenOverflows", kernel.listen_overflows], ["ListenDrops", kernel.listen_drops],
    ["RetransSegs", kernel.retransmitted_segments], ["SyncookiesSent", kernel.syn_cookies_sent],
    ...Object.entries(kernel.tls || {}),
  ];
  byId("counters").replaceChildren(...counters.map(([name, count]) => make("div", {}, make("dt", {}, name), make("dd", {}, number(count)))),
    ...(kernel.tls ? [] : [make("div", {}, make("dt", {}, "kernel TLS"), make("dd", {}, "not here"))]));
}
