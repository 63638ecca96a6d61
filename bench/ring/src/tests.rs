use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd;

use crate::{Done, Limits, Ring};

const LIMITS: Limits =
    Limits { entries: 8, recv_buffers: 4, recv_size: 16, send_slots: 2, send_size: 64 };

/// A ring and a connected pair: ours and the peer's.
fn pair() -> (Ring, TcpStream, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    let ours = TcpStream::connect(address).unwrap();
    let (peer, _) = listener.accept().unwrap();
    (Ring::new(LIMITS, address).unwrap(), ours, peer)
}

fn next(ring: &mut Ring) -> Done {
    for _ in 0..1000 {
        if let Some(done) = ring.completion() {
            return done;
        }
        ring.wait().unwrap();
    }
    panic!("no completion in a thousand waits");
}

#[test]
fn bytes_come_in_leases_and_the_end_as_none() {
    let (mut ring, ours, mut peer) = pair();
    ring.receive_all(7, ours.as_fd()).unwrap();
    ring.poll().unwrap();
    peer.write_all(b"twenty-four bytes in all").unwrap();
    drop(peer);
    let mut seen = Vec::new();
    loop {
        let Done::Received { key, result, more } = next(&mut ring) else { panic!("a receive") };
        assert_eq!(key, 7);
        if let Some(bytes) = result.unwrap() {
            assert!(bytes.len() <= 16);
            seen.extend_from_slice(&bytes);
        } else {
            assert!(!more);
            break;
        }
    }
    assert_eq!(seen, b"twenty-four bytes in all");
}

#[test]
fn leases_held_exhaust_the_buffers_and_leases_dropped_refill_them() {
    let (mut ring, ours, mut peer) = pair();
    peer.write_all(&[1; 16 * 6]).unwrap();
    ring.receive_all(1, ours.as_fd()).unwrap();
    let mut held = Vec::new();
    loop {
        let Done::Received { result, .. } = next(&mut ring) else { panic!("a receive") };
        match result {
            Ok(lease) => held.push(lease.unwrap()),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOBUFS));
                break;
            }
        }
    }
    assert_eq!(held.len(), 4);
    held.clear();
    for _ in 0..2 {
        ring.receive_once(1, ours.as_fd(), 16).unwrap();
        let Done::Received { result, more, .. } = next(&mut ring) else { panic!("a receive") };
        assert_eq!((result.unwrap().unwrap().len(), more), (16, false));
    }
}

#[test]
fn a_slot_is_written_from_and_comes_back() {
    let (mut ring, ours, mut peer) = pair();
    let mut slot = ring.slot().unwrap();
    let other = ring.slot().unwrap();
    assert!(ring.slot().is_none());
    drop(other);
    slot[..5].copy_from_slice(b"hello");
    ring.write(3, ours.as_fd(), slot, 1, 5).unwrap();
    let Done::Written { key, slot, result } = next(&mut ring) else { panic!("a write") };
    assert_eq!((key, result.unwrap(), &slot[..5]), (3, 4, &b"hello"[..]));
    let mut seen = [0; 4];
    peer.read_exact(&mut seen).unwrap();
    assert_eq!(&seen, b"ello");
}

#[test]
fn accepts_and_connects() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let mut ring = Ring::new(LIMITS, listener.local_addr().unwrap()).unwrap();
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    ring.accept(1, listener.as_fd()).unwrap();
    ring.connect(2, socket.as_fd()).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 2 {
        match next(&mut ring) {
            Done::Accepted { key, result, more } => {
                result.unwrap();
                seen.push((key, more));
            }
            Done::Connected { key, result } => {
                result.unwrap();
                seen.push((key, false));
            }
            other => panic!("{other:?}"),
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [(1, true), (2, false)]);
}

#[test]
fn a_refused_connect_says_so() {
    let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap();
    let mut ring = Ring::new(LIMITS, free).unwrap();
    let socket = rustix::net::socket(
        rustix::net::AddressFamily::INET,
        rustix::net::SocketType::STREAM,
        None,
    )
    .unwrap();
    ring.connect(2, socket.as_fd()).unwrap();
    let Done::Connected { result, .. } = next(&mut ring) else { panic!("a connect") };
    assert_eq!(result.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
}

#[test]
fn closing_closes() {
    let (mut ring, ours, mut peer) = pair();
    ring.close(ours.into()).unwrap();
    assert!(matches!(next(&mut ring), Done::Closed));
    assert_eq!(peer.read(&mut [0]).unwrap(), 0);
}

#[test]
fn dropping_a_ring_ends_its_operations() {
    let (mut ring, ours, _peer) = pair();
    ring.receive_all(1, ours.as_fd()).unwrap();
    ring.poll().unwrap();
    assert_eq!(ring.in_flight(), 1);
    let address: SocketAddr = ours.peer_addr().unwrap();
    drop(ring);
    assert_eq!(ours.peer_addr().unwrap(), address);
}
