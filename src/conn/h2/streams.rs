//! The streams of a connection that were not answered within the poll that read their request.
//!
//! Most requests never come here: they are answered where they were read. The memory grows with
//! the number of open streams, and is freed when there are none.

use std::rc::Rc;

use crate::{
    conn::sites::Terms,
    decode::h2::ContentSum,
    observe::RequestClock,
    parse::h2::Priority,
    ring::{NumberSet, Ring},
    write::Source,
};

use super::{
    Stop,
    exchange::Exchange,
    flow::{ReceiveWindow, SendWindow},
    shared::Held,
};

/// The place of a stream.
pub(super) type Slot = u16;

/// No stream.
pub(super) const NO_SLOT: Slot = Slot::MAX;

/// Streams that memory is taken for at first.
const FIRST: usize = 4;

/// How far the answer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answering {
    /// Something is looked up for it.
    Looking,
    /// A responder makes the head.
    Making,
    /// The same, and nobody wants the answer any more: the place is free when the look-up ends.
    Orphaned,
    /// It is answered: its head has been gathered unless it is kept, content is left.
    Sending,
    /// All of it has been gathered; the rest of the request is read and dropped.
    Done,
}

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// Its id; 0 for a place that is free.
    pub(super) id: u32,
    pub(super) answering: Answering,
    pub(super) priority: Priority,
    /// The client has not sent END_STREAM.
    pub(super) remote_open: bool,
    /// Its head, as one frame, as long as it has not been gathered.
    pub(super) kept_head: Option<Box<[u8]>>,
    /// Its file is read, or waits until another one has been: then it is not in the schedule.
    pub(super) reading: bool,
    pub(super) parked: bool,
    /// It waits in the schedule, between these.
    pub(super) queued: bool,
    pub(super) previous: Slot,
    pub(super) next: Slot,
    /// What may be sent.
    pub(super) window: SendWindow,
    /// What the client may send.
    pub(super) receive: ReceiveWindow,
    /// The content of the request so far.
    pub(super) sum: ContentSum,
    /// The content of the answer that is left.
    pub(super) source: Source,
    /// What makes the content of the answer, in place of a source.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Since when a window has kept it from sending, or, once it is done, since when nothing of the
    /// request has come: milliseconds on the worker's clock, 0 for not at all.
    pub(super) since: u64,
    /// Milliseconds for which windows were shut since the last good piece left, and how much has.
    pub(super) shut: u32,
    pub(super) moved: u32,
    pub(super) clock: RequestClock,
    /// What the content takes, in the worker's account.
    pub(super) held: Option<Held>,
    /// The client sends more content than is worth reading: what is on its way is dropped for a
    /// moment, so that the client sees the answer before RST_STREAM(NO_ERROR).
    pub(super) cut: bool,
    /// Content of the request that was dropped behind the answer, and since when, in milliseconds.
    pub(super) dropped: u64,
    pub(super) done_at: u64,
    /// Bytes of content that were gathered, and what was done with them.
    pub(super) content: u64,
    /// Of these, bytes that were sealed from where they lie, or content that was lent to the kernel.
    pub(super) in_place: u64,
    /// And bytes that were received into the memory that they were sent from.
    pub(super) relayed: u64,
    pub(super) how: How,
    pub(super) status: u16,
    pub(super) head: u16,
    /// The bounds of the configuration that its head met.
    pub(super) terms: Rc<Terms>,
}

/// What is done with the content of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum How {
    /// A page that stands nowhere else is copied.
    Page,
    /// A cached file's bytes are sealed from where they lie, and copied where they are few.
    Copied,
    /// A cached file's bytes are lent to the kernel.
    Lent,
    /// A file is read into send memory.
    Read,
}

impl Stream {
    /// A window keeps it from sending, from `now` on.
    pub(super) fn shut_at(&mut self, now: u64) {
        if self.since == 0 {
            self.since = now.max(1);
        }
    }

    /// Whether there is content that could leave.
    pub(super) fn has_content(&self) -> bool {
        match &self.exchange {
            Some(exchange) => exchange.has_chunk(),
            None => self.source.remaining() > 0,
        }
    }

    /// It may send again. Returns the milliseconds for which it could not.
    pub(super) fn opened(&mut self, now: u64) -> u64 {
        if self.answering != Answering::Sending || self.since == 0 {
            return 0;
        }
        let shut = now.saturating_sub(std::mem::take(&mut self.since));
        self.shut = self.shut.saturating_add(u32::try_from(shut).unwrap_or(u32::MAX));
        shut
    }
}

/// All of them.
#[derive(Debug)]
pub(super) struct Streams {
    slots: Vec<Stream>,
    /// Open streams by id; ids only rise, so new ones go to the end.
    index: Vec<(u32, Slot)>,
    free: Vec<Slot>,
    /// Places whose deadlines may have changed since these were last looked at.
    touched: NumberSet,
    /// Places whose responders may have something to do: something woke them, or their streams have
    /// changed since they were last polled.
    stirred: NumberSet,
    most: usize,
}

impl Streams {
    /// Room for so many at once, of which each has a lane.
    pub(super) fn new(most: usize) -> Self {
        let most = most.min(usize::from(Ring::MOST_LANES));
        Self {
            slots: Vec::new(),
            index: Vec::new(),
            free: Vec::new(),
            touched: NumberSet::default(),
            stirred: NumberSet::default(),
            most,
        }
    }

    /// Streams that may be open at once.
    pub(super) fn most(&self) -> usize {
        self.most
    }

    /// Streams that are open.
    pub(super) fn len(&self) -> usize {
        self.index.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    /// Whether there is no room for another.
    pub(super) fn is_full(&self) -> bool {
        self.index.len() >= self.most
    }

    /// Opens a stream, whose id must be larger than all before, with what may be sent on it. None if
    /// there is no room.
    pub(super) fn open(&mut self, id: u32, window: u32, terms: Rc<Terms>) -> Option<Slot> {
        if self.is_full() || self.index.last().is_some_and(|(last, _)| *last >= id) {
            return None;
        }
        let stream = Stream {
            id,
            answering: Answering::Looking,
            priority: Priority::default(),
            remote_open: false,
            kept_head: None,
            reading: false,
            parked: false,
            queued: false,
            previous: NO_SLOT,
            next: NO_SLOT,
            window: SendWindow::new(window),
            receive: ReceiveWindow::default(),
            sum: ContentSum::new(None),
            source: Source::Nothing,
            exchange: None,
            since: 0,
            shut: 0,
            moved: 0,
            clock: RequestClock::default(),
            held: None,
            cut: false,
            dropped: 0,
            done_at: 0,
            content: 0,
            in_place: 0,
            relayed: 0,
            how: How::Page,
            status: 0,
            head: 0,
            terms,
        };
        let slot = if let Some(slot) = self.free.pop() {
            *self.slots.get_mut(usize::from(slot))? = stream;
            slot
        } else {
            self.grow();
            self.slots.push(stream);
            (self.slots.len() - 1) as Slot
        };
        self.index.push((id, slot));
        Some(slot)
    }

    /// Makes room by fours, so that few streams take little memory and many are moved seldom.
    fn grow(&mut self) {
        let length = self.slots.len();
        if length < self.slots.capacity() {
            return;
        }
        let wanted = (4 * length).clamp(FIRST, self.most.max(FIRST)) - length;
        self.slots.reserve_exact(wanted);
        self.index.reserve_exact(wanted);
        self.free.reserve_exact(length + wanted);
    }

    pub(super) fn get(&self, slot: Slot) -> Option<&Stream> {
        self.slots.get(usize::from(slot))
    }

    pub(super) fn get_mut(&mut self, slot: Slot) -> Option<&mut Stream> {
        let stream = self.slots.get_mut(usize::from(slot))?;
        self.touched.insert(slot);
        self.stirred.insert(slot);
        Some(stream)
    }

    /// The responder at this place may have something to do.
    pub(super) fn stir(&mut self, slot: Slot) {
        self.stirred.insert(slot);
    }

    /// Any responder may have something to do.
    pub(super) fn stir_all(&mut self) {
        for (_, slot) in &self.index {
            self.stirred.insert(*slot);
        }
    }

    /// The responder at this place has done what there was to do.
    pub(super) fn calm(&mut self, slot: Slot) {
        self.stirred.remove(slot);
    }

    /// Takes one of the places whose responders may have something to do.
    pub(super) fn take_stirred(&mut self) -> Option<Slot> {
        self.stirred.take()
    }

    /// The place that is opened next, if there is room for another.
    pub(super) fn next_place(&self) -> Slot {
        self.free.last().copied().unwrap_or(self.slots.len() as Slot)
    }

    /// Takes one of the places that may have changed since they were last taken.
    pub(super) fn take_touched(&mut self) -> Option<Slot> {
        self.touched.take()
    }

    /// The stream at a place that must be taken.
    pub(super) fn at(&mut self, slot: Slot) -> Result<&mut Stream, Stop> {
        self.get_mut(slot).ok_or(Stop::defect("a stream has lost its place"))
    }

    /// The place of an open stream.
    pub(super) fn find(&self, id: u32) -> Option<Slot> {
        let at = self.index.binary_search_by_key(&id, |(id, _)| *id).ok()?;
        self.index.get(at).map(|(_, slot)| *slot)
    }

    /// Closes a stream, which must not wait in the schedule, nor keep a head. Returns its clock.
    pub(super) fn close(&mut self, slot: Slot) -> Result<RequestClock, Stop> {
        let stream = self.at(slot)?;
        debug_assert!(!stream.queued, "a stream is closed while it waits to send");
        let id = std::mem::take(&mut stream.id);
        stream.source = Source::Nothing;
        stream.held = None;
        stream.kept_head = None;
        let clock = std::mem::take(&mut stream.clock);
        let at = self.index.binary_search_by_key(&id, |(id, _)| *id);
        self.index.remove(at.map_err(|_| Stop::defect("a stream is closed twice"))?);
        self.free.push(slot);
        Ok(clock)
    }

    /// The places of all open streams, by id.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> + '_ {
        self.index.iter().map(|(_, slot)| *slot)
    }

    /// The place of the open stream with this number in the order of ids.
    pub(super) fn nth(&self, number: usize) -> Result<Slot, Stop> {
        let place = self.index.get(number).map(|(_, slot)| *slot);
        place.ok_or(Stop::defect("there are fewer streams than were counted"))
    }

    /// Gives memory back that an idle connection does not need.
    pub(super) fn shrink(&mut self) {
        if self.index.is_empty() {
            *self = Self::new(self.most);
        }
    }
}

impl Default for Streams {
    fn default() -> Self {
        Self::new(100)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_stream_is_small() {
        let all = size_of::<Stream>() + size_of::<(u32, Slot)>() + size_of::<Slot>();
        let all = all + crate::observe::STREAM_NOTE_BYTES;
        assert!(2 * all <= crate::config::H2_STREAM_BYTES, "{all} bytes");
    }

    #[test]
    fn places_are_few_and_come_back() {
        let mut streams = Streams::new(10);
        let slots: Vec<_> =
            (0..10).map(|n| streams.open(2 * n + 1, 100, Rc::default()).unwrap()).collect();
        assert!(streams.is_full() && streams.open(21, 100, Rc::default()).is_none());
        streams.close(slots[3]).unwrap();
        assert_eq!(streams.find(7), None);
        assert!(streams.open(5, 100, Rc::default()).is_none(), "ids rise");
        let again = streams.open(21, 100, Rc::default()).unwrap();
        assert_eq!((again, streams.find(21)), (slots[3], Some(again)));
        streams.shrink();
        assert_eq!(streams.len(), 10);
        for slot in streams.slots().collect::<Vec<_>>() {
            streams.close(slot).unwrap();
        }
        streams.shrink();
        assert!(streams.is_empty() && streams.slots.capacity() == 0);
    }

    proptest! {
        #[test]
        fn every_open_stream_is_found_and_no_other(
            steps in prop::collection::vec((any::<bool>(), any::<prop::sample::Index>()), 1..300),
        ) {
            let mut streams = Streams::new(20);
            let mut open: Vec<u32> = Vec::new();
            let mut next = 1;
            for (opens, index) in steps {
                if opens {
                    prop_assert_eq!(streams.open(next, 1, Rc::default()).is_some(), open.len() < 20);
                    if open.len() < 20 {
                        open.push(next);
                    }
                    next += 2;
                } else if !open.is_empty() {
                    let id = open.remove(index.index(open.len()));
                    let slot = streams.find(id).unwrap();
                    streams.close(slot).unwrap();
                }
                for id in (1..next).step_by(2) {
                    let found = streams.find(id).and_then(|slot| streams.get(slot)).map(|s| s.id);
                    prop_assert_eq!(found, open.contains(&id).then_some(id));
                }
                prop_assert_eq!(streams.len(), open.len());
                prop_assert!(streams.slots.len() <= 20);
            }
        }
    }
}
