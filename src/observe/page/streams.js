/* Connections of HTTP/2 with open streams, as they are now: a row for each stream, in its stage. */

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
