//! The streams of HTTP/2 that are open for more than a moment: the stage that each is in, and what
//! its windows allow.
//!
//! The invariant: a stream stands here from when its request takes a place among its connection's
//! streams until all of its answer has been gathered, or it is reset. A request that is answered where
//! it is read never comes here and pays one comparison for each change of its stage. A place is found by
//! its number, so noting costs the same however many streams are open.

use std::{cell::RefCell, rc::Rc};

use super::{Stage, connection::Connection};

/// Memory of one stream here.
pub(crate) const STREAM_NOTE_BYTES: usize = 40;

// The memory ceiling has room for it.
const _: () = assert!(size_of::<StreamNow>() <= STREAM_NOTE_BYTES);

/// No place among the streams.
pub(super) const NO_PLACE: u16 = u16::MAX;

/// Connections with open streams that a worker keeps a list of. Those beyond are counted with their
/// requests, and their streams are not reported.
const LISTED: usize = 64;

/// Of these, connections in a report: those with the most open streams.
const REPORTED: usize = 16;

/// Streams of a connection in a report: the oldest.
const REPORTED_STREAMS: usize = 32;

/// Siblings of a slow request that are kept: those whose answers have got furthest.
pub(super) const SIBLINGS: usize = 4;

/// An open stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct StreamNow {
    /// Its identifier; 0 for a free place.
    pub stream: u32,
    /// What it can send at present, in bytes, as far as its own window goes.
    pub window: u32,
    /// Bytes of content that have been gathered.
    pub bytes: u64,
    /// When its request arrived, in nanoseconds on the worker's clock.
    pub arrived: u64,
    /// When its stage began, likewise.
    pub entered: u64,
    /// The stage that it is in.
    pub stage: Stage,
}

const FREE: StreamNow =
    StreamNow { stream: 0, window: 0, bytes: 0, arrived: 0, entered: 0, stage: Stage::Parse };

/// The open streams of one connection. Boxed once there was one: connections of HTTP/1.1 have none.
#[derive(Debug)]
pub(super) struct OpenStreams(Option<Box<ByPlace>>);

/// Streams by place.
#[derive(Debug, Default)]
struct ByPlace {
    places: Vec<StreamNow>,
    open: usize,
    /// What the connection's own window allows, in bytes.
    window: u32,
    /// Its place in the worker's list.
    listed: Option<usize>,
}

impl OpenStreams {
    pub(super) const NONE: Self = Self(None);

    /// Notes something about the stream at `place`.
    #[inline]
    pub(super) fn note(&mut self, place: u16, change: impl FnOnce(&mut StreamNow)) {
        if let Some(streams) = &mut self.0 {
            streams.note(place, change);
        }
    }

    /// Notes what the connection's own window allows.
    pub(super) fn set_window(&mut self, window: u32) {
        if let Some(streams) = &mut self.0 {
            streams.window = window;
        }
    }

    fn open(&self) -> usize {
        self.0.as_ref().map_or(0, |streams| streams.open)
    }

    fn all(&self) -> impl Iterator<Item = StreamNow> + '_ {
        self.0.iter().flat_map(|streams| streams.all())
    }
}

impl ByPlace {
    fn opens(&mut self, place: u16, stream: StreamNow) {
        let place = usize::from(place);
        if self.places.len() <= place {
            self.places.resize(place + 1, FREE);
        }
        self.places[place] = stream;
        self.open += 1;
    }

    fn note(&mut self, place: u16, change: impl FnOnce(&mut StreamNow)) {
        if let Some(stream) = self.places.get_mut(usize::from(place)) {
            change(stream);
        }
    }

    fn closes(&mut self, place: u16) {
        self.note(place, |stream| *stream = FREE);
        self.open -= 1;
        if self.open == 0 && self.places.capacity() > SIBLINGS {
            // An idle connection holds no memory for streams.
            self.places = Vec::new();
        }
    }

    fn all(&self) -> impl Iterator<Item = StreamNow> + '_ {
        self.places.iter().filter(|stream| stream.stream > 0).copied()
    }
}

/// The streams of one connection in a report.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ConnectionStreams {
    /// The number of the connection on its worker.
    pub connection: u64,
    /// What its own window allows, in bytes.
    pub window: u32,
    /// Streams that are open.
    pub open: usize,
    /// The oldest of them.
    pub streams: Vec<StreamNow>,
}

/// The streams that were open beside a slow request when it ended.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Siblings {
    /// How many there were.
    pub open: usize,
    /// Requests of the connection that ended while this one was open.
    pub ended: u64,
    /// Those whose answers had got furthest; a stream of 0 is none.
    pub furthest: [StreamNow; SIBLINGS],
}

impl Siblings {
    /// Beside `stream`, of which as many requests of its connection have `ended`.
    pub(super) fn of(streams: &OpenStreams, stream: u32, ended: u64) -> Self {
        let mut siblings = Self { open: 0, ended, furthest: [FREE; SIBLINGS] };
        for sibling in streams.all().filter(|sibling| sibling.stream != stream) {
            siblings.open += 1;
            let behind = |kept: &StreamNow| kept.stream == 0 || kept.bytes < sibling.bytes;
            if let Some(at) = siblings.furthest.iter().position(behind) {
                siblings.furthest[at..].rotate_right(1);
                siblings.furthest[at] = sibling;
            }
        }
        siblings
    }

    /// Those whose answers had got furthest.
    pub fn streams(&self) -> impl Iterator<Item = &StreamNow> {
        self.furthest.iter().filter(|stream| stream.stream > 0)
    }
}

/// The connections of a worker that have open streams.
#[derive(Debug, Default)]
pub(super) struct Multiplexing(RefCell<Vec<Rc<Connection>>>);

impl Multiplexing {
    /// A stream of `connection` takes a place.
    pub(super) fn opens(&self, connection: &Rc<Connection>, place: u16, stream: StreamNow) {
        let mut streams = connection.streams.borrow_mut();
        let streams = streams.0.get_or_insert_default();
        streams.opens(place, stream);
        let list = &mut *self.0.borrow_mut();
        if streams.listed.is_none() && list.len() < LISTED {
            streams.listed = Some(list.len());
            list.push(Rc::clone(connection));
        }
    }

    /// A stream of `connection` leaves its place.
    pub(super) fn closes(&self, connection: &Connection, place: u16) {
        let listed = {
            let mut streams = connection.streams.borrow_mut();
            let Some(streams) = &mut streams.0 else { return };
            streams.closes(place);
            if streams.open > 0 {
                return;
            }
            streams.listed.take()
        };
        let Some(at) = listed else { return };
        let list = &mut *self.0.borrow_mut();
        list.swap_remove(at);
        if let Some(moved) = list.get(at)
            && let Some(streams) = &mut moved.streams.borrow_mut().0
        {
            streams.listed = Some(at);
        }
    }

    /// The connections with the most open streams.
    pub(super) fn report(&self) -> Vec<ConnectionStreams> {
        let list = self.0.borrow();
        let mut busiest: Vec<&Rc<Connection>> = list.iter().collect();
        busiest.sort_by_key(|connection| std::cmp::Reverse(connection.streams.borrow().open()));
        let report = |connection: &&Rc<Connection>| {
            let kept = connection.streams.borrow();
            let mut streams: Vec<StreamNow> = kept.all().collect();
            streams.sort_by_key(|stream| stream.stream);
            streams.truncate(REPORTED_STREAMS);
            let connection = connection.number();
            let window = kept.0.as_ref().map_or(0, |kept| kept.window);
            ConnectionStreams { connection, window, open: kept.open(), streams }
        };
        busiest.iter().take(REPORTED).map(report).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(stream: u32, bytes: u64) -> StreamNow {
        StreamNow { stream, bytes, ..FREE }
    }

    #[test]
    fn siblings_are_those_that_got_furthest() {
        let mut streams = ByPlace::default();
        for (place, bytes) in [5, 0, 70, 3, 40, 9].into_iter().enumerate() {
            streams.opens(place as u16, stream(2 * place as u32 + 1, bytes));
        }
        streams.closes(5);
        let streams = OpenStreams(Some(Box::new(streams)));
        let siblings = Siblings::of(&streams, 5, 12);
        assert_eq!((siblings.open, siblings.ended), (4, 12));
        let kept: Vec<_> = siblings.streams().map(|one| (one.stream, one.bytes)).collect();
        assert_eq!(kept, [(9, 40), (1, 5), (7, 3), (3, 0)]);
        let siblings = Siblings::of(&streams, 1, 0);
        let kept: Vec<_> = siblings.streams().map(|one| one.stream).collect();
        assert_eq!(kept, [5, 9, 7, 3]);
    }

    #[test]
    fn an_idle_connection_holds_no_memory_for_streams() {
        let mut streams = ByPlace::default();
        for place in 0..100 {
            streams.opens(place, stream(u32::from(place) + 1, 0));
        }
        for place in 0..100 {
            assert_eq!(streams.all().count(), 100 - usize::from(place));
            streams.closes(place);
        }
        assert_eq!((streams.open, streams.places.capacity()), (0, 0));
    }
}
