"""What is behind the server: an upstream that waits, is full, or breaks off; and handlers of an application
on the worker."""

import os, socket, threading, time

import rows
from client import GET, answer, connect, get
from server import Server

WAIT = 0.3


class Upstream:
    """Answers one request after the other of each connection, as its path says."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                stream, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self.serve, args=(stream,), daemon=True).start()

    def serve(self, stream):
        with stream:
            data = b""
            while True:
                while b"\r\n\r\n" not in data:
                    piece = stream.recv(65536)
                    if not piece:
                        return
                    data += piece
                head, data = data.split(b"\r\n\r\n", 1)
                path = head.split(b" ")[1]
                if path.startswith(b"/wait"):
                    time.sleep(WAIT)
                elif path.startswith(b"/cut"):
                    time.sleep(WAIT)
                    return
                stream.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nabc")
                if path.startswith(b"/late"):
                    time.sleep(WAIT)
                stream.sendall(b"def")

    def close(self):
        self.listener.close()


def proxied(program, table):
    upstream = Upstream()
    try:
        with Server(program, "proxy", f"http://127.0.0.1:{upstream.port}", "--ktls=off", "--max=1", "--wait=5s") as server:
            def asks(path):
                def act(client):
                    client.sendall(get(path))
                    return answer(client)
                return act

            def queued(client):
                """Another request has the only place."""
                other = connect(server.port, first=None)
                other.sendall(get("/wait?other"))
                time.sleep(0.05)
                queued.began = time.perf_counter()
                client.sendall(get("/?queued"))
                head = answer(client)
                other.close()
                return head

            def add(cause, act, *expected, **more):
                rows.injected(server, table, cause, act, *expected, **more)

            add("upstream begins late", asks("/wait"), "upstream", "upstream")
            add("upstream goes on late", asks("/late"), "upstream_body", "upstream")
            add("upstream breaks off", asks("/cut"), "upstream", "upstream", "upstream.cut")
            add("pool is full", queued, "queue", "server", so=lambda line: line["target"].endswith("queued"))
    finally:
        upstream.close()
    unreachable(program, table)


def unreachable(program, table):
    """An upstream whose accept queue is full: the SYN is dropped, and sent again after a second."""

    def once():
        found = []
        full_queue(program, rows.Kept(table, found))
        return found[0]

    table.tried("upstream's accept queue full", once)


def full_queue(program, table):
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    port = listener.getsockname()[1]
    fillers = [socket.socket() for _ in range(2)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex(("127.0.0.1", port))
    served = threading.Event()

    def drain():
        time.sleep(0.5)
        while not served.is_set():
            try:
                stream, _ = listener.accept()
            except OSError:
                return  # It is closed.
            threading.Thread(target=Upstream.serve, args=(None, stream), daemon=True).start()

    try:
        with Server(program, "proxy", f"http://127.0.0.1:{port}", "--ktls=off") as server:
            def act(client):
                threading.Thread(target=drain, daemon=True).start()
                client.sendall(get("/"))
                return answer(client)
            rows.injected(server, table, "upstream's accept queue full", act, "connect", "upstream", first=None)
    finally:
        served.set()
        for filler in fillers:
            filler.close()
        listener.close()


def handled(example, table):
    if not os.access(example, os.X_OK):
        table.skip("handlers of an application", f"{example} is missing; cargo build --example waits")
        return
    os.environ["LISTEN"] = "127.0.0.1:0"
    with Server(example, common=False) as server:
        server.collector.close()
        server.collector = None

        def asks(path):
            def act(client):
                client.sendall(get(path))
                return answer(client)
            return act

        def beside(client):
            """Another request's handler blocks the worker."""
            other = connect(server.port, first=get("/"))
            other.sendall(get("/block?other"))
            time.sleep(0.05)
            beside.began = time.perf_counter()
            client.sendall(get("/?beside"))
            head = answer(client)
            other.close()
            return head

        def add(cause, act, *expected, **more):
            rows.injected(server, table, cause, act, *expected, first=get("/"), **more)

        add("handler that waits", asks("/wait"), "waiting", "server")
        add("handler that blocks", asks("/block"), "handler", "server")
        add("beside a handler that blocks", beside, "run_queue", "server",
            so=lambda line: line["target"].endswith("beside"))
