//! A reader over a real ring and a pair of sockets; the test is the peer.

use std::{
    future::Future,
    io::Write,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Filled, Reader};
use crate::{
    record::{
        AlertDescription, ContentType, KEY_UPDATE, MAX_OVERHEAD, Sealer, Suite, TlsVersion,
        TrafficKeys,
    },
    ring::{ReceiveStream, Received, Ring, RingConfig, Socket, TaskId},
    tls::kernel,
};

const BUFFERS: u16 = 16;

fn keys() -> TrafficKeys {
    TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[1; 16], [2; 12], 0).unwrap()
}

struct Bench {
    ring: Rc<Ring>,
    socket: Socket,
    reader: Reader,
    peer: TcpStream,
    sealer: Sealer,
}

impl Bench {
    fn new() -> Self {
        let ring = Ring::new(&RingConfig {
            receive_buffers: BUFFERS,
            receive_buffer_len: 16384,
            ..RingConfig::small()
        })
        .unwrap();
        ring.set_current(TaskId::first(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(&ring, listener.accept().unwrap().0.into());
        let stream = ReceiveStream::single(&ring, &socket);
        let reader = Reader::new(&ring, stream, keys(), false, None);
        Self { ring, socket, reader, peer, sealer: Sealer::new(&keys()) }
    }

    /// The same for another version of TLS.
    fn with(version: TlsVersion) -> Self {
        let keys = || TrafficKeys::new(Suite::Aes128Gcm, version, &[1; 16], [2; 12], 0).unwrap();
        let mut bench = Self::new();
        let stream = ReceiveStream::single(&bench.ring, &bench.socket);
        bench.reader = Reader::new(&bench.ring, stream, keys(), false, None);
        bench.sealer = Sealer::new(&keys());
        bench
    }

    /// The same, with records that the kernel is to open. None if it has no TLS; then the test is skipped,
    /// or fails where kernel TLS is there to be tested.
    fn of_the_kernel() -> Option<Self> {
        let mut bench = Self::new();
        if let Err(error) = kernel::install_ulp(bench.socket.as_fd()) {
            let required = std::env::var_os("RINGWAY_REQUIRE_KTLS").is_some_and(|is| is == "1");
            assert!(!required, "RINGWAY_REQUIRE_KTLS=1, but {error}");
            eprintln!("skipped: {error}");
            return None;
        }
        let stream = ReceiveStream::single(&bench.ring, &bench.socket);
        bench.reader = Reader::new(&bench.ring, stream, keys(), true, None);
        Some(bench)
    }

    /// The peer sends this in one record.
    fn send(&mut self, plaintext: &[u8]) {
        self.send_as(ContentType::ApplicationData, plaintext);
    }

    /// The same in a record of another type.
    fn send_as(&mut self, content_type: ContentType, plaintext: &[u8]) {
        let mut record = vec![0; plaintext.len() + MAX_OVERHEAD];
        let len = self.sealer.seal(content_type, plaintext, &mut record).unwrap();
        self.peer.write_all(&record[..len]).unwrap();
    }

    /// The peer sends a record again and again: the alert that it gets in the end.
    fn flood(&mut self, content_type: ContentType, plaintext: &[u8]) -> Option<AlertDescription> {
        for _ in 0..100 {
            self.send_as(content_type, plaintext);
            if plaintext == KEY_UPDATE {
                // The next key, which is the same one here.
                self.sealer = Sealer::new(&keys());
            }
        }
        for _ in 0..100 {
            let Self { ring, socket, reader, .. } = self;
            let filled = block_on(ring, reader.fill(socket)).expect("an end to it");
            match filled {
                Ok(Filled::KeyUpdate { .. }) => {
                    reader.rekey(socket, keys()).unwrap();
                }
                Ok(other) => panic!("{other:?} of a flood"),
                Err(error) => return error.alert(),
            }
        }
        panic!("a hundred records that bring nothing are borne");
    }

    fn fill(&mut self) {
        let filled = block_on(&self.ring, self.reader.fill(&self.socket));
        assert_eq!(filled.unwrap().unwrap(), Filled::More);
    }

    /// Waits in vain.
    fn fill_in_vain(&mut self) {
        let wait = Duration::from_millis(20);
        let filled = block_on(&self.ring, self.ring.within(wait, self.reader.fill(&self.socket)));
        assert!(filled.unwrap().is_err(), "nothing was sent");
        self.ring.wake(TaskId::first(0));
        self.ring.turn().unwrap();
    }
}

/// None if the future does not end.
fn block_on<F: Future>(ring: &Rc<Ring>, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    for _ in 0..100_000 {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return Some(output);
        }
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
    }
    None
}

/// What is armed when a connection ends has to be cancelled: a round trip through the ring. Nothing
/// is, until a second receive shows that the connection goes on.
#[test]
fn one_request_and_a_close_leave_nothing_to_cancel() {
    for (requests, cancels) in [(0, 0), (1, 1)] {
        let mut bench = Bench::new();
        for _ in 0..requests {
            bench.send(b"GET / HTTP/1.1\r\n\r\n");
            bench.fill();
            let len = bench.reader.plaintext().len();
            bench.reader.consume(len);
        }
        bench.send_as(ContentType::Alert, &[1, 0]);
        let filled = block_on(&bench.ring, bench.reader.fill(&bench.socket)).unwrap();
        assert_eq!(filled.unwrap(), Filled::Closed);
        block_on(&bench.ring, bench.reader.stop()).unwrap();
        assert_eq!(bench.ring.counts().cancels, cancels);
    }
}

/// Every request straddles two records, for as long as the connection lives.
#[test]
fn requests_that_never_end_with_a_record_do_not_gather() {
    const REQUEST: usize = 3000;
    let mut bench = Bench::new();
    let request: Vec<u8> = (0..REQUEST).map(|at| at as u8).collect();
    bench.send(&request[..REQUEST / 2]);
    let straddling = [&request[REQUEST / 2..], &request[..REQUEST / 2]].concat();
    for _ in 0..300 {
        bench.send(&straddling);
        while bench.reader.plaintext().len() < REQUEST {
            bench.fill();
        }
        assert_eq!(bench.reader.plaintext()[..REQUEST], request);
        bench.reader.consume(REQUEST);
        assert!(bench.reader.gathered.capacity() <= 4 * REQUEST);
    }
}

#[test]
fn who_waits_for_the_rest_of_a_head_holds_no_buffer() {
    let mut bench = Bench::new();
    bench.send(b"GET / HTTP/1.1\r\n");
    bench.fill();
    assert!(bench.ring.receive_pool().available() < BUFFERS, "read where it lies");
    bench.fill_in_vain();
    assert_eq!(bench.ring.receive_pool().available(), BUFFERS);
    bench.send(b"Host: x\r\n\r\n");
    bench.fill();
    assert_eq!(bench.reader.plaintext(), b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
}

/// While a response is stuck, nothing that the peer sends stays in the worker's buffers, and
/// nothing of it is lost.
#[test]
fn what_is_set_aside_is_read_later_in_order() {
    let mut bench = Bench::new();
    // Armed, with plaintext in hand and further records behind it.
    bench.send(&[b'0'; 5000]);
    bench.fill();
    for number in b'1'..b'9' {
        bench.send(&[number; 5000]);
    }
    for _ in 0..10 {
        let mut stuck = pin!(bench.ring.sleep(Duration::from_millis(20)));
        let aside = bench.reader.aside_while(Duration::ZERO, stuck.as_mut());
        assert_eq!(block_on(&bench.ring, aside), Some(Some(())));
    }
    bench.ring.wake(TaskId::first(0));
    bench.ring.turn().unwrap();
    assert_eq!(bench.ring.receive_pool().available(), BUFFERS);
    let mut all = Vec::new();
    while all.len() < 9 * 5000 {
        let plaintext = bench.reader.plaintext();
        all.extend_from_slice(plaintext);
        let len = plaintext.len();
        bench.reader.consume(len);
        if all.len() < 9 * 5000 {
            bench.fill();
        }
    }
    let expected: Vec<u8> = (b'0'..=b'8').flat_map(|number| [number; 5000]).collect();
    assert!(all == expected, "bytes were lost or moved");
    assert_eq!(bench.ring.receive_pool().aside(), 0);
}

#[test]
fn what_can_be_set_aside_is_bounded() {
    let bench = Bench::new();
    let pool = bench.ring.receive_pool();
    let mut stream = ReceiveStream::single(&bench.ring, &bench.socket);
    let mut peer = &bench.peer;
    peer.write_all(&[0; 16384]).unwrap();
    let Some(Received::Data(lease)) = block_on(&bench.ring, stream.next()) else {
        panic!("bytes were sent")
    };
    let copies: Vec<_> = std::iter::from_fn(|| pool.set_aside(&lease)).take(100_000).collect();
    let bytes = usize::from(BUFFERS) * 16384;
    assert!(pool.aside() <= bytes && pool.aside() > bytes - lease.len());
    drop(copies);
    assert_eq!(pool.aside(), 0);
}

#[test]
fn floods_of_records_that_bring_nothing_end_with_an_alert() {
    use ContentType::{Alert, ApplicationData, Handshake};
    let warning = [1, 90];
    for (version, content_type, record) in [
        (TlsVersion::Tls13, ApplicationData, &[][..]),
        (TlsVersion::Tls12, ApplicationData, &[]),
        (TlsVersion::Tls13, Alert, &warning),
        (TlsVersion::Tls12, Alert, &warning),
        (TlsVersion::Tls13, Handshake, &KEY_UPDATE),
    ] {
        let mut bench = Bench::with(version);
        let alert = bench.flood(content_type, record);
        assert_eq!(alert, Some(AlertDescription::UnexpectedMessage), "{version} {content_type:?}");
    }
}

/// How long what must come is waited for.
const PATIENCE: Duration = Duration::from_secs(120);

/// Long content that comes fast is waited for in bulk; a peer that holds back the rest of it is read all the
/// same.
#[test]
fn a_part_of_long_content_comes_without_the_rest() {
    let mut bench = Bench::new();
    bench.reader.expects(u64::MAX);
    // On a busy machine a pause may come between.
    for _ in 0..3 {
        while !bench.reader.low_water.is_up() {
            bench.send(&[1; 16_000]);
            bench.fill();
            bench.reader.consume(16_000);
            let mut fill = pin!(bench.reader.fill(&bench.socket));
            let polled = fill.as_mut().poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending(), "nothing was sent");
        }
        bench.send(b"a part");
        let fill = bench.ring.within(PATIENCE, bench.reader.fill(&bench.socket));
        let filled = block_on(&bench.ring, fill).unwrap();
        assert_eq!(filled.expect("it comes").unwrap(), Filled::More);
        assert_eq!(bench.reader.plaintext(), b"a part");
        bench.reader.consume(6);
    }
    bench.reader.expects(0);
    bench.send(b"a head");
    bench.fill();
    assert!(!bench.reader.low_water.is_up());
}

#[test]
fn the_mark_stays_down_where_the_kernel_opens_records() {
    let Some(mut bench) = Bench::of_the_kernel() else { return };
    for _ in 0..64 {
        bench.reader.expects(u64::MAX);
        bench.send(&[1; 16_000]);
        bench.fill();
        bench.reader.consume(16_000);
        assert!(bench.reader.poll_fill(&bench.socket).is_pending(), "nothing was sent");
        assert!(!bench.reader.low_water.is_up());
    }
    assert!(bench.reader.is_kernel());
}

/// RFC 5246 section 7.2.2: a server that does not renegotiate says so; here it also ends.
#[test]
fn renegotiation_is_refused() {
    let mut bench = Bench::with(TlsVersion::Tls12);
    let hello = [&[1, 0, 0, 4][..], &[0; 4]].concat();
    let alert = bench.flood(ContentType::Handshake, &hello);
    assert_eq!(alert, Some(AlertDescription::NoRenegotiation));
}
