//! How what waited in a [`Writer`](crate::write::Writer) left.
//!
//! The invariant: once it is [`reset`](Sending::reset), nothing of the last answer is left in it.

/// When what waited was submitted and taken, and what it waited for before. Times are nanoseconds on
/// the worker's clock; 0 stands for not yet, or for clocks that are off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sending {
    pub(super) begun: u64,
    pub(super) first: u64,
    pub(super) last: u64,
    /// Something was waited for.
    waited: bool,
    buffer: [u64; 2],
    file: [u64; 2],
}

impl Sending {
    /// Whether a submission has been noted.
    pub fn has_begun(&self) -> bool {
        self.begun != 0
    }

    /// Something is submitted. Only the first time counts.
    #[inline]
    pub fn submitted(&mut self, now: u64) {
        if self.begun == 0 {
            self.begun = now;
        }
    }

    /// A submission was completed with bytes taken, in the turn that began at `turn`.
    #[inline]
    pub fn completed(&mut self, turn: u64) {
        if self.first == 0 {
            self.first = turn;
        }
        self.last = turn;
    }

    /// Send memory was waited for.
    pub fn waited_for_buffer(&mut self, nanoseconds: u64) {
        self.waited = true;
        self.buffer[usize::from(self.has_begun())] += nanoseconds;
    }

    /// A file was waited for.
    pub fn waited_for_file(&mut self, nanoseconds: u64) {
        self.waited = true;
        self.file[usize::from(self.has_begun())] += nanoseconds;
    }

    /// What of a gap was waited for send memory and for a file: before the first submission, or
    /// (`begun`) after it.
    #[inline]
    pub(super) fn waits(&self, begun: bool, gap: u64) -> (u64, u64) {
        if !self.waited {
            return (0, 0);
        }
        let buffer = self.buffer[usize::from(begun)].min(gap);
        (buffer, self.file[usize::from(begun)].min(gap - buffer))
    }

    /// Begins anew.
    #[inline]
    pub fn reset(&mut self) {
        if self.waited {
            *self = Self::default();
        } else {
            (self.begun, self.first, self.last) = (0, 0, 0);
        }
    }
}

#[cfg(test)]
impl Sending {
    /// One with these times; waits as before and after the first submission.
    pub(super) fn of(times: [u64; 3], buffer: [u64; 2], file: [u64; 2]) -> Self {
        let [begun, first, last] = times;
        Self { begun, first, last, waited: true, buffer, file }
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
            assert_eq!(sending, Sending::default());
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
