//! A ring without io_uring: the same submissions and completions, played over epoll(7), for hosts
//! that refuse io_uring. Nothing above the ring knows which of the two it runs on.
//!
//! A submission is tried first, at [`Poll::enter`], in the order in which it was queued; a short send
//! already when its task polls it ([`Poll::try_now`]), so that the task need not be polled again. What would
//! block waits in a line for its descriptor and direction ([`lines`]) and is tried again when epoll
//! reports readiness. Files that are not in the page cache go to a thread of this ring ([`helper`]).
//! Interest is edge-triggered, so that epoll does not look a second time at each descriptor that it
//! reported, and lowered lazily: a report that nobody waits for lowers it. What is not tried until it
//! would block, since that costs a call for each request, is safe for one of three reasons: epoll looks
//! at the descriptor anew (a registration), the report named nothing but bytes, and what comes behind
//! them is reported again, or it is tried again in the next turn ([`Poll::unfinished`]).
//!
//! The invariants are the kernel's: a slot's memory and descriptor are touched only between its
//! submission and its last completion; a cancel completes its target; close comes in the order of
//! submissions. A descriptor with a line is open, since the slots in the line own it; so what is
//! known of a number is used only while a line exists, and asked of the kernel anew after that.

mod attempt;
mod features;
mod helper;
mod lines;
mod walk;

use std::{
    collections::VecDeque,
    fmt, io,
    os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd},
    rc::Rc,
};

use rustix::{
    event::{Timespec, epoll},
    io::Errno,
};

use super::{
    NamedCalls,
    calls::{Call, Calls},
    op::{Completion, OpId, Submission, Wait},
    receive_pool::ReceivePool,
};
use attempt::{Attempt, Place};
pub(crate) use features::PollFeatures;
pub(crate) use helper::THREADS_BYTES;
use helper::{Cancelled, Helper};
use lines::{Direction, Lines};

/// Reports that one wait takes, at most; others come with the next.
const EVENTS: usize = 256;

/// Connections that one listener brings in a turn, at most.
const ACCEPTS_A_TURN: usize = 64;

/// Buffers that one socket fills in a turn, at most.
const RECEIVES_A_TURN: usize = 8;

/// Seconds of one wait, at most: milliseconds of epoll_pwait(2) are an `i32`, and a longer wait would
/// need epoll_pwait2(2) (Linux 5.11). A wait that ends early is begun again.
const LONGEST_WAIT: u64 = 86_400;

/// What epoll reports for the helper's eventfd. No descriptor has this number.
const HELPER: u64 = u64::MAX;

/// The epoll backend of a ring.
pub(super) struct Poll {
    epoll: OwnedFd,
    pool: Rc<ReceivePool>,
    /// Where the next receive buffer stands in the ring of published ones.
    head: u16,
    /// Submissions for one enter; more make the queue full.
    room: usize,
    queued: Vec<(OpId, Submission)>,
    completions: VecDeque<Completion>,
    lines: Lines,
    /// Lines that had more to do than one turn does.
    unfinished: Vec<(RawFd, Direction)>,
    helper: Helper,
    events: Vec<epoll::Event>,
    /// The last enter did not ask epoll, since it had completions anyway.
    skipped: bool,
    calls: Calls,
}

impl Poll {
    /// # Errors
    /// What epoll_create(2), epoll_ctl(2) and eventfd(2) say.
    pub(super) fn new(room: u32, pool: &Rc<ReceivePool>) -> io::Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let helper = Helper::new()?;
        let data = epoll::EventData::new_u64(HELPER);
        epoll::add(&epoll, helper.event(), data, epoll::EventFlags::IN)?;
        Ok(Self {
            epoll,
            pool: Rc::clone(pool),
            head: 0,
            room: room as usize,
            queued: Vec::new(),
            completions: VecDeque::new(),
            lines: Lines::default(),
            unfinished: Vec::new(),
            helper,
            events: Vec::with_capacity(EVENTS),
            skipped: false,
            calls: Calls::default(),
        })
    }

    /// The system calls made since the start.
    pub(super) fn calls(&self) -> NamedCalls {
        self.calls.named()
    }

    /// Queues a submission. False if the queue is full.
    pub(super) fn push(&mut self, id: OpId, submission: &Submission) -> bool {
        let fits = self.queued.len() < self.room;
        if fits {
            self.queued.push((id, *submission));
        }
        fits
    }

    /// Whether threads have files to open or read, or results that were not taken.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn waits_for_disks(&self) -> bool {
        self.helper.is_busy()
    }

    /// Whether no completion waits to be taken.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(super) fn is_drained(&self) -> bool {
        self.completions.is_empty()
    }

    /// Takes the next completion.
    pub(super) fn next(&mut self) -> Option<Completion> {
        self.completions.pop_front()
    }

    /// Tries a send that was queued last and is polled now, if it is short: the others wait for their turn, so
    /// that no connection sends without an end while others are ready. The result; None if it is another
    /// operation, comes behind another send of its socket, or would block: then it stays queued.
    pub(super) fn try_now(&mut self, id: OpId) -> Option<i32> {
        let ((last, submission), before) = self.queued.split_last()?;
        let (Place::Line(fd, Direction::Write), true) =
            (attempt::place(submission), *last == id && attempt::is_short_send(submission))
        else {
            return None;
        };
        let sends = |queued: &Submission| matches!(attempt::place(queued), Place::Line(of, Direction::Write) if of == fd);
        let is_first = self.lines.is_empty(fd, Direction::Write)
            && !before.iter().any(|(_, queued)| sends(queued));
        if !is_first {
            return None;
        }
        self.calls.add(Call::Send);
        match attempt::socket(submission, &self.pool, &mut self.head) {
            Attempt::Ended { result, .. } => {
                self.queued.pop();
                Some(result)
            }
            Attempt::NotYet | Attempt::Continues { .. } => None,
        }
    }

    /// Tries what is queued, and waits for one completion if `wait` says so.
    pub(super) fn enter(&mut self, wait: Wait) -> io::Result<()> {
        let mut queued = std::mem::take(&mut self.queued);
        for (id, submission) in queued.drain(..) {
            self.submit(id, &submission);
        }
        self.queued = queued;
        if !self.unfinished.is_empty() {
            for (fd, direction) in std::mem::take(&mut self.unfinished) {
                self.drive(fd, direction, Behind::Unknown);
            }
        }
        // Where there is something to do anyway, epoll is asked every other time only.
        if !self.completions.is_empty() && !self.skipped {
            self.skipped = true;
            return Ok(());
        }
        self.skipped = false;
        let timeout = match wait {
            _ if !self.completions.is_empty() => Some(Timespec::default()),
            Wait::Not => Some(Timespec::default()),
            Wait::Until { rest, .. } => Some(Timespec {
                tv_sec: rest.as_secs().min(LONGEST_WAIT) as i64,
                tv_nsec: rest.subsec_nanos().into(),
            }),
            Wait::Forever => None,
        };
        let timeout = if self.helper.is_short_of_threads() {
            let soon = Timespec { tv_sec: 0, tv_nsec: helper::HELD_UP.subsec_nanos().into() };
            Some(timeout.map_or(soon, |timeout| timeout.min(soon)))
        } else {
            timeout
        };
        self.events.clear();
        let spare = rustix::buffer::spare_capacity(&mut self.events);
        self.calls.add(Call::Wait);
        match epoll::wait(&self.epoll, spare, timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(errno.into()),
        }
        let events = std::mem::take(&mut self.events);
        for event in &events {
            let (data, flags) = (event.data.u64(), event.flags);
            match RawFd::try_from(data) {
                Ok(fd) => self.reported(fd, flags),
                Err(_) => self.collect(),
            }
        }
        self.events = events;
        if self.helper.is_short_of_threads() {
            self.helper.relieve();
        }
        Ok(())
    }

    /// Takes what the helper has done.
    fn collect(&mut self) {
        for (id, result) in self.helper.take_done() {
            self.complete(id, result);
        }
    }

    fn complete(&mut self, id: OpId, result: i32) {
        self.completions.push_back(Completion { id, result, more: false, buffer: None });
    }

    fn submit(&mut self, id: OpId, submission: &Submission) {
        match attempt::place(submission) {
            Place::Line(fd, direction) => self.try_or_wait(id, submission, fd, direction),
            Place::Wait(fd, direction) => {
                self.wait_for(id, submission, fd, direction, Edge::MayBePast);
            }
            Place::File => self.submit_file(id, submission),
            Place::Close(fd) => {
                self.calls.add(Call::Close);
                self.lines.forget(fd);
                let result = attempt::close(fd);
                self.complete(id, result);
            }
            Place::Cancel(target) => self.cancel(id, OpId::from_user_data(target)),
        }
    }

    /// Tries a file in the kernel's caches; a thread does what may wait for a disk.
    fn submit_file(&mut self, id: OpId, submission: &Submission) {
        self.calls.add(Call::File);
        if let Some(result) = attempt::file(submission, attempt::Disk::Never) {
            self.complete(id, result);
            return;
        }
        self.calls.add(Call::Thread);
        if let Err(result) = self.helper.give(id, submission) {
            self.complete(id, result);
        }
    }

    /// Cancels by name, as the kernel does: the cancel completes first, then its target with
    /// ECANCELED; unless that is being carried out (EALREADY) or gone (ENOENT).
    fn cancel(&mut self, id: OpId, target: OpId) {
        let cancelled =
            if self.lines.remove(target) { Cancelled::Taken } else { self.helper.cancel(target) };
        match cancelled {
            Cancelled::Taken => {
                self.complete(id, 0);
                self.complete(target, -libc::ECANCELED);
            }
            Cancelled::TooLate => self.complete(id, -libc::EALREADY),
            Cancelled::Unknown => self.complete(id, -libc::ENOENT),
        }
    }

    fn try_or_wait(&mut self, id: OpId, submission: &Submission, fd: RawFd, direction: Direction) {
        if let Err(result) = attempt::prepare(submission) {
            self.complete(id, result);
            return;
        }
        // Behind others of its kind, so that sends leave in their order.
        let tried = if self.lines.is_empty(fd, direction) {
            self.drive_one(id, submission, Behind::OnlyBytes)
        } else {
            Tried::WouldBlock
        };
        match tried {
            Tried::Ended => {}
            Tried::WouldBlock => self.wait_for(id, submission, fd, direction, Edge::WillCome),
            Tried::Continues => self.wait_for(id, submission, fd, direction, Edge::MayBePast),
            Tried::HasMore => {
                self.wait_for(id, submission, fd, direction, Edge::WillCome);
                self.unfinished.push((fd, direction));
            }
        }
    }

    /// Puts an operation in line and makes epoll report its descriptor.
    fn wait_for(
        &mut self,
        id: OpId,
        submission: &Submission,
        fd: RawFd,
        direction: Direction,
        edge: Edge,
    ) {
        // While nobody is in line the number may have come to stand for another file.
        let is_known = self.lines.has_any(fd);
        self.lines.join(id, submission, fd, direction);
        let wanted = self.lines.wanted(fd);
        let is_registered = is_known && self.lines.registered(fd).contains(wanted);
        if is_registered && edge == Edge::WillCome {
            return;
        }
        if let Err(errno) = self.register(fd, wanted) {
            // Nothing would ever report it.
            self.lines.remove(id);
            self.complete(id, -errno.raw_os_error());
        }
    }

    /// Makes epoll report these, and nothing else, for a descriptor; what it is ready for now is
    /// reported too.
    fn register(&mut self, fd: RawFd, wanted: epoll::EventFlags) -> Result<(), Errno> {
        self.calls.add(Call::Register);
        let data = epoll::EventData::new_u64(fd as u64);
        let known = !self.lines.registered(fd).is_empty();
        let file = attempt::borrow(&self.lines, fd).ok_or(Errno::BADF)?;
        let add = |file: BorrowedFd<'_>| epoll::add(&self.epoll, file, data, wanted);
        let modify = |file: BorrowedFd<'_>| epoll::modify(&self.epoll, file, data, wanted);
        let registered = if known {
            modify(file).or_else(|errno| if errno == Errno::NOENT { add(file) } else { Err(errno) })
        } else {
            add(file).or_else(|errno| if errno == Errno::EXIST { modify(file) } else { Err(errno) })
        };
        self.lines.set_registered(fd, registered.map_or(epoll::EventFlags::empty(), |()| wanted));
        registered
    }

    /// epoll reports a descriptor.
    fn reported(&mut self, fd: RawFd, flags: epoll::EventFlags) {
        use epoll::EventFlags as Flags;
        let failed = flags.intersects(Flags::ERR | Flags::HUP);
        // recv(2) returns what stands before FIN, an error or an urgent byte, and nothing reports again
        // what stands behind it.
        let all_is_bytes = !failed && !flags.intersects(Flags::RDHUP | Flags::PRI);
        let behind = if all_is_bytes { Behind::OnlyBytes } else { Behind::Unknown };
        let mut of_use = false;
        for (direction, flag) in [(Direction::Read, Flags::IN), (Direction::Write, Flags::OUT)] {
            if (failed || flags.intersects(flag)) && !self.lines.is_empty(fd, direction) {
                of_use = true;
                self.drive(fd, direction, behind);
            } else if flags.intersects(flag) {
                self.lower(fd);
            }
        }
        if failed && !of_use {
            self.lower(fd);
        }
    }

    /// Makes epoll report no more than somebody waits for.
    fn lower(&mut self, fd: RawFd) {
        if self.lines.has_any(fd) {
            let wanted = self.lines.wanted(fd);
            // It reported just now, so it is open and known; were it to fail, it reports again.
            let _ = self.register(fd, wanted);
            return;
        }
        self.calls.add(Call::Register);
        // Nobody owns the number any more, so the epoll instance is asked by number alone.
        attempt::unregister(self.epoll.as_fd(), fd);
        self.lines.forget(fd);
    }

    /// Tries what waits in a line, until one has to go on waiting.
    fn drive(&mut self, fd: RawFd, direction: Direction, behind: Behind) {
        while let Some((id, submission)) = self.lines.first(fd, direction) {
            match self.drive_one(id, &submission, behind) {
                Tried::Ended => _ = self.lines.remove(id),
                Tried::WouldBlock | Tried::Continues => return,
                Tried::HasMore => return self.unfinished.push((fd, direction)),
            }
        }
    }

    /// Tries an operation.
    fn drive_one(&mut self, id: OpId, submission: &Submission, behind: Behind) -> Tried {
        let most = match submission {
            Submission::AcceptMulti { .. } => ACCEPTS_A_TURN,
            _ => RECEIVES_A_TURN,
        };
        let call = attempt::call(submission);
        for _ in 0..most {
            self.calls.add(call);
            match attempt::socket(submission, &self.pool, &mut self.head) {
                Attempt::NotYet => return Tried::WouldBlock,
                Attempt::Ended { result, buffer } => {
                    self.completions.push_back(Completion { id, result, more: false, buffer });
                    return Tried::Ended;
                }
                Attempt::Continues { result, buffer, likely_more } => {
                    self.completions.push_back(Completion { id, result, more: true, buffer });
                    if !likely_more && behind == Behind::OnlyBytes {
                        return Tried::Continues;
                    }
                }
            }
        }
        Tried::HasMore
    }
}

/// What came of trying an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Tried {
    Ended,
    /// It would block now, so what comes is reported.
    WouldBlock,
    /// It goes on, and has taken all bytes that were there.
    Continues,
    /// It goes on, and has done as much as one turn may.
    HasMore,
}

/// What may stand behind the bytes of a socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Behind {
    /// Bytes, which are received with those before them.
    OnlyBytes,
    /// FIN, an error or an urgent byte too.
    Unknown,
}

/// Whether epoll will report what an operation waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Edge {
    WillCome,
    /// It may have been there before, so epoll has to look.
    MayBePast,
}

impl fmt::Debug for Poll {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Poll").field("queued", &self.queued.len()).finish_non_exhaustive()
    }
}
