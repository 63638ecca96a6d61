/* Endpoints of applications, by their share of the slowest requests. Absent where there are none. */

function drawEndpoints(endpoints) {
  const section = byId("endpoints");
  section.hidden = endpoints.length === 0;
  const body = section.querySelector("tbody");
  keyed(body, endpoints, (endpoint) => endpoint.name, () => {
    const row = make("tr");
    row.append(make("th", { scope: "row" }), ...Array.from({ length: 5 }, () => make("td")));
    return row;
  }, (row, endpoint) => {
    const mean = (ns) => time(endpoint.requests ? ns / endpoint.requests : 0);
    const cells = [
      endpoint.name, `${Math.round(endpoint.tail_share * 100)} %`, number(endpoint.requests),
      mean(endpoint.sum_ns), mean(endpoint.handler_ns), mean(endpoint.waiting_ns),
    ];
    cells.forEach((text, at) => say(row.children[at], text));
  });
}
