# Several coded answers over one connection of Python's h2, in windows of 8 KiB: one is reset in its midst,
# one is not read until the others have ended. Round after round, since an encoder that is not given back
# is missed only once a worker has no other.
import socket, ssl, sys, time, zlib
import h2.config, h2.connection, h2.events, h2.settings

port, expected, rounds = int(sys.argv[1]), open(sys.argv[2], "rb").read(), int(sys.argv[3])
context = ssl._create_unverified_context()
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=120))
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True, header_encoding="utf-8"))
connection.initiate_connection()
connection.update_settings({h2.settings.SettingCodes.INITIAL_WINDOW_SIZE: 8192})
connection.increment_flow_control_window(1 << 24)


def round_of(paths):
    """Asks for all at once; how many of the answers that ended were coded."""
    streams = []
    for path in paths:
        stream = connection.get_next_available_stream_id()
        streams.append(stream)
        connection.send_headers(stream, [
            (":method", "GET"), (":scheme", "https"), (":path", path), (":authority", "localhost"),
            ("accept-encoding", "gzip")], end_stream=True)
    cancelled, slow = (streams[1], streams[2]) if len(streams) > 2 else (None, None)
    bodies, coded, ended, owed = {s: b"" for s in streams}, set(), set(), 0
    while len(ended) < len(streams):
        sock.sendall(connection.data_to_send())
        data = sock.recv(65536)
        assert data, "an early end"
        for event in connection.receive_data(data):
            stream = getattr(event, "stream_id", None)
            if isinstance(event, h2.events.ResponseReceived):
                fields = dict(event.headers)
                assert fields[":status"] == "200", fields
                if fields.get("content-encoding") == "gzip":
                    coded.add(stream)
            elif isinstance(event, h2.events.DataReceived):
                if stream in ended:
                    continue
                bodies[stream] += event.data
                if stream == cancelled:
                    connection.reset_stream(stream, 8)
                    ended.add(stream)
                    coded.discard(stream)
                elif stream == slow:
                    owed += event.flow_controlled_length
                else:
                    connection.acknowledge_received_data(event.flow_controlled_length, stream)
            elif isinstance(event, h2.events.StreamEnded):
                ended.add(stream)
            else:
                assert not isinstance(event, h2.events.ConnectionTerminated), event
                assert not isinstance(event, h2.events.StreamReset), event
        if slow is not None and slow not in ended and len(ended) == len(streams) - 1 and owed:
            connection.acknowledge_received_data(owed, slow)
            slow = None
    for stream in streams:
        if stream == cancelled:
            continue
        body = bodies[stream]
        if stream in coded:
            decoder = zlib.decompressobj(wbits=31)
            body = decoder.decompress(body)
            assert decoder.eof and not decoder.unused_data
        assert body == expected, (stream, len(body))
    return len(coded)


# A worker without time sends the plain content.
deadline = time.monotonic() + 120
done = 0
while done < rounds:
    assert time.monotonic() < deadline, "too few answers are coded"
    done += round_of(["/one", "/two", "/three", "/files/page.html", "/four"]) >= 3
while not round_of(["/last"]):
    assert time.monotonic() < deadline, "the encoders were not given back"
    time.sleep(0.05)
print("all is well")
