//! The accept stage over a scripted ring: how much it does at a time, and what it keeps waiting.

use std::{
    cell::{Cell, RefCell},
    future::Future,
    net::{TcpListener, TcpStream},
    os::fd::OwnedFd,
    pin::Pin,
    rc::Rc,
    sync::Arc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{
    Admission, BEGUN_A_TURN, BURST, EVICTED_A_TURN, FULL_PAUSE, LAST_GRACE, MOST_EVICTED, accept,
};
use crate::ring::{
    RingConfig, TaskId,
    sim::{Asked, SimKernel, socket_pair},
};

/// A worker that has room for so many, and so many idle connections that it can evict.
#[derive(Debug, Default)]
struct Worker {
    room: Cell<usize>,
    served: RefCell<Vec<OwnedFd>>,
    idle: Cell<usize>,
    silent: Cell<usize>,
    evicted: Cell<u32>,
    asked_of_others: Cell<u32>,
    pauses: Cell<u32>,
    draining: Cell<bool>,
    /// Others take the last places between a look and the next.
    snatched: Cell<u32>,
}

impl Worker {
    fn served(&self) -> usize {
        self.served.borrow().len()
    }
}

impl Admission for Rc<Worker> {
    fn room(&self) -> usize {
        self.room.get()
    }

    fn is_draining(&self) -> bool {
        self.draining.get()
    }

    fn serve(&self, socket: OwnedFd) -> Result<(), OwnedFd> {
        if let Some(left) = self.snatched.get().checked_sub(1) {
            self.snatched.set(left);
            self.room.set(0);
            return Err(socket);
        }
        self.room.set(self.room.get() - 1);
        self.served.borrow_mut().push(socket);
        Ok(())
    }

    fn make_room(&self) -> bool {
        let Some(left) = self.idle.get().checked_sub(1) else { return false };
        self.idle.set(left);
        self.evicted.set(self.evicted.get() + 1);
        true
    }

    fn close_silent(&self) -> bool {
        self.silent.get().checked_sub(1).map(|left| self.silent.set(left)).is_some()
    }

    fn ask_others(&self, wanted: u32) {
        self.asked_of_others.set(self.asked_of_others.get() + wanted);
    }

    fn warn(&self, _: &dyn std::fmt::Display) {}

    fn paused(&self) {
        self.pauses.set(self.pauses.get() + 1);
    }
}

/// The stage with its kernel, and the other ends of what was accepted.
struct Stage {
    kernel: SimKernel,
    worker: Rc<Worker>,
    task: Pin<Box<dyn Future<Output = ()>>>,
    address: std::net::SocketAddr,
    clients: Vec<OwnedFd>,
}

impl Stage {
    fn new(room: usize) -> Self {
        let kernel = SimKernel::new(&RingConfig::small()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let listener = Arc::new(OwnedFd::from(listener));
        let worker = Rc::new(Worker { room: Cell::new(room), ..Worker::default() });
        let task = Box::pin(accept(Rc::clone(kernel.ring()), listener, Rc::clone(&worker)));
        let mut stage = Self { kernel, worker, task, address, clients: Vec::new() };
        assert!(stage.poll().is_pending());
        stage
    }

    /// Polls once, and lets the ring turn: what other tasks would do comes in between.
    fn poll(&mut self) -> Poll<()> {
        self.kernel.ring().set_current(TaskId::first(0));
        let polled = self.task.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        self.kernel.ring().turn().unwrap();
        self.kernel.absorb();
        polled
    }

    /// Brings so many connections to the accept that is armed, of which more are expected.
    fn bring(&mut self, count: usize) {
        let at = self.kernel.find(Asked::Accept).expect("an accept is armed");
        for _ in 0..count {
            let (accepted, client) = socket_pair().unwrap();
            self.kernel.accept(at, accepted, self.clients.len(), true);
            self.clients.push(client);
        }
        self.kernel.ring().turn().unwrap();
    }

    fn is_armed(&self) -> bool {
        self.kernel.find(Asked::Accept).is_some()
    }

    /// Carries out the cancel that is asked for.
    fn cancel(&mut self) {
        let at = self.kernel.find(Asked::Cancel).expect("a cancel");
        self.kernel.cancel(at, true);
        self.kernel.ring().turn().unwrap();
    }

    /// Lets so much time pass.
    fn pass(&mut self, time: Duration) {
        self.kernel.advance(time);
        self.kernel.ring().turn().unwrap();
    }
}

#[test]
fn other_tasks_have_their_turn_while_a_crowd_is_taken_in() {
    let mut stage = Stage::new(1_000);
    stage.bring(40);
    let each = BEGUN_A_TURN as usize;
    for begun in [each, 2 * each, 40] {
        assert!(stage.poll().is_pending());
        assert_eq!(stage.worker.served(), begun);
    }
    assert!(stage.is_armed(), "it goes on");
}

#[test]
fn idle_connections_give_way_a_few_in_each_turn_and_not_all_in_one_pause() {
    let mut stage = Stage::new(BURST);
    stage.worker.idle.set(1_000);
    stage.bring(100);
    stage.worker.room.set(0);
    // The accept is cancelled first, so that further clients wait in the kernel.
    assert!(stage.poll().is_pending());
    stage.cancel();
    assert!(!stage.is_armed());
    for turn in 1..=MOST_EVICTED / EVICTED_A_TURN {
        assert!(stage.poll().is_pending());
        assert_eq!(stage.worker.evicted.get(), turn * EVICTED_A_TURN);
    }
    for _ in 0..10 {
        assert!(stage.poll().is_pending());
    }
    assert_eq!(stage.worker.evicted.get(), MOST_EVICTED, "no more before the pause is over");
    assert_eq!((stage.worker.pauses.get(), stage.worker.asked_of_others.get()), (1, 0));
    stage.pass(FULL_PAUSE);
    stage.worker.room.set(1_000);
    while stage.worker.served() < 100 {
        assert!(stage.poll().is_pending(), "all who waited are served");
    }
}

#[test]
fn others_are_asked_for_the_room_that_this_worker_cannot_make() {
    let mut stage = Stage::new(BURST);
    stage.worker.idle.set(3);
    stage.bring(10);
    stage.worker.room.set(0);
    assert!(stage.poll().is_pending());
    stage.cancel();
    assert!(stage.poll().is_pending());
    assert_eq!((stage.worker.evicted.get(), stage.worker.asked_of_others.get()), (3, 7));
}

#[test]
fn with_little_room_connections_are_accepted_one_by_one() {
    let mut stage = Stage::new(BURST - 1);
    stage.bring(1);
    assert!(!stage.is_armed(), "the kernel was asked for one");
    assert!(stage.poll().is_pending());
    assert_eq!(stage.worker.served(), 1);
    assert!(stage.is_armed());
}

#[test]
fn a_multishot_is_disarmed_when_little_room_is_left() {
    let mut stage = Stage::new(BURST);
    stage.bring(1);
    assert!(stage.is_armed());
    assert!(stage.poll().is_pending());
    assert_eq!((stage.worker.served(), stage.worker.room()), (1, BURST - 1));
    stage.cancel();
    assert!(stage.poll().is_pending());
    stage.bring(1);
    assert!(!stage.is_armed(), "from now on one by one");
}

#[test]
fn who_found_the_last_place_taken_waits_and_is_the_first_to_be_served() {
    let mut stage = Stage::new(BURST - 1);
    stage.worker.snatched.set(1);
    stage.bring(1);
    assert!(stage.poll().is_pending());
    assert_eq!((stage.worker.served(), stage.worker.pauses.get()), (0, 1));
    stage.worker.room.set(1);
    stage.pass(FULL_PAUSE);
    assert!(stage.poll().is_pending());
    assert_eq!(stage.worker.served(), 1);
}

#[test]
fn accepting_pauses_without_descriptors_and_goes_on() {
    let mut stage = Stage::new(1_000);
    stage.worker.silent.set(100);
    let at = stage.kernel.find(Asked::Accept).unwrap();
    stage.kernel.end(at, -libc::EMFILE);
    stage.kernel.ring().turn().unwrap();
    for _ in 0..10 {
        assert!(stage.poll().is_pending());
        assert!(!stage.is_armed(), "it does not spin");
    }
    assert_eq!(stage.worker.pauses.get(), 1);
    assert_eq!(stage.worker.silent.get(), 92, "silent connections free their descriptors");
    stage.pass(Duration::from_secs(2));
    assert!(stage.poll().is_pending());
    stage.bring(1);
    assert!(stage.poll().is_pending());
    assert_eq!(stage.worker.served(), 1);
}

#[test]
fn a_connection_that_died_in_the_queue_is_no_reason_to_pause() {
    let mut stage = Stage::new(1_000);
    let at = stage.kernel.find(Asked::Accept).unwrap();
    stage.kernel.end(at, -libc::ECONNABORTED);
    stage.kernel.ring().turn().unwrap();
    assert!(stage.poll().is_pending());
    assert!(stage.is_armed());
    assert_eq!(stage.worker.pauses.get(), 0);
}

#[test]
fn who_had_connected_before_the_end_is_served_and_then_the_listener_is_closed() {
    let mut stage = Stage::new(1_000);
    // In the kernel's queue, which the scripted accept knows nothing of.
    let queued = TcpStream::connect(stage.address).unwrap();
    stage.bring(1);
    stage.worker.draining.set(true);
    assert!(stage.poll().is_pending());
    stage.cancel();
    assert!(stage.poll().is_ready());
    assert_eq!(stage.worker.served(), 2);
    stage.kernel.ring().turn().unwrap();
    assert!(TcpStream::connect(stage.address).is_err(), "nobody listens there any more");
    drop(queued);
}

#[test]
fn who_finds_no_room_at_the_end_is_let_go_after_a_grace() {
    let mut stage = Stage::new(1_000);
    stage.bring(3);
    stage.worker.room.set(0);
    stage.worker.draining.set(true);
    assert!(stage.poll().is_pending());
    stage.cancel();
    for _ in 0..3 {
        assert!(stage.poll().is_pending(), "somebody may go yet");
        stage.pass(FULL_PAUSE);
    }
    stage.worker.room.set(1);
    assert!(stage.poll().is_pending());
    assert_eq!(stage.worker.served(), 1, "there was room for one");
    stage.pass(Duration::from_millis(LAST_GRACE));
    assert!(stage.poll().is_ready());
    assert_eq!(stage.worker.served(), 1);
}

#[test]
fn each_place_that_becomes_free_at_the_end_prolongs_the_wait() {
    let mut stage = Stage::new(1_000);
    stage.bring(2);
    stage.worker.room.set(0);
    stage.worker.draining.set(true);
    assert!(stage.poll().is_pending());
    stage.cancel();
    assert!(stage.poll().is_pending());
    // They connect during the drain, and wait in the kernel's queue.
    let _late = [(); 2].map(|()| TcpStream::connect(stage.address).unwrap());
    let step = Duration::from_millis(LAST_GRACE * 3 / 4);
    for served in 1..=3 {
        stage.pass(step);
        stage.worker.room.set(1);
        assert!(stage.poll().is_pending());
        assert_eq!(stage.worker.served(), served);
    }
    // The grace began for the last time when the second client got its place.
    stage.pass(Duration::from_millis(LAST_GRACE).saturating_sub(step));
    assert!(stage.poll().is_ready(), "a client that connects during the drain does not prolong it");
    assert_eq!(stage.worker.served(), 3);
}
