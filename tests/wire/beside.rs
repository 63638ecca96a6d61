//! An honest client beside what a test does to the server.

use std::sync::atomic::{AtomicBool, Ordering};

use crate::server::Server;
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
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let honest = scope.spawn(|| {
            let mut kept = server.connect();
            loop {
                let last = over.load(Ordering::Acquire);
                // A server may close an idle connection at any time (RFC 9112 section 9.5), as this
                // one does for want of room; a client then asks again on a new one.
                let response = kept.ask("/hello.txt").unwrap_or_else(|error| {
                    // Not within a response, and not without a word.
                    assert_eq!(error.to_string(), "closed after \"\"");
                    eprintln!("a kept connection was evicted");
                    kept = server.connect();
                    kept.get("/hello.txt")
                });
                assert_eq!(response.body, HELLO);
                let mut new = server.connect();
                assert_eq!(new.get("/hello.txt").body, HELLO);
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
