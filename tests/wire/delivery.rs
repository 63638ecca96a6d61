//! How the bytes of a request reach the server: every case of the protocol is tried in each way.

use crate::client::Client;
use crate::response::Response;
use crate::server::Server;

/// A way for bytes to arrive.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Delivery {
    /// In one record.
    Whole,
    /// Each byte in a record and a segment of its own.
    Bytewise,
    /// In one record behind a request that is answered.
    Pipelined,
}

/// All of them.
pub(crate) const DELIVERIES: [Delivery; 3] =
    [Delivery::Whole, Delivery::Bytewise, Delivery::Pipelined];

const GOOD: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Sends `request` on a new connection in this way and takes its first response.
pub(crate) fn deliver(server: &Server, way: Delivery, request: &[u8]) -> (Client, Response) {
    let mut client = server.connect();
    match way {
        Delivery::Whole => {
            client.send(request);
        }
        Delivery::Bytewise => {
            client.send_bytewise(request);
        }
        Delivery::Pipelined => {
            client.send(&[GOOD, request].concat());
            assert_eq!(client.response("GET").status, 200, "the request in front");
        }
    }
    let method = request.split(|&byte| byte == b' ').next().unwrap_or_default();
    let method = String::from_utf8_lossy(method).into_owned();
    let response = client.try_response(&method).unwrap_or_else(|error| {
        panic!("no response: {error}; {way:?}: {}", show(request));
    });
    (client, response)
}

/// The bytes of a request, for a message.
pub(crate) fn show(request: &[u8]) -> String {
    let text = request.escape_ascii().to_string();
    text.chars().take(200).collect()
}

/// Asserts that a request is refused with one of these statuses, and the connection then closed
/// with nothing more said, in every delivery.
pub(crate) fn refused(server: &Server, statuses: &[u16], request: &[u8]) {
    for way in DELIVERIES {
        let (mut client, response) = deliver(server, way, request);
        assert!(
            statuses.contains(&response.status),
            "{} instead of {statuses:?}; {way:?}: {}",
            response.status,
            show(request)
        );
        assert!(response.closes(), "does not say that it closes; {way:?}: {}", show(request));
        client.close();
        let (rest, _) = client.end();
        assert!(rest.is_empty(), "more came: {}; {way:?}: {}", show(&rest), show(request));
    }
}

/// Asserts that a request is answered with this status and the connection still serves, in every
/// delivery; returns the last response.
pub(crate) fn answered(server: &Server, status: u16, request: &[u8]) -> Response {
    let mut last = None;
    for way in DELIVERIES {
        let (mut client, response) = deliver(server, way, request);
        assert_eq!(response.status, status, "{way:?}: {}", show(request));
        let next = client.get("/hello.txt");
        assert_eq!((next.status, next.body.as_slice()), (200, crate::site::HELLO), "{way:?}");
        last = Some(response);
    }
    last.expect("at least one delivery")
}
