//! Clients that do not keep up with their answer.

use std::{
    future::{Future, poll_fn},
    pin::{Pin, pin},
};

use crate::{
    conn::{Context, exchange::Responder, session::while_held_up},
    read::Reader,
    write::{HELD_UP, WriteError},
};

/// Awaits something that is sent. While the client takes none of it, the connection holds no receive
/// buffers, and what comes next of the answer is taken ahead: a slow client does not keep its server.
pub(super) async fn while_slow<T>(
    context: &Context,
    reader: &mut Reader,
    responder: &mut dyn Responder,
    sent: Pin<&mut impl Future<Output = Result<T, WriteError>>>,
) -> Result<T, WriteError> {
    let slow_at = context.ring.now().saturating_add(HELD_UP.as_millis() as u64);
    let mut sent = pin!(while_held_up(reader, sent));
    poll_fn(|cx| {
        let polled = sent.as_mut().poll(cx);
        if polled.is_pending()
            && context.ring.poll_until(slow_at).is_ready()
            && let Some(content) = responder.content()
        {
            content.take_ahead();
        }
        polled
    })
    .await
}
