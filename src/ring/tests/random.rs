//! Random scripts: tasks that send, receive, accept, open, read and sleep; a kernel that answers
//! in any order, shortly, wrongly or late; tasks dropped at any point. Whatever happened, in the
//! end every slot is free, every buffer is home and every descriptor is closed.

use std::{
    cell::RefCell,
    collections::HashMap,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    rc::Rc,
    time::Duration,
};

use proptest::prelude::*;

use super::{Desk, Witness, config, scripted};
use crate::ring::{
    AcceptStream, Message, OpenRules, Pages, ReceiveStream, Received, Ring, RingConfig,
    RingOptions, SendClass, Socket, TaskId,
    op::{OpId, Submission},
};

#[derive(Clone, Debug)]
enum Act {
    /// A task of this kind begins.
    Spawn(u8),
    /// One of the operations in flight completes somehow.
    Complete(u16, u8),
    /// One of the tasks is dropped where it waits.
    Abandon(u16),
    /// A task is woken for no reason.
    Wake(u16),
    Advance(u16),
    /// The queue takes so many submissions per enter.
    Room(u8),
    /// One turn; or as many as there is something to do.
    Step,
    Run,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        3 => (0_u8..8).prop_map(Act::Spawn),
        8 => (any::<u16>(), any::<u8>()).prop_map(|(which, how)| Act::Complete(which, how)),
        1 => any::<u16>().prop_map(Act::Abandon),
        1 => any::<u16>().prop_map(Act::Wake),
        1 => (0_u16..300).prop_map(Act::Advance),
        1 => (1_u8..9).prop_map(Act::Room),
        3 => Just(Act::Step),
        2 => Just(Act::Run),
    ];
    prop::collection::vec(act, 1..150)
}

/// An operation that the kernel has.
#[derive(Clone, Copy, Debug)]
struct Flying {
    id: OpId,
    submission: Submission,
    /// Which use of its descriptor's number it belongs to.
    epoch: u32,
}

/// The kernel that the script plays.
struct Play {
    desk: Desk,
    flying: Vec<Flying>,
    witnesses: Vec<Witness>,
    /// For each descriptor: how often its number was used, and the bytes received on it so far.
    /// What a stream receives counts up, so that a lost or misplaced byte shows.
    received: HashMap<RawFd, (u32, u8)>,
}

impl Play {
    fn new() -> Self {
        let ring = scripted(&RingConfig {
            queues: RingOptions { submissions: 4, completions: 16 },
            operations: 12,
            receive_buffers: 4,
            leases: 2,
            ..config()
        });
        let (flying, witnesses) = (Vec::new(), Vec::new());
        Self { desk: Desk::over(ring), flying, witnesses, received: HashMap::new() }
    }

    fn descriptor(&mut self) -> OwnedFd {
        let (witness, fd) = Witness::owned();
        self.witnesses.push(witness);
        let (epoch, received) = self.received.entry(fd.as_raw_fd()).or_default();
        *epoch += 1;
        *received = 0;
        fd
    }

    /// Takes what was submitted. A cancel finds its target, or finds it too late.
    fn absorb(&mut self, obedient: bool) {
        while let Some((id, submission)) = self.desk.script(|script| script.submitted.pop_front()) {
            let Submission::Cancel { target } = submission else {
                let epoch = match submission {
                    Submission::Receive { socket, .. } | Submission::ReceiveMulti { socket } => {
                        self.received[&socket].0
                    }
                    _ => 0,
                };
                self.flying.push(Flying { id, submission, epoch });
                continue;
            };
            let found = self.flying.iter().position(|op| op.id.to_user_data() == target);
            let result = match found {
                None => -libc::ENOENT,
                Some(at) if obedient || self.flying[at].id.slot().is_multiple_of(2) => {
                    let op = self.flying.swap_remove(at);
                    self.desk.complete(op.id, -libc::ECANCELED);
                    0
                }
                Some(_) => -libc::EALREADY,
            };
            self.desk.complete(id, result);
        }
    }

    fn spawn(&mut self, kind: u8) {
        // Before a descriptor's number can be used again, what was submitted for it is known.
        self.absorb(false);
        let ring = Rc::clone(&self.desk.ring);
        let fd = self.descriptor();
        match kind {
            0 => self.desk.spawn(send(ring, fd)),
            1 => self.desk.spawn(send_messages(ring, fd)),
            2 => self.desk.spawn(receive(ring, fd, true)),
            3 => self.desk.spawn(receive(ring, fd, false)),
            4 => self.desk.spawn(accept(ring, fd)),
            5 => self.desk.spawn(open(ring, fd)),
            6 => self.desk.spawn(read(ring, fd)),
            _ => self.desk.spawn(doze(ring)),
        };
    }

    fn complete(&mut self, which: u16, how: u8) {
        self.absorb(false);
        if self.flying.is_empty() {
            return;
        }
        let at = usize::from(which) % self.flying.len();
        let op = self.flying[at];
        let more = !how.is_multiple_of(4);
        let ends = match op.submission {
            Submission::AcceptMulti { .. } if how.is_multiple_of(5) => self.fail(op, libc::EMFILE),
            Submission::AcceptMulti { .. } => {
                let (witness, fd) = Witness::new();
                self.witnesses.push(witness);
                self.desk.script(|script| script.complete(op.id, fd, more));
                !more
            }
            Submission::OpenAt2 { .. } if how.is_multiple_of(3) => self.fail(op, libc::ENOENT),
            Submission::OpenAt2 { .. } => {
                let (witness, fd) = Witness::new();
                self.witnesses.push(witness);
                self.desk.complete(op.id, fd);
                true
            }
            Submission::Receive { socket, .. } => self.receive(op, socket, how, false),
            Submission::ReceiveMulti { socket } => self.receive(op, socket, how, more),
            _ if how.is_multiple_of(4) => self.fail(op, libc::ECONNRESET),
            _ => {
                self.desk.complete(op.id, i32::from(how % 7));
                true
            }
        };
        if ends {
            self.flying.swap_remove(at);
        }
    }

    fn fail(&mut self, op: Flying, error: i32) -> bool {
        self.desk.complete(op.id, -error);
        true
    }

    fn receive(&mut self, op: Flying, socket: RawFd, how: u8, more: bool) -> bool {
        match how % 16 {
            0 => return self.fail(op, libc::ECONNRESET),
            1 => return self.fail(op, libc::EINTR),
            2 => {
                self.desk.complete(op.id, 0);
                return true;
            }
            _ => {}
        }
        let (epoch, received) = self.received[&socket];
        let count = how % 5 + 1;
        let bytes: Vec<u8> = (0..count).map(|offset| received.wrapping_add(offset)).collect();
        if !self.desk.script(|script| script.deliver(op.id, &bytes, more)) {
            return self.fail(op, libc::ENOBUFS);
        }
        if epoch == op.epoch {
            self.received.insert(socket, (epoch, received.wrapping_add(count)));
        }
        !more
    }

    fn play(&mut self, act: &Act) {
        match *act {
            Act::Spawn(kind) => self.spawn(kind),
            Act::Complete(which, how) => self.complete(which, how),
            Act::Abandon(which) => {
                if let Some(task) = self.some_task(which) {
                    self.desk.abandon(task);
                }
            }
            Act::Wake(which) => {
                if let Some(task) = self.some_task(which) {
                    self.desk.ring.wake(TaskId::first(task as u32));
                }
            }
            Act::Advance(milliseconds) => self.desk.advance(u64::from(milliseconds)),
            Act::Room(room) => self.desk.script(|script| script.room = usize::from(room)),
            Act::Step => self.desk.step(),
            Act::Run => {
                self.desk.run();
            }
        }
    }

    fn some_task(&self, which: u16) -> Option<usize> {
        let count = self.desk.tasks.len();
        (count > 0).then(|| usize::from(which) % count)
    }

    /// Everybody leaves, the kernel lets go of everything.
    fn end(mut self) {
        for task in 0..self.desk.tasks.len() {
            self.desk.abandon(task);
        }
        loop {
            self.desk.run();
            self.absorb(true);
            // What was not cancelled in time ends by itself.
            let flying = std::mem::take(&mut self.flying);
            if flying.is_empty() && self.desk.ring.in_flight() == 0 {
                break;
            }
            for op in flying {
                self.desk.complete(op.id, -libc::ECANCELED);
            }
        }
        self.desk.assert_clean();
        assert!(self.witnesses.iter().all(Witness::is_closed), "a descriptor is left open");
    }
}

async fn send(ring: Rc<Ring>, fd: OwnedFd) {
    let socket = Socket::new(&ring, fd);
    let limit = Duration::from_millis(100);
    for _ in 0..3 {
        let Ok(buffer) = ring.within(limit, ring.send_buffer(SendClass::Small)).await else {
            return;
        };
        let sent = ring.within(limit, ring.send(&socket, buffer, 0..10)).await;
        if !matches!(sent, Ok((Ok(_), _))) {
            return;
        }
        ring.yield_now().await;
    }
    drop(socket);
}

async fn send_messages(ring: Rc<Ring>, fd: OwnedFd) {
    let socket = Socket::new(&ring, fd);
    let shared = Rc::new(Pages::from(&[1; 20][..]));
    let mut message = Message::new();
    let buffer = ring.send_buffer(SendClass::Small).await;
    *message.buffer() = Some(buffer);
    assert!(message.push_buffered(0..10) && message.push_shared(shared, 0..20));
    while message.remaining() > 0 {
        let (sent, back) = ring.send_message(&socket, message).await;
        message = back;
        match sent {
            Ok(count) => message.advance(count),
            Err(_) => return,
        }
        if ring.within(Duration::from_millis(50), ring.writable(&socket)).await.is_err() {
            return;
        }
    }
}

/// Holds up to three leases, and checks that nothing is missing between them.
async fn receive(ring: Rc<Ring>, fd: OwnedFd, multishot: bool) {
    let socket = Socket::new(&ring, fd);
    let mut stream = ReceiveStream::single(&ring, &socket);
    if multishot {
        stream.make_multishot();
    }
    let (mut expected, mut held) = (0_u8, Vec::new());
    for _ in 0..20 {
        let Ok(received) = ring.within(Duration::from_millis(200), stream.next()).await else {
            held.clear();
            continue;
        };
        let Received::Data(lease) = received else { break };
        for byte in lease.iter() {
            assert_eq!(*byte, expected, "a byte is lost, or out of order");
            expected = expected.wrapping_add(1);
        }
        held.push(lease);
        if held.len() > 3 {
            held.clear();
            ring.yield_now().await;
        }
    }
    stream.stop().await;
    drop(held);
    drop(socket);
}

async fn accept(ring: Rc<Ring>, listener: OwnedFd) {
    let listener = Rc::new(listener);
    let mut stream = AcceptStream::new(&ring, &listener);
    let accepted = RefCell::new(Vec::new());
    for _ in 0..5 {
        match std::future::poll_fn(|_| stream.poll_next()).await {
            Ok(fd) => accepted.borrow_mut().push(Socket::new(&ring, fd)),
            Err(_) => ring.sleep(Duration::from_millis(20)).await,
        }
    }
    let last = stream.stop().await;
    drop(accepted);
    drop(stream);
    ring.close(Rc::into_inner(listener).expect("nothing is in flight on it"));
    for fd in last {
        ring.close(fd);
    }
}

async fn open(ring: Rc<Ring>, folder: OwnedFd) {
    let folder = Rc::new(folder);
    for _ in 0..3 {
        let Ok(file) = ring.open_beneath(&folder, c"x".into(), OpenRules::default()).await else {
            return;
        };
        let file = Rc::new(crate::ring::OpenFile::local(file));
        let _ = ring.read_pages(&file, Pages::zeroed(32), 8, 0).await;
    }
}

async fn read(ring: Rc<Ring>, file: OwnedFd) {
    let file = Rc::new(crate::ring::OpenFile::local(file));
    let (Some(one), two) = (
        ring.try_send_buffer(SendClass::Record),
        ring.within(Duration::from_millis(80), ring.send_buffer(SendClass::Record)).await,
    ) else {
        return;
    };
    let first = ring.read_into(&file, one, vec![0..100, 200..300], 0);
    if let Ok(two) = two {
        let second = ring.read_into(&file, two, vec![0..50, 50..100], 200);
        drop(file);
        let _ = second.await;
    }
    let _ = first.await;
}

async fn doze(ring: Rc<Ring>) {
    let _ = ring
        .within(Duration::from_millis(250), async {
            loop {
                ring.sleep(Duration::from_millis(70)).await;
            }
        })
        .await;
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 256 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn nothing_is_left_whatever_happens(acts in acts()) {
        let mut play = Play::new();
        for act in &acts {
            play.play(act);
        }
        play.end();
    }
}
