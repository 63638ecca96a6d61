"""A real server under load: small answers as fast as they go, over HTTP/1.1 and HTTP/2, large ones, clients
that are slow to ask and slow to read, and requests to a server behind it. The page is clicked through
meanwhile."""

import contextlib
import http.server
import os
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import time
import urllib.request

import checks

ROOT = pathlib.Path(__file__).resolve().parents[2]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


CONFIG = """
listen = "127.0.0.1:{port}"
workers = 2

[observe]
admin = "127.0.0.1:{admin}"
server_timing = true

[pool.app]
servers = ["127.0.0.1:{behind}"]
max = 8

[[site]]

[[site.route]]
files = "{root}"
listing = true

[[site.route]]
path = "/app/"
proxy = "app"
"""


class Behind(http.server.BaseHTTPRequestHandler):
    """What the pool's server answers: it thinks for a while, longer for some, and fails at times."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def do_GET(self):
        Behind.asked += 1
        time.sleep(0.08 if Behind.asked % 25 == 0 else 0.004)
        status = 503 if Behind.asked % 97 == 0 else 200
        body = b"x" * 3000
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def server(program):
    """Yields the port of the site and that of the admin listener."""
    behind = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Behind)
    threading.Thread(target=behind.serve_forever, daemon=True).start()
    with tempfile.TemporaryDirectory(prefix="ringway-page-") as folder:
        root = pathlib.Path(folder) / "site"
        shutil.copytree(ROOT / "site", root)
        (root / "picture.bin").write_bytes(os.urandom(256 << 10))
        (root / "film.bin").write_bytes(os.urandom(16 << 20))
        port, admin = free_port(), free_port()
        config = pathlib.Path(folder) / "ringway.toml"
        config.write_text(CONFIG.format(port=port, admin=admin, behind=behind.server_port, root=root))
        process = subprocess.Popen(
            [program, "serve", "--config", str(config)], env={**os.environ, "XDG_STATE_HOME": folder},
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            until_it_answers(f"http://127.0.0.1:{admin}/anatomy.json", process)
            yield port, admin
        finally:
            process.terminate()
            process.wait(60)
            behind.shutdown()
            behind.server_close()


def until_it_answers(url, process):
    deadline = time.monotonic() + 30
    while True:
        try:
            with urllib.request.urlopen(url, timeout=2):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextlib.contextmanager
def load(port):
    """Clients of several kinds, until the end of the block."""
    stop = threading.Event()
    kinds = [(quick, 3), (proxied, 2), (large, 1), (slow_to_read, 2), (slow_to_ask, 2), (newcomer, 1)]
    threads = [threading.Thread(target=repeat, args=(kind, port, stop), daemon=True)
               for kind, count in kinds for _ in range(count)]
    site = f"https://127.0.0.1:{port}/"
    runners = [subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
               for command in (["wrk", "-t1", "-c32", "-d900s", site],
                               ["h2load", "-c4", "-m20", "-D900", "--rps=300", site])
               if shutil.which(command[0])]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for runner in runners:
            runner.terminate()
            runner.wait(10)
        for thread in threads:
            thread.join(10)


def repeat(kind, port, stop):
    while not stop.is_set():
        with contextlib.suppress(OSError):
            kind(port, stop)


CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


def connect(port, session=None):
    stream = socket.create_connection(("127.0.0.1", port), timeout=5)
    return CONTEXT.wrap_socket(stream, server_hostname="localhost", session=session)


def ask(stream, path):
    stream.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())


def drain(stream, pause=0.0, piece=1 << 16):
    """Reads an answer with a Content-Length."""
    data = stream.recv(piece)
    head, _, body = data.partition(b"\r\n\r\n")
    fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
    rest = int(fields[b"content-length"]) - len(body)
    while rest > 0:
        time.sleep(pause)
        got = len(stream.recv(piece))
        if got == 0:
            return
        rest -= got


def quick(port, stop):
    with connect(port) as stream:
        for path in ("/", "/rfcs.txt", "/style.css", "/nowhere", "/picture.bin") * 20:
            if stop.is_set():
                return
            ask(stream, path)
            drain(stream)
            time.sleep(0.002)


def proxied(port, stop):
    with connect(port) as stream:
        while not stop.is_set():
            ask(stream, "/app/orders")
            drain(stream)
            time.sleep(0.005)


def large(port, stop):
    with connect(port) as stream:
        for _ in range(3):
            if stop.is_set():
                return
            ask(stream, "/film.bin")
            drain(stream)
            time.sleep(0.3)


def slow_to_read(port, stop):
    with connect(port) as stream:
        ask(stream, "/film.bin")
        drain(stream, 0.002)


def slow_to_ask(port, stop):
    with connect(port) as stream:
        stream.sendall(b"GET /rfcs.txt HTTP/1.1\r\nHo")
        time.sleep(0.04)
        stream.sendall(b"st: localhost\r\n\r\n")
        drain(stream)
    time.sleep(0.3)


def newcomer(port, stop):
    session = None
    for _ in range(2):
        with connect(port, session) as stream:
            ask(stream, "/")
            drain(stream)
            session = stream.session
        time.sleep(0.01)


def click_through(browser, program, screenshots):
    with server(program) as (port, admin):
        url = f"http://127.0.0.1:{admin}/"
        browser.look(1280)
        browser.open(url)
        checks.is_drawn(browser)
        checks.says_only_figures(browser)
        with load(port):
            time.sleep(8)
            for check in (checks.is_drawn, checks.says_only_figures, checks.paths_can_be_chosen,
                          checks.causes_can_be_chosen, checks.slow_requests_open, checks.time_can_be_chosen,
                          checks.can_be_read_aloud, checks.fits):
                check(browser)
            rate = browser.run("document.querySelector('#tiles dd').innerText")
            assert rate not in ("–", "0/s"), rate
            # Confined by Landlock or not, it knows where its threads were.
            browser.until("[...document.querySelectorAll('#workers td.ran span')].every((cell) => !cell.innerText.includes('–'))",
                          "the workers' processor time is shown")
            checks.asks_only_its_server(browser, url)
            if screenshots:
                pictures(browser, screenshots)
        assert not browser.trouble, browser.trouble


def pictures(browser, folder):
    """What docs/anatomy.md shows."""
    # The figure of the hour shows five minutes at least.
    time.sleep(float(os.environ.get("RINGWAY_PICTURES_AFTER", "0")))
    browser.run("document.querySelector('.behind').open = false")
    browser.run("document.querySelectorAll('#slowest details').forEach((request) => request.open = false)")
    folder.mkdir(parents=True, exist_ok=True)
    for scheme in ("light", "dark"):
        browser.look(1180, scheme=scheme)
        time.sleep(1.5)
        browser.run("scrollTo(0, 0)")
        browser.screenshot(folder / f"hour-{scheme}.png", "#hour", 16)
        browser.screenshot(folder / f"journey-{scheme}.png", "#journey", 16)
        browser.screenshot(folder / f"bytes-{scheme}.png", "#copies", 16)
        # The list changes while requests come: what is opened is the second one at this moment.
        second = "document.querySelector('#slowest details:nth-of-type(2)').open"
        browser.run(f"{second} = true")
        browser.screenshot(folder / f"slowest-{scheme}.png", "#slow", 16)
        browser.run("document.querySelectorAll('#slowest details').forEach((request) => request.open = false)")
        browser.screenshot(folder / f"workers-{scheme}.png", "#work", 16)
        browser.screenshot(folder / f"page-{scheme}.png")
    browser.look(390)
    time.sleep(1.5)
    browser.run("scrollTo(0, 0)")
    browser.screenshot(folder / "phone.png")
