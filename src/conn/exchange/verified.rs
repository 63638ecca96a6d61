//! A responder that begins once the credentials of its request are found right.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use super::streamed::{Answered, Failure, Fields, Intake, Responder, StreamedHead};
use crate::{
    conn::{Context, guard::Verification},
    observe::{Endpoint, Stage, Why},
    respond::Status,
    ring::Chunk,
};

/// A responder behind a check of credentials. Until that is done the responder is not polled, and does
/// nothing.
pub(super) struct Verified {
    context: Rc<Context>,
    verification: Option<Verification>,
    /// When the check must be done, on the worker's clock.
    until: u64,
    /// What the client gets instead.
    refusal: Option<Chunk>,
    refused: bool,
    inner: Box<dyn Responder>,
}

impl Verified {
    pub(super) fn new(
        context: &Rc<Context>,
        verification: Verification,
        inner: Box<dyn Responder>,
    ) -> Self {
        let limit = context.terms().timeouts.process.as_millis() as u64;
        Self {
            context: Rc::clone(context),
            verification: Some(verification),
            until: context.ring.now().saturating_add(limit),
            refusal: None,
            refused: false,
            inner,
        }
    }

    /// Asks for name and password.
    fn challenge(&mut self, challenge: &str) -> StreamedHead {
        self.context.count(|counts| counts.unauthorized += 1);
        let page = Status::Unauthorized.page().as_bytes();
        self.refused = true;
        self.refusal = Some(Chunk::from(page.to_vec()));
        let lines = format!(
            "Content-Type: text/html; charset=utf-8\r\nWWW-Authenticate: {challenge}\r\n\
             Cache-Control: no-store\r\n"
        );
        StreamedHead {
            status: Status::Unauthorized.code(),
            fields: Fields::Lines(lines.into_bytes().into_boxed_slice()),
            length: Some(page.len() as u64),
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
                    self.verification = None;
                    let head = self.challenge(keeper.challenge());
                    return Poll::Ready(Ok(Answered::Streamed(head)));
                }
                Poll::Pending if self.context.ring.poll_until(self.until).is_ready() => {
                    let (status, why) = (Status::ServiceUnavailable, Why::ServerBusy);
                    return Poll::Ready(Err(Failure { status, why }));
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
        if self.refused {
            return Poll::Ready(self.refusal.take().map(Ok));
        }
        self.inner.poll_chunk(cx, intake)
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

    fn answers_half_closed(&self) -> bool {
        self.inner.answers_half_closed()
    }

    fn proxy_error(&self) -> Option<&'static str> {
        // A check that did not end in time is no failure of a server.
        if self.verification.is_some() { None } else { self.inner.proxy_error() }
    }

    fn limits_silence(&self) -> bool {
        !self.refused && self.inner.limits_silence()
    }

    fn take_trailers(&mut self) -> Fields {
        if self.refused { Fields::None } else { self.inner.take_trailers() }
    }
}
