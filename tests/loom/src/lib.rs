//! Wakes and returns of `src/ring`, by loom: every order in which the steps of two or three threads can
//! happen, and every value that a relaxed load may see.

#![forbid(unsafe_code)]
#![cfg(test)]

mod ring;
