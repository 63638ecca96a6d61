"""What clients do, what stops the worker, and deadlines: quick enough for each change."""

import os, signal, socket, threading, time

import client as clients
import rows
from client import GET, POST, answer, get, tcp


def state(pid, task):
    """What a thread does, as proc_pid_stat(5) has it: "T" once it has stopped; "" if it has ended."""
    try:
        with open(f"/proc/{pid}/task/{task}/stat") as file:
            return file.read().rsplit(") ", 1)[1][0]
    except OSError:
        return ""


def all_of(server, table):
    def stop():
        """Returns when all its threads have stopped."""
        os.kill(server.pid, signal.SIGSTOP)
        for task in os.listdir(f"/proc/{server.pid}/task"):
            until = time.monotonic() + 5
            while state(server.pid, task) not in "T" and time.monotonic() < until:
                time.sleep(0.001)

    def go():
        os.kill(server.pid, signal.SIGCONT)

    def stopped(client):
        stop()
        stopped.began = time.perf_counter()
        client.sendall(GET)
        time.sleep(0.3)
        go()
        return answer(client)

    def stopped_with_two(client):
        stop()
        stopped_with_two.began = time.perf_counter()
        client.sendall(GET + get("/1k.bin?second"))
        time.sleep(0.3)
        go()
        # Both answers may lie in one record.
        data = b""
        while data.count(b"HTTP/1.1 200") < 2 or len(data.rsplit(b"\r\n\r\n", 1)[1]) < 1024:
            data += client.recv(65536)
        return data[data.rindex(b"HTTP/1.1 200"):]

    def split_head(client):
        client.sendall(GET[:20])
        time.sleep(0.3)
        client.sendall(GET[20:])
        return answer(client)

    def empty_line(client):
        client.sendall(b"\r\n")
        time.sleep(0.3)
        client.sendall(GET)
        return answer(client)

    def split_body(client):
        client.sendall(POST)
        for piece in [b"ab", b"cd", b"ef"]:
            time.sleep(0.1)
            client.sendall(piece)
        return answer(client)

    def idle(client):
        time.sleep(0.5)
        idle.began = time.perf_counter()
        client.sendall(GET)
        return answer(client)

    def slow_reader(client):
        """So slow that the window is shut nearly all the time, whatever else the machine does."""
        client.sendall(get("/8m.bin"))
        return answer(client, piece=16384, pause=lambda: time.sleep(0.002))

    def stopped_while_sending(client):
        client.sendall(get("/8m.bin"))
        client.recv(1)
        stop()
        # The client reads on, so that nothing of the wait is its own.
        threading.Timer(0.5, go).start()
        left = 8 << 20
        while left > 0:
            left -= len(client.recv(1 << 20))

    def half_head(client):
        client.sendall(GET[:20])
        return answer(client)

    def no_body(client):
        client.sendall(POST)
        return answer(client)

    def reset(client):
        client.sendall(get("/50m.bin"))
        client.recv(1)
        time.sleep(0.1)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        client.close()

    def leaves(client):
        client.sendall(GET[:20])
        time.sleep(0.1)
        client.close()

    def bad_host(client):
        client.sendall(b"GET / HTTP/1.1\r\n\r\n")
        return answer(client)

    def pipelined(client):
        """The second waits behind the first, which its client reads late."""
        client.sendall(get("/50m.bin") + get("/1k.bin?behind"))
        time.sleep(0.3)
        answer(client)
        return answer(client)

    def add(cause, act, *expected, **more):
        rows.injected(server, table, cause, act, *expected, **more)

    # What the client's clock has besides: it takes time to read.
    unread = {"total": False}
    add("worker stopped 300 ms", stopped, "run_queue", "host")
    add("the same, second of two requests", stopped_with_two, "run_queue", "host",
        so=lambda line: line["target"].endswith("second"))
    add("head in two pieces", split_head, "head", "client")
    add("an empty line, then the head", empty_line, "head", "client")
    add("content in pieces", split_body, "body", "client")
    add("idle before the request", idle)
    add("slow reader", slow_reader, "last_write", "client", how={"buffer": 65536}, **unread)
    # Which of the two depends on how much has left before the stop.
    add("worker stopped while sending", stopped_while_sending, ("first_write", "last_write", "respond"), "host",
        how={"buffer": 262144}, **unread)
    add("half a head until the timeout", half_head, "head", "client", "server.timeout.head")
    add("no content until the timeout", no_body, "body", "client", "server.timeout.body")
    add("reset while receiving", reset, ("first_write", "last_write"), None, "client.reset.last_write", **unread)
    add("leaves within its head", leaves, "head", "client", "client.truncated.head", **unread)
    add("request without Host", bad_host, None, None, "request.host")
    add("pipelined behind 50 MB", pipelined, "turn", None, so=lambda line: line["target"].endswith("behind"), **unread)
    for cause, sent, end in [
        ("silent connection", b"", "server.timeout.handshake"),
        ("HTTP without TLS", b"GET / HTTP/1.1\r\n\r\n", "tls.plain_http"),
    ]:
        table.tried(cause, lambda: without_a_request(server, table, sent, end))
    table.tried("first of a connection", lambda: first(server, table, stop, go))


def without_a_request(server, table, sent, end):
    """A connection that brings no request has a line all the same."""
    time.sleep(0.2)
    before = len(server.lines())
    began, delayed = time.perf_counter(), clients.delayed()
    plain = tcp(server.port)
    plain.sendall(sent)
    while plain.recv(4096):
        pass
    wait = (time.perf_counter() - began) * 1e3
    within = table.options.within + clients.delayed() - delayed
    line = server.new_line(before, lambda line: line["number"] == 0)
    told = line.get("total_ns", 0) / 1e6
    faults = [] if line.get("end") == end else [f"log: end {line.get('end')}, not {end}"]
    if abs(told - wait) > within:
        faults.append(f"total {told:.1f}")
    return wait, told, faults, {**line, "blame": ""}


def first(server, table, stop, go):
    """Connections that wait in the accept queue of a stopped worker: the kernel counts that in ticks."""
    before = len(server.lines())
    stop()
    began, delayed = time.perf_counter(), clients.delayed()
    plain = tcp(server.port)
    time.sleep(0.3)
    go()
    client = clients.context.wrap_socket(plain, server_hostname="localhost")
    client.sendall(get("/1k.bin?first"))
    answer(client)
    wait = (time.perf_counter() - began) * 1e3
    within = table.options.within + clients.delayed() - delayed
    line = server.new_line(before, lambda line: line["target"].endswith("first"))
    if not line:
        return wait, 0, ["no line in the log"], {}
    told = sum(line[name + "_ns"] for name in ("accept_queue", "handshake", "total")) / 1e6
    faults = [] if abs(told - wait) <= within + 4 else [f"accept queue, handshake and total {told:.1f}"]
    if line["accept_queue_ns"] < 280e6:
        faults.append(f"accept queue {line['accept_queue_ns'] / 1e6:.1f}")
    client.close()
    return wait, told, faults, line
