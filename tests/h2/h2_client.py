# A client on Python's h2, strict about every frame: 50 streams at once, default windows.
import hashlib, socket, ssl, sys
import h2.config, h2.connection, h2.events

port, expected, cert = int(sys.argv[1]), sys.argv[2], sys.argv[3]
context = ssl.create_default_context(cafile=cert)
context.set_alpn_protocols(["h2"])
sock = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=120),
                           server_hostname="localhost")
assert sock.selected_alpn_protocol() == "h2"
connection = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
connection.initiate_connection()
bodies, ended = {}, set()
for number in range(50):
    stream = connection.get_next_available_stream_id()
    path = "/large.bin" if number % 10 == 0 else "/hello.txt"
    connection.send_headers(stream, [(":method", "GET"), (":scheme", "https"), (":path", path),
                                     (":authority", "localhost")], end_stream=True)
    bodies[stream] = (path, hashlib.sha256())
sock.sendall(connection.data_to_send())
while len(ended) < len(bodies):
    data = sock.recv(65536)
    assert data, "an early end"
    for event in connection.receive_data(data):
        if isinstance(event, h2.events.ResponseReceived):
            assert (b":status", b"200") in [(bytes(n), bytes(v)) if isinstance(n, bytes)
                                            else (n.encode(), v.encode())
                                            for n, v in event.headers]
        elif isinstance(event, h2.events.DataReceived):
            bodies[event.stream_id][1].update(event.data)
            connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded):
            ended.add(event.stream_id)
        else:
            assert not isinstance(event, (h2.events.StreamReset, h2.events.ConnectionTerminated))
    sock.sendall(connection.data_to_send())
for path, digest in bodies.values():
    if path == "/large.bin":
        assert digest.hexdigest() == expected, path
    else:
        assert digest.hexdigest() == hashlib.sha256(b"hello, ring road\n").hexdigest(), path
connection.close_connection()
sock.sendall(connection.data_to_send())
print("all is well")
