//! Look-ups in flight: one boxed future for each, which ends with an answer that owns what it is
//! made of.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use super::{
    answers::{sendable, write_head},
    shared::Held,
};
use crate::{
    conn::{
        Context,
        exchange::{KeptAsked, Lookups, Want, find_out},
    },
    observe::Why,
    write::{Source, WriteError},
};

/// An answer whose head is written already, as one frame.
#[derive(Debug)]
pub(super) struct Found {
    pub(super) status: u16,
    /// Why the request was refused, if it was.
    pub(super) why: Option<Why>,
    pub(super) head: Vec<u8>,
    pub(super) source: Source,
    /// Nanoseconds that went into compressing the answer, as far as its clock has not counted them.
    pub(super) compressing: u64,
    /// What it takes, in the worker's account.
    pub(super) held: Held,
}

/// One look-up. It has its deadline in [`find_out`].
pub(super) struct Lookup {
    pub(super) stream: u32,
    future: Pin<Box<dyn Future<Output = Result<Found, WriteError>>>>,
}

impl Lookup {
    /// Begins to look up what the answer to a request depends on.
    pub(super) fn new(
        context: Rc<Context>,
        stream: u32,
        kept: KeptAsked,
        want: Want,
        held: Held,
    ) -> Self {
        let future = Box::pin(async move {
            let lookups = Lookups::default();
            let mut reply = find_out(&context, kept, want, &lookups).await?;
            let room = sendable(&context, &mut reply)?;
            let mut head = vec![0; room];
            let length = match write_head(&context, &mut head, &reply, None, false, stream) {
                Ok(length) => length,
                Err(fault) => {
                    context.defect(&fault);
                    return Err(WriteError::Defect("the head of an answer cannot be written"));
                }
            };
            head.truncate(length);
            let (status, why) = (reply.code(), reply.why());
            let source = std::mem::take(reply.source_mut());
            let compressing = lookups.compressing();
            Ok(Found { status, why, head, source, compressing, held })
        });
        Self { stream, future }
    }

    pub(super) fn poll(&mut self, cx: &mut task::Context<'_>) -> Poll<Result<Found, WriteError>> {
        self.future.as_mut().poll(cx)
    }
}
