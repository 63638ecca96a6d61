//! The clock of one request, and the worker's store of requests that are not done.
//!
//! The invariant: a request's parts follow each other without a gap, so they add up to its total.
//! Until its answer is known each [`mark`](OpenRequest::mark) gives the time since the last one to
//! a stage; how the answer left is told by the [`Sending`] of its connection.

use super::{Route, Stage, stage::REQUEST_STAGES};

/// Bytes of a request's head that are kept for the slowest requests: its first line, mostly.
pub const HEAD_KEPT: usize = 112;

/// Bytes of a request's head that are kept for the access log.
pub const HEAD_LOGGED: usize = 4096;

/// Memory of a request that is not done, without the head that is to be logged.
pub const OPEN_REQUEST_BYTES: usize = 320;

/// How what waited in a [`Writer`](crate::write::Writer) left. Times are nanoseconds on the
/// worker's clock; 0 stands for not yet, or for clocks that are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    begun: u64,
    first: u64,
    last: u64,
    buffer: [u64; 2],
    file: [u64; 2],
}

impl Sending {
    /// Whether a submission has been noted.
    pub fn has_begun(&self) -> bool {
        self.begun != 0
    }

    /// Something is submitted. Only the first time counts.
    pub fn submitted(&mut self, now: u64) {
        if self.begun == 0 {
            self.begun = now;
        }
    }

    /// A submission was completed with bytes taken, in the turn that began at `turn`.
    pub fn completed(&mut self, turn: u64) {
        if self.first == 0 {
            self.first = turn;
        }
        self.last = turn;
    }

    /// Send memory was waited for.
    pub fn waited_for_buffer(&mut self, nanoseconds: u64) {
        self.buffer[usize::from(self.has_begun())] += nanoseconds;
    }

    /// A file was waited for.
    pub fn waited_for_file(&mut self, nanoseconds: u64) {
        self.file[usize::from(self.has_begun())] += nanoseconds;
    }
}

/// A request that is not done.
#[derive(Clone, Debug)]
pub(super) struct OpenRequest {
    /// The next one of its connection, or of the free ones.
    next: u32,
    pub(super) arrived: u64,
    marked: u64,
    parts: [u64; REQUEST_STAGES.len()],
    pub(super) first_byte: u64,
    pub(super) answered: bool,
    pub(super) status: u16,
    pub(super) route: Option<Route>,
    pub(super) bytes: u64,
    pub(super) number: u64,
    /// What the worker had done when it arrived.
    pub(super) requests_before: u64,
    pub(super) turns_before: u64,
    head: [u8; HEAD_KEPT],
    head_len: u8,
    /// More of it, if it is to be logged.
    logged: Vec<u8>,
}

impl Default for OpenRequest {
    fn default() -> Self {
        Self {
            next: NONE,
            arrived: 0,
            marked: 0,
            parts: [0; REQUEST_STAGES.len()],
            first_byte: 0,
            answered: false,
            status: 0,
            route: None,
            bytes: 0,
            number: 0,
            requests_before: 0,
            turns_before: 0,
            head: [0; HEAD_KEPT],
            head_len: 0,
            logged: Vec::new(),
        }
    }
}

impl OpenRequest {
    /// It arrived in the turn that began at `arrived`, and its task runs `now`.
    pub(super) fn begin(&mut self, arrived: u64, now: u64) {
        (self.arrived, self.marked) = (arrived, arrived);
        self.mark(Stage::RunQueue, now);
    }

    /// The time since the last mark went to `stage`. Says how much that was.
    pub(super) fn mark(&mut self, stage: Stage, now: u64) -> u64 {
        let passed = now.saturating_sub(self.marked);
        if let Some(part) = stage.part() {
            self.parts[part] += passed;
        }
        self.marked = self.marked.max(now);
        passed
    }

    /// When it was last marked.
    pub(super) fn marked(&self) -> u64 {
        self.marked
    }

    /// The parts until now.
    pub(super) fn parts(&self) -> &[u64; REQUEST_STAGES.len()] {
        &self.parts
    }

    /// The beginning of its head.
    pub(super) fn head(&self) -> &[u8] {
        self.head.get(..usize::from(self.head_len)).unwrap_or_default()
    }

    /// As much of its head as is to be logged.
    pub(super) fn logged_head(&self) -> &[u8] {
        &self.logged
    }

    /// The first `length` of these bytes are its head.
    fn keep_head(&mut self, bytes: &[u8], length: usize, logged: usize) {
        // What comes after the head of an answer that is refused is no head.
        if self.head_len > 0 {
            return;
        }
        let length = length.min(bytes.len());
        if let Some(first) = bytes.first_chunk() {
            // Of a known length, which takes a few instructions and no call.
            self.head = *first;
        } else {
            self.head.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        self.head_len = length.min(HEAD_KEPT) as u8;
        if logged > 0 {
            self.logged.extend_from_slice(bytes.get(..length.min(logged)).unwrap_or_default());
        }
    }

    /// Completes its parts, now that its answer has left, and says their sum. What left together
    /// left at the same time; an answer that was queued while an earlier one was leaving waited
    /// for nothing.
    pub(super) fn settle(&mut self, sending: &Sending) -> u64 {
        let parts = &mut self.parts;
        let begun = sending.begun.max(self.marked);
        let first = sending.first.max(begun);
        let last = sending.last.max(first);
        let mut spend = |gap: u64, waits: usize, rest: Stage| {
            let buffer = sending.buffer[waits].min(gap);
            let file = sending.file[waits].min(gap - buffer);
            for (stage, time) in
                [(Stage::Buffer, buffer), (Stage::Process, file), (rest, gap - buffer - file)]
            {
                if let Some(part) = stage.part() {
                    parts[part] += time;
                }
            }
        };
        spend(begun - self.marked, 0, Stage::Respond);
        spend(last - first, 1, Stage::LastWrite);
        if let Some(part) = Stage::FirstWrite.part() {
            parts[part] += first - begun;
        }
        last - self.arrived.min(last)
    }
}

const NONE: u32 = u32::MAX;

/// The requests of one connection that are not done, in order.
#[derive(Clone, Copy, Debug)]
pub(super) struct Queue {
    first: u32,
    last: u32,
}

impl Default for Queue {
    fn default() -> Self {
        Self { first: NONE, last: NONE }
    }
}

impl Queue {
    pub(super) fn is_empty(self) -> bool {
        self.first == NONE
    }
}

/// The requests of a worker that are not done: a bounded store whose places are used again, so
/// that a connection without a request holds none and a request allocates nothing.
#[derive(Debug)]
pub(super) struct OpenRequests {
    places: Vec<OpenRequest>,
    free: u32,
    open: u32,
    limit: usize,
    logged: usize,
}

impl OpenRequests {
    /// At most `limit` at a time, each with so many bytes of its head to be logged.
    pub(super) fn new(limit: usize, logged: usize) -> Self {
        Self { places: Vec::new(), free: NONE, open: 0, limit, logged }
    }

    pub(super) fn open(&self) -> u32 {
        self.open
    }

    /// Appends a request to a connection's. None if there are too many.
    pub(super) fn push(&mut self, queue: &mut Queue) -> Option<&mut OpenRequest> {
        let index = if self.free == NONE {
            if self.places.len() >= self.limit {
                return None;
            }
            self.places.push(OpenRequest::default());
            self.places.len() as u32 - 1
        } else {
            self.free
        };
        let place = self.places.get_mut(index as usize)?;
        if index == self.free {
            self.free = place.next;
        }
        place.next = NONE;
        place.parts = [0; REQUEST_STAGES.len()];
        (place.answered, place.status, place.route, place.bytes) = (false, 0, None, 0);
        place.head_len = 0;
        place.logged.clear();
        self.open += 1;
        if queue.is_empty() {
            queue.first = index;
        } else if let Some(last) = self.places.get_mut(queue.last as usize) {
            last.next = index;
        }
        queue.last = index;
        self.places.get_mut(index as usize)
    }

    /// The oldest of a connection's requests.
    pub(super) fn first(&mut self, queue: Queue) -> Option<&mut OpenRequest> {
        self.places.get_mut(queue.first as usize)
    }

    /// The youngest.
    pub(super) fn last(&mut self, queue: Queue) -> Option<&mut OpenRequest> {
        self.places.get_mut(queue.last as usize)
    }

    /// Keeps the beginning of the youngest one's head: the first `length` of these bytes.
    pub(super) fn keep_head(&mut self, queue: Queue, bytes: &[u8], length: usize) {
        let logged = self.logged;
        if let Some(request) = self.last(queue) {
            request.keep_head(bytes, length, logged);
        }
    }

    /// Lets go of the oldest.
    pub(super) fn pop(&mut self, queue: &mut Queue) {
        let Some(place) = self.places.get_mut(queue.first as usize) else { return };
        // Long heads are rare; their memory is not kept for the next one.
        if place.logged.capacity() > 1024 {
            place.logged = Vec::new();
        }
        let index = queue.first;
        queue.first = std::mem::replace(&mut place.next, self.free);
        self.free = index;
        self.open -= 1;
        if queue.first == NONE {
            queue.last = NONE;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn part(parts: &[u64], stage: Stage) -> u64 {
        parts[stage.part().unwrap()]
    }

    #[test]
    fn a_small_request_is_divided_among_its_stages() {
        let mut request = OpenRequest::default();
        request.begin(1_000, 1_200);
        request.mark(Stage::Decode, 1_500);
        let mut sending = Sending::default();
        sending.submitted(2_500);
        sending.completed(6_500);
        let total = request.settle(&sending);
        let parts = request.parts;
        assert_eq!(part(&parts, Stage::RunQueue), 200);
        assert_eq!(part(&parts, Stage::Decode), 300);
        assert_eq!(part(&parts, Stage::Respond), 1_000);
        assert_eq!(part(&parts, Stage::FirstWrite), 4_000);
        assert_eq!((part(&parts, Stage::LastWrite), total), (0, 5_500));
    }

    #[test]
    fn waits_are_taken_from_the_stage_in_which_they_happened() {
        let mut request = OpenRequest::default();
        request.begin(0, 0);
        let mut sending = Sending::default();
        sending.waited_for_buffer(10);
        sending.waited_for_file(20);
        sending.submitted(100);
        sending.completed(150);
        sending.waited_for_file(30);
        sending.completed(250);
        let total = request.settle(&sending);
        let parts = request.parts;
        assert_eq!(part(&parts, Stage::Buffer), 10);
        assert_eq!(part(&parts, Stage::Process), 50);
        assert_eq!(part(&parts, Stage::Respond), 70);
        assert_eq!(part(&parts, Stage::FirstWrite), 50);
        assert_eq!((part(&parts, Stage::LastWrite), total), (70, 250));
    }

    proptest! {
        #[test]
        fn parts_add_up_whatever_the_order_of_times(
            arrived in 1_u64..1_000, marks in proptest::collection::vec((0_usize..5, 0_u64..3_000), 0..6),
            begun in 0_u64..3_000, first in 0_u64..3_000, last in 0_u64..3_000,
            waits in any::<[u16; 4]>(),
        ) {
            let mut request = OpenRequest::default();
            request.begin(arrived, arrived + 5);
            for (stage, at) in marks {
                request.mark(REQUEST_STAGES[stage], at);
            }
            let sending = Sending {
                begun, first, last,
                buffer: [waits[0].into(), waits[1].into()],
                file: [waits[2].into(), waits[3].into()],
            };
            let total = request.settle(&sending);
            prop_assert_eq!(request.parts.iter().sum::<u64>(), total);
        }

        #[test]
        fn queues_do_not_mix(pushes in proptest::collection::vec((0_usize..3, any::<bool>()), 0..80)) {
            let mut store = OpenRequests::new(16, 8);
            let mut queues = [Queue::default(); 3];
            let mut expected: [Vec<u64>; 3] = Default::default();
            for (number, (which, push)) in pushes.into_iter().enumerate() {
                if push {
                    let full = store.open() == 16;
                    match store.push(&mut queues[which]) {
                        Some(request) => {
                            prop_assert!(!full);
                            request.number = number as u64;
                            expected[which].push(number as u64);
                        }
                        None => prop_assert!(full),
                    }
                } else if !expected[which].is_empty() {
                    let first = store.first(queues[which]).map(|request| request.number);
                    prop_assert_eq!(first, Some(expected[which].remove(0)));
                    store.pop(&mut queues[which]);
                }
                prop_assert_eq!(queues[which].is_empty(), expected[which].is_empty());
                let open: usize = expected.iter().map(Vec::len).sum();
                prop_assert_eq!(store.open() as usize, open);
            }
        }
    }

    #[test]
    fn heads_are_kept_as_far_as_they_are_wanted() {
        let long = [b'x'; 500];
        for (bytes, length, logged, kept) in [
            (&long[..], 300, 200, (HEAD_KEPT, 200)),
            (&long[..], 30, 200, (30, 30)),
            (&long[..60], 40, 0, (40, 0)),
            (&long[..60], usize::MAX, 50, (60, 50)),
        ] {
            let mut store = OpenRequests::new(1, logged);
            let mut queue = Queue::default();
            store.push(&mut queue);
            store.keep_head(queue, bytes, length);
            store.keep_head(queue, b"what follows", 4);
            let request = store.first(queue).unwrap();
            assert_eq!((request.head().len(), request.logged_head().len()), kept);
            assert!(request.head().iter().chain(request.logged_head()).all(|byte| *byte == b'x'));
            store.pop(&mut queue);
            assert!(store.push(&mut queue).unwrap().head().is_empty());
        }
    }

    #[test]
    fn a_place_is_as_large_as_it_is_said_to_be() {
        assert!(size_of::<OpenRequest>() <= OPEN_REQUEST_BYTES);
    }
}
