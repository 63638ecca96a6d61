//! Micro-benchmarks of Ringway's pure stages: `cargo bench -p ringway-bench-micro` in `bench/`.
//!
//! `request` measures what lies between the bytes of a request and those of the response's head,
//! `record` the sealing and opening of TLS records. The op table and the buffer pools are private
//! to the server, and the ring that they serve is not pure: they are measured with the whole.
//! There is no code here.

#![forbid(unsafe_code)]
