//! An honest client beside what a test does to the server.

use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use crate::client::Client;
use crate::response::Response;
use crate::server::{PATIENCE, Server};
use crate::site::HELLO;

/// So that the honest client ends although the act panics.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Does something to the server while an honest client asks for a page again and again, on one
/// connection and on a new one in turns. Every answer must be right, the last one after the act.
pub(crate) fn beside<T>(server: &Server, act: impl FnOnce() -> T) -> T {
    honest_beside(server, act, |new| new.get("/hello.txt"))
}

/// The same where there is no room for all that the act connects. A client that its own machine lets stand still
/// before it has shaken hands is closed for the others; then it comes again.
pub(crate) fn beside_a_crowd<T>(server: &Server, act: impl FnOnce() -> T) -> T {
    honest_beside(server, act, |new| until_answered(server, new, "/hello.txt"))
}

/// How a client sees that its connection was closed before it had shaken hands.
const CLOSED: [ErrorKind; 3] =
    [ErrorKind::BrokenPipe, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];

/// Asks for a path, on a new connection if this one was closed for others, until there is an answer.
pub(crate) fn until_answered(server: &Server, client: &mut Client, path: &str) -> Response {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let error = match client.ask(path) {
            Ok(response) => return response,
            Err(error) => error,
        };
        // Not within a response.
        let closed = CLOSED.contains(&error.kind()) || error.to_string() == "closed after \"\"";
        assert!(closed && Instant::now() < deadline, "{path} is not answered: {error}");
        *client = server.connect();
    }
}

fn honest_beside<T>(
    server: &Server,
    act: impl FnOnce() -> T,
    first: impl Fn(&mut Client) -> Response + Sync,
) -> T {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut kept = server.connect();
            assert_eq!(first(&mut kept).body, HELLO);
            loop {
                let last = over.load(Ordering::Acquire);
                // A server may close an idle connection at any time (RFC 9112 section 9.5), as this
                // one does for want of room; a client then asks again on a new one.
                let response = kept.ask("/hello.txt").unwrap_or_else(|error| {
                    // Not within a response, and not without a word.
                    assert_eq!(error.to_string(), "closed after \"\"");
                    eprintln!("a kept connection was evicted");
                    kept = server.connect();
                    first(&mut kept)
                });
                assert_eq!(response.body, HELLO);
                let mut new = server.connect();
                assert_eq!(first(&mut new).body, HELLO);
                new.close();
                new.expect_close();
                if last {
                    return;
                }
                std::thread::sleep(std::time::Duration::from_millis(5));
            }
        });
        let done = Over(&over);
        let result = act();
        drop(done);
        honest.join().expect("the honest client is served");
        result
    })
}
