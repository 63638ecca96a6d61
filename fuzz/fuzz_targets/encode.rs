//! Content that is compressed while it is sent: it decodes to the same, in whatever pieces it comes, and
//! after each flush to all that came before.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::encode::hold;

fuzz_target!(|bytes: &[u8]| hold::any_pieces_decode_to_the_same(bytes));
