//! Whole connections over the polling backend: real sockets and files, arbitrary splits, clients that
//! stop reading or go away, a clock that jumps. See `ringway::internals::worker` for what the input
//! means and what is checked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::worker::play_polling;

fuzz_target!(|input: &[u8]| {
    play_polling(input);
});
