"""A long way and a lossy one: the server in one network namespace, the client in another, and between them
a pair of TUN devices whose packets this program hands over late, or not at all. Needs root."""

import ctypes, fcntl, heapq, multiprocessing, os, select, stat, struct, subprocess, tempfile, time

import rows
from client import answer, connect, get
from server import Server

SERVER, CLIENT = "192.0.2.1", "192.0.2.2"
TUNSETIFF, IFF_TUN, IFF_NO_PI, CLONE_NEWNET = 0x400454CA, 1, 0x1000, 0x40000000


def enter(namespace):
    with open(f"/run/netns/{namespace}") as file:
        if ctypes.CDLL(None, use_errno=True).setns(file.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {namespace}")


def tun(namespace, node):
    enter(namespace)
    device = os.open(node, os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(device, TUNSETIFF, struct.pack("16sH", b"truth0", IFF_TUN | IFF_NO_PI))
    return device


def relay(namespaces, node, ready, delay, lose_one_in):
    """Hands packets over after `delay` seconds; one in so many of the large ones is lost."""
    devices = [tun(namespace, node) for namespace in namespaces]
    ready.set()
    late, count, number = [], 0, 0
    while True:
        wait = max(0, late[0][0] - time.monotonic()) if late else None
        for device in select.select(devices, [], [], wait)[0]:
            while True:
                try:
                    packet = os.read(device, 65536)
                except BlockingIOError:
                    break
                if len(packet) > 1000 and lose_one_in:
                    count += 1
                    if count % lose_one_in == 0:
                        continue
                number += 1
                heapq.heappush(late, (time.monotonic() + delay, number, device, packet))
        while late and late[0][0] <= time.monotonic():
            _, _, device, packet = heapq.heappop(late)
            try:
                os.write(devices[1 - devices.index(device)], packet)
            except OSError:
                pass  # The other end is full, or gone: that is a network.


def client(namespace, port, path, pipe):
    """Asks once on a connection that has been used, and says how long that took."""
    enter(namespace)
    stream = connect(port, host=SERVER)
    time.sleep(0.3)
    pipe.send("connected")
    pipe.recv()
    began = time.perf_counter()
    stream.sendall(get(path))
    head = answer(stream)
    pipe.send(((time.perf_counter() - began) * 1e3, head))
    pipe.recv()


def run(*command):
    subprocess.run(command, check=True, capture_output=True)


def all_of(program, site, table):
    delay = 0.025
    for cause, lose_one_in, path, expected, blame, rounds in [
        # The way there and back is in the client's clock, and in nobody's else for a small answer.
        ("50 ms of way, 1 KB", 0, "/1k.bin", None, None, 2 * delay),
        ("50 ms of way, 8 MB", 0, "/8m.bin", ("last_write", "first_write"), "network", None),
        ("50 ms of way, 1 % lost, 8 MB", 100, "/8m.bin", ("last_write", "first_write"), "network", None),
    ]:
        try:
            table.tried(cause, lambda: once(program, site, table, delay, lose_one_in, path, expected, blame, rounds))
        except (OSError, subprocess.CalledProcessError) as error:
            said = getattr(error, "stderr", b"") or b""
            table.skip(cause, f"{error} {said.decode().strip()}")


def once(program, site, table, delay, lose_one_in, path, expected, blame, rounds):
    names = [f"truth-{side}-{os.getpid()}" for side in "sc"]
    folder = tempfile.mkdtemp(prefix="ringway-truth-")
    node = os.path.join(folder, "tun")
    os.mknod(node, stat.S_IFCHR | 0o600, os.makedev(10, 200))
    made, processes = [], []
    try:
        for name in names:
            run("ip", "netns", "add", name)
            made.append(name)
        ready = multiprocessing.Event()
        between = multiprocessing.Process(target=relay, args=(names, node, ready, delay, lose_one_in), daemon=True)
        between.start()
        processes.append(between)
        if not ready.wait(10):
            raise OSError("no TUN device")
        for name, own, other in [(names[0], SERVER, CLIENT), (names[1], CLIENT, SERVER)]:
            run("ip", "-n", name, "addr", "add", own, "peer", other, "dev", "truth0")
            run("ip", "-n", name, "link", "set", "truth0", "up")
            run("ip", "-n", name, "link", "set", "lo", "up")
        with Server(program, "serve", site, "--ktls=off", f"--listen={SERVER}:0",
                    before=("ip", "netns", "exec", names[0])) as server:
            ours, theirs = multiprocessing.Pipe()
            asking = multiprocessing.Process(target=client, args=(names[1], server.port, path, theirs), daemon=True)
            asking.start()
            processes.append(asking)
            if not ours.poll(60):
                return 0, 0, ["the client did not connect"], {}
            ours.recv()
            before = len(server.lines())
            ours.send("go")
            if not ours.poll(120):
                return 0, 0, ["the client got no answer"], {}
            wait, head = ours.recv()
            line = server.new_line(before, lambda line: line["number"] == 2)
            ours.send("done")
            seen = lambda line: (rounds or 0) * 1e3
            faults = rows.compare(server, line, wait, table.options.within, expected, blame, None, head, bool(rounds), seen)
            told = line.get("total_ns", 0) / 1e6
            if not rounds and told > wait + table.options.within:
                faults.append(f"more than its client's wait: {told:.1f}")
            return wait, told, faults, line
    finally:
        for process in processes:
            process.kill()
            process.join()
        for name in made:
            subprocess.run(["ip", "netns", "del", name], capture_output=True)
        os.unlink(node)
        os.rmdir(folder)
