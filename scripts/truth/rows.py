"""A row of the table: what a client waited, what each surface says of it, and whether that is so."""

import re, ssl, time

import client as clients

#: What stands in a line of the log beside the parts of the total.
NO_PART = ("total", "first_byte", "lost", "accept_queue", "handshake", "handshake_cpu", "layers")


class Table:
    def __init__(self, options):
        self.options = options
        self.wrong = 0
        self.printed = []
        if options.markdown:
            self.print("| cause | client | reported | stage | blame | end | |\n|---|--:|--:|---|---|---|---|")
        else:
            self.print(f"{'cause':34} {'client':>9} {'reported':>9}  {'stage':13} {'blame':9} {'end':26} (ms)")

    def print(self, line):
        self.printed.append(line)
        print(line, flush=True)

    def write(self, document):
        """Puts the table into a document, in the place of the one between these lines."""
        begin, end = "<!-- made by `scripts/check-truth --all --markdown` -->\n", "<!-- end of the table -->"
        before, rest = document.read_text(encoding="utf-8").split(begin)
        _, after = rest.split(end)
        table = "\n".join(self.printed)
        document.write_text(f"{before}{begin}\n{table}\n\n{end}{after}", encoding="utf-8")

    def add(self, cause, client_ms, told_ms, faults, line=None):
        """A row with what is wrong about it; None: it stands for comparison, and is not judged."""
        line = line or {}
        self.wrong += bool(faults)
        judged = "" if faults is None else "; ".join(faults) or "right"
        stage, blame, end = longest_of(line) or "", line.get("blame", ""), line.get("end") or ""
        if self.options.markdown:
            self.print(f"| {cause} | {client_ms:.1f} | {told_ms:.1f} | {stage and f'`{stage}`'} | {blame} | {end and f'`{end}`'} | {judged} |")
        else:
            self.print(f"{cause:34} {client_ms:9.1f} {told_ms:9.1f}  {stage:13} {blame:9} {end:26} {judged}")

    def skip(self, cause, why):
        if self.options.markdown:
            self.print(f"| {cause} | | | | | | not here: {why} |")
        else:
            self.print(f"{cause:34} skipped: {why}")

    def tried(self, cause, once):
        """A row that is tried again while it is wrong, as often as the options allow: a busy machine keeps
        the client from its own processor, which no server can know, and connections beyond their deadlines."""
        for _ in range(self.options.tries):
            try:
                client_ms, told_ms, faults, line = once()
            except (ConnectionError, ssl.SSLError, TimeoutError) as error:
                client_ms, told_ms, faults, line = 0, 0, [f"the client: {error}"], {}
            if not faults:
                break
        self.add(cause, client_ms, told_ms, faults, line)


class Kept:
    """Takes a row without printing it."""

    def __init__(self, table, found):
        self.options, self.found = table.options, found

    def tried(self, _, once):
        self.found.append(once())


def stages(line):
    times = {name[:-3]: value for name, value in line.items() if name.endswith("_ns")}
    return {name: value for name, value in times.items() if name not in NO_PART}


def longest_of(line):
    times = stages(line)
    return max(times, key=times.get, default=None)


def either(expected):
    return expected if isinstance(expected, tuple) else (expected,)


def compare(server, line, wait_ms, within, stage=None, blame=None, end=None, head=b"", total=True, seen=lambda line: 0):
    """What every surface says of a request that its client waited `wait_ms` for, beside the clock's word.
    `seen` says what else the server reports of that wait, in ms."""
    if not line:
        return ["no line in the log"]
    faults = []
    told = line["total_ns"] / 1e6
    if total and abs(told + seen(line) - wait_ms) > within:
        faults.append(f"log: total {told:.1f}")
    times, longest = stages(line), longest_of(line)
    if stage and longest not in either(stage):
        faults.append(f"log: stage {longest}, not {stage}")
    if blame and line["blame"] not in either(blame):
        faults.append(f"log: blame {line['blame']}, not {blame}")
    if end is not False and line["end"] != end:
        faults.append(f"log: end {line['end']}, not {end}")
    # Slowest requests, of all time and of the window that the page shows.
    for query in ("", "?since=60"):
        slowest = server.report(query)["slowest"]
        slow = [one for one in slowest if (one["connection"], one["number"]) == (line["connection"], line["number"])]
        if told > 50 and not slow:
            faults.append(f"not among the slowest{query}")
        for one in slow:
            said = (one["end"], one["dominant"], one["blame"]["who"], one["total_ns"])
            if said != (line["end"], longest, line["blame"], line["total_ns"]):
                faults.append(f"slowest{query}: {said}")
    if head and stage:
        for name in either(stage):
            if name in ("run_queue", "head", "body", "process", "upstream", "queue", "connect") and times[name] > 5e6:
                timing = re.search(rf"\b{name};dur=([0-9.]+)".encode(), head)
                if not timing or abs(float(timing[1]) - times[name] / 1e6) > 1:
                    faults.append(f"Server-Timing: {timing and timing[0]}")
    if told >= 50:
        faults.extend(spans(server, line, times))
        top = server.top()
        if longest not in top and longest.replace("_", " ") not in top:
            faults.append(f"top: no {longest}")
    if line["end"]:
        why = line["end"] if line["end"].split(".")[0] in ("request", "tls", "upstream", "http2") \
            else line["end"].rsplit(".", 1)[0]
        if not server.metric(rf'ringway_ends_total\{{[^}}]*why="{why}"[^}}]*\}}'):
            faults.append(f"metrics: no {why}")
    return faults


def spans(server, line, times):
    """The request as the collector has it."""
    found = server.spans_of(line)
    if found is None:
        return []
    if not found:
        return ["spans: none"]
    whole = found[""]
    faults = []
    if whole["end"] - whole["start"] != line["total_ns"]:
        faults.append(f"spans: {(whole['end'] - whole['start']) / 1e6:.1f}")
    if whole["attributes"]["ringway.blame"] != line["blame"]:
        faults.append(f"spans: blame {whole['attributes']['ringway.blame']}")
    parts = {name: one["end"] - one["start"] for name, one in found.items() if name}
    if parts != {name: time for name, time in times.items() if time}:
        faults.append(f"spans: {parts}")
    return faults


def summed(server, stage, before=0.0):
    """Seconds of a stage in the metrics, of complete requests and others, since `before`."""
    of = rf'\{{[^}}]*stage="{stage}"[^}}]*\}}'
    return server.metric(f"ringway_stage_duration_seconds_sum{of}") - before


def injected(server, table, cause, act, stage=None, blame=None, end=None, outside=0.0, first=clients.GET, total=True,
             seen=lambda line: 0, how=None, so=None):
    """Injects a cause, and adds its row. `outside` is what of the client's time is not the request's; `act.began`,
    where the act sets it, is when the client asked."""

    def once():
        client = clients.connect(server.port, first=first, **(how or {}))
        time.sleep(0.2)
        before, sum_before = len(server.lines()), summed(server, "total")
        began = time.perf_counter()
        act.began, delayed = began, clients.delayed()
        head = act(client)
        began = act.began
        wait = (time.perf_counter() - began - outside) * 1e3
        within = table.options.within + clients.delayed() - delayed
        line = server.new_line(before, so or (lambda line: line["number"] > 0))
        faults = compare(server, line, wait, within, stage, blame, end, head or b"", total, seen)
        told = line.get("total_ns", 0) / 1e6
        if line.get("complete") and so is None:
            until = time.monotonic() + 5
            while abs(summed(server, "total", sum_before) * 1e3 - told) > 0.01 and time.monotonic() < until:
                time.sleep(0.05)
            metrics = summed(server, "total", sum_before) * 1e3
            if abs(metrics - told) > 0.01:
                faults.append(f"metrics: total {metrics:.1f}")
        client.close()
        return wait, told, faults, line

    table.tried(cause, once)
