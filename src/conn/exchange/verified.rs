//! A responder that begins once the credentials of its request are found right.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use super::{
    decide::refusal,
    streamed::{Answered, Failure, Fields, Intake, Responder},
};
use crate::{
    conn::{
        Context,
        guard::{Refused, Verification},
        sites::Served,
    },
    observe::{Endpoint, LayerTimes, Passed, Stage, Why},
    parse::Method,
    respond::Status,
    ring::{Chunk, ReadInto},
};

/// A responder behind a check of credentials. Until that is done the responder is not polled, and does
/// nothing.
pub(super) struct Verified {
    context: Rc<Context>,
    served: Rc<Served>,
    verification: Option<Verification>,
    /// When the check must be done, on the worker's clock.
    until: u64,
    /// The client got something else.
    refused: bool,
    inner: Box<dyn Responder>,
}

impl Verified {
    pub(super) fn new(
        context: &Rc<Context>,
        served: &Rc<Served>,
        verification: Verification,
        inner: Box<dyn Responder>,
    ) -> Self {
        let limit = served.terms.timeouts.process.as_millis() as u64;
        Self {
            context: Rc::clone(context),
            served: Rc::clone(served),
            verification: Some(verification),
            until: context.ring.now().saturating_add(limit),
            refused: false,
            inner,
        }
    }

    /// What the client gets instead of the responder's answer: what it would get of a file's route. The
    /// protocol drops the content of an answer to HEAD.
    fn refuse(&mut self, refused: Refused) -> Result<Answered, Failure> {
        (self.verification, self.refused) = (None, true);
        match refusal(&self.context, Method::Get, &self.served, refused) {
            Ok(reply) => Ok(Answered::Whole(Box::new(reply))),
            Err(error) => {
                self.context.defect(&error);
                let status = Status::InternalServerError;
                Err(Failure { status, why: Why::ServerDefect })
            }
        }
    }
}

impl Responder for Verified {
    fn poll_head(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Result<Answered, Failure>> {
        if let Some(verification) = &mut self.verification {
            let keeper = Rc::clone(verification.keeper());
            match Pin::new(verification).poll(cx) {
                Poll::Ready(true) => self.verification = None,
                Poll::Ready(false) => {
                    return Poll::Ready(self.refuse(Refused::unauthorized(&keeper)));
                }
                Poll::Pending if self.context.ring.poll_until(self.until).is_ready() => {
                    return Poll::Ready(self.refuse(Refused::busy()));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
        self.inner.poll_head(cx, intake)
    }

    fn poll_chunk(
        &mut self,
        cx: &mut task::Context<'_>,
        intake: &mut Intake,
    ) -> Poll<Option<Result<Chunk, Failure>>> {
        // A refusal is whole.
        if self.refused { Poll::Ready(None) } else { self.inner.poll_chunk(cx, intake) }
    }

    fn take_ahead(&mut self) {
        if !self.refused {
            self.inner.take_ahead();
        }
    }

    fn relays(&mut self) -> Option<u64> {
        if self.refused { None } else { self.inner.relays() }
    }

    fn poll_relay(
        &mut self,
        memory: &mut Option<ReadInto>,
    ) -> Poll<Result<Option<(ReadInto, usize)>, Failure>> {
        self.inner.poll_relay(memory)
    }

    fn waits(&self) -> Option<Stage> {
        if self.verification.is_some() { Some(Stage::Process) } else { self.inner.waits() }
    }

    fn works(&self) -> Option<Stage> {
        if self.verification.is_some() || self.refused { None } else { self.inner.works() }
    }

    fn endpoint(&self) -> Endpoint {
        if self.refused { Endpoint::UNNAMED } else { self.inner.endpoint() }
    }

    fn passed(&self) -> Passed {
        if self.refused { Passed::default() } else { self.inner.passed() }
    }

    fn layers(&self) -> LayerTimes {
        self.inner.layers()
    }

    fn answers_half_closed(&self) -> bool {
        self.inner.answers_half_closed()
    }

    fn proxy_error(&self) -> Option<&'static str> {
        // A check that did not end in time is no failure of a server.
        if self.verification.is_some() || self.refused { None } else { self.inner.proxy_error() }
    }

    fn limits_silence(&self) -> bool {
        !self.refused && self.inner.limits_silence()
    }

    fn take_trailers(&mut self) -> Fields {
        if self.refused { Fields::None } else { self.inner.take_trailers() }
    }
}
