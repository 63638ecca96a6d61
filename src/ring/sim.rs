//! A scripted ring: what is submitted is recorded, and completions come as the script says:
//! late, reordered, short, failing, twice. It drives the same table, pools and futures as the
//! real one, without a kernel.

use std::{collections::VecDeque, rc::Rc};

use super::{
    op::{Completion, OpId, Submission},
    receive_pool::ReceivePool,
};

/// The kernel's side of a scripted ring.
#[derive(Debug)]
pub(super) struct Scripted {
    pool: Rc<ReceivePool>,
    head: u16,
    /// Submissions per enter; more make the queue full.
    room: usize,
    queued: Vec<(OpId, Submission)>,
    pub(super) submitted: VecDeque<(OpId, Submission)>,
    completions: VecDeque<Completion>,
    pub(super) enters: usize,
}

impl Scripted {
    pub(super) fn new(pool: Rc<ReceivePool>, room: usize) -> Self {
        Self {
            pool,
            head: 0,
            room,
            queued: Vec::new(),
            submitted: VecDeque::new(),
            completions: VecDeque::new(),
            enters: 0,
        }
    }

    pub(super) fn push(&mut self, id: OpId, submission: &Submission) -> bool {
        let fits = self.queued.len() < self.room;
        if fits {
            self.queued.push((id, *submission));
        }
        fits
    }

    pub(super) fn enter(&mut self) {
        self.enters += 1;
        self.submitted.extend(self.queued.drain(..));
    }

    pub(super) fn next(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// The next submission that the script has not looked at.
    pub(super) fn take(&mut self) -> Option<(OpId, Submission)> {
        self.submitted.pop_front()
    }

    pub(super) fn complete(&mut self, id: OpId, result: i32, more: bool) {
        self.completions.push_back(Completion { id, result, more, buffer: None });
    }

    /// Completes a receive with bytes. False if no buffer is published: the real kernel would
    /// say ENOBUFS.
    pub(super) fn deliver(&mut self, id: OpId, bytes: &[u8], more: bool) -> bool {
        let Some(buffer) = self.pool.fill_next(&mut self.head, bytes) else { return false };
        let result = bytes.len() as i32;
        self.completions.push_back(Completion { id, result, more, buffer: Some(buffer) });
        true
    }
}
