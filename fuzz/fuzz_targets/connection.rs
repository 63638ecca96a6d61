//! Whole connections over a scripted ring: arbitrary splits, errors and delays. See
//! `ringway::internals::worker` for what the input means and what is checked.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::worker::play;

fuzz_target!(|input: &[u8]| {
    play(input);
});
