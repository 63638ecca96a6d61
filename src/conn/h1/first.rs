//! The first poll of a responder, before an exchange is set up for it: an answer that is whole by then
//! leaves as any reply does.

use std::task::{self, Waker};

use super::head::Framing;
use crate::{
    conn::exchange::{First, Intake, Responder},
    observe::{RequestClock, Stage},
};

/// Polls a responder of a request without content for the first time.
pub(super) fn poll_first(
    clock: &mut RequestClock,
    framing: &Framing,
    responder: &mut dyn Responder,
) -> First {
    clock.of(responder.report().endpoint);
    clock.enter(responder.stages().works.unwrap_or(Stage::Process));
    // The context wakes nobody: the ring names the task, and others have its waker.
    let mut cx = task::Context::from_waker(Waker::noop());
    responder.poll_head(&mut cx, &mut Intake::new(framing.body))
}
