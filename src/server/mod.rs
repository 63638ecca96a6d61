//! The server as a library: start, stop, drain.
