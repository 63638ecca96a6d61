"""Streams of one HTTP/2 connection behind each other."""

import re, shutil, subprocess, time

import rows


def all_of(server, table):
    if not shutil.which("nghttp"):
        table.skip("100 streams of 1 MB", "nghttp; apt-get install nghttp2-client")
        return
    table.tried("100 streams of 1 MB, slowest", lambda: once(server, table))


def asked(server, path, *options):
    """A hundred streams at once: how long their client waited for each, in ms, and their lines in the log."""
    before = len(server.lines())
    said = subprocess.run(["nghttp", "-n", "-s", "-m", "100", *options, f"https://localhost:{server.port}{path}"],
                          text=True, capture_output=True)
    waits = []
    for value, unit in re.findall(r"^\s*\d+\s+\S+\s+\S+\s+([0-9.]+)(us|ms|s)\s+200", said.stdout, re.M):
        waits.append(float(value) * {"us": 1e-3, "ms": 1, "s": 1e3}[unit])
    until = time.monotonic() + 30
    while len(server.lines()) < before + 100 and time.monotonic() < until:
        time.sleep(0.1)
    return waits, [line for line in server.lines()[before:] if line["stream"] > 0]


def beside_programs(server, table):
    """Of several rounds the one that its client waited for longest: the worker had no processor meanwhile, which
    is the wait of all its streams, also of those behind the first."""
    slowest, faults = (0, 0, {}), []
    for _ in range(20):
        waits, told = asked(server, "/1k.bin", "-W20")
        if len(told) != 100 or len(waits) != 100:
            return 0, 0, [f"{len(told)} lines, {len(waits)} answers"], {}
        line = max(told, key=lambda line: line["total_ns"])
        ms = line["total_ns"] / 1e6
        slowest = max(slowest, (max(waits), ms, line), key=lambda one: one[0])
        # Longer than the server works on a hundred of them.
        wrong = [line for line in told if line["total_ns"] > 20e6 and line["blame"] != "host"]
        if wrong:
            faults.append(f"{len(wrong)} streams of {ms:.1f}: blame {wrong[0]['blame']}")
    wait, ms, line = slowest
    if ms > wait + table.options.within:
        faults.append("more than its client's wait")
    return wait, ms, faults, line


def once(server, table):
    waits, told = asked(server, "/1m.bin")
    if len(told) != 100 or len(waits) != 100:
        return 0, 0, [f"{len(told)} lines, {len(waits)} answers"], {}
    slowest = max(told, key=lambda line: line["total_ns"])
    faults = []
    stages = ("turn", "window", "last_write", "first_write", "respond")
    if rows.longest_of(slowest) not in stages:
        faults.append(f"stage {rows.longest_of(slowest)}")
    # The client's clock ends when it has read a stream, behind the others that lie in its socket.
    ms = slowest["total_ns"] / 1e6
    if ms > max(waits) + table.options.within:
        faults.append("more than its client's wait")
    # No stream tells less than most of it: what leaves is on its way to the client.
    if ms < max(waits) * 0.5 - table.options.within:
        faults.append("less than half of its client's wait")
    return max(waits), ms, faults, slowest
