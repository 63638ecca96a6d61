//! Waiting: for bytes, for look-ups, and for the first of all deadlines.

use std::{
    future::poll_fn,
    task::{self, Poll, ready},
    time::Duration,
};

use super::{Connection, Stop, drain::Drain, inbound::State, lookups::Found, streams::Answering};
use crate::{
    close::Ending,
    conn::DRAIN_GRACE,
    observe::Why,
    parse::h2::ErrorCode,
    respond::Status,
    ring::Elapsed,
    write::{HELD_UP, WriteError},
};

/// How long a client has to see an answer before RST_STREAM(NO_ERROR) makes it stop sending content
/// that is too long. Clients that see both at once take them for an error.
const CUT_AFTER: Duration = Duration::from_secs(1);

/// Milliseconds without a stream, after which a connection keeps no memory for the next ones.
const RESTS_AFTER: u64 = 1_000;

/// The longest wait in which nothing is checked.
const LONGEST_WAIT: u64 = 60_000;

/// What a wait has brought.
enum Event {
    /// Plaintext.
    Filled,
    /// A look-up of a stream.
    Found(u32, Result<Found, WriteError>),
    /// A send has left, there is room to gather, or a file was read.
    Room,
    /// The worker stops, or the connection is evicted.
    Leave,
}

impl Connection<'_> {
    /// Waits for whatever comes first. Everything that was ready has left.
    pub(super) async fn wait(&mut self) -> Result<(), Stop> {
        let until = self.next_deadline();
        let event = {
            let context = self.context;
            let may_read = self.may_read() && !self.is_slowed_down();
            let serving = self.drain == Drain::Serving;
            let idle = self.is_idle_now() && self.last_stream > 0;
            let (established, fresh) = (self.established, self.last_stream == 0);
            let _idle = idle.then(|| context.occupancy.idles());
            let since = self.now();
            let event = poll_fn(|cx| self.poll_event(cx, may_read, since));
            let (began, grace) = if fresh { (established, DRAIN_GRACE) } else { (0, 0) };
            if serving {
                let event = context.unless_draining(event, began, grace);
                match context.ring.until(until, event).await {
                    Ok(Some(event)) => Ok(event?),
                    Ok(None) => Ok(Event::Leave),
                    Err(elapsed) => Err(elapsed),
                }
            } else {
                match context.ring.until(until, event).await {
                    Ok(event) => Ok(event?),
                    Err(elapsed) => Err(elapsed),
                }
            }
        };
        match event {
            Ok(Event::Filled) => self.inbound.fresh = true,
            Ok(Event::Found(stream, found)) => self.found(stream, found?)?,
            // The next turn gathers what there is room for now.
            Ok(Event::Room) => {}
            // Drained by the next gather; an evicted connection says so at once.
            Ok(Event::Leave) if self.context.is_draining() => {}
            Ok(Event::Leave) => {
                self.session.clock.ends(Why::ServerEvicted);
                return Err(Stop::Leave(Ending::CloseNotify));
            }
            Err(Elapsed) => self.expire()?,
        }
        Ok(())
    }

    /// What comes first. Each wait has its own deadline besides.
    fn poll_event(
        &mut self,
        cx: &mut task::Context<'_>,
        may_read: bool,
        since: u64,
    ) -> Poll<Result<Event, Stop>> {
        let writer = &mut self.session.writer;
        if writer.is_departing() {
            if let Poll::Ready(left) = writer.poll_departed(self.socket) {
                left?;
                self.has_left();
                return Poll::Ready(Ok(Event::Room));
            }
        } else if self.reads.has_wish() {
            if let Poll::Ready(begun) = self.poll_wish() {
                begun?;
                return Poll::Ready(Ok(Event::Room));
            }
        } else if self.relay_wish.is_some() {
            if let Poll::Ready(begun) = self.poll_relay_wish() {
                begun?;
                return Poll::Ready(Ok(Event::Room));
            }
        } else if let Some(wanted) = self.wanted
            && let Poll::Ready(found) = wanted.poll(self.socket, writer)
        {
            found?;
            self.wanted = None;
            return Poll::Ready(Ok(Event::Room));
        }
        if self.poll_exchanges()? {
            return Poll::Ready(Ok(Event::Room));
        }
        if self.reads.poll(&self.context.ring).is_ready() {
            return Poll::Ready(Ok(Event::Room));
        }
        for at in 0..self.lookups.len() {
            if let Some(Poll::Ready(found)) = self.lookups.get_mut(at).map(|one| one.poll(cx)) {
                let lookup = self.lookups.swap_remove(at);
                return Poll::Ready(Ok(Event::Found(lookup.stream, found)));
            }
        }
        self.rest_if_idle()?;
        if may_read {
            let filled = ready!(self.session.poll_fill(self.socket));
            return Poll::Ready(filled.map(|()| Event::Filled).map_err(Stop::from));
        }
        // A connection that is not read holds no receive buffers for long.
        let held_up = since.saturating_add(HELD_UP.as_millis() as u64);
        ready!(self.context.ring.poll_until(held_up));
        if self.session.reader.set_aside() {
            return Poll::Pending;
        }
        Poll::Ready(Err(WriteError::Overrun.into()))
    }

    /// Gives back the memory of streams and of the table, once no stream has been open for a moment: a
    /// client that asks again at once finds it as it was.
    fn rest_if_idle(&mut self) -> Result<(), Stop> {
        if self.rests || !self.is_idle_now() {
            return Ok(());
        }
        let at = self.idle_since.saturating_add(RESTS_AFTER);
        if self.context.ring.poll_until(at).is_pending() {
            return Ok(());
        }
        self.rests = true;
        self.streams.shrink();
        self.heads.shrink_to_fit();
        self.lookups.shrink_to_fit();
        self.reads.shrink();
        self.decoder.shrink().map_err(|_| Stop::defect("the table of fields is not in order"))
    }

    pub(super) fn is_idle_now(&self) -> bool {
        self.streams.is_empty() && self.lookups.is_empty() && !self.session.writer.is_departing()
    }

    /// The first of all deadlines, or a time before it. Streams that have not changed since this was
    /// last asked are not looked at.
    fn next_deadline(&mut self) -> u64 {
        while let Some(slot) = self.streams.take_touched() {
            if let Some(deadline) = self.deadline_of(slot) {
                self.stream_deadline = self.stream_deadline.min(deadline);
            }
        }
        let terms = self.context.terms();
        let timeouts = &terms.timeouts;
        let after = |since: u64, limit: Duration| {
            since.saturating_add(u64::try_from(limit.as_millis()).unwrap_or(u64::MAX))
        };
        let mut until = self.now().saturating_add(LONGEST_WAIT);
        if matches!(self.inbound.state, State::Preface | State::FirstFrame) {
            until = until.min(after(self.established, timeouts.head));
        }
        if self.inbound.incomplete_since > 0 {
            until = until.min(after(self.inbound.incomplete_since, timeouts.head));
        }
        if self.is_slowed_down() {
            until = until.min(self.slow_until);
        }
        if let Drain::Announced { until: second_step } = self.drain {
            until = until.min(second_step);
        }
        if self.is_idle_now() {
            until = until.min(after(self.idle_since, timeouts.idle));
        }
        if let Some(since) = self.left_since() {
            until = until.min(after(since, timeouts.close));
        }
        if let Some(orderly) = self.reads.until(self.now()) {
            until = until.min(orderly);
        }
        until.min(self.stream_deadline)
    }

    /// When a stream is to be reset, unless something moves.
    fn deadline_of(&self, slot: super::streams::Slot) -> Option<u64> {
        if self.streams.get(slot)?.id == 0 {
            return None;
        }
        let content = self.content_deadline(slot);
        let own = self.own_deadline_of(slot);
        content.into_iter().chain(own).chain(self.silence_deadline(slot)).min()
    }

    fn own_deadline_of(&self, slot: super::streams::Slot) -> Option<u64> {
        let stream = self.streams.get(slot).filter(|stream| stream.since > 0)?;
        let timeouts = &stream.terms.timeouts;
        let limit = match stream.answering {
            Answering::Done if stream.cut => CUT_AFTER,
            Answering::Sending => timeouts.response_stall,
            Answering::Done => timeouts.body_progress,
            Answering::Looking | Answering::Orphaned | Answering::Making => return None,
        };
        let limit = u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        let spent = if stream.answering == Answering::Sending { stream.shut.into() } else { 0 };
        Some(stream.since.saturating_add(limit.saturating_sub(spent)))
    }

    /// Acts on the deadlines that have passed.
    fn expire(&mut self) -> Result<(), Stop> {
        let now = self.now();
        let terms = self.context.terms();
        let timeouts = &terms.timeouts;
        let passed = |since: u64, limit: Duration| {
            now.saturating_sub(since) >= u64::try_from(limit.as_millis()).unwrap_or(u64::MAX)
        };
        let late = if matches!(self.inbound.state, State::Preface | State::FirstFrame) {
            passed(self.established, timeouts.head)
                .then_some("the preface and SETTINGS did not come in time")
        } else {
            (self.inbound.incomplete_since > 0
                && passed(self.inbound.incomplete_since, timeouts.head))
            .then_some("a frame or a field block did not come in time")
        };
        if let Some(why) = late {
            self.context.count(|counts| counts.timed_out += 1);
            self.session.clock.ends(Why::ServerTimeout);
            return Err(Stop::GoAway(ErrorCode::EnhanceYourCalm, why));
        }
        if self.left_since().is_some_and(|since| passed(since, timeouts.close)) {
            self.session.clock.ends(Why::ClientLast);
            return Err(Stop::Leave(Ending::CloseNotify));
        }
        if self.is_idle_now() && passed(self.idle_since, timeouts.idle) {
            self.context.count(|counts| counts.timed_out += 1);
            self.session.clock.ends(Why::ServerIdle);
            return Err(Stop::Leave(Ending::CloseNotify));
        }
        self.expire_streams(now)
    }

    /// Acts on the deadlines of streams that have passed, and finds the next one.
    fn expire_streams(&mut self, now: u64) -> Result<(), Stop> {
        if self.stream_deadline > now {
            return Ok(());
        }
        let mut number = 0;
        while number < self.streams.len() {
            let slot = self.streams.nth(number)?;
            number += 1;
            if self.deadline_of(slot).is_none_or(|deadline| deadline > now) {
                continue;
            }
            let stream = self.streams.at(slot)?;
            let (id, answering) = (stream.id, stream.answering);
            self.context.count(|counts| counts.timed_out += 1);
            if !self.replies.has_room() {
                // The rest are reset in the next round.
                break;
            }
            if self.content_deadline(slot).is_some_and(|deadline| deadline <= now) {
                self.refuse_content(slot, Status::RequestTimeout, Why::ServerTimeout)?;
                // Its stream may be closed, and is looked at again if not.
                number -= 1;
                continue;
            }
            if answering == Answering::Done {
                self.cut_off(id)?;
            } else {
                let why = self.why_late(slot, now);
                self.reset(id, ErrorCode::Cancel, why)?;
            }
            number -= 1;
        }
        let left = self.streams.slots().filter_map(|slot| self.deadline_of(slot)).min();
        self.stream_deadline = left.unwrap_or(u64::MAX);
        Ok(())
    }
}
