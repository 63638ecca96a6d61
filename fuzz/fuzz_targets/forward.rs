//! Heads on their way through the proxy: a request keeps its one meaning, a response its lines.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::respond::hold;

fuzz_target!(|bytes: &[u8]| {
    hold::a_request_keeps_its_meaning(bytes);
    hold::a_response_keeps_its_lines(bytes);
});
