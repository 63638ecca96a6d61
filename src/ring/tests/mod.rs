//! The substrate under scripts: the same table, pools, streams and futures as in production,
//! against a kernel that does what each test says. The invariant at the end of every test: no
//! slot is taken, every buffer is home, every descriptor is closed. No test looks at a clock.

mod accepting;
mod both;
mod confined;
mod deadlines;
mod expected;
mod kernel;
mod low_water;
mod operations;
mod owning;
mod player;
mod queues;
mod random;
mod receive_into;
mod receiving;
mod sequences;
mod waiting;

use std::{
    cell::RefCell,
    future::Future,
    os::fd::{IntoRawFd, OwnedFd, RawFd},
    pin::Pin,
    rc::Rc,
    task::{Context, Waker},
    time::Duration,
};

use rustix::pipe::{PipeFlags, pipe_with};

use super::{
    Backend, Granted, Ring, RingConfig, RingOptions, SendBuf, SendClass, TaskId,
    op::{OpId, Submission, Wait},
    receive_pool::ReceivePool,
    send_pool::SendPool,
    sim::Scripted,
};

/// Polls without a pause between them after which a task is said to spin.
const PATIENCE: usize = 100_000;

/// A ring, its script, and a small executor.
struct Desk {
    ring: Rc<Ring>,
    tasks: Vec<Option<Pin<Box<dyn Future<Output = ()>>>>>,
    polls: usize,
}

fn config() -> RingConfig {
    RingConfig {
        queues: RingOptions { submissions: 8, completions: 16 },
        receive_buffer_len: 64,
        connects: true,
        ..RingConfig::small()
    }
}

fn scripted(config: &RingConfig) -> Rc<Ring> {
    let receive = ReceivePool::new(config.receive_buffers, config.receive_buffer_len).unwrap();
    let send = SendPool::new(config.send_memory).unwrap();
    let script = Scripted::new(Rc::clone(&receive), config.queues.submissions as usize);
    let backend = Backend::Scripted(script);
    Rc::new(Ring::assemble(config, backend, receive, send, Granted::default()))
}

impl Desk {
    fn new() -> Self {
        Self::over(scripted(&config()))
    }

    fn over(ring: Rc<Ring>) -> Self {
        Self { ring, tasks: Vec::new(), polls: 0 }
    }

    /// Starts a task and polls it once.
    fn spawn(&mut self, task: impl Future<Output = ()> + 'static) -> usize {
        let index = self.tasks.len();
        self.tasks.push(Some(Box::pin(task)));
        self.poll(TaskId::first(index as u32));
        index
    }

    /// Starts a task whose output can be asked for.
    fn start<T: 'static>(&mut self, task: impl Future<Output = T> + 'static) -> Output<T> {
        let value = Rc::new(RefCell::new(None));
        let slot = Rc::clone(&value);
        let task = self.spawn(async move {
            let output = task.await;
            *slot.borrow_mut() = Some(output);
        });
        Output { task, value }
    }

    fn poll(&mut self, id: TaskId) {
        let place = &mut self.tasks[id.index()];
        let Some(task) = place else { return };
        self.polls += 1;
        self.ring.set_current(id);
        if task.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            *place = None;
        }
    }

    /// Drops a task at the point where it waits.
    fn abandon(&mut self, task: usize) {
        self.ring.set_current(TaskId::first(task as u32));
        self.tasks[task] = None;
    }

    fn is_done(&self, task: usize) -> bool {
        self.tasks[task].is_none()
    }

    /// Polls what is ready, and takes one turn.
    fn step(&mut self) {
        self.poll_ready();
        self.ring.turn().unwrap();
    }

    fn poll_ready(&mut self) {
        let mut batch = Vec::new();
        self.ring.take_ready(&mut batch, usize::MAX);
        for task in batch {
            self.poll(task);
        }
    }

    /// Turns until the thread would sleep, and says for how long.
    fn run(&mut self) -> Wait {
        for _ in 0..PATIENCE {
            self.step();
            let rests = self.ring.ready.borrow().is_empty();
            let slept = self.script(|script| script.slept);
            if rests && slept != Wait::Not {
                return slept;
            }
        }
        panic!("it does not come to rest");
    }

    fn script<T>(&self, act: impl FnOnce(&mut Scripted) -> T) -> T {
        match &mut self.ring.state.borrow_mut().backend {
            Backend::Scripted(script) => act(script),
            Backend::Kernel(_) | Backend::Poll(_) => {
                unreachable!("a test of the real ring has no script")
            }
        }
    }

    /// The next submission, after a turn.
    fn take(&mut self) -> (OpId, Submission) {
        self.run();
        self.script(|script| script.submitted.pop_front()).expect("a submission")
    }

    fn nothing_submitted(&mut self) -> bool {
        self.run();
        self.script(|script| script.submitted.is_empty())
    }

    /// Expects a cancel as the next submission; returns its target. Its own completion says `result`.
    fn take_cancel(&mut self, result: i32) -> OpId {
        let (id, submission) = self.take();
        let Submission::Cancel { target } = submission else {
            panic!("a cancel, not {submission:?}");
        };
        self.complete(id, result);
        OpId::from_user_data(target)
    }

    /// The last completion of an operation.
    fn complete(&self, id: OpId, result: i32) {
        self.script(|script| script.complete(id, result, false));
    }

    /// One completion of several.
    fn complete_more(&self, id: OpId, result: i32) {
        self.script(|script| script.complete(id, result, true));
    }

    /// Bytes for a receive that stays armed.
    fn deliver(&self, id: OpId, bytes: &[u8]) {
        assert!(self.script(|script| script.deliver(id, bytes, true)), "a buffer is published");
    }

    fn advance(&self, milliseconds: u64) {
        self.script(|script| script.clock += Duration::from_millis(milliseconds));
    }

    fn small_buffer(&self) -> SendBuf {
        self.ring.try_send_buffer(SendClass::Small).expect("a buffer at rest")
    }

    /// The invariant at the end: nothing in flight, every buffer home, nothing left to submit.
    fn assert_clean(&mut self) {
        self.run();
        let left: Vec<_> = self.script(|script| script.submitted.drain(..).collect());
        assert!(left.is_empty(), "left: {left:?}");
        assert_eq!(self.ring.in_flight(), 0);
        assert!(self.ring.send.is_whole());
        assert_eq!(self.ring.receive.available(), self.ring.receive.count());
    }
}

/// What a task that ended left behind.
struct Output<T> {
    task: usize,
    value: Rc<RefCell<Option<T>>>,
}

impl<T> Output<T> {
    fn take(&self) -> Option<T> {
        self.value.borrow_mut().take()
    }
}

/// A descriptor whose end can be seen: the other end of its pipe knows.
struct Witness {
    reader: OwnedFd,
}

impl Witness {
    /// The descriptor, not owned by anyone but the completion that will carry it.
    fn new() -> (Self, RawFd) {
        let (witness, fd) = Self::owned();
        (witness, fd.into_raw_fd())
    }

    fn owned() -> (Self, OwnedFd) {
        let (reader, writer) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC).unwrap();
        (Self { reader }, writer)
    }

    /// Whether the descriptor is closed, and every copy of it.
    fn is_closed(&self) -> bool {
        rustix::io::read(&self.reader, &mut [0; 1]) == Ok(0)
    }
}
