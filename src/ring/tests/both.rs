//! Random traffic over real sockets, on io_uring and on epoll: tasks that receive and echo with few
//! buffers and small leases, peers that write in pieces, read late or hang up, tasks dropped at any
//! point. Every byte comes back once and in order, and in the end nothing is in flight.

use std::{
    cell::Cell,
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    os::fd::OwnedFd,
    rc::Rc,
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::{
    Desk, config,
    kernel::{connection, over_both},
};
use crate::ring::{
    Io, Message, Pages, ReceiveStream, Received, Ring, RingConfig, SendClass, Socket,
};

over_both! {
    what_is_received_is_what_was_sent_whatever_happens
}

const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Clone, Debug)]
enum Act {
    /// A connection begins; its task receives in multishot mode, or one piece at a time.
    Connect { multishot: bool, by_message: bool },
    /// A peer writes so many bytes, as far as they fit.
    Write(u8, u16),
    /// A peer sends an urgent byte, which no one reads and at which a receive stops; once.
    Urge(u8),
    /// A peer reads what has come.
    Read(u8),
    /// A peer hangs up.
    HangUp(u8),
    /// A task is dropped where it waits.
    Abandon(u8),
    /// The worker turns a few times.
    Turn(u8),
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let act = prop_oneof![
        2 => any::<(bool, bool)>()
            .prop_map(|(multishot, by_message)| Act::Connect { multishot, by_message }),
        6 => (any::<u8>(), 1_u16..3000).prop_map(|(peer, count)| Act::Write(peer, count)),
        1 => any::<u8>().prop_map(Act::Urge),
        3 => any::<u8>().prop_map(Act::Read),
        1 => any::<u8>().prop_map(Act::HangUp),
        1 => any::<u8>().prop_map(Act::Abandon),
        6 => (1_u8..5).prop_map(Act::Turn),
    ];
    prop::collection::vec(act, 1..80)
}

struct Peer {
    stream: Option<TcpStream>,
    task: usize,
    written: usize,
    read: usize,
    urged: bool,
    ended: Rc<Cell<bool>>,
}

impl Peer {
    fn write(&mut self, count: usize) {
        let Some(stream) = &mut self.stream else { return };
        let bytes: Vec<u8> = (self.written..self.written + count).map(|at| at as u8).collect();
        if let Ok(count) = stream.write(&bytes) {
            self.written += count;
        }
    }

    /// A second one would make the first a byte like others.
    fn urge(&mut self) {
        let Some(stream) = self.stream.as_ref().filter(|_| !self.urged) else { return };
        self.urged = rustix::net::send(stream, b"!", rustix::net::SendFlags::OOB).is_ok();
    }

    /// Reads what is there. Whether there may be more later.
    fn read(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return false };
        let mut bytes = [0; 4096];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => return false,
                Ok(count) => {
                    for byte in &bytes[..count] {
                        assert_eq!(*byte, self.read as u8, "lost, twice or out of order");
                        self.read += 1;
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return true,
                // Its task was dropped.
                Err(_) => return false,
            }
        }
    }
}

/// Sends back what comes, until the peer hangs up.
async fn echo(ring: Rc<Ring>, socket: OwnedFd, multishot: bool, by_message: bool) {
    let socket = Socket::new(&ring, socket);
    let mut stream = ReceiveStream::single(&ring, &socket);
    if multishot {
        stream.make_multishot();
    }
    while let Received::Data(lease) = stream.next().await {
        let bytes = lease.to_vec();
        drop(lease);
        let mut sent = 0;
        while sent < bytes.len() {
            let result = if by_message {
                let mut message = Message::new();
                let shared = Rc::new(Pages::from(&bytes[..]));
                assert!(message.push_shared(shared, sent..bytes.len()));
                ring.send_message(&socket, message).await.0
            } else {
                let mut buffer = ring.send_buffer(SendClass::Small).await;
                let rest = bytes.len() - sent;
                buffer[..rest].copy_from_slice(&bytes[sent..]);
                ring.send(&socket, buffer, 0..rest).await.0
            };
            let Ok(count) = result else { return };
            sent += count;
        }
    }
    stream.stop().await;
}

struct Play {
    desk: Desk,
    peers: Vec<Peer>,
}

impl Play {
    fn new(io: Io) -> Self {
        let config = RingConfig { receive_buffers: 4, leases: 2, operations: 256, ..config() };
        let mut desk = Desk::real(io, &config);
        // It is woken for each turn, which then does not wait.
        desk.spawn(std::future::pending());
        Self { desk, peers: Vec::new() }
    }

    fn turn(&mut self) {
        self.desk.poll_ready();
        self.desk.ring.wake(crate::ring::TaskId::first(0));
        self.desk.ring.turn().unwrap();
    }

    fn peer(&mut self, which: u8) -> Option<&mut Peer> {
        let count = self.peers.len();
        (count > 0).then(|| &mut self.peers[usize::from(which) % count])
    }

    fn play(&mut self, act: &Act) {
        match *act {
            Act::Connect { multishot, by_message } if self.peers.len() < 16 => {
                let (socket, stream) = connection();
                stream.set_nonblocking(true).unwrap();
                let (ring, ended) = (Rc::clone(&self.desk.ring), Rc::new(Cell::new(false)));
                let done = Rc::clone(&ended);
                let task = self.desk.spawn(async move {
                    echo(ring, socket, multishot, by_message).await;
                    done.set(true);
                });
                let stream = Some(stream);
                self.peers.push(Peer { stream, task, written: 0, read: 0, urged: false, ended });
            }
            Act::Connect { .. } => {}
            Act::Write(peer, count) => {
                self.peer(peer).into_iter().for_each(|peer| peer.write(usize::from(count)));
            }
            Act::Urge(peer) => self.peer(peer).into_iter().for_each(Peer::urge),
            Act::Read(peer) => self.peer(peer).into_iter().for_each(|peer| _ = peer.read()),
            Act::HangUp(peer) => self.peer(peer).into_iter().for_each(|peer| peer.stream = None),
            Act::Abandon(peer) => {
                if let Some(peer) = self.peer(peer) {
                    let task = peer.task;
                    peer.ended.set(true);
                    self.desk.abandon(task);
                }
            }
            Act::Turn(times) => (0..times).for_each(|_| self.turn()),
        }
    }

    /// Everybody gets what is owed, then hangs up.
    fn end(mut self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.turn();
            let mut owed = 0;
            for peer in &mut self.peers {
                peer.read();
                if !peer.ended.get() && peer.stream.is_some() {
                    owed += peer.written - peer.read;
                }
            }
            if owed == 0 {
                break;
            }
            assert!(Instant::now() < deadline, "{owed} bytes did not come back");
        }
        for peer in &mut self.peers {
            peer.stream = None;
        }
        let tasks: Vec<usize> = self.peers.iter().map(|peer| peer.task).collect();
        self.desk.finish(&tasks);
    }
}

fn what_is_received_is_what_was_sent_whatever_happens(io: Io) {
    let cases =
        ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() };
    proptest!(cases, |(acts in acts())| {
        let mut play = Play::new(io);
        for act in &acts {
            play.play(act);
        }
        play.end();
    });
}
