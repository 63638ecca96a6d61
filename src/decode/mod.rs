//! Decode: request body framing. Pure.
