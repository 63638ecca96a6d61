//! Long content of a server on its way to the client: received into the memory that it is sent from.

use std::{pin::pin, rc::Rc};

use super::{Stop, pump::Pump, slow::while_slow};
use crate::{
    conn::{
        Context, Session,
        exchange::{Failure, Responder, ResponseContent},
        session::{ended_by_write, while_held_up},
    },
    ring::Socket,
};

/// Passes on what has arrived of `rest` bytes: how many these are, 0 if nothing has arrived.
///
/// # Errors
/// The client's connection ended. The inner failure is the server's.
pub(super) async fn relay(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    pump: &mut Pump,
    responder: &mut dyn Responder,
    rest: u64,
) -> Result<Result<usize, Failure>, Stop> {
    let Session { reader, writer, clock, .. } = session;
    let memory =
        while_slow(context, reader, responder, pin!(writer.relay_memory(socket, rest))).await;
    let mut memory = Some(memory.map_err(|error| Stop::Close(ended_by_write(clock, &error)))?);
    let Some(source) = responder.content().and_then(ResponseContent::relay) else {
        return Ok(Err(Failure::NO_CONTENT));
    };
    let received =
        pump.drive(context, socket, session, |_, _| source.poll_relay(&mut memory)).await?;
    let (memory, count) = match received {
        Ok(Some(received)) => received,
        Ok(None) => return Ok(Ok(0)),
        Err(failure) => return Ok(Err(failure)),
    };
    let Session { reader, writer, clock, .. } = session;
    let sent = while_held_up(reader, pin!(writer.relay(socket, memory, count))).await;
    sent.map_err(|error| Stop::Close(ended_by_write(clock, &error)))?;
    Ok(Ok(count))
}
