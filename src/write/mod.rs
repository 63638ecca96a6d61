//! Write: from a response to the socket.
//!
//! The invariant: one send is in flight per connection, what was sealed leaves in the order in
//! which it was sealed, and nothing is sealed that there is no memory to send from. So the queue
//! is one buffer or one message; while it is full or in flight the connection's task reads no
//! further request, which is all the back-pressure there is. Memory to send from is taken when
//! the socket has room for what it will hold, so that peers that do not read hold none of it.
//!
//! | what | kernel TLS | user-space TLS |
//! |---|---|---|
//! | head and small body | one sendmsg(2) of both, where they lie | copied together, sealed in place, one write |
//! | cached file | the same message: the kernel encrypts from the cache's memory | sealed from the cache's memory into send memory |
//! | file in the page cache | sendfile(2) | read into send memory, sealed in place |
//! | file on disk | read through the ring into send memory, then sent | the same, sealed in place, the next piece being read meanwhile |

#![forbid(unsafe_code)]

mod error;
mod file;
mod framed;
mod observed;
mod pace;
mod rekey;
mod room;
mod sizing;
mod source;
#[cfg(test)]
mod tests;
mod writer;

pub use error::WriteError;
pub use pace::Pace;
pub use room::HELD_UP;
pub use sizing::RecordSizing;
pub use source::{Division, Parts, Piece, Source, Whole};
pub use writer::{Body, Writer};
