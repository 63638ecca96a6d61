/* Pools of servers behind this one: a row for each server, the pool's own figures in its first. */

const POOL_COLUMNS = [
  ["pool", "Pool", "requests passed on"],
  ["server", "Server", ""],
  ["line", "In line", "of so many places"],
  ["refused", "Refused", "line full, or waited too long"],
  ["open", "Connections", "open, of so many"],
  ["outstanding", "Exchanges", "not finished"],
  ["first", "First byte", "decayed mean"],
  ["again", "Second tries", "of requests"],
  ["healthy", "Gets requests", ""],
];

function drawPools(now) {
  byId("behind").hidden = now.pools.length === 0;
  const rows = now.pools.flatMap((pool) => pool.servers.map((server, place) => ({ pool, server, place })));
  const table = byId("pools");
  if (!table.tBodies.length) {
    const names = POOL_COLUMNS.map(([, name, small]) => make("th", { scope: "col" }, name, make("small", {}, small)));
    table.append(make("thead", {}, make("tr", {}, ...names)), make("tbody"));
  }
  keyed(table.tBodies[0], rows, ({ pool, server }) => `${pool.name} ${server.address}`,
    () => make("tr", {}, ...POOL_COLUMNS.map(([name, title], place) => make(place === 1 ? "th" : "td", { class: name, "data-name": title }))),
    (row, of) => updateServer(row, of));
}

/* Rates: a name with its limit, and how many requests it has refused. */
function drawRates(now) {
  byId("limited").hidden = now.rates.length === 0;
  byId("rates").replaceChildren(...now.rates.flatMap((rate) => [
    make("dt", {}, `${rate.name}, ${number(rate.requests)} in ${time(rate.per_seconds * 1e9)}`),
    make("dd", {}, `${number(rate.refused)} refused`),
  ]));
}

function updateServer(row, { pool, server, place }) {
  const first = place === 0;
  const texts = {
    pool: first ? `${pool.name}, ${number(pool.requests)}` : "",
    server: server.address,
    line: first ? `${number(pool.waiting)} of ${number(pool.waiting_limit)}` : "",
    refused: first ? number(pool.refused) : "",
    open: `${number(server.open)} of ${number(pool.max)}`,
    outstanding: number(server.outstanding),
    first: server.first_byte_us === null ? "–" : time(server.first_byte_us * 1e3),
    again: first ? number(pool.second_tries) : "",
    healthy: server.healthy ? "yes" : "no",
  };
  for (const [name, text] of Object.entries(texts)) say(row.querySelector(`.${name}`), text);
  row.querySelector(".healthy").classList.toggle("amiss", !server.healthy);
  row.querySelector(".refused").classList.toggle("amiss", first && pool.refused > 0);
}
