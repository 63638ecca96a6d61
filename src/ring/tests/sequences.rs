//! The same cases on io_uring, on epoll and on the scripted ring, whose script a player writes that
//! knows only what io_uring's man pages say: what is submitted completes in the same sequence, with the
//! same results, bytes and ends. Descriptors are left out, since each run has its own.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::{
        fd::{AsRawFd, OwnedFd, RawFd},
        unix::net::UnixStream,
    },
    rc::Rc,
    time::{Duration, Instant},
};

use super::{config, player::Player, scripted};
use crate::ring::{
    Backend, Io, Ring, RingConfig,
    connect::ConnectAddress,
    file::{OpenRequest, OpenRules},
    message::ControlFrame,
    op::{Kind, OpId, Submission, Wait},
    table::own,
};

/// After this a completion is said to be missing.
const PATIENCE: Duration = Duration::from_secs(60);

/// One completion: of which operation, its result, whether more follow, and the bytes it brought.
type Seen = (u32, i32, bool, Vec<u8>);

/// A backend without a table above it, and what it has completed.
struct Stage {
    ring: Rc<Ring>,
    /// The kernel of a scripted ring.
    player: Option<Player>,
    seen: Vec<Seen>,
}

fn id(kind: Kind, number: u32) -> OpId {
    OpId::new(kind, number, 3)
}

impl Stage {
    fn push(&self, id: OpId, submission: Submission) {
        assert!(self.ring.state.borrow_mut().backend.push(id, &submission), "the queue has room");
    }

    /// Enters until so many more completions have come, and then until no more do.
    fn see(&mut self, count: usize) {
        let wanted = self.seen.len() + count;
        let deadline = Instant::now() + PATIENCE;
        while self.seen.len() < wanted {
            assert!(Instant::now() < deadline, "missing after {:?}", self.seen);
            let rest = Duration::from_millis(5);
            let at = self.ring.time().now() / 1_000_000 + 5;
            self.enter(Wait::Until { at, rest });
        }
        for _ in 0..3 {
            self.enter(Wait::Not);
        }
    }

    fn enter(&mut self, wait: Wait) {
        let state = &mut *self.ring.state.borrow_mut();
        state.backend.enter(wait).unwrap();
        if let (Some(player), Backend::Scripted(script)) = (&mut self.player, &mut state.backend) {
            player.play(script, &self.ring.receive);
        }
        while let Some(done) = state.backend.next() {
            let bytes = done.buffer.map(|buffer| {
                self.ring.receive.taken();
                self.ring.receive.lease(buffer, done.result.max(0) as u32).to_vec()
            });
            let mut result = done.result;
            if matches!(done.id.kind(), Kind::Accept | Kind::Open) && result >= 0 {
                drop(own(result));
                result = 0;
            }
            self.seen.push((done.id.slot(), result, done.more, bytes.unwrap_or_default()));
        }
    }

    fn cancel(&self, number: u32, target: OpId) {
        self.push(id(Kind::Plain, number), Submission::Cancel { target: target.to_user_data() });
    }
}

/// Plays a case on io_uring, on epoll and on the scripted ring, and compares.
fn same(case: fn(&mut Stage)) {
    let ring = same_on_kernels(case);
    let script = seen(case, scripted(&few_buffers()), Some(Player::default()));
    assert_eq!(ring, script, "the scripted ring");
}

/// The same without the scripted ring, which closes descriptors ahead of what was submitted before.
fn same_on_kernels(case: fn(&mut Stage)) -> Vec<Seen> {
    let [ring, poll] = [Io::Ring, Io::Poll].map(|io| {
        let ring = Ring::new(&RingConfig { io, ..few_buffers() }).expect("a small ring");
        seen(case, ring, None)
    });
    assert_eq!(ring, poll);
    assert!(!ring.is_empty(), "the case shows something");
    ring
}

fn seen(case: fn(&mut Stage), ring: Rc<Ring>, player: Option<Player>) -> Vec<Seen> {
    let mut stage = Stage { ring, player, seen: Vec::new() };
    case(&mut stage);
    stage.seen
}

/// The buffers are few, and come back at the end only.
fn few_buffers() -> RingConfig {
    RingConfig { receive_buffers: 4, ..config() }
}

fn pair() -> (UnixStream, UnixStream) {
    UnixStream::pair().unwrap()
}

const RECEIVE: OpId = OpId::new(Kind::Receive, 1, 3);

#[test]
#[cfg_attr(miri, ignore)]
fn a_receive_before_and_after_its_bytes() {
    same(|stage| {
        let (ours, mut peer) = pair();
        let socket = ours.as_raw_fd();
        stage.push(RECEIVE, Submission::Receive { socket, limit: 0 });
        stage.see(0);
        peer.write_all(b"later").unwrap();
        stage.see(1);
        peer.write_all(b"0123456789").unwrap();
        stage.push(RECEIVE, Submission::Receive { socket, limit: 4 });
        stage.see(1);
        stage.push(RECEIVE, Submission::Receive { socket, limit: 0 });
        stage.see(1);
        drop(peer);
        stage.push(RECEIVE, Submission::Receive { socket, limit: 0 });
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_multishot_receive_until_the_end() {
    same(|stage| {
        let (ours, mut peer) = pair();
        stage.push(RECEIVE, Submission::ReceiveMulti { socket: ours.as_raw_fd() });
        for piece in [&b"one"[..], b"two"] {
            peer.write_all(piece).unwrap();
            stage.see(1);
        }
        drop(peer);
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_multishot_receive_that_runs_out_of_buffers() {
    same(|stage| {
        let (ours, mut peer) = pair();
        peer.write_all(&[7; 300]).unwrap();
        let socket = ours.as_raw_fd();
        stage.push(RECEIVE, Submission::ReceiveMulti { socket });
        // Four buffers of 64 bytes, and none for the rest.
        stage.see(5);
        stage.push(RECEIVE, Submission::ReceiveMulti { socket });
        stage.see(1);
        stage.ring.receive.publish_returns();
        stage.push(RECEIVE, Submission::ReceiveMulti { socket });
        stage.see(1);
        stage.cancel(2, RECEIVE);
        stage.see(2);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn cancels_of_what_waits_and_of_what_is_gone() {
    same(|stage| {
        let (ours, peer) = pair();
        stage.push(RECEIVE, Submission::ReceiveMulti { socket: ours.as_raw_fd() });
        stage.see(0);
        stage.cancel(2, RECEIVE);
        stage.see(2);
        stage.cancel(3, RECEIVE);
        stage.cancel(4, id(Kind::Receive, 9));
        stage.cancel(5, OpId::new(RECEIVE.kind(), RECEIVE.slot(), 4));
        stage.see(3);
        drop(peer);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn receives_of_what_is_no_socket_fail() {
    same(|stage| {
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        stage.push(RECEIVE, Submission::Receive { socket: reader.as_raw_fd(), limit: 0 });
        stage.see(1);
        stage.push(RECEIVE, Submission::ReceiveMulti { socket: reader.as_raw_fd() });
        stage.see(1);
    });
}

fn send(stage: &Stage, socket: RawFd, bytes: &[u8]) {
    let (data, len) = (bytes.as_ptr(), bytes.len() as u32);
    stage.push(id(Kind::Plain, 4), Submission::Send { socket, data, len });
}

#[test]
#[cfg_attr(miri, ignore)]
fn sends_that_fit_that_wait_and_that_fail() {
    same(|stage| {
        let (ours, mut peer) = pair();
        let socket = ours.as_raw_fd();
        send(stage, socket, b"hello");
        stage.see(1);
        // Until the socket is full, the next one waits for the peer.
        let much = vec![1; 1 << 20];
        ours.set_nonblocking(true).unwrap();
        while (&ours).write(&much).is_ok() {}
        ours.set_nonblocking(false).unwrap();
        send(stage, socket, &much[..100]);
        stage.push(id(Kind::Plain, 5), Submission::PollWritable { socket });
        stage.see(0);
        let mut sink = vec![0; 1 << 20];
        peer.set_nonblocking(true).unwrap();
        while peer.read(&mut sink).is_ok() {}
        stage.see(2);
        stage.seen.sort();
        stage.push(id(Kind::Plain, 6), Submission::PollWritable { socket });
        stage.see(1);
        drop(peer);
        send(stage, socket, b"nobody reads it");
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn connections_one_by_one_and_several() {
    same(|stage| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (fd, address) = (listener.as_raw_fd(), listener.local_addr().unwrap());
        let accept = id(Kind::Accept, 1);
        stage.push(accept, Submission::Accept { listener: fd });
        stage.see(0);
        let connect = || TcpStream::connect(address).unwrap();
        let mut clients = vec![connect()];
        stage.see(1);
        clients.extend([connect(), connect()]);
        stage.push(accept, Submission::AcceptMulti { listener: fd });
        stage.see(2);
        clients.push(connect());
        stage.see(1);
        stage.cancel(2, accept);
        stage.see(2);
        let (reader, _writer) = rustix::pipe::pipe().unwrap();
        stage.push(accept, Submission::AcceptMulti { listener: reader.as_raw_fd() });
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn connections_to_a_server_that_listens_and_to_one_that_does_not() {
    same(|stage| {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let free = TcpListener::bind("[::1]:0").map(|gone| gone.local_addr().unwrap());
        let refused = free.unwrap_or_else(|_| "127.0.0.1:1".parse().unwrap());
        for to in [listener.local_addr().unwrap(), refused] {
            let socket = crate::ring::outgoing_socket(to).unwrap();
            let address = Box::new(ConnectAddress::new(to));
            let (raw, len) = address.raw();
            let fd = socket.as_raw_fd();
            stage.push(id(Kind::Plain, 1), Submission::Connect { socket: fd, address: raw, len });
            stage.see(1);
            if to != refused {
                let (mut peer, _) = listener.accept().unwrap();
                stage.push(RECEIVE, Submission::ReceiveMulti { socket: fd });
                stage.see(0);
                peer.write_all(b"hello").unwrap();
                stage.see(1);
                send(stage, fd, b"there");
                stage.see(1);
                drop(peer);
                stage.see(1);
            }
        }
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn files_opened_and_read() {
    same(|stage| {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("page"), b"0123456789").unwrap();
        let root = OwnedFd::from(std::fs::File::open(folder.path()).unwrap());
        for path in [c"page", c"missing", c"../page", c"page/below"] {
            let rules = OpenRules { links: true, other_file_systems: true };
            let request = Box::new(OpenRequest::beneath(path.into(), rules));
            let mut submission = request.submission(root.as_raw_fd());
            for by_thread in [false, true] {
                let Submission::OpenAt2 { on_thread, .. } = &mut submission else {
                    panic!("an open")
                };
                *on_thread = by_thread;
                stage.push(id(Kind::Open, 1), submission);
                stage.see(1);
            }
        }
        let page = std::fs::File::open(folder.path().join("page")).unwrap();
        let file = page.as_raw_fd();
        let mut bytes = vec![0_u8; 64];
        for (len, offset) in [(4, 0), (64, 3), (64, 10), (64, 99)] {
            let data = bytes.as_mut_ptr();
            stage.push(
                id(Kind::Plain, 2),
                Submission::Read { file, data, len, offset, on_thread: false },
            );
            stage.see(1);
            stage.seen.push((99, 0, false, bytes.clone()));
        }
        let base = bytes.as_mut_ptr();
        let vector = |at: usize, len: usize| libc::iovec {
            iov_base: base.wrapping_add(at).cast(),
            iov_len: len,
        };
        let vectors = [vector(50, 3), vector(0, 5)];
        let read = Submission::ReadVectored {
            file,
            vectors: vectors.as_ptr(),
            count: 2,
            offset: 1,
            on_thread: false,
        };
        stage.push(id(Kind::Plain, 3), read);
        stage.see(1);
        stage.seen.push((99, 0, false, bytes.clone()));
        let data = bytes.as_mut_ptr();
        let folder =
            Submission::Read { file: root.as_raw_fd(), data, len: 9, offset: 0, on_thread: false };
        stage.push(id(Kind::Plain, 2), folder);
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_counter_and_a_message() {
    same(|stage| {
        let flags = rustix::event::EventfdFlags::CLOEXEC;
        let event = rustix::event::eventfd(0, flags).unwrap();
        let mut counter = Box::new(0_u64);
        let data = std::ptr::from_mut(&mut *counter).cast();
        let file = event.as_raw_fd();
        stage.push(
            id(Kind::Plain, 1),
            Submission::Read { file, data, len: 8, offset: u64::MAX, on_thread: false },
        );
        stage.see(0);
        rustix::io::write(&event, &7_u64.to_ne_bytes()).unwrap();
        stage.see(1);
        stage.seen.push((99, *counter as i32, false, Vec::new()));

        let (ours, mut peer) = pair();
        let socket = ours.as_raw_fd();
        let mut frame = Box::new(ControlFrame::new(16));
        let header = frame.prepare();
        stage.push(id(Kind::Plain, 2), Submission::ReceiveMessage { socket, header });
        stage.see(0);
        peer.write_all(b"a record").unwrap();
        stage.see(1);
        let (kind, bytes) = frame.into_record(8);
        stage.seen.push((99, i32::from(kind.is_some()), false, bytes.into()));
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_receive_of_what_has_arrived_does_not_wait() {
    same_on_kernels(|stage| {
        let (ours, mut peer) = pair();
        let socket = ours.as_raw_fd();
        let (mut one, mut other) = ([0_u8; 3], [0_u8; 20]);
        let mut vectors = [&mut one[..], &mut other[..]]
            .map(|bytes| libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() });
        // SAFETY: all-zero is a valid msghdr: null pointers and zero lengths.
        let mut frame: libc::msghdr = unsafe { std::mem::zeroed() };
        (frame.msg_iov, frame.msg_iovlen) = (vectors.as_mut_ptr(), vectors.len());
        let header = &raw mut frame;
        stage.push(id(Kind::Plain, 1), Submission::ReceiveArrived { socket, header });
        stage.see(1);
        peer.write_all(b"content").unwrap();
        stage.push(id(Kind::Plain, 2), Submission::ReceiveArrived { socket, header });
        stage.see(1);
        stage.seen.push((99, 0, false, [&one[..], &other[..4]].concat()));
        drop(peer);
        stage.push(id(Kind::Plain, 3), Submission::ReceiveArrived { socket, header });
        stage.see(1);
    });
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_close_in_the_order_of_submissions() {
    same_on_kernels(|stage| {
        let (ours, mut peer) = pair();
        let socket = ours.as_raw_fd();
        // What was sent before has left.
        send(stage, socket, b"last");
        let fd = std::os::fd::IntoRawFd::into_raw_fd(ours);
        stage.push(id(Kind::Plain, 3), Submission::Close { fd });
        stage.see(2);
        let mut rest = Vec::new();
        peer.read_to_end(&mut rest).unwrap();
        stage.seen.push((99, 0, false, rest));
    });
}
