//! Asking native handlers, and the memory that they write into.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, ready},
};

use super::{Finished, Handler, Head, Outcome, Reply};
use crate::{
    observe::Endpoint,
    service::panics::{caught, drop_caught},
};

/// Content up to this length stays in the memory that a worker uses again.
const KEPT_BYTES: usize = 12 * 1024;

/// Pieces of memory that a worker keeps for replies: 384 KiB at most.
const KEPT: usize = 32;

/// A handler and the path below which it is asked.
#[derive(Clone)]
pub(crate) struct Native {
    pub(crate) path: String,
    pub(crate) handler: Arc<dyn Handler>,
}

impl fmt::Debug for Native {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Native").field("path", &self.path).finish_non_exhaustive()
    }
}

/// What a handler has answered, as far as it is known.
pub(crate) enum Answered {
    /// All of it.
    Finished(Finished),
    /// Nothing: the request is for others.
    Passed,
    /// It comes from this.
    Later(Late),
}

/// Memory for the replies of a worker.
#[derive(Debug, Default)]
pub(crate) struct Memory(Vec<Rc<Vec<u8>>>);

impl Memory {
    /// Memory that nobody uses, emptied; new if there is none.
    fn take(&mut self) -> Rc<Vec<u8>> {
        let free = self.0.iter().position(|memory| Rc::strong_count(memory) == 1);
        let mut memory = free.map_or_else(Rc::default, |at| self.0.swap_remove(at));
        Rc::make_mut(&mut memory).clear();
        memory
    }

    /// A reply in memory that was used before.
    fn reply(&mut self) -> Reply {
        let lines = self.take();
        Reply::over(lines, self.take())
    }

    /// Keeps the memory of a reply, to be used again when that has left.
    fn keep(&mut self, reply: &Reply) {
        for memory in [&reply.lines, &reply.body] {
            if self.0.len() < KEPT && memory.capacity() <= KEPT_BYTES {
                self.0.push(Rc::clone(memory));
            }
        }
    }
}

/// Has a handler answer.
///
/// # Errors
/// What the log says of it; the client gets 500.
pub(crate) fn ask(
    handler: &dyn Handler,
    head: &Head<'_>,
    memory: &RefCell<Memory>,
) -> Result<Answered, String> {
    let mut reply = memory.borrow_mut().reply();
    let outcome = caught(|| handler.answer(head, &mut reply));
    memory.borrow_mut().keep(&reply);
    match outcome {
        Ok(Outcome::Done) => finished(reply).map(Answered::Finished),
        Ok(Outcome::Pass) => Ok(Answered::Passed),
        Ok(Outcome::Later(future)) => Ok(Answered::Later(Late(Some(future)))),
        Err(message) => Err(panicked(&message)),
    }
}

fn finished(reply: Reply) -> Result<Finished, String> {
    reply.finish().map_err(|fault| fault.to_string())
}

fn panicked(message: &str) -> String {
    format!("a handler panicked: {message}")
}

/// A reply that is being made.
pub(crate) struct Late(Option<Pin<Box<dyn Future<Output = Reply>>>>);

impl Late {
    /// Polls for the reply.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Result<Finished, String>> {
        let Some(future) = &mut self.0 else {
            return Poll::Ready(Err("a handler was polled behind its end".to_owned()));
        };
        let reply = match caught(|| future.as_mut().poll(cx)) {
            Ok(polled) => ready!(polled).finish().map_err(|fault| fault.to_string()),
            Err(message) => Err(panicked(&message)),
        };
        drop_caught(self.0.take());
        Poll::Ready(reply)
    }
}

impl Drop for Late {
    fn drop(&mut self) {
        drop_caught(self.0.take());
    }
}

/// The handlers of a worker, each with its name.
pub(crate) type Handlers = Vec<(Arc<dyn Handler>, Endpoint)>;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_used_again_once_nobody_has_it() {
        let mut memory = Memory::default();
        let mut reply = memory.reply();
        reply.field("a", "b").body(b"content");
        memory.keep(&reply);
        let finished = reply.finish().unwrap();
        let address = finished.lines.as_ptr();
        assert_eq!(memory.0.len(), 2);
        let other = memory.reply();
        assert_ne!(other.lines.as_ptr(), address, "it is still to be sent");
        drop((finished, other));
        let again = [memory.take(), memory.take()];
        assert!(again.iter().any(|one| one.as_ptr() == address && one.is_empty()));
        let mut large = memory.reply();
        large.body(&vec![0; KEPT_BYTES + 1]);
        memory.keep(&large);
        assert_eq!(memory.0.len(), 1, "what is large is given back");
    }
}
