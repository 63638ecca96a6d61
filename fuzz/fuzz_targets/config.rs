//! The configuration file: any text is a configuration, or each error has its line and column.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::config::file_hold;

fuzz_target!(|text: &str| file_hold::a_text_is_answered(text));
