"""Other programs on the worker's processor, a limit on its time, and handshakes of others."""

import contextlib, multiprocessing, os, shutil, time

import client as clients
import rows, streams
from client import GET, answer, connect, context, get, tcp


def series(server, count, between=0.0):
    """Requests on one connection: for each the client's time, and what of that it had no processor, in ms; and
    its line in the log."""
    client = connect(server.port)
    own = f"/1k.bin?{time.monotonic_ns()}"
    waits = {}
    for number in range(2, count + 2):
        began, delayed = time.perf_counter(), clients.delayed()
        client.sendall(get(own))
        answer(client)
        waits[number] = (time.perf_counter() - began) * 1e3, clients.delayed() - delayed
        time.sleep(between)
    client.close()
    until = time.monotonic() + 30
    told = {}
    while len(told) < count and time.monotonic() < until:
        time.sleep(0.2)
        told = {line["number"]: line for line in server.lines() if line["target"] == own}
    return [(*wait, told[number]) for number, wait in waits.items() if number in told]


def disturbed(server, table, cause, count, between, blames):
    """The request that its client waited for longest: the server must know of the wait, and whose it was."""
    together = []

    def once():
        pairs = series(server, count, between)
        if len(pairs) < count:
            return 0, 0, [f"{len(pairs)} lines of {count}"], {}
        wait, delayed, line = max(pairs, key=lambda pair: pair[0])
        told = line["total_ns"] / 1e6
        faults = [] if abs(wait - told) <= table.options.within + delayed else [f"total {told:.1f}"]
        if told > 2 and line["blame"] not in blames:
            faults.append(f"blame {line['blame']}, not {' or '.join(blames)}")
        together[:] = [sum(pair[0] for pair in pairs), sum(pair[2]["total_ns"] for pair in pairs) / 1e6]
        return wait, told, faults, line

    table.tried(f"{cause}, slowest", once)
    if together:
        # The client waits for its own processor in many of them.
        table.add(f"{cause}, all {count}", *together, None)


def worker_cpus(server):
    for task in os.listdir(f"/proc/{server.pid}/task"):
        with open(f"/proc/{server.pid}/task/{task}/comm") as comm:
            if "worker" in comm.read():
                return os.sched_getaffinity(int(task))
    return os.sched_getaffinity(server.pid)


def burn(cpus, seconds):
    os.sched_setaffinity(0, cpus)
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


def flood(port, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        with contextlib.suppress(OSError), context.wrap_socket(tcp(port), server_hostname="localhost"):
            pass


@contextlib.contextmanager
def beside(work, processes, *arguments):
    running = [multiprocessing.Process(target=work, args=arguments) for _ in range(processes)]
    for process in running:
        process.start()
    try:
        time.sleep(0.3)
        yield
    finally:
        for process in running:
            process.terminate()
            process.join()


def limited(server, table, cause, quota, period, then):
    """The server gets `quota` of each `period`, in microseconds, while `then` runs."""
    first, second = "/sys/fs/cgroup/cpu", "/sys/fs/cgroup"
    if os.path.exists(f"{first}/cgroup.procs"):
        root, limits = first, [("cpu.cfs_period_us", period), ("cpu.cfs_quota_us", quota)]
    else:
        root, limits = second, [("cpu.max", f"{quota} {period}")]
    group = f"{root}/ringway-truth-{os.getpid()}"

    def put(path, text):
        with open(path, "w") as file:
            file.write(str(text))

    try:
        os.makedirs(group, exist_ok=True)
        for name, value in limits:
            put(f"{group}/{name}", value)
        put(f"{group}/cgroup.procs", server.pid)
    except OSError as error:
        table.skip(cause, str(error))
        with contextlib.suppress(OSError):
            os.rmdir(group)
        return
    try:
        then()
    finally:
        with contextlib.suppress(OSError):
            put(f"{root}/cgroup.procs", server.pid)
            time.sleep(0.1)
            os.rmdir(group)


def all_of(server, table):
    cpus = worker_cpus(server)
    os.sched_setaffinity(0, os.sched_getaffinity(0) - cpus or os.sched_getaffinity(0))
    try:
        with beside(burn, 3, cpus, 60):
            disturbed(server, table, "3 programs on its CPU", 200, 0.005, ("host",))
            if shutil.which("nghttp"):
                table.tried("3 programs, 100 streams of 1 KB", lambda: streams.beside_programs(server, table))
            else:
                table.skip("3 programs, 100 streams of 1 KB", "nghttp; apt-get install nghttp2-client")

        def throttled():
            with beside(flood, 1, server.port, 60):
                disturbed(server, table, "a CPU limit of a tenth", 60, 0.01, ("host", "server"))

        limited(server, table, "a CPU limit of a tenth", 10_000, 100_000, throttled)
        with beside(flood, 3, server.port, 60):
            disturbed(server, table, "a flood of handshakes", 200, 0.002, ("server", "host"))
    finally:
        os.sched_setaffinity(0, range(os.cpu_count()))
