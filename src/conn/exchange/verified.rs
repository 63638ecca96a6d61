//! A responder that begins once the credentials of its request are found right.

use std::{
    future::Future,
    pin::Pin,
    rc::Rc,
    task::{self, Poll},
};

use super::{
    decide::refusal,
    streamed::{Answered, Failure, Intake, Report, Responder, ResponseContent, Stages},
};
use crate::{
    conn::{
        Context,
        guard::{Refused, Verification},
        sites::Served,
    },
    observe::{Stage, Why},
    parse::Method,
    respond::Status,
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
            Ok(reply) => Ok(Answered::Whole(reply)),
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

    fn content(&mut self) -> Option<&mut dyn ResponseContent> {
        // A refusal is whole.
        self.inner.content()
    }

    fn stages(&self) -> Stages {
        match (self.refused, &self.verification) {
            (true, _) => Stages::default(),
            (false, None) => self.inner.stages(),
            (false, Some(_)) => Stages { waits: Some(Stage::Process), ..Stages::default() },
        }
    }

    fn report(&self) -> Report {
        let inner = self.inner.report();
        let Report { limits_silence, answers_half_closed, .. } = inner;
        if self.refused {
            return Report { limits_silence, answers_half_closed, ..Report::NOTHING };
        }
        if self.verification.is_none() {
            return inner;
        }
        // A check that did not end in time is no failure of a server.
        Report { proxy_error: None, ..inner }
    }
}
