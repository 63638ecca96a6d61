//! What a worker's ring and loop did, in plain numbers.

/// Kinds of system calls that a ring's account has room for.
pub(super) const CALL_KINDS: usize = 10;

/// What one ring did since its start. The worker fills it in, so that nothing here knows rings.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct RingAccount {
    /// Calls of io_uring_enter(2); where the worker polls, its turns.
    pub enters: u64,
    /// Operations handed to the kernel.
    pub submissions: u64,
    /// Completions taken.
    pub completions: u64,
    /// Cancels queued.
    pub cancels: u64,
    /// Receive streams that ran out of buffers (ENOBUFS).
    pub out_of_buffers: u64,
    /// Submissions that found the queue full.
    pub full_queue: u64,
    /// Multishot operations that ended before their stream.
    pub re_arms: u64,
    /// Of these, because the completion queue was full.
    pub overflows: u64,
    /// Enters that the kernel refused for the moment, for want of memory above all.
    pub refused_enters: u64,
    /// Turns that found completions held back in the kernel because the completion queue was full
    /// (`IORING_SQ_CQ_OVERFLOW`).
    pub completion_overflows: u64,
    /// The names of its system calls: `io_uring_enter` alone, or those of polling.
    pub call_names: &'static [&'static str],
    /// How often each of them was made.
    pub calls: [u64; CALL_KINDS],
    /// Operations in flight at present.
    pub in_flight: u32,
    /// Receive buffers of the pool.
    pub receive_buffers: u16,
    /// Of them, those that the kernel may fill at present: the others hold what was received.
    pub receive_buffers_free: u16,
    /// The fewest of them that were ever free.
    pub receive_buffers_low_water: u16,
    /// Bytes of send memory that hold what is to leave.
    pub write_queue_bytes: u64,
}

impl RingAccount {
    /// What was counted since `earlier`, an account of the same ring; and what is present, as it is.
    pub(super) fn since(self, earlier: Self) -> Self {
        let since = |of: fn(Self) -> u64| of(self).saturating_sub(of(earlier));
        Self {
            enters: since(|of| of.enters),
            submissions: since(|of| of.submissions),
            completions: since(|of| of.completions),
            cancels: since(|of| of.cancels),
            out_of_buffers: since(|of| of.out_of_buffers),
            full_queue: since(|of| of.full_queue),
            re_arms: since(|of| of.re_arms),
            overflows: since(|of| of.overflows),
            refused_enters: since(|of| of.refused_enters),
            completion_overflows: since(|of| of.completion_overflows),
            calls: std::array::from_fn(|at| self.calls[at].saturating_sub(earlier.calls[at])),
            ..self
        }
    }

    /// The system calls that this ring makes, by name.
    pub fn calls(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.call_names.iter().copied().zip(self.calls)
    }
}
