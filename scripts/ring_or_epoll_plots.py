"""The plots of docs/ring-or-epoll.md as SVG, in light and dark. The same figures give the same bytes."""

from html import escape

WIDTH, LEFT, RIGHT, ROW, TOP, BOTTOM = 760, 240, 70, 30, 46, 40

STYLE = """<style>
text { font: 13px system-ui, sans-serif; fill: #24292f }
.title { font-weight: 600 } .small { font-size: 11px; fill: #57606a }
.axis { stroke: #d0d7de } .one { stroke: #57606a; stroke-dasharray: 4 3 }
.ring { fill: #0b6e99 } .poll { fill: #d9730d } .other { fill: #b6bec7 }
.range { stroke: #d9730d; stroke-width: 3; stroke-linecap: round }
@media (prefers-color-scheme: dark) {
text { fill: #e6edf3 } .small { fill: #8b949e } .axis { stroke: #30363d } .one { stroke: #8b949e }
.ring { fill: #58b6de } .poll { fill: #f0a050 } .other { fill: #57606a } .range { stroke: #f0a050 }
}
</style>"""


def picture(title, rows, body):
    height = TOP + rows * ROW + BOTTOM
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'width="{WIDTH}" height="{height}" role="img" aria-label="{escape(title)}">\n{STYLE}\n'
            f'<text class="title" x="12" y="24">{escape(title)}</text>\n{body}</svg>\n')


def text(x, y, words, anchor="start", kind=""):
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>\n'


def line(x1, y1, x2, y2, kind):
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>\n'


def bar(x, y, width, height, kind):
    return (f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{max(width, 1):.1f}" '
            f'height="{height}" rx="2"/>\n')


def ratios(rows):
    """Each workload: how many times the CPU epoll takes, with the middle half of the rounds."""
    rows = [(name, ratio) for name, ratio in rows if ratio]
    values = [value for _, ratio in rows for value in ratio] + [0.9, 1.1]
    low, high = min(values) - 0.05, max(values) + 0.05
    scale = (WIDTH - LEFT - RIGHT) / (high - low)
    place = lambda value: LEFT + (value - low) * scale  # noqa: E731
    end = TOP + len(rows) * ROW
    body = ""
    step = 0.1 if high - low < 1.2 else 0.25
    for at in range(int(low / step) + 1, int(high / step) + 1):
        x = place(at * step)
        body += line(x, TOP, x, end, "axis") + text(x, end + 16, f"{at * step:.2f}", "middle", "small")
    body += line(place(1), TOP - 6, place(1), end, "one")
    body += text(place(1), end + 32, "1: as much as io_uring", "middle", "small")
    for index, (name, (middle, from_, to)) in enumerate(rows):
        y = TOP + index * ROW + ROW / 2
        body += text(LEFT - 12, y + 4, name, "end")
        body += line(place(from_), y, place(to), y, "range")
        body += f'<circle class="poll" cx="{place(middle):.1f}" cy="{y:.1f}" r="6"/>\n'
        body += text(WIDTH - RIGHT + 14, y + 4, f"{middle:.2f}")
    return picture("CPU for each request on epoll, times that on io_uring", len(rows), body)


def calls(rows):
    """Each workload: system calls for each request, on both."""
    rows = [(name, ring, poll) for name, ring, poll in rows if ring and poll]
    most = max([value for row in rows for value in row[1:]], default=1)
    scale = (WIDTH - LEFT - RIGHT) / most
    body = ""
    for index, (name, ring, poll) in enumerate(rows):
        y = TOP + index * ROW
        body += text(LEFT - 12, y + 18, name, "end")
        for value, kind, offset in [(ring, "ring", 2), (poll, "poll", 14)]:
            body += bar(LEFT, y + offset, value * scale, 10, kind)
            body += text(LEFT + value * scale + 6, y + offset + 9, f"{value:.2f}", "start", "small")
    y = TOP + len(rows) * ROW + 22
    body += bar(LEFT, y - 10, 12, 12, "ring") + text(LEFT + 18, y, "io_uring", "start", "small")
    body += bar(LEFT + 90, y - 10, 12, 12, "poll") + text(LEFT + 108, y, "epoll", "start", "small")
    return picture("System calls for each request", len(rows), body)


def servers(rows):
    """Requests for each second of CPU, the best first."""
    most = max([value for _, value, _ in rows], default=1)
    scale = (WIDTH - LEFT - RIGHT) / most
    body = ""
    for index, (name, value, ours) in enumerate(rows):
        y = TOP + index * ROW
        kind = "other" if not ours else "poll" if "epoll" in name else "ring"
        body += text(LEFT - 12, y + 18, name, "end") + bar(LEFT, y + 6, value * scale, 16, kind)
        body += text(LEFT + value * scale + 6, y + 18, f"{value / 1000:,.0f} k", "start", "small")
    return picture("1 KB, 64 connections over TLS: requests for each second of CPU", len(rows), body)
