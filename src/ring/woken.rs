//! The places that wakers have named, and whether the ring has to be roused for them. Nothing here but
//! memory that threads share, so that `tests/loom` can try every order of its steps.
//!
//! The invariant: a wake is never lost. A place stands in the list before its waker looks whether the
//! ring sleeps; the ring says that it sleeps before it looks at the list for the last time. A fence of
//! sequential consistency stands between both steps of either side, so at least one sees the other.
//! Every change of `asleep` is a swap: what was written before an earlier one is seen behind a later one.

use super::sync::{
    AtomicBool, Mutex,
    Ordering::{AcqRel, Relaxed, Release, SeqCst},
    fence, locked,
};

/// What a ring shares with the wakers of its tasks.
#[derive(Debug, Default)]
pub(super) struct Woken {
    /// The places that were woken, each at most once: as long as there are places, at most.
    places: Mutex<Vec<u32>>,
    /// There may be some.
    any: AtomicBool,
    /// The ring waits for completions, or is about to.
    asleep: AtomicBool,
}

/// Whether a place stands in the list.
#[derive(Debug, Default)]
pub(super) struct Listed(AtomicBool);

impl Listed {
    /// The place leaves the list: before its task is polled, which sees what the waker's thread wrote.
    pub(super) fn clear(&self) {
        self.0.swap(false, AcqRel);
    }
}

impl Woken {
    /// Names a place, once until it is taken. True if the ring sleeps and has to be roused.
    pub(super) fn wake(&self, place: u32, listed: &Listed) -> bool {
        if listed.0.swap(true, AcqRel) {
            return false;
        }
        locked(&self.places).push(place);
        self.any.store(true, Release);
        fence(SeqCst);
        // One waker rouses it, of those that see it asleep.
        self.asleep.load(Relaxed) && self.asleep.swap(false, AcqRel)
    }

    /// Takes out the places that were named. Each is to be cleared before its task is polled.
    pub(super) fn take(&self) -> Vec<u32> {
        if !self.any.load(Relaxed) || !self.any.swap(false, AcqRel) {
            return Vec::new();
        }
        std::mem::take(&mut *locked(&self.places))
    }

    /// The ring is about to wait. False if a waker was called meanwhile.
    pub(super) fn may_sleep(&self) -> bool {
        self.asleep.swap(true, AcqRel);
        fence(SeqCst);
        let may = !self.any.load(Relaxed);
        if !may {
            self.awake();
        }
        may
    }

    /// The ring does not wait any more.
    pub(super) fn awake(&self) {
        self.asleep.swap(false, AcqRel);
    }
}
