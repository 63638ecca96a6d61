//! Headers by which a balancer announces a client: complete, incomplete or refused, in any pieces.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::parse::proxy_protocol_hold;

fuzz_target!(|bytes: &[u8]| proxy_protocol_hold::a_header_has_one_meaning(bytes));
