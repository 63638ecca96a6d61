//! The substrate: one io_uring. Nearly all unsafe code lives here.

pub mod probe;
