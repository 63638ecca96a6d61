//! The real ring, where it is cheap, and the one that epoll plays: what the scripts assume of the
//! kernel, both do.

use std::{
    cell::{Cell, RefCell},
    future::{pending, poll_fn},
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    os::fd::OwnedFd,
    rc::Rc,
    time::Duration,
};

use super::{Desk, config};
use crate::ring::{
    AcceptStream, Flight, Io, OpenRules, Pages, ReceiveStream, Received, Ring, RingConfig, SendBuf,
    SendClass, Socket,
};

/// Runs each of these over io_uring and over epoll.
macro_rules! over_both {
    ($($name:ident)*) => {
        mod ring {
            $(
                #[test]
                #[cfg_attr(miri, ignore)]
                fn $name() {
                    super::$name(super::Io::Ring);
                }
            )*
        }
        mod poll {
            $(
                #[test]
                #[cfg_attr(miri, ignore)]
                fn $name() {
                    super::$name(super::Io::Poll);
                }
            )*
        }
    };
}
pub(super) use over_both;

over_both! {
    a_connection_is_accepted_answered_and_closed
    a_dropped_task_hangs_up_though_a_receive_was_armed
    the_peer_sees_the_end_even_if_the_ring_goes_with_the_socket
    a_stream_that_outruns_its_buffers_loses_nothing
    a_stream_that_holds_too_much_is_bounded_and_loses_nothing
    streams_that_share_too_few_buffers_all_come_to_their_end
    a_hundred_sends_go_through_a_queue_of_eight_in_order
    a_send_that_stalls_is_cut_off_by_its_deadline
    files_are_opened_beneath_their_folder_only_and_read_in_pieces
    a_counter_wakes_the_loop
}

/// After this the test is said to hang.
const WATCH: Duration = Duration::from_secs(30);

impl Desk {
    pub(super) fn real(io: Io, config: &RingConfig) -> Self {
        Self::over(Ring::new(&RingConfig { io, ..*config }).expect("a small ring"))
    }

    /// Turns until these tasks are done and nothing is in flight.
    pub(super) fn finish(&mut self, tasks: &[usize]) {
        let ring = Rc::clone(&self.ring);
        let watch = self.spawn(async move { ring.sleep(WATCH).await });
        loop {
            self.poll_ready();
            if tasks.iter().all(|task| self.is_done(*task)) {
                break;
            }
            assert!(!self.is_done(watch), "it hangs");
            self.ring.turn().unwrap();
        }
        self.abandon(watch);
        self.let_go();
    }

    /// Turns until the kernel has let go of everything.
    pub(super) fn let_go(&mut self) {
        let ring = Rc::clone(&self.ring);
        let ticking = self.spawn(async move {
            loop {
                ring.yield_now().await;
            }
        });
        while self.ring.in_flight() > 0 {
            self.step();
        }
        self.abandon(ticking);
        self.ring.receive.publish_returns();
        assert!(self.ring.send.is_whole());
        assert_eq!(self.ring.receive.available(), self.ring.receive.count());
    }
}

/// A connection on the loopback: our end, and the peer's.
pub(super) fn connection() -> (OwnedFd, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(WATCH)).unwrap();
    (listener.accept().unwrap().0.into(), peer)
}

fn multishot(ring: &Rc<Ring>, socket: &Socket) -> ReceiveStream {
    let mut stream = ReceiveStream::single(ring, socket);
    stream.make_multishot();
    stream
}

fn a_connection_is_accepted_answered_and_closed(io: Io) {
    let mut desk = Desk::real(io, &config());
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let listener = Rc::new(OwnedFd::from(listener));
        let mut accept = AcceptStream::new(&ring, &listener);
        let socket = Socket::new(&ring, poll_fn(|_| accept.poll_next()).await.unwrap());
        let mut stream = ReceiveStream::single(&ring, &socket);
        let Received::Data(request) = stream.next().await else { panic!("a request") };
        let mut buffer = ring.send_buffer(SendClass::Small).await;
        buffer[..request.len()].copy_from_slice(&request);
        let (sent, _) = ring.send(&socket, buffer, 0..request.len()).await;
        assert_eq!(sent.unwrap(), request.len());
        assert!(matches!(stream.next().await, Received::End));
        stream.stop().await;
        drop(socket);
        assert!(accept.stop().await.is_empty());
        drop(accept);
        ring.close(Rc::into_inner(listener).expect("nothing is in flight on it"));
    });
    let mut peer = TcpStream::connect(address).unwrap();
    peer.write_all(b"hello").unwrap();
    peer.shutdown(std::net::Shutdown::Write).unwrap();
    desk.finish(&[task]);
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"hello");
    assert!(TcpStream::connect(address).is_err(), "the listener is closed");
}

/// A send of so many equal bytes.
fn begun(ring: &Rc<Ring>, socket: &Socket, byte: u8, len: usize) -> Flight<SendBuf> {
    let class = if len > SendClass::SMALL_LEN { SendClass::Bulk } else { SendClass::Small };
    let mut buffer = ring.try_send_buffer(class).expect("memory");
    buffer[..len].fill(byte);
    ring.begin_send(socket, buffer, 0..len)
}

#[test]
#[cfg_attr(miri, ignore)]
fn polling_tries_a_short_send_at_once_and_in_its_order() {
    let mut desk = Desk::real(Io::Poll, &config());
    let (socket, mut peer) = connection();
    let socket = Socket::new(&desk.ring, socket);
    let long = SendClass::RECORD_LEN + 1;
    for (byte, len, at_once) in [(b'a', 5, true), (b'b', long, false), (b'c', 7, true)] {
        let mut flight = begun(&desk.ring, &socket, byte, len);
        let task = desk.spawn(async move {
            let (sent, _) = poll_fn(|_| flight.poll()).await;
            assert_eq!(sent.unwrap(), len);
        });
        assert_eq!(desk.is_done(task), at_once, "{len} bytes");
        desk.finish(&[task]);
        let mut received = vec![0; len];
        peer.read_exact(&mut received).unwrap();
        assert_eq!(received, vec![byte; len]);
    }
    let mut first = begun(&desk.ring, &socket, b'1', 5);
    let mut second = begun(&desk.ring, &socket, b'2', 5);
    let task = desk.spawn(async move {
        poll_fn(|_| second.poll()).await.0.unwrap();
        poll_fn(|_| first.poll()).await.0.unwrap();
    });
    assert!(!desk.is_done(task), "another send comes before it");
    desk.finish(&[task]);
    let mut received = [0; 10];
    peer.read_exact(&mut received).unwrap();
    assert_eq!(received, *b"1111122222");
    drop(socket);
    desk.let_go();
}

/// Deadlines that expire in turn, each nearer or farther than what the kernel's timer was set to.
#[test]
#[cfg_attr(miri, ignore)]
fn deadlines_are_kept_though_only_one_timer_is_armed() {
    let mut desk = Desk::real(Io::Ring, &config());
    let (begin, ended) = (desk.ring.now(), Rc::new(RefCell::new(Vec::new())));
    let sleeper = |desk: &mut Desk, ms: u64| {
        let (ring, ended) = (Rc::clone(&desk.ring), Rc::clone(&ended));
        desk.spawn(async move {
            ring.sleep(Duration::from_millis(ms)).await;
            ended.borrow_mut().push((ms, ring.now() - begin));
        })
    };
    let far = sleeper(&mut desk, 600);
    desk.poll_ready();
    // Armed for the first, drawn forward for the others.
    let near = [sleeper(&mut desk, 300), sleeper(&mut desk, 60), sleeper(&mut desk, 150)];
    desk.finish(&[far, near[0], near[1], near[2]]);
    let ended = ended.borrow();
    assert_eq!(ended.iter().map(|(ms, _)| *ms).collect::<Vec<_>>(), [60, 150, 300, 600]);
    assert!(ended.iter().all(|(ms, after)| after >= ms), "{ended:?}");
    // Each was waited for in the kernel: a turn for its end, one or two for what the timer did.
    assert!(desk.ring.counts().enters < 40, "{}", desk.ring.counts().enters);
}

fn a_dropped_task_hangs_up_though_a_receive_was_armed(io: Io) {
    let mut desk = Desk::real(io, &config());
    let (socket, mut peer) = connection();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let socket = Socket::new(&ring, socket);
        let mut stream = multishot(&ring, &socket);
        stream.next().await;
        pending::<()>().await;
    });
    peer.write_all(b"x").unwrap();
    while desk.ring.counts().completions == 0 {
        desk.step();
    }
    assert_eq!(desk.ring.in_flight(), 1);
    desk.abandon(task);
    desk.let_go();
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}

fn the_peer_sees_the_end_even_if_the_ring_goes_with_the_socket(io: Io) {
    let ring = Ring::new(&RingConfig { io, ..config() }).unwrap();
    let (socket, mut peer) = connection();
    drop(Socket::new(&ring, socket));
    drop(ring);
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}

/// Reads until the peer closes; every byte is one more than the one before.
async fn count_up(ring: Rc<Ring>, socket: OwnedFd, total: Rc<Cell<usize>>, hold: usize) {
    let socket = Socket::new(&ring, socket);
    let mut stream = multishot(&ring, &socket);
    let mut held = Vec::new();
    loop {
        match stream.next().await {
            Received::Data(lease) => {
                for byte in lease.iter() {
                    assert_eq!(*byte, total.get() as u8, "in order, and none missing");
                    total.set(total.get() + 1);
                }
                held.push(lease);
                if held.len() >= hold {
                    ring.yield_now().await;
                    held.clear();
                }
            }
            Received::End => break,
            Received::Failed(error) => panic!("{error}"),
        }
    }
    stream.stop().await;
    drop(socket);
}

fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|index| index as u8).collect()
}

fn a_stream_that_outruns_its_buffers_loses_nothing(io: Io) {
    // Two buffers of 64 bytes, and everything has arrived before the first receive.
    let mut desk = Desk::real(io, &RingConfig { receive_buffers: 2, ..config() });
    let (socket, mut peer) = connection();
    peer.write_all(&pattern(20_000)).unwrap();
    drop(peer);
    let total = Rc::new(Cell::new(0));
    let task = desk.spawn(count_up(Rc::clone(&desk.ring), socket, Rc::clone(&total), 2));
    desk.finish(&[task]);
    assert_eq!(total.get(), 20_000);
    assert!(desk.ring.counts().out_of_buffers > 0);
}

fn a_stream_that_holds_too_much_is_bounded_and_loses_nothing(io: Io) {
    let mut desk = Desk::real(io, &RingConfig { receive_buffers: 256, leases: 4, ..config() });
    let (socket, mut peer) = connection();
    peer.write_all(&pattern(50_000)).unwrap();
    drop(peer);
    let total = Rc::new(Cell::new(0));
    let task = desk.spawn(count_up(Rc::clone(&desk.ring), socket, Rc::clone(&total), 1));
    desk.finish(&[task]);
    assert_eq!(total.get(), 50_000);
    assert!(desk.ring.counts().cancels > 0);
}

fn streams_that_share_too_few_buffers_all_come_to_their_end(io: Io) {
    let mut desk = Desk::real(io, &RingConfig { receive_buffers: 4, operations: 256, ..config() });
    let mut tasks = Vec::new();
    let mut totals = Vec::new();
    for _ in 0..32 {
        let (socket, mut peer) = connection();
        peer.write_all(&pattern(2000)).unwrap();
        let total = Rc::new(Cell::new(0));
        tasks.push(desk.spawn(count_up(Rc::clone(&desk.ring), socket, Rc::clone(&total), 1)));
        totals.push(total);
    }
    desk.finish(&tasks);
    assert!(totals.iter().all(|total| total.get() == 2000));
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_completion_queue_that_overflows_loses_nothing() {
    // 64 streams complete at once into a queue of 16. Buffers and leases are plenty, so that
    // nothing but the overflow ends a receive.
    let mut desk = Desk::real(
        Io::Ring,
        &RingConfig {
            receive_buffers: 1024,
            receive_buffer_len: 1024,
            leases: 1000,
            operations: 256,
            ..config()
        },
    );
    let mut peers = Vec::new();
    let mut tasks = Vec::new();
    let mut totals = Vec::new();
    for _ in 0..64 {
        let (socket, peer) = connection();
        let total = Rc::new(Cell::new(0));
        tasks.push(desk.spawn(count_up(Rc::clone(&desk.ring), socket, Rc::clone(&total), 1)));
        totals.push(total);
        peers.push(peer);
    }
    // Armed first, so that the data finds multishot receives.
    desk.ring.wake(crate::ring::TaskId::first(0));
    desk.ring.turn().unwrap();
    for chunk in pattern(1024).chunks(256) {
        for peer in &mut peers {
            peer.write_all(chunk).unwrap();
        }
        desk.ring.wake(crate::ring::TaskId::first(0));
        desk.step();
    }
    drop(peers);
    desk.finish(&tasks);
    assert!(totals.iter().all(|total| total.get() == 1024));
    let counts = desk.ring.counts();
    assert_eq!((counts.cancels, counts.out_of_buffers), (0, 0));
    assert!(counts.submissions > 2 * 64, "more than a receive and a close for each");
    assert!(counts.completion_overflows > 0, "the kernel had to hold completions back");
}

fn a_hundred_sends_go_through_a_queue_of_eight_in_order(io: Io) {
    let mut desk =
        Desk::real(io, &RingConfig { operations: 128, send_memory: 4 << 20, ..config() });
    let (socket, mut peer) = connection();
    let socket = Rc::new(Socket::new(&desk.ring, socket));
    let flights: Vec<_> = (0..100_u8)
        .map(|index| {
            let mut buffer = desk.small_buffer();
            buffer[..4].fill(index);
            desk.ring.begin_send(&*socket, buffer, 0..4)
        })
        .collect();
    let tasks: Vec<usize> = flights
        .into_iter()
        .map(|mut flight| {
            desk.spawn(async move {
                let (sent, _) = poll_fn(|_| flight.poll()).await;
                assert_eq!(sent.unwrap(), 4);
            })
        })
        .collect();
    drop(socket);
    assert!(desk.ring.counts().full_queue >= 92);
    desk.finish(&tasks);
    let mut received = Vec::new();
    peer.read_to_end(&mut received).unwrap();
    let expected: Vec<u8> = (0..100_u8).flat_map(|index| [index; 4]).collect();
    assert_eq!(received, expected);
}

fn a_send_that_stalls_is_cut_off_by_its_deadline(io: Io) {
    let mut desk = Desk::real(io, &config());
    let (socket, peer) = connection();
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let socket = Socket::new(&ring, socket);
        loop {
            let buffer = ring.send_buffer(SendClass::Bulk).await;
            let len = buffer.len();
            let send = ring.send(&socket, buffer, 0..len);
            match ring.within(Duration::from_millis(50), send).await {
                Ok((sent, _)) => assert!(sent.unwrap() > 0),
                Err(_) => return,
            }
        }
    });
    desk.finish(&[task]);
    drop(peer);
}

fn files_are_opened_beneath_their_folder_only_and_read_in_pieces(io: Io) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("page"), pattern(300)).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", folder.path().join("outside")).unwrap();
    std::os::unix::fs::symlink("page", folder.path().join("inside")).unwrap();
    let root = Rc::new(OwnedFd::from(std::fs::File::open(folder.path()).unwrap()));
    let mut desk = Desk::real(io, &config());
    let ring = Rc::clone(&desk.ring);
    let task = desk.spawn(async move {
        let all = OpenRules { links: true, other_file_systems: true };
        let none = OpenRules::default();
        for refused in [c"../page", c"outside", c"/etc/passwd"] {
            for rules in [none, all, OpenRules { links: true, ..none }] {
                assert!(ring.open_beneath(&root, refused.into(), rules).await.is_err());
            }
        }
        let refused = ring.open_beneath(&root, c"inside".into(), none).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::ELOOP));
        ring.open_beneath(&root, c"inside".into(), all).await.unwrap();
        let proc = Rc::new(OwnedFd::from(std::fs::File::open("/").unwrap()));
        let refused = ring.open_beneath(&proc, c"proc/version".into(), none).await.unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EXDEV));
        ring.open_beneath(&proc, c"proc/version".into(), all).await.unwrap();
        let file = Rc::new(crate::ring::OpenFile::local(
            ring.open_beneath(&root, c"page".into(), none).await.unwrap(),
        ));
        let buffer = ring.send_buffer(SendClass::Small).await;
        let (read, buffer, _) = ring.read_into(&file, buffer, vec![10..20, 100..300], 50).await;
        assert_eq!(read.unwrap(), 210);
        assert_eq!(
            (&buffer[10..20], &buffer[100..300]),
            (&pattern(300)[50..60], &pattern(300)[60..260])
        );
        let (read, buffer, _) = ring.read_into(&file, buffer, vec![7..12, 12..17], 290).await;
        assert_eq!((read.unwrap(), &buffer[7..17]), (10, &pattern(300)[290..]));
        let pages = Pages::from(&[9; 20][..]);
        let (read, bytes) = ring.read_pages(&file, pages, 4, 0).await;
        assert_eq!((read.unwrap(), &bytes[..6]), (16, &[9, 9, 9, 9, 0, 1][..]));
    });
    desk.finish(&[task]);
}

#[test]
#[cfg_attr(miri, ignore)]
fn a_ring_that_is_gone_gives_its_registration_back() {
    let first = Ring::new(&config()).unwrap().granted();
    for _ in 0..40 {
        assert_eq!(Ring::new(&config()).unwrap().granted(), first, "a thread has 16 places");
    }
}

fn a_counter_wakes_the_loop(io: Io) {
    let mut desk = Desk::real(io, &config());
    let event = Rc::new(rustix::event::eventfd(0, rustix::event::EventfdFlags::CLOEXEC).unwrap());
    let read = Rc::new(RefCell::new(None));
    let (ring, counter, noted) = (Rc::clone(&desk.ring), Rc::clone(&event), Rc::clone(&read));
    let task = desk.spawn(async move {
        *noted.borrow_mut() = Some(ring.read_counter(&counter).await.unwrap());
    });
    let writer = std::thread::spawn({
        let event = event.try_clone().unwrap();
        move || rustix::io::write(&event, &7_u64.to_ne_bytes()).unwrap()
    });
    desk.finish(&[task]);
    writer.join().unwrap();
    assert_eq!(*read.borrow(), Some(7));
}

/// Where the kernel distinguishes a wait for completions from a wait for a disk, the ring asks it to: an
/// idle server would else show up as 100 % I/O wait.
#[test]
#[cfg_attr(miri, ignore)]
fn waits_are_not_counted_as_io_wait_where_the_kernel_can_tell() {
    let offered = io_uring::IoUring::new(8).unwrap().params().is_feature_no_iowait();
    let ring = Ring::new(&config()).unwrap();
    assert_eq!(ring.granted().no_iowait, offered);
    let state = &*ring.state.borrow();
    let crate::ring::Backend::Kernel(kernel) = &state.backend else { panic!("the real ring") };
    assert_eq!(kernel.enter_flags() & (1 << 7) != 0, offered);
}
