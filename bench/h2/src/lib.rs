//! HTTP/2 for clients that measure and test servers: frames (RFC 9113) and HPACK (RFC 7541), pure.
//!
//! Nothing here is shared with the server, so that a fault of its codec is not repeated by the
//! client that is to find it. The writing side makes any frame and any field representation, legal
//! or not; the reading side is strict.
//!
//! | module | what it does |
//! |---|---|
//! | [`frame`] | frame heads, kinds, flags, error codes, SETTINGS; frames into a buffer |
//! | [`encode`] | integers, strings and field representations of HPACK into a buffer |
//! | [`decoder`] | header blocks into fields, with the dynamic table |
//! | [`huffman`] | the code of RFC 7541 appendix B, both ways |
//! | [`static_table`] | RFC 7541 appendix A |

#![forbid(unsafe_code)]

pub mod decoder;
pub mod encode;
pub mod frame;
pub mod huffman;
pub mod static_table;
