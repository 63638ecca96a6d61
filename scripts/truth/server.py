"""A running server of one worker, and every surface on which it reports."""

import json, os, re, shutil, signal, subprocess, tempfile, time, urllib.request

import collector


class Server:
    """`arguments` follow the program: `serve`, `proxy`, or none for a program of one's own. `before` is
    what runs it: in a network namespace, for instance."""

    def __init__(self, program, *arguments, folder=None, before=(), common=True, metrics=True):
        self.program = program
        self.own = tempfile.mkdtemp(prefix="ringway-truth-")
        self.folder = folder or self.own
        self.log_path = os.path.join(self.own, "access.log")
        self.socket = os.path.join(self.own, "admin")
        self.collector = collector.Collector() if not before else None
        options = [
            "--listen=127.0.0.1:0", f"--admin=unix:{self.socket}", "--workers=1", f"--access-log={self.log_path}",
            "--log-format=json", "--server-timing"]
        if self.collector:
            options += [f"--otlp=http://127.0.0.1:{self.collector.port}", "--otlp-slow=50ms"]
        # What is named later counts.
        listens = [one for one in arguments if one.startswith("--listen=")]
        if listens:
            options = [one for one in options if not one.startswith("--listen=")]
        environment = dict(os.environ, HOME=self.own, XDG_STATE_HOME=self.own)
        if not common:
            options = []
            environment.update(ACCESS_LOG=self.log_path, ADMIN=f"unix:{self.socket}")
        self.process = subprocess.Popen(
            [*before, program, *arguments, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
            env=environment)
        block = ""
        while '"stop":' not in block and "listening on" not in block:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"the server did not start: {block}")
            block += line
        self.port = int(re.search(r"(?:https://[^/]*:|listening on .*?:)(\d+)", block)[1])
        self.pid = self.process.pid

    def lines(self):
        with open(self.log_path) as log:
            return [json.loads(line) for line in log if line.endswith("}\n")]

    def new_line(self, before, so=lambda line: True):
        until = time.monotonic() + 30
        while time.monotonic() < until:
            for line in self.lines()[before:]:
                if so(line):
                    return line
            time.sleep(0.03)
        return {}

    def ask(self, path):
        """GET at the admin listener, which is a socket in the file system: no network is in between."""
        said = subprocess.run(
            ["curl", "-sS", "--fail", "--max-time", "30", "--unix-socket", self.socket, f"http://admin{path}"],
            capture_output=True, text=True, check=True)
        return said.stdout

    def report(self, query=""):
        return json.loads(self.ask("/anatomy.json" + query))

    def metric(self, name):
        """The sum of all samples of this name, whose labels may be given."""
        samples = re.findall(rf"^{name} ([0-9.e+-]+)$", self.ask("/metrics"), re.M)
        return sum(map(float, samples))

    def top(self):
        # The program beside an application of one's own is the server's.
        said = subprocess.run([Server.ringway, "top", "--once", f"unix:{self.socket}"], capture_output=True, text=True)
        return said.stdout

    def spans_of(self, line):
        """The spans of a request, by name; None where there is no collector."""
        if not self.collector:
            return None
        until = time.monotonic() + 30
        while time.monotonic() < until:
            spans = self.collector.request(line["connection"], line["number"])
            if spans:
                return spans
            time.sleep(0.05)
        return {}

    def stop(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(60)
        if self.collector:
            self.collector.close()
        shutil.rmtree(self.own, ignore_errors=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()
