//! The handshake with a server that speaks TLS.

use std::{rc::Rc, task::Poll};

use super::{connection::Connection, failure::Reason};
use crate::ring::{Chunk, Flight, Message, Ring};

/// A handshake under way.
#[derive(Default)]
pub(super) struct Securing(Option<Flight<Box<Message>>>);

impl Securing {
    /// Whether it is over. Its deadline is the caller's.
    pub(super) fn poll(
        &mut self,
        ring: &Rc<Ring>,
        connection: &mut Connection,
    ) -> Poll<Result<(), Reason>> {
        loop {
            if let Some(mut flight) = self.0.take() {
                match flight.poll() {
                    Poll::Pending => self.0 = Some(flight),
                    Poll::Ready((Ok(count), mut message)) => {
                        message.advance(count);
                        if message.remaining() > 0 {
                            self.0 = connection.begin_send(message);
                        } else {
                            ring.put_back_message(message);
                        }
                        continue;
                    }
                    Poll::Ready((Err(_), _)) => return Poll::Ready(Err(Reason::TlsProtocol)),
                }
            }
            if self.0.is_none() {
                let records = match connection.handshake_records() {
                    Ok(records) => records,
                    Err(reason) => return Poll::Ready(Err(reason)),
                };
                if !records.is_empty() {
                    let mut message = ring.message();
                    let (content, range) = Chunk::from(records).into_parts();
                    if !message.push_content(content, range) {
                        return Poll::Ready(Err(Reason::Local));
                    }
                    self.0 = connection.begin_send(message);
                    continue;
                }
                if !connection.is_handshaking() {
                    return Poll::Ready(Ok(()));
                }
            }
            match connection.poll_handshake() {
                Poll::Pending => return Poll::Pending,
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(reason)) => return Poll::Ready(Err(reason)),
            }
        }
    }
}
