//! The clock of one request.
//!
//! The invariant: a request's parts follow each other without a gap, so they add up to its total.
//! Until its answer is known each [`mark`](OpenRequest::mark) gives the time since the last one to
//! a stage; how the answer left is told by the [`Sending`] of its connection.

use super::{Route, Sending, Stage, stage::REQUEST_STAGES};

/// Bytes of a request's head that are kept for the slowest requests: its first line, mostly.
pub const HEAD_KEPT: usize = 112;

/// Bytes of a request's head that are kept for the access log.
pub const HEAD_LOGGED: usize = 4096;

/// The parts of a request's total, see [`REQUEST_STAGES`].
pub(super) type Parts = [u64; REQUEST_STAGES.len()];

/// A request that is not done.
#[derive(Clone, Debug)]
pub(super) struct OpenRequest {
    /// The one before it on its connection, if that is not done either.
    pub(super) before: Option<Box<OpenRequest>>,
    pub(super) arrived: u64,
    marked: u64,
    parts: Parts,
    pub(super) first_byte: u64,
    pub(super) bytes: u64,
    pub(super) number: u64,
    /// What the worker had done when it arrived.
    pub(super) requests_before: u64,
    pub(super) turns_before: u64,
    pub(super) status: u16,
    pub(super) answered: bool,
    pub(super) route: Option<Route>,
    head_len: u8,
    head: [u8; HEAD_KEPT],
    /// More of it, if it is to be logged.
    logged: Vec<u8>,
}

impl Default for OpenRequest {
    fn default() -> Self {
        Self {
            before: None,
            arrived: 0,
            marked: 0,
            parts: [0; REQUEST_STAGES.len()],
            first_byte: 0,
            bytes: 0,
            number: 0,
            requests_before: 0,
            turns_before: 0,
            status: 0,
            answered: false,
            route: None,
            head_len: 0,
            head: [0; HEAD_KEPT],
            logged: Vec::new(),
        }
    }
}

impl OpenRequest {
    /// Begins anew: it arrived in the turn that began at `arrived`, and its task runs `now`.
    #[inline]
    pub(super) fn begin(&mut self, arrived: u64, now: u64) {
        self.arrived = arrived;
        self.marked = now.max(arrived);
        self.parts = [0; REQUEST_STAGES.len()];
        self.parts[RUN_QUEUE] = self.marked - arrived;
        (self.status, self.answered, self.route, self.bytes) = (0, false, None, 0);
        self.head_len = 0;
    }

    /// The time since the last mark went to `stage`. Says how much that was.
    #[inline]
    pub(super) fn mark(&mut self, stage: Stage, now: u64) -> u64 {
        let passed = now.saturating_sub(self.marked);
        if let Some(part) = stage.part() {
            self.parts[part] += passed;
        }
        self.marked += passed;
        passed
    }

    /// When it was last marked.
    pub(super) fn marked(&self) -> u64 {
        self.marked
    }

    /// The parts until now.
    pub(super) fn parts(&self) -> &Parts {
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

    /// The first `length` of these bytes are its head; `logged` at most are to be logged.
    #[inline]
    pub(super) fn keep_head(&mut self, bytes: &[u8], length: usize, logged: usize) {
        // What comes after the head of an answer that is refused is no head.
        if self.head_len > 0 {
            return;
        }
        if let Some(first) = bytes.first_chunk() {
            // Of a known length, which takes a few instructions and no call.
            self.head = *first;
        } else {
            self.head.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        }
        let length = length.min(bytes.len());
        self.head_len = length.min(HEAD_KEPT) as u8;
        if logged > 0 {
            self.logged.extend_from_slice(bytes.get(..length.min(logged)).unwrap_or_default());
        }
    }

    /// Forgets its head; the memory of a long one is not kept for the next.
    pub(super) fn forget_head(&mut self) {
        if self.logged.capacity() > 1024 {
            self.logged = Vec::new();
        }
        self.logged.clear();
    }

    /// Completes its parts, now that its answer has left, and says their sum. What left together
    /// left at the same time; an answer that was queued while an earlier one was leaving waited
    /// for nothing.
    #[inline]
    pub(super) fn settle(&mut self, sending: &Sending) -> u64 {
        let begun = sending.begun.max(self.marked);
        let first = sending.first.max(begun);
        let last = sending.last.max(first);
        let parts = &mut self.parts;
        for (gap, has_begun, rest) in
            [(begun - self.marked, false, RESPOND), (last - first, true, LAST_WRITE)]
        {
            let (buffer, file) = sending.waits(has_begun, gap);
            parts[BUFFER] += buffer;
            parts[PROCESS] += file;
            parts[rest] += gap - buffer - file;
        }
        parts[FIRST_WRITE] += first - begun;
        last - self.arrived.min(last)
    }
}

/// The place of a stage among the parts.
pub(super) const fn place(stage: Stage) -> usize {
    let mut place = 0;
    while REQUEST_STAGES[place] as usize != stage as usize {
        place += 1;
    }
    place
}

const RUN_QUEUE: usize = place(Stage::RunQueue);
const PROCESS: usize = place(Stage::Process);
const BUFFER: usize = place(Stage::Buffer);
const RESPOND: usize = place(Stage::Respond);
const FIRST_WRITE: usize = place(Stage::FirstWrite);
const LAST_WRITE: usize = place(Stage::LastWrite);

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
            times in [0_u64..3_000, 0_u64..3_000, 0_u64..3_000],
            waits in any::<[u16; 4]>(),
        ) {
            let mut request = OpenRequest::default();
            request.begin(arrived, arrived + 5);
            for (stage, at) in marks {
                request.mark(REQUEST_STAGES[stage], at);
            }
            let [buffer, more_buffer, file, more_file] = waits.map(u64::from);
            let sending = Sending::of(times, [buffer, more_buffer], [file, more_file]);
            let total = request.settle(&sending);
            prop_assert_eq!(request.parts.iter().sum::<u64>(), total);
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
            let mut request = OpenRequest::default();
            request.begin(0, 0);
            request.keep_head(bytes, length, logged);
            request.keep_head(b"what follows", 4, logged);
            assert_eq!((request.head().len(), request.logged_head().len()), kept);
            assert!(request.head().iter().chain(request.logged_head()).all(|byte| *byte == b'x'));
            request.forget_head();
            request.begin(0, 0);
            assert!(request.head().is_empty() && request.logged_head().is_empty());
        }
    }
}
