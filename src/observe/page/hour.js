/* The last hour: three lines on one axis of time. A time in it is chosen by dragging over it, or
   with the arrow keys; everything below then shows that time. */

const LINES = [
  ["requests a second", "pure", (point) => point.requests / point.seconds, (value) => number(value)],
  ["99 % of requests within", "waiting", (point) => point.p99_ns || 0, (value) => time(value)],
  ["5xx, aborted, failed handshakes", "bad", (point) => point.failed + point.aborted + point.failed_handshakes, (value) => number(value)],
];
const LINE = 62;
const LEAST = 300;
let drag = null;

/** The part of the hour that is drawn: from the oldest point, but five minutes at least. */
function hourBegin(now) {
  const oldest = points.length ? points[0].at - points[0].seconds : now;
  return Math.max(now - 3600, Math.min(oldest, now - LEAST));
}

function drawHour(answer) {
  const now = answer.server.uptime_seconds;
  const svg = byId("hour-picture");
  const [width, height] = [Math.max(svg.parentElement.clientWidth, 200), LINES.length * LINE + 18];
  const begin = hourBegin(now);
  const x = (at) => (at - begin) / (now - begin) * width;
  svg.setAttribute("width", width);
  svg.setAttribute("height", height);
  svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
  svg.dataset.begin = begin;
  svg.dataset.now = now;
  const [span, narrow] = [now - begin, width < 500];
  const minutes = span > 1800 ? (narrow ? 15 : 10) : span > 600 ? 5 : narrow ? 2 : 1;
  const parts = [];
  for (let ago = 0; ago <= now - begin; ago += minutes * 60) {
    const anchor = ago === 0 ? "end" : ago + 30 > now - begin ? "start" : "middle";
    parts.push(make("path", { class: "grid", d: `M${x(now - ago)} 0V${height - 16}` }),
      make("text", { class: "hour-time", x: x(now - ago), y: height - 3, "text-anchor": anchor }, ago === 0 ? "now" : `${ago / 60} min ago`));
  }
  LINES.forEach(([name, kind, of, write], place) => parts.push(...hourLine(name, kind, points.map(of), write, x, place, width)));
  const shown = drag || chosen || (answer.window && { from: now - answer.window.since_seconds, to: now - answer.window.until_seconds });
  if (shown) {
    const [from, to] = [Math.max(x(shown.from), 0), Math.min(x(shown.to), width)];
    parts.push(make("rect", { class: drag || chosen ? "brush" : "brush live", x: from, y: 0, width: Math.max(to - from, 2), height: height - 16 }));
  }
  svg.replaceChildren(...parts);
}

function hourLine(name, kind, values, write, x, place, width) {
  const [top, bottom] = [place * LINE + 16, (place + 1) * LINE - 6];
  const most = Math.max(...values, 0);
  const y = (value) => bottom - (most > 0 ? value / most * (bottom - top) : 0);
  const parts = [make("path", { class: "hour-base", d: `M0 ${bottom}H${width}` })];
  if (kind === "bad") {
    points.forEach((point, at) => {
      if (values[at] <= 0) return;
      const from = x(point.at - point.seconds);
      parts.push(make("rect", { class: "hour-bad", x: from, y: y(values[at]), width: Math.max(x(point.at) - from - 0.5, 1.5), height: bottom - y(values[at]) }));
    });
  } else if (points.length) {
    const steps = points.map((point, at) => `${at ? "L" : "M"}${x(point.at - point.seconds)} ${y(values[at])}H${x(point.at)}`).join("");
    parts.push(make("path", { class: `hour-line ${kind}`, d: steps }));
  }
  parts.push(make("text", { class: "hour-name", x: 2, y: top - 4 }, `${name}${points.length ? `: at most ${write(most)}` : ""}`));
  return parts;
}

function hourAt(event) {
  const svg = byId("hour-picture");
  const { left, width } = svg.getBoundingClientRect();
  const share = Math.min(Math.max((event.clientX - left) / width, 0), 1);
  const [begin, now] = [Number(svg.dataset.begin), Number(svg.dataset.now)];
  return begin + share * (now - begin);
}

byId("hour-picture").addEventListener("pointerdown", (event) => {
  if (!answer) return;
  event.target.ownerSVGElement?.setPointerCapture(event.pointerId);
  const at = hourAt(event);
  drag = { start: at, from: at, to: at };
});
byId("hour-picture").addEventListener("pointermove", (event) => {
  if (!drag) return;
  const at = hourAt(event);
  drag = { start: drag.start, from: Math.min(drag.start, at), to: Math.max(drag.start, at) };
  drawHour(answer);
});
for (const end of ["pointerup", "pointercancel"]) {
  byId("hour-picture").addEventListener(end, (event) => {
    if (!drag) return;
    const { from, to } = drag;
    drag = null;
    if (event.type === "pointerup") choose(around(from, to));
    else redraw();
  });
}
byId("hour-picture").addEventListener("keydown", (event) => {
  const step = { ArrowLeft: -60, ArrowRight: 60 }[event.key];
  if (!answer || (!step && event.key !== "Escape")) return;
  event.preventDefault();
  if (event.key === "Escape") return choose(null);
  const now = answer.server.uptime_seconds;
  const last = chosen || { from: now - 60, to: now };
  const to = Math.min(Math.max(last.to + step, 60), now);
  return choose(step > 0 && to >= now ? null : { from: to - 60, to });
});

/** A click chooses the minute around it. What was kept begins and ends every ten seconds. Before
    the server's start there is nothing to choose. */
function around(from, to) {
  const now = answer.server.uptime_seconds;
  const half = to - from < 10 ? 30 : 0;
  const [first, last] = [Math.max(from - half, 0), Math.min(to + half, now)];
  return last - first < 1 ? null : { from: first, to: last };
}
