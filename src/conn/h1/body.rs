//! Request content. Files have no use for it: it is read only to find the next request, within
//! its bounds on length, time and rate, and dropped.

use std::{pin::pin, rc::Rc};

use super::{
    Stop,
    head::{Framing, Refusal},
};
use crate::{
    conn::{
        Context, Session,
        session::{ended_by_write, while_held_up},
        sites::Terms,
        why,
    },
    decode::{BodyDecoder, BodyError},
    observe::Why,
    respond::{CONTINUE, Status},
    ring::Socket,
    write::{Pace, WriteError},
};

/// Reads and drops the content of a request whose head has been consumed.
pub(super) async fn discard(
    context: &Rc<Context>,
    socket: &Socket,
    session: &mut Session,
    framing: &Framing,
    terms: &Terms,
) -> Result<(), Stop> {
    let timeouts = &terms.timeouts;
    let refuse = |status, why| Stop::Refuse(Refusal { status, why, to_head: framing.to_head });
    let refused = |error: BodyError| {
        log::debug!("decode: {error}");
        refuse(error.status(), why::of_body(error))
    };
    let mut decoder = BodyDecoder::new(framing.body, terms.limits.body_bytes).map_err(refused)?;
    if framing.expects_continue && session.reader.plaintext().is_empty() {
        send_continue(session, socket).await?;
    }
    let mut pace = Pace::new(timeouts.body_min_rate, timeouts.body_progress);
    pace.begin(context.ring.now());
    loop {
        let bytes = session.reader.plaintext();
        if !bytes.is_empty() {
            let step = decoder.decode(bytes).map_err(refused)?;
            session.reader.consume(step.consumed);
            if step.finished {
                return Ok(());
            }
            if !pace.keeps_up(context.ring.now(), step.consumed) {
                return Err(refuse(Status::RequestTimeout, Why::ServerTooSlow));
            }
            if step.consumed > 0 {
                continue;
            }
        }
        if !session.fill_at_hand(socket)? {
            session.flush(socket).await?;
            let filled = context.ring.within(timeouts.body_progress, session.fill(socket)).await;
            let Ok(filled) = filled else {
                return Err(refuse(Status::RequestTimeout, Why::ServerTimeout));
            };
            filled?;
        }
    }
}

pub(super) async fn send_continue(session: &mut Session, socket: &Socket) -> Result<(), Stop> {
    session.refresh_key(socket).await?;
    let Session { reader, writer, clock, .. } = session;
    let queued = async {
        writer.reserve(socket, CONTINUE.len(), 0, false).await?;
        let room = writer.room().get_mut(..CONTINUE.len());
        room.ok_or(WriteError::Defect("no room was made"))?.copy_from_slice(CONTINUE);
        writer.commit(CONTINUE.len())?;
        writer.flush(socket).await
    };
    let sent = while_held_up(reader, pin!(queued)).await;
    sent.map_err(|error| Stop::Close(ended_by_write(clock, &error)))?;
    // It was no answer: how it left says nothing of the answer.
    writer.gathering().reset();
    Ok(())
}
