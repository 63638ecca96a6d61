//! Content of a response that is taken ahead of a client that does not keep up, so that its server is done
//! with it and serves somebody else. The kernel's buffers hold what they can first.

use std::{collections::VecDeque, task::Poll};

use super::{
    exchange::{Exchange, RequestContent, Stage},
    failure::Reason,
    pool::{Held, HeldOf},
};
use crate::{observe::FromServer, ring::Chunk};

/// Bytes that a piece takes besides its content.
const PIECE: usize = 128;

/// Content that was taken ahead.
#[derive(Default)]
pub(super) struct Ahead {
    pieces: VecDeque<Chunk>,
    held: Option<Held>,
    /// How the response breaks off behind them.
    failed: Option<Reason>,
}

/// A request of which nothing is left.
struct Sent;

impl RequestContent for Sent {
    fn poll_piece(&mut self) -> Poll<Option<Chunk>> {
        Poll::Ready(None)
    }

    fn is_ended(&self) -> bool {
        true
    }

    fn take_trailers(&mut self) -> Box<[u8]> {
        Box::default()
    }
}

impl Ahead {
    pub(super) fn is_empty(&self) -> bool {
        self.pieces.is_empty() && self.failed.is_none()
    }

    /// What comes next; None: nothing was taken ahead.
    pub(super) fn next(&mut self) -> Option<Result<Chunk, Reason>> {
        if let Some(piece) = self.pieces.pop_front() {
            if self.pieces.is_empty() {
                self.held = None;
            }
            return Some(Ok(piece));
        }
        self.failed.take().map(Err)
    }

    fn bytes(&self) -> usize {
        self.held.as_ref().map_or(0, Held::bytes)
    }
}

impl Exchange {
    /// The client does not take what it was given: takes what comes next of the response into memory of
    /// its own, up to `hold_response` bytes and what the worker may hold. The current task is woken for
    /// more.
    pub(crate) fn take_ahead(&mut self) {
        let most = self.pool.shared.options.hold_response;
        let buffer = self.pool.ring().receive_pool().buffer_len();
        loop {
            let Stage::Talking(talk) = &mut self.stage else { return };
            let Some(longest) = talk.longest_ahead(buffer) else { return };
            let piece = longest + PIECE;
            if self.ahead.bytes() + piece > most {
                return;
            }
            // Counted before it is taken: what was taken cannot be given back.
            let counted = match &mut self.ahead.held {
                Some(held) => held.grow(piece),
                none => {
                    *none = self.pool.hold(HeldOf::Responses, piece);
                    none.is_some()
                }
            };
            if !counted {
                return;
            }
            let polled = talk.poll_chunk(&self.pool, &mut Sent);
            let taken = match &polled {
                Poll::Ready(Ok(Some(chunk))) => chunk.len() + PIECE,
                _ => 0,
            };
            if let Some(held) = &mut self.ahead.held {
                held.shrink(piece.saturating_sub(taken));
            }
            match polled {
                Poll::Pending => return,
                Poll::Ready(Ok(Some(chunk))) => {
                    let copied = FromServer { held: chunk.len() as u64, ..FromServer::default() };
                    self.passed.content.add(copied);
                    self.passed.content.add(talk.origin_of(&chunk));
                    self.ahead.pieces.push_back(Chunk::from(chunk.to_vec()));
                }
                Poll::Ready(Ok(None)) => return self.finish(),
                Poll::Ready(Err(reason)) => {
                    self.end_with(reason);
                    self.ahead.failed = Some(reason);
                    return;
                }
            }
        }
    }
}
