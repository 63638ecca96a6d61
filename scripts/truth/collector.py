"""A collector of OpenTelemetry that shares no code with Ringway: it takes OTLP over HTTP and reads the
messages by opentelemetry-proto where that is installed (pip install opentelemetry-proto), else by the
numbers of their fields in opentelemetry/proto/trace/v1/trace.proto."""

import http.server, struct, threading

try:
    from opentelemetry.proto.collector.trace.v1 import trace_service_pb2
except ImportError:
    trace_service_pb2 = None


def fields(message):
    """The fields of a message: number, value."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            value = varint()
        elif kind == 1:
            value = struct.unpack_from("<Q", message, at)[0]
            at += 8
        elif kind == 5:
            value = struct.unpack_from("<I", message, at)[0]
            at += 4
        else:
            length = varint()
            value = message[at:at + length]
            if len(value) < length:
                raise ValueError("a field is cut")
            at += length
        yield key >> 3, value


def by_number(message):
    all = {}
    for number, value in fields(message):
        all.setdefault(number, []).append(value)
    return all


def value_of(message):
    for number, value in fields(message):
        return value.decode() if number == 1 else value


def read_plainly(message):
    for resource in by_number(message).get(1, []):
        for scope in by_number(resource).get(2, []):
            for span in by_number(scope).get(2, []):
                of = by_number(span)
                attributes = {}
                for attribute in of.get(9, []):
                    pair = by_number(attribute)
                    attributes[pair[1][0].decode()] = value_of(pair[2][0])
                yield {"trace": of[1][0], "id": of[2][0], "parent": of.get(4, [b""])[0], "name": of[5][0].decode(),
                       "kind": of.get(6, [0])[0], "start": of[7][0], "end": of[8][0], "attributes": attributes}


def read_by_package(message):
    request = trace_service_pb2.ExportTraceServiceRequest.FromString(message)
    for resource in request.resource_spans:
        assert any(one.key == "service.name" for one in resource.resource.attributes)
        for scope in resource.scope_spans:
            for span in scope.spans:
                attributes = {one.key: getattr(one.value, one.value.WhichOneof("value")) for one in span.attributes}
                yield {"trace": span.trace_id, "id": span.span_id, "parent": span.parent_span_id, "name": span.name,
                       "kind": span.kind, "start": span.start_time_unix_nano, "end": span.end_time_unix_nano,
                       "attributes": attributes}


class Collector:
    def __init__(self):
        self.spans = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                message = self.rfile.read(int(self.headers["content-length"]))
                good = self.path == "/v1/traces" and self.headers["content-type"] == "application/x-protobuf"
                if good:
                    read = list(read_plainly(message))
                    if trace_service_pb2:
                        assert read == list(read_by_package(message)), "two readers differ"
                    outer.spans.extend(read)
                self.send_response(200 if good else 400)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self.server.server_port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def request(self, connection, number):
        """The spans of a request: the request's own as "", the others by their names."""
        for span in list(self.spans):
            of = span["attributes"]
            if (of.get("ringway.connection"), of.get("ringway.number")) == (connection, number):
                children = {one["name"]: one for one in list(self.spans) if one["parent"] == span["id"]}
                return {"": span, **children}
        return None

    def close(self):
        self.server.shutdown()
        self.server.server_close()
