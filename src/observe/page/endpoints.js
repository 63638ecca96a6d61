/* Endpoints of applications, by their share of the slowest requests. Absent where there are none. */

function drawEndpoints(endpoints) {
  const section = byId("endpoints");
  section.hidden = endpoints.length === 0;
  const body = section.querySelector("tbody");
  keyed(body, endpoints, (endpoint) => endpoint.name, () => {
    const row = make("tr");
    row.append(make("th", { scope: "row" }), ...Array.from({ length: 6 }, () => make("td")));
    return row;
  }, (row, endpoint) => {
    const mean = (ns) => time(endpoint.requests ? ns / endpoint.requests : 0);
    const cells = [
      endpoint.name, `${Math.round(endpoint.tail_share * 100)} %`, number(endpoint.requests),
      mean(endpoint.sum_ns), mean(endpoint.handler_ns), mean(endpoint.waiting_ns),
      endpoint.held ? number(endpoint.held) : "",
    ];
    cells.forEach((text, at) => say(row.children[at], text));
  });
}

/* Jobs on the threads for work that computes or blocks. Absent before the first one. */
function drawOffload(offload) {
  const line = byId("offload");
  line.hidden = !offload;
  if (!offload) return;
  const mean = (ns) => time(offload.begun ? ns / offload.begun : 0);
  const none = offload.refused + offload.taken_back;
  say(line, `Offloaded work since the start: ${number(offload.begun)} jobs on ${number(offload.threads)} threads, `
    + `waiting ${mean(offload.waited_ns)} and running ${mean(offload.ran_ns)} on average; ${number(offload.waiting)} wait now`
    + (none ? `; ${number(offload.refused)} refused, ${number(offload.taken_back)} taken back.` : "."));
}
