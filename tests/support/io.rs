//! What servers of this process run on: `RINGWAY_TEST_IO=poll` takes a whole run of tests over epoll.

use ringway::config::IoMode;

pub(crate) fn io() -> IoMode {
    match std::env::var("RINGWAY_TEST_IO").as_deref() {
        Ok("poll") => IoMode::Poll,
        Ok("" | "auto") | Err(_) => IoMode::Auto,
        Ok(other) => panic!("RINGWAY_TEST_IO is {other}, and neither poll nor auto"),
    }
}
