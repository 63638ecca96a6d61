/* Connections of HTTP/2 with open streams, as they are now: a row for each stream, in its stage. And
   what HTTP/2 has counted beyond requests. */

const STREAM_COLUMNS = [
  ["stream", "Stream", ""],
  ["stage", "Stage", "where it is now"],
  ["for", "For", "in this stage"],
  ["since", "Open", "since its first byte"],
  ["sent", "Content", "gathered so far"],
  ["window", "Window", "what it may send now"],
];

function drawStreams(now) {
  byId("streams").hidden = now.streams.length === 0;
  stageTitles = new Map(now.stages.map((stage) => [stage.name, stage.title]));
  keyed(byId("connections"), now.streams, (connection) => connection.connection, () => {
    const names = STREAM_COLUMNS.map(([, name, small]) => make("th", { scope: "col" }, name, make("small", {}, small)));
    return make("div", {}, make("p", { class: "of" }),
      make("div", { class: "scroll" }, make("table", {}, make("thead", {}, make("tr", {}, ...names)), make("tbody"))));
  }, (element, connection) => {
    const left = connection.open - connection.streams.length;
    say(element.querySelector(".of"), `Connection ${connection.connection}: ${number(connection.open)} open` +
      `${left > 0 ? `, of which the ${number(connection.streams.length)} oldest are shown` : ""}. ` +
      (connection.window_bytes > 0 ? `Its own window allows ${bytes(connection.window_bytes)}.` : "Its own window is shut."));
    keyed(element.querySelector("tbody"), connection.streams, (stream) => stream.stream,
      () => make("tr", {}, ...STREAM_COLUMNS.map(([name], place) => make(place === 0 ? "th" : "td", { class: name }))),
      updateStream);
  });
}

function updateStream(row, stream) {
  const texts = {
    stream: String(stream.stream),
    stage: stageTitle(stream.stage),
    for: time(stream.stage_ns),
    since: time(stream.open_ns),
    sent: bytes(stream.bytes),
    window: stream.window_bytes > 0 ? bytes(stream.window_bytes) : "shut",
  };
  for (const [name, text] of Object.entries(texts)) say(row.querySelector(`.${name}`), text);
  row.querySelector(".window").classList.toggle("amiss", stream.window_bytes === 0);
}

/** What the other streams of a slow request's connection did. */
function siblingsOf(siblings) {
  const each = siblings.furthest.map((one) => `stream ${one.stream} with ${bytes(one.bytes)}, in ${stageTitle(one.stage)} for ${time(one.stage_ns)}`);
  const furthest = each.length ? `; furthest: ${each.join("; ")}` : "";
  return `${number(siblings.ended)} ended while it was open, and ${number(siblings.open)} were open at its end${furthest}`;
}

const PATIENCE_CAUSES = {
  cancelled: "cancelled requests",
  reset: "streams that had to be reset",
  refused: "streams beyond the limit",
  empty_data: "DATA without content",
  control: "PRIORITY and unknown frames",
  settings: "SETTINGS",
  ping: "PINGs",
  window: "small WINDOW_UPDATEs",
  small_frame: "windows that let little through",
  closed: "frames for ended streams",
};

/** Figures that are always shown, then each cause and each code that has been met. */
function drawHttp2(http2) {
  byId("http2").hidden = http2.requests === 0;
  const met = (counts) => Object.entries(counts).filter(([, count]) => count > 0);
  const items = [
    ["requests", "requests", number(http2.requests)],
    ["client", "streams that clients reset", number(http2.reset_by_client)],
    ["server", "streams that the server reset", number(http2.reset_by_server)],
    ["refused", "streams refused", number(http2.refused)],
    ["shut", "held back by shut windows", time(http2.window_shut_ms * 1e6)],
    ["floods", "connections out of patience", number(http2.out_of_patience)],
    ...met(http2.goaway).map(([code, count]) => [`goaway-${code}`, `GOAWAY, ${code}`, number(count)]),
    ...met(http2.patience).map(([cause, points]) => [`patience-${cause}`, `patience for ${PATIENCE_CAUSES[cause] || cause}`, number(points)]),
  ];
  keyed(byId("http2-figures"), items, ([key]) => key, () => make("div", {}, make("dt"), make("dd")), (element, [key, name, value]) => {
    say(element.querySelector("dt"), name);
    say(element.querySelector("dd"), value);
    element.classList.toggle("amiss", key === "floods" && http2.out_of_patience > 0);
  });
}
