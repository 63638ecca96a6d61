"""A stand-in for the admin listener: the page of this tree, and answers made from the example in
tests/fixtures, for states that a real server is hard to bring into."""

import copy
import http.server
import json
import pathlib
import re
import threading

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "src/observe/page"


def page():
    """The document as mod.rs puts it together."""
    source = (PAGE / "mod.rs").read_text()
    list_of_parts = re.search(r"concat!\((.*?)\n\);", source, re.DOTALL).group(1)
    text = ""
    for file, literal in re.findall(r'include_str!\("([^"]+)"\)|"((?:[^"\\]|\\.)*)"', list_of_parts):
        text += (PAGE / file).read_text() if file else literal.replace("\\n", "\n")
    return text.encode()


def example():
    return json.loads((ROOT / "tests/fixtures/anatomy.json").read_text())


def emptied(answer):
    """The answer of a server that nobody has asked anything."""
    answer = copy.deepcopy(answer)
    for name in answer["totals"]:
        answer["totals"][name] = 0
    for stage in answer["stages"]:
        stage.update(count=0, sum_ns=0, buckets=[])
        for name in stage:
            if name.endswith("_ns") and name != "sum_ns":
                stage[name] = None
    answer["tail"].update(threshold_ns=None, requests=0, sum_ns=0)
    for stage in answer["tail"]["stages"]:
        stage.update(sum_ns=0, share=0.0)
    for path in answer["ledger"]["paths"] + answer["ledger"]["receive"]:
        path.update(payload_bytes=0, flows=[], passes_per_byte=None)
        if "responses" in path:
            path["responses"] = 0
    for name in answer["ledger"]["total"]:
        answer["ledger"]["total"][name] = 0
    answer["ledger"]["total"]["passes_per_byte"] = None
    for worker in answer["workers"]:
        for name, value in worker.items():
            if isinstance(value, (int, float)) and not isinstance(value, bool) and name not in (
                    "worker", "receive_buffers", "receive_buffers_low_water"):
                worker[name] = 0
        worker.update(longest_stall=None)
    answer["slowest"] = []
    answer["access_log"] = None
    answer["kernel"]["tls"] = None
    answer["server"]["uptime_seconds"] = 1.5
    return answer


class StandIn:
    """Serves on a port of its own until it is stopped."""

    def __init__(self, answer, port=0):
        self.answer = answer
        self.asked = 0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                if self.path == "/anatomy.json":
                    outer.asked += 1
                    body, kind = outer.next(), "application/json"
                else:
                    body, kind = page(), "text/html; charset=utf-8"
                self.send_response(200)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_port
        self.url = f"http://127.0.0.1:{self.port}/"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def next(self):
        """The answer, a second older each time, and with as much more in it."""
        answer = copy.deepcopy(self.answer)
        answer["server"]["uptime_seconds"] += self.asked
        grown = 1 + self.asked / 60
        for stage in answer["stages"]:
            stage["count"] = int(stage["count"] * grown)
            stage["sum_ns"] = int(stage["sum_ns"] * grown)
            stage["buckets"] = [[bound, int(count * grown)] for bound, count in stage["buckets"]]
        answer["tail"]["requests"] = int(answer["tail"]["requests"] * grown)
        for path in answer["ledger"]["paths"]:
            path["responses"] = int(path["responses"] * grown)
        for stage in answer["tail"]["stages"]:
            stage["sum_ns"] = int(stage["sum_ns"] * grown)
        for path in answer["ledger"]["paths"] + answer["ledger"]["receive"]:
            path["payload_bytes"] = int(path["payload_bytes"] * grown)
            for flow in path["flows"]:
                flow["bytes"] = int(flow["bytes"] * grown)
        answer["ledger"]["total"]["payload_bytes"] = int(
            answer["ledger"]["total"]["payload_bytes"] * grown)
        for worker in [*answer["workers"], answer["totals"]]:
            for name in ("requests", "enters", "submissions", "completions"):
                if name in worker:
                    worker[name] = int(worker[name] * grown)
        return json.dumps(answer).encode()

    def stop(self):
        self.server.shutdown()
        self.server.server_close()
