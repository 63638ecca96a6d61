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
    for path in answer["ledger"]["paths"] + answer["ledger"]["receive"] + answer["ledger"]["uploads"]:
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
        self.queries = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                path, _, query = self.path.partition("?")
                if path == "/anatomy.json":
                    outer.asked += 1
                    outer.queries.append(query)
                    body, kind = outer.next(query), "application/json"
                elif path == "/history.json":
                    body, kind = outer.history(), "application/json"
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

    def history(self):
        """The last quarter of an hour, with a bad minute in it."""
        idle = self.answer["totals"]["requests"] == 0
        points = []
        for place in range(90):
            bad = not idle and 40 <= place < 46
            points.append({
                "seconds_ago": 10.0 * (90 - place) - 5, "seconds": 10.0, "requests": 0 if idle else 4000 + 30 * place,
                "p50_ns": None if idle else 210000, "p99_ns": None if idle else 90000000 if bad else 4100000,
                "refused": 0, "failed": 12 if bad else 0, "aborted": 3 if bad else 0, "timed_out": 0, "handshakes": 40,
                "failed_handshakes": 0, "payload_bytes": 0 if idle else 9000000, "lost_ns": 0, "connections": 12,
                "stages_ns": {},
            })
        return json.dumps({"format": 1, "every_seconds": 10, "points": [] if idle else points}).encode()

    def next(self, query):
        """The answer, a second older each time, and with as much more in it."""
        answer = copy.deepcopy(self.answer)
        asked = dict(member.split("=") for member in query.split("&") if "=" in member)
        answer["window"] = None
        if asked:
            times = [float(asked.get(name, 0)) for name in ("since", "until")]
            answer["window"] = {"since_seconds": times[0], "until_seconds": times[1], "seconds": times[0] - times[1]}
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
        for path in answer["ledger"]["paths"] + answer["ledger"]["receive"] + answer["ledger"]["uploads"]:
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
