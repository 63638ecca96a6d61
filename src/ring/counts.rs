//! What a ring counts of itself.

/// What a ring has done; plain counts since its start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    /// Calls of io_uring_enter(2); where a ring polls, its turns.
    pub enters: u64,
    /// Operations handed to the kernel.
    pub submissions: u64,
    /// Completions taken.
    pub completions: u64,
    /// Cancels queued.
    pub cancels: u64,
    /// Receive streams that ran out of buffers.
    pub out_of_buffers: u64,
    /// Submissions that found the queue full.
    pub full_queue: u64,
    /// Multishot operations that ended before they were stopped.
    pub re_arms: u64,
    /// Of these, because the completion queue was full.
    pub overflows: u64,
    /// Turns that found completions waiting in the kernel because the completion queue was full
    /// (`IORING_SQ_CQ_OVERFLOW`); none of them is lost.
    pub completion_overflows: u64,
    /// Enters that the kernel refused for the moment: no memory (EAGAIN, ENOMEM), or completions
    /// that must be taken first (EBUSY).
    pub refused_enters: u64,
}
