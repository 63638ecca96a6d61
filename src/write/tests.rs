//! A writer over a real ring and a pair of sockets; the test is the peer.

use std::{
    future::Future,
    io::Read,
    net::{TcpListener, TcpStream},
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Body, WriteError, Writer};
use crate::{
    config::Timeouts,
    record::{AlertDescription, Suite, TlsVersion, TrafficKeys},
    ring::{Pages, Ring, RingConfig, RingOptions, SendClass, Socket, TaskId},
};

struct Bench {
    ring: Rc<Ring>,
    socket: Socket,
    writer: Writer,
    peer: TcpStream,
}

impl Bench {
    fn new(timeouts: &Timeouts) -> Self {
        let ring = Ring::new(&RingConfig {
            queues: RingOptions { submissions: 8, completions: 64 },
            operations: 64,
            receive_buffers: 8,
            receive_buffer_len: 4096,
            leases: 4,
            send_memory: 0,
        })
        .unwrap();
        ring.set_current(TaskId::first(0));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let socket = Socket::new(&ring, listener.accept().unwrap().0.into());
        let keys =
            TrafficKeys::new(Suite::Aes128Gcm, TlsVersion::Tls13, &[1; 16], [2; 12], 0).unwrap();
        let writer = Writer::new(&ring, &keys, false, timeouts);
        Self { ring, socket, writer, peer }
    }

    /// A response of 64 MiB, far more than the sockets hold.
    async fn respond(writer: &mut Writer, socket: &Socket) -> Result<(), WriteError> {
        let body = Rc::new(Pages::zeroed(1 << 20));
        for _ in 0..64 {
            writer.reserve(socket, 100, 1 << 20, false).await?;
            writer.queue(socket, 100, Body::Shared(&body, 0..1 << 20)).await?;
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
    // Long enough for the sockets to fill, and not for the stall to be noticed.
    for _ in 0..2000 {
        let polled = response.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        if let Poll::Ready(ended) = polled {
            assert!(matches!(ended, Err(WriteError::Stalled)), "{ended:?}");
            assert!(ring.send_pool().is_whole());
            return;
        }
        // The first wait of the writer is for the socket; from then on nothing is held.
        if socket.send_queue().unwrap().free() == 0 {
            assert_eq!(ring.send_pool().available(SendClass::Bulk), 4);
        }
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
    }
    panic!("a peer that takes nothing is never given up");
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
    socket.close();
    ring.wake(TaskId::first(0));
    ring.turn().unwrap();
    drop(peer);
    assert!(reader.join().unwrap() > 60 << 20);
}

#[test]
fn nothing_is_sent_behind_a_send_that_was_given_up() {
    let mut bench = Bench::new(&Timeouts::default());
    let (ring, socket, writer) = (&bench.ring, &bench.socket, &mut bench.writer);
    let begun = block_on(ring, async {
        writer.reserve(socket, 100, 0, false).await?;
        writer.queue(socket, 100, Body::None).await
    });
    begun.unwrap();
    {
        let mut flush = pin!(writer.flush(socket));
        let polled = flush.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        assert!(polled.is_pending());
    }
    let alert = block_on(ring, writer.alert(socket, AlertDescription::CloseNotify));
    assert!(matches!(alert, Err(WriteError::GivenUp)), "{alert:?}");
}
