//! How a batch of bytes left: in HTTP/1 what waited in a [`Writer`](crate::write::Writer), in HTTP/2
//! what was gathered from streams.
//!
//! The invariant: a request whose last byte is in the batch rides on it, and ends when the batch has
//! left ([`all_left`](Sending::all_left)) or when it is dropped. The next batch inherits the times of
//! one only for an answer that began in it ([`follows`](Sending::follows)).

use super::{
    Delivery, defect,
    request::OpenRequest,
    request_clock::{RequestClock, abandoned, left},
};

/// A batch that takes longer to leave is asked about, in nanoseconds: one system call.
const SLOW: u64 = 10_000_000;

/// When a batch was submitted and taken, and what it waited for before. Times are nanoseconds on the
/// worker's clock; 0 stands for not yet, or for clocks that are off.
#[derive(Debug, Default)]
pub(crate) struct Sending {
    pub(super) begun: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// It holds a head whose request does not ride on it yet.
    partial: bool,
    /// What it has waited for. Boxed: few batches wait, and all are moved.
    waited: Option<Box<Waited>>,
    /// The youngest of the requests that ride on it, and through it those before.
    riders: Option<Box<OpenRequest>>,
}

/// Nanoseconds of waits for send memory and for files, each before the first submission and after it.
#[derive(Clone, Copy, Debug, Default)]
struct Waited {
    buffer: [u64; 2],
    file: [u64; 2],
}

impl Drop for Sending {
    /// Requests whose answers did not leave completely end with their connection.
    fn drop(&mut self) {
        let mut next = self.riders.take();
        while let Some(mut request) = next {
            next = request.before.take();
            abandoned(request, Some(self));
        }
    }
}

impl Sending {
    /// Whether a submission has been noted.
    pub(crate) fn has_begun(&self) -> bool {
        self.begun != 0
    }

    /// Whether a submission was noted before this time.
    #[inline]
    pub(crate) fn has_begun_before(&self, now: u64) -> bool {
        self.begun < now
    }

    /// Something is submitted. Only the first time counts.
    #[inline]
    pub(crate) fn submitted(&mut self, now: u64) {
        if self.begun == 0 {
            self.begun = now;
        }
    }

    /// A submission was completed with bytes taken at `now`.
    #[inline]
    pub(crate) fn completed(&mut self, now: u64) {
        if self.first == 0 {
            self.first = now;
        }
        self.last = now;
    }

    /// Send memory was waited for.
    pub(crate) fn waited_for_buffer(&mut self, nanoseconds: u64) {
        let begun = usize::from(self.has_begun());
        self.waited.get_or_insert_default().buffer[begun] += nanoseconds;
    }

    /// A file was waited for.
    pub(crate) fn waited_for_file(&mut self, nanoseconds: u64) {
        let begun = usize::from(self.has_begun());
        self.waited.get_or_insert_default().file[begun] += nanoseconds;
    }

    /// Whether it has waited for send memory or for a file.
    #[inline]
    pub(super) fn has_waited(&self) -> bool {
        self.waited.is_some()
    }

    /// What of a gap was waited for send memory and for a file: before the first submission, or
    /// (`begun`) after it.
    pub(super) fn waits(&self, begun: bool, gap: u64) -> (u64, u64) {
        let Some(waited) = &self.waited else { return (0, 0) };
        let buffer = waited.buffer[usize::from(begun)].min(gap);
        (buffer, waited.file[usize::from(begun)].min(gap - buffer))
    }

    /// A head is queued: until its request rides on the batch, the response is in it in part.
    #[inline]
    pub(crate) fn holds_head(&mut self) {
        self.partial = true;
    }

    /// The answer that continued here has ended in the batch before.
    #[inline]
    pub(crate) fn holds_no_head(&mut self) {
        self.partial = false;
    }

    /// The last byte of a request's answer is in this batch. The request's clock is empty
    /// afterwards.
    #[inline]
    pub(crate) fn carries(&mut self, request: &mut RequestClock) {
        self.partial = false;
        if let Some(mut request) = request.take() {
            let before = self.riders.take();
            place(&mut request.before, before);
            place(&mut self.riders, Some(request));
        }
    }

    /// The batch is submitted, and the next one begins. An answer that is in this one in part continues
    /// in the next.
    #[must_use]
    pub(crate) fn depart(&mut self) -> Self {
        let gone = std::mem::take(self);
        self.partial = gone.partial;
        gone
    }

    /// The batch before has left. If an answer began in it and did not end, its times are inherited:
    /// they are those of the first bytes of the answer.
    #[inline]
    pub(crate) fn follows(&mut self, before: &Self) {
        if before.partial {
            self.inherits(before);
        }
    }

    #[cold]
    fn inherits(&mut self, before: &Self) {
        self.begun = before.begun;
        self.first = before.first;
        self.last = self.last.max(before.last);
        if let Some(before) = &before.waited {
            let own = self.waited.get_or_insert_default();
            for (own, earlier) in [(&mut own.buffer, before.buffer), (&mut own.file, before.file)] {
                own[0] += earlier[0];
                own[1] += earlier[1];
            }
        }
    }

    /// Whether requests ride on it, and their last byte left so long after the first that the reason
    /// is wanted ([`Self::delivered`]).
    #[inline]
    pub(crate) fn is_slow(&self) -> bool {
        self.last - self.begun.min(self.last) >= SLOW && self.riders.is_some()
    }

    /// What the kernel says of the connection's delivery, before the requests that ride on it end.
    #[cold]
    pub(crate) fn delivered(&mut self, delivery: Delivery) {
        let mut added = None;
        let mut next = self.riders.as_deref_mut();
        while let Some(request) = next {
            if added.is_none() {
                added = request.connection.as_ref().map(|of| of.delivered(delivery));
            }
            request.particulars_mut().delivery = added;
            next = request.before.as_deref_mut();
        }
    }

    /// The youngest of the requests that ride on it.
    #[inline]
    pub(super) fn youngest(&self) -> Option<&OpenRequest> {
        self.riders.as_deref()
    }

    /// Everything that was in the batch has left: the requests that ride on it end, and its times
    /// begin anew.
    #[inline]
    pub(crate) fn all_left(&mut self) {
        if let Some(youngest) = self.riders.take() {
            let mut next = Some(in_order(youngest));
            while let Some(mut request) = next {
                next = request.before.take();
                left(request, self);
            }
        }
        self.forget();
    }

    /// The next batch begins, whatever this one held; requests that ride on it have ended before.
    pub(crate) fn reset(&mut self) {
        self.all_left();
        self.partial = false;
    }

    #[inline]
    fn forget(&mut self) {
        (self.begun, self.first, self.last) = (0, 0, 0);
        self.waited = None;
    }
}

/// Puts a request, or none, where none is. An assignment would call for what drops the one before.
#[inline]
fn place(into: &mut Option<Box<OpenRequest>>, request: Option<Box<OpenRequest>>) {
    match std::mem::replace(into, request) {
        None => {}
        Some(other) => displaced(other),
    }
}

#[cold]
fn displaced(request: Box<OpenRequest>) {
    defect("a request rode where another one was");
    abandoned(request, None);
}

/// Turns a chain round, so that the oldest comes first and the others hang on it.
#[inline]
fn in_order(youngest: Box<OpenRequest>) -> Box<OpenRequest> {
    let mut oldest = youngest;
    let mut before = oldest.before.take();
    while let Some(mut request) = before {
        before = request.before.replace(oldest);
        oldest = request;
    }
    oldest
}

#[cfg(test)]
impl Sending {
    /// One with these times; waits as before and after the first submission.
    pub(super) fn of(times: [u64; 3], buffer: [u64; 2], file: [u64; 2]) -> Self {
        let [begun, first, last] = times;
        let mut sending = Self::default();
        (sending.begun, sending.first, sending.last) = (begun, first, last);
        sending.waited = Some(Box::new(Waited { buffer, file }));
        sending
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn once_reset_it_is_as_new() {
        for wait in [false, true] {
            let mut sending = Sending::default();
            sending.submitted(3);
            sending.completed(5);
            if wait {
                sending.waited_for_buffer(1);
                sending.waited_for_file(1);
            }
            assert!(sending.has_begun());
            sending.reset();
            assert!(!sending.has_begun() && !sending.has_waited());
            assert_eq!((sending.first, sending.last, sending.waits(true, 9)), (0, 0, (0, 0)));
        }
    }

    #[test]
    fn waits_are_told_apart_and_never_longer_than_their_gap() {
        let mut sending = Sending::default();
        sending.waited_for_buffer(10);
        sending.waited_for_file(20);
        sending.submitted(100);
        sending.waited_for_file(30);
        assert_eq!(sending.waits(false, 100), (10, 20));
        assert_eq!(sending.waits(false, 15), (10, 5));
        assert_eq!(sending.waits(true, 100), (0, 30));
    }
}
