//! Write: from a response to the socket.
//!
//! The invariant: one send is in flight per connection, what was sealed leaves in the order in
//! which it was sealed, and nothing is sealed that there is no memory to send from. So the queue
//! is one buffer or one message; while it is full or in flight the connection's task reads no
//! further request, which is all the back-pressure there is. Memory to send from is taken when
//! the socket has room for what it will hold, so that peers that do not read hold none of it.
//!
//! Gathering ([`Writer::room`], [`Writer::commit`], [`Writer::lend`]) never waits; a send in flight is
//! polled and owned ([`Writer::depart`], [`Writer::poll_departed`]), so its connection can read
//! meanwhile.

#![forbid(unsafe_code)]

mod content;
mod departure;
mod error;
mod file;
mod framed;
mod memory;
mod observed;
mod pace;
mod rekey;
mod relayed;
mod sealing;
mod sizing;
mod source;
mod streamed;
#[cfg(test)]
mod tests;
mod writer;

pub(crate) use error::WriteError;
pub(crate) use framed::FramedRead;
pub(crate) use memory::HELD_UP;
pub(crate) use pace::{Pace, SendBounds};
pub(crate) use sealing::{COPIED, Frames, WORTH_A_FRAME};
pub(crate) use sizing::RecordSizing;
pub(crate) use source::{Division, Parts, Piece, Source, Whole};
pub(crate) use streamed::Frame;
pub(crate) use writer::{Following, Writer};
