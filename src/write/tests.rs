//! A writer over a real ring and a pair of sockets; the test is the peer.

mod defects;
mod frames;

use std::{
    future::Future,
    io::Read,
    net::{TcpListener, TcpStream},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Source, WriteError, Writer, memory::WORTHWHILE};
use crate::{
    config::Timeouts,
    record::{
        AlertDescription, ContentType, HEADER, KEY_UPDATE, Opener, Sealer, Suite, TlsVersion,
        TrafficKeys,
    },
    ring::{
        MAX_UNSENT, OpenFile, Pages, Ring, RingConfig, SendClass, Socket, TaskId, limit_unsent,
        sim::{Asked, SimKernel, socket_pair},
    },
};

struct Bench {
    ring: Rc<Ring>,
    socket: Socket,
    writer: Writer,
    peer: TcpStream,
}

/// Keys whose next record has this number.
fn keys(sequence: u64) -> TrafficKeys {
    TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[1; 16], [2; 12], sequence).unwrap()
}

/// Keys whose key is nearly used up.
fn old_keys() -> TrafficKeys {
    keys(Suite::Aes128Gcm.record_limit() - Sealer::MARGIN - 10)
}

impl Bench {
    fn new(timeouts: &Timeouts) -> Self {
        let ring =
            Ring::new(&RingConfig { receive_buffer_len: 4096, ..RingConfig::small() }).unwrap();
        ring.set_current(TaskId::first(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(&ring, listener.accept().unwrap().0.into());
        limit_unsent(&socket).unwrap();
        let writer = Writer::new(&ring, &keys(0), false, timeouts);
        Self { ring, socket, writer, peer }
    }

    /// A response of so many bytes, with a head of 100, that has left.
    async fn respond_with(
        writer: &mut Writer,
        socket: &Socket,
        length: usize,
    ) -> Result<(), WriteError> {
        writer.reserve(socket, 100, length as u64, false).await?;
        let mut source = Source::Pages(Rc::new(Pages::zeroed(length)), 0..length);
        writer.queue(socket, 100, &mut source).await?;
        writer.flush(socket).await
    }

    /// A response of 64 MiB, far more than the sockets hold.
    async fn respond(writer: &mut Writer, socket: &Socket) -> Result<(), WriteError> {
        let body = Rc::new(Pages::zeroed(1 << 20));
        for _ in 0..64 {
            writer.reserve(socket, 100, 1 << 20, false).await?;
            let mut source = Source::Pages(Rc::clone(&body), 0..1 << 20);
            writer.queue(socket, 100, &mut source).await?;
        }
        writer.flush(socket).await
    }
}

fn block_on<F: Future>(ring: &Rc<Ring>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
    }
}

#[test]
fn a_peer_that_does_not_read_holds_no_send_memory_and_is_given_up() {
    let stall = Duration::from_millis(300);
    let mut bench = Bench::new(&Timeouts { response_stall: stall, ..Timeouts::default() });
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    let mut response = pin!(Bench::respond(writer, socket));
    let mut full = 0;
    for _ in 0..2000 {
        let polled = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(ended) = polled {
            assert!(matches!(ended, Err(WriteError::Stalled)), "{ended:?}");
            assert!(ring.send_pool().is_whole());
            assert!(full > 1, "it was never seen waiting");
            return;
        }
        // The writer waits for the socket; once what was in flight has come back, nothing is held.
        full += u32::from(socket.send_queue().unwrap().free() < WORTHWHILE);
        if full > 1 {
            assert_eq!(ring.send_pool().available(SendClass::Bulk), 4);
        }
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
    }
    panic!("a peer that takes nothing is never given up");
}

#[test]
fn a_batch_inherits_the_times_of_one_before_only_for_an_answer_that_began_there() {
    let Bench { ring, socket, mut writer, peer: _peer } = Bench::new(&Timeouts::default());
    for continues in [false, true] {
        block_on(&ring, async {
            writer.reserve(&socket, 100, 0, false).await?;
            if continues {
                writer.gathering().holds_head();
            }
            writer.commit(100)?;
            assert!(!writer.gathering().has_begun());
            writer.flush(&socket).await
        })
        .unwrap();
        assert_eq!(writer.gathering().has_begun(), continues);
    }
}

/// It takes far longer than the stall until a third of the socket is free, but it reads.
#[test]
fn a_peer_that_reads_slowly_is_not_given_up() {
    let stall = Duration::from_secs(2);
    let mut bench = Bench::new(&Timeouts { response_stall: stall, ..Timeouts::default() });
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut piece = vec![0; 100 << 10];
        for _ in 0..14 {
            std::thread::sleep(Duration::from_millis(300));
            peer.read_exact(&mut piece).unwrap();
        }
        std::io::copy(&mut peer, &mut std::io::sink()).unwrap()
    });
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    block_on(ring, Bench::respond(writer, socket)).unwrap();
    let Bench { ring, socket, writer, peer } = bench;
    drop(writer);
    drop(socket);
    ring.wake(TaskId::first(0));
    ring.turn().unwrap();
    drop(peer);
    assert!(reader.join().unwrap() > 60 << 20);
}

/// As session tickets do, which the handshake has sealed.
#[test]
fn sealed_records_leave_with_what_is_queued_behind_them() {
    let tickets = b"records of the handshake";
    for answers in [true, false] {
        let mut bench = Bench::new(&Timeouts::default());
        let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
        let before = ring.counts().submissions;
        let sent = block_on(ring, async {
            writer.queue_sealed(socket, tickets).await?;
            if answers {
                writer.reserve(socket, 100, 0, false).await?;
                writer.commit(100)?;
            }
            writer.flush(socket).await
        });
        sent.unwrap();
        assert_eq!(ring.counts().submissions - before, 1, "one send");
        assert!(ring.send_pool().is_whole());
        let mut received = [0; 24];
        bench.peer.read_exact(&mut received).unwrap();
        assert_eq!(&received, tickets);
        let Bench { ring, socket, writer, mut peer } = bench;
        drop(writer);
        drop(socket);
        ring.turn().unwrap();
        let expected = if answers { 100 } else { 0 };
        assert_eq!(open_all(&mut peer, &keys(0), &keys(0)), (expected, 0));
    }
}

/// What a future waited for goes on when the future is dropped, and what comes later leaves behind it.
#[test]
fn a_flush_that_is_dropped_goes_on() {
    let mut bench = Bench::new(&Timeouts::default());
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    let begun = block_on(ring, async {
        writer.reserve(socket, 100, 0, false).await?;
        writer.commit(100)
    });
    begun.unwrap();
    {
        let mut flush = pin!(writer.flush(socket));
        let polled = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    assert!(writer.is_departing());
    let alert = block_on(ring, writer.alert(socket, AlertDescription::CloseNotify));
    alert.unwrap();
    assert!(ring.send_pool().is_whole());
    let Bench { ring, socket, writer, mut peer } = bench;
    drop((writer, socket));
    ring.turn().unwrap();
    assert_eq!(open_all(&mut peer, &keys(0), &keys(0)), (102, 0), "the alert is two bytes");
}

/// What is sent next could stand behind half a record.
#[test]
fn nothing_is_sent_behind_a_send_that_failed() {
    let mut bench = Bench::new(&Timeouts::default());
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    rustix::net::shutdown(socket, rustix::net::Shutdown::Write).unwrap();
    let sent = block_on(ring, async {
        writer.reserve(socket, 100, 0, false).await?;
        writer.commit(100)?;
        writer.flush(socket).await
    });
    assert!(matches!(sent, Err(WriteError::Socket(_))), "{sent:?}");
    let alert = block_on(ring, writer.alert(socket, AlertDescription::CloseNotify));
    assert!(matches!(alert, Err(WriteError::GivenUp)), "{alert:?}");
    assert!(ring.send_pool().is_whole());
}

/// A ring whose operations complete when the test says so, and a socket on it.
fn scripted() -> (SimKernel, Socket, Writer, std::os::fd::OwnedFd) {
    let mut kernel = SimKernel::new(&RingConfig::small()).unwrap();
    let (ours, theirs) = socket_pair().unwrap();
    kernel.name(&ours, 0);
    let socket = Socket::new(kernel.ring(), ours);
    let stall = Duration::from_secs(30);
    let timeouts = Timeouts { response_stall: stall, ..Timeouts::default() };
    let writer = Writer::new(kernel.ring(), &keys(0), false, &timeouts);
    (kernel, socket, writer, theirs)
}

/// Polls a future until it ends, while the worker's clock goes on and nothing completes. Says how
/// long that took, in seconds.
fn seconds_until_ended<F: Future>(kernel: &SimKernel, future: F) -> (u64, F::Output) {
    let mut future = pin!(future);
    for second in 0..100 {
        kernel.ring().set_current(TaskId::first(0));
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return (second, output);
        }
        kernel.ring().take_ready(&mut Vec::new(), usize::MAX);
        kernel.ring().turn().unwrap();
        kernel.advance(Duration::from_secs(1));
    }
    panic!("it has no deadline");
}

/// The kernel has a send and does not complete it, as behind a peer that takes nothing.
#[test]
fn a_send_in_flight_has_the_response_timeout() {
    let (kernel, socket, mut writer, _theirs) = scripted();
    let sent = async {
        writer.reserve(&socket, 100, 0, false).await?;
        writer.commit(100)?;
        writer.flush(&socket).await
    };
    let (seconds, sent) = seconds_until_ended(&kernel, sent);
    assert!(matches!(sent, Err(WriteError::Stalled)), "{sent:?}");
    assert!((30..=31).contains(&seconds), "{seconds}");
    assert!(matches!(writer.depart(&socket), Err(WriteError::GivenUp)));
}

/// A disk that does not answer costs the response.
#[test]
fn a_read_in_flight_has_the_response_timeout() {
    let (kernel, socket, mut writer, _theirs) = scripted();
    let file = Rc::new(OpenFile::local(tempfile::tempfile().unwrap().into()));
    let (seconds, sent) = seconds_until_ended(&kernel, async {
        let mut source = Source::File(file, 0..1 << 20);
        writer.queue(&socket, 0, &mut source).await
    });
    assert!(matches!(sent, Err(WriteError::FileStalled)), "{sent:?}");
    assert!((30..=31).contains(&seconds), "{seconds}");
}

/// The plaintext of each record of a stream.
fn records(peer: &mut TcpStream) -> Vec<Vec<u8>> {
    let (mut opener, mut records) = (Opener::new(&keys(0)), Vec::new());
    let mut header = [0; HEADER];
    while peer.read_exact(&mut header).is_ok() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut record = header.to_vec();
        record.resize(HEADER + length, 0);
        peer.read_exact(&mut record[HEADER..]).unwrap();
        let opened = opener.open(&mut record).unwrap();
        records.push(record[opened.plaintext].to_vec());
    }
    records
}

/// Small answers that are queued behind each other share records, and leave with one send.
#[test]
fn answers_that_are_gathered_share_records() {
    for (body, expected) in [(0, 1), (1000, 4), (5000, 20)] {
        let mut bench = Bench::new(&Timeouts::default());
        let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
        let pages = Rc::new(Pages::from(&vec![b'b'; body][..]));
        // The socket is known to take it all.
        writer.open = socket.send_queue().unwrap().free();
        let before = ring.counts().submissions;
        let mut whole = Vec::new();
        let sent = block_on(ring, async {
            for number in 0..10 {
                writer.reserve(socket, 900, body as u64, true).await?;
                let head = format!("{number:300}");
                writer.room()[..300].copy_from_slice(head.as_bytes());
                let mut source = Source::Pages(Rc::clone(&pages), 0..body);
                writer.queue(socket, 300, &mut source).await?;
                whole.extend_from_slice(head.as_bytes());
                whole.extend_from_slice(&pages);
            }
            writer.flush(socket).await
        });
        sent.unwrap();
        let sends = ring.counts().submissions - before;
        let Bench { ring, socket, writer, mut peer } = bench;
        drop((writer, socket));
        ring.turn().unwrap();
        let records = records(&mut peer);
        assert!(records.concat() == whole, "content is mixed up");
        assert_eq!(records.len(), expected, "{body}");
        assert!(sends <= 10, "{sends}");
        assert!(body > 0 || sends == 1, "{sends}");
    }
}

/// Opens a stream of records; a `KeyUpdate` changes to `next`. The plaintext's length, and how
/// often the key was changed.
fn open_all(stream: &mut TcpStream, first: &TrafficKeys, next: &TrafficKeys) -> (usize, usize) {
    let (mut opener, mut total, mut updates) = (Opener::new(first), 0, 0);
    let mut header = [0; HEADER];
    while stream.read_exact(&mut header).is_ok() {
        let length = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let mut record = header.to_vec();
        record.resize(HEADER + length, 0);
        stream.read_exact(&mut record[HEADER..]).unwrap();
        let opened = opener.open(&mut record).unwrap();
        if opened.content_type == ContentType::Handshake {
            assert_eq!(record[opened.plaintext], KEY_UPDATE);
            opener = Opener::new(next);
            updates += 1;
        } else {
            total += opened.plaintext.len();
        }
    }
    (total, updates)
}

/// The limit of AES-GCM falls into the middle of one response, from memory and from a file.
#[test]
fn a_key_that_is_used_up_is_replaced_in_the_middle_of_a_response() {
    let next =
        || TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[3; 16], [4; 12], 0).unwrap();
    let file = tempfile::tempfile().unwrap();
    file.set_len(4 << 20).unwrap();
    let file = Rc::new(OpenFile::local(file.into()));
    let pages = Rc::new(Pages::zeroed(4 << 20));
    for mut body in [Source::Pages(pages, 0..4 << 20), Source::File(file, 0..4 << 20)] {
        let mut bench = Bench::new(&Timeouts::default());
        bench.writer = Writer::new(&bench.ring, &old_keys(), false, &Timeouts::default());
        bench.writer.derive_keys_by(move || Some(next()));
        let Bench { ring, socket, mut writer, mut peer } = bench;
        let reader = std::thread::spawn(move || open_all(&mut peer, &old_keys(), &next()));
        let sent = block_on(&ring, async {
            writer.reserve(&socket, 100, 4 << 20, false).await?;
            writer.queue(&socket, 100, &mut body).await?;
            writer.flush(&socket).await
        });
        sent.unwrap();
        drop(socket);
        ring.turn().unwrap();
        assert_eq!(reader.join().unwrap(), ((4 << 20) + 100, 1));
    }
}

/// TLS 1.2 has no other key to go on with: the response is cut before the old one seals too much.
#[test]
fn a_key_that_cannot_be_replaced_ends_the_response() {
    let mut bench = Bench::new(&Timeouts::default());
    bench.writer = Writer::new(&bench.ring, &old_keys(), false, &Timeouts::default());
    let mut peer = bench.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || std::io::copy(&mut peer, &mut std::io::sink()));
    let sent = block_on(&bench.ring, Bench::respond(&mut bench.writer, &bench.socket));
    assert!(matches!(sent, Err(WriteError::KeyUsedUp)), "{sent:?}");
    bench.peer.shutdown(std::net::Shutdown::Both).unwrap();
    reader.join().unwrap().unwrap();
}

/// However large the kernel lets a socket grow, what it holds for a peer that does not read is
/// what the peer's window took and a bounded rest.
#[test]
fn what_the_kernel_holds_for_a_peer_that_does_not_read_is_bounded() {
    let stall = Duration::from_millis(300);
    let mut bench = Bench::new(&Timeouts { response_stall: stall, ..Timeouts::default() });
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    let sent = block_on(ring, Bench::respond(writer, socket));
    assert!(matches!(sent, Err(WriteError::Stalled)), "{sent:?}");
    let queue = socket.send_queue().unwrap();
    // A send that began with room may pass the bound by what one buffer holds.
    assert!(queue.unsent <= MAX_UNSENT + SendClass::BULK_LEN, "{queue:?}");
    assert!(queue.free() < WORTHWHILE, "{queue:?}");
}

/// The peer has asked for a new key; the wait until it has left is dropped again and again.
#[test]
fn a_key_that_is_owed_is_sent_once() {
    let (mut kernel, socket, mut writer, _theirs) = scripted();
    let ring = Rc::clone(kernel.ring());
    let next = || TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[2; 16], [3; 12], 0);
    writer.derive_keys_by(next);
    assert!(!writer.needs_key() && !writer.is_updating_key());
    writer.owe_key();
    assert!(writer.needs_key());
    let mut sent = Vec::new();
    // Sends what is in flight, a few bytes at a time.
    let mut turn = |sent: &mut Vec<u8>| {
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
        ring.set_current(TaskId::first(0));
        kernel.absorb();
        if let Some(at) = kernel.find(Asked::Send(0)) {
            kernel.send(at, 5, sent);
        }
    };
    for _ in 0..100 {
        let mut cx = Context::from_waker(Waker::noop());
        if pin!(writer.update_key(&socket)).poll(&mut cx).is_ready() {
            break;
        }
        turn(&mut sent);
    }
    assert!(!writer.needs_key() && !writer.is_updating_key());
    writer.open = 4096;
    for _ in 0..100 {
        let queued = async {
            if writer.gathered() == 0 && !writer.is_departing() {
                writer.reserve(&socket, 5, 0, false).await?;
                writer.room()[..5].copy_from_slice(b"hello");
                writer.commit(5)?;
            }
            writer.flush(&socket).await
        };
        if pin!(queued).poll(&mut Context::from_waker(Waker::noop())).is_ready() {
            break;
        }
        turn(&mut sent);
    }
    let length = HEADER + usize::from(u16::from_be_bytes([sent[3], sent[4]]));
    let (update, data) = sent.split_at_mut(length);
    let opened = Opener::new(&keys(0)).open(update).unwrap();
    assert_eq!(update[opened.plaintext], KEY_UPDATE);
    let opened = Opener::new(&next().unwrap()).open(data).unwrap();
    assert_eq!(data[opened.plaintext], b"hello"[..]);
}
