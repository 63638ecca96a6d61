//! Kernel TLS against our own record layer, over loopback sockets.
//!
//! On a kernel without the TLS module these tests say that they are skipped, and why; with
//! `RINGWAY_REQUIRE_KTLS=1` in the environment they fail instead.

#![forbid(unsafe_code)]

use std::collections::HashSet;
use std::io::{self, IoSliceMut, Read as _, Write as _};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::os::fd::AsFd as _;
use std::time::Duration;

use ktls::CryptoInfo;

use super::probe::loopback_pair;
use super::*;
use crate::record::{
    ContentType, Control, HEADER, KEY_UPDATE, MAX_PLAINTEXT, MAX_RECORD, Opener, RecordHeader,
    Sealer, parse_control,
};

const DATA: ContentType = ContentType::ApplicationData;

/// What the kernel can do, or `None` if the test has to be skipped.
fn support(test: &str) -> Option<KtlsSupport> {
    let support = probe();
    let required = std::env::var_os("RINGWAY_REQUIRE_KTLS").is_some_and(|value| value == "1");
    if let Some(obstacle) = support.unavailable() {
        assert!(!required, "{test}: RINGWAY_REQUIRE_KTLS=1, but {obstacle}");
        // Not by a macro, whose output the test runner would keep to itself.
        let line = format!("skipped {test}: {obstacle}\n");
        let _ = io::stderr().write_all(line.as_bytes());
        return None;
    }
    if required {
        for attempt in &support.attempts {
            assert_eq!(attempt.outcome, Ok(()), "{attempt:?}");
        }
    }
    Some(support)
}

fn all() -> impl Iterator<Item = (Suite, TlsVersion)> {
    Suite::ALL
        .into_iter()
        .flat_map(|suite| [(suite, TlsVersion::Tls12), (suite, TlsVersion::Tls13)])
}

/// Keys of one direction; `generation` distinguishes the keys of a connection.
fn keys(suite: Suite, version: TlsVersion, generation: u8, sequence: u64) -> TrafficKeys {
    let key = [generation; 32];
    // The explicit nonce of TLS 1.2 is about to carry into its higher bytes.
    let iv = [generation, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff, 0xfe];
    TrafficKeys::new(suite, version, &key[..suite.key_length()], iv, sequence).unwrap()
}

/// A connection whose reads end after a while, so that a failure does not hang.
fn pair() -> (TcpStream, TcpStream) {
    let (server, client) = loopback_pair().unwrap();
    for socket in [&server, &client] {
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        socket.set_nodelay(true).unwrap();
    }
    (server, client)
}

fn pattern(size: usize) -> Vec<u8> {
    (0..size).map(|index| (index * 13 + index / 256) as u8).collect()
}

fn send(socket: &mut TcpStream, sealer: &mut Sealer, kind: ContentType, data: &[u8]) {
    for piece in data.chunks(MAX_PLAINTEXT) {
        let mut record = vec![0; piece.len() + sealer.overhead()];
        sealer.seal(kind, piece, &mut record).unwrap();
        socket.write_all(&record).unwrap();
    }
}

fn read_record(socket: &mut TcpStream) -> Vec<u8> {
    let mut record = vec![0; HEADER];
    socket.read_exact(&mut record).unwrap();
    let length = RecordHeader::parse(&record).unwrap().unwrap().record_length();
    assert!(length <= MAX_RECORD);
    record.resize(length, 0);
    socket.read_exact(&mut record[HEADER..]).unwrap();
    record
}

/// Reads and opens `size` bytes of application data.
fn receive(socket: &mut TcpStream, opener: &mut Opener, size: usize) -> Vec<u8> {
    let mut data = Vec::new();
    while data.len() < size {
        let mut record = read_record(socket);
        let opened = opener.open(&mut record).unwrap();
        assert_eq!(opened.content_type, DATA);
        data.extend_from_slice(&record[opened.plaintext]);
    }
    data
}

fn read_exactly(socket: &mut TcpStream, size: usize) -> Vec<u8> {
    let mut data = vec![0; size];
    socket.read_exact(&mut data).unwrap();
    data
}

#[test]
fn the_kernels_structures_are_filled() {
    for (suite, version) in all() {
        let info = crypto_info(&keys(suite, version, 7, 0x0102));
        let (size, number) = match version {
            TlsVersion::Tls12 => (40, 0x0303),
            TlsVersion::Tls13 => (40, 0x0304),
        };
        let sequence = [0, 0, 0, 0, 0, 0, 1, 2];
        // The IV's last bytes 0xfffe, and 0x0102 records on.
        let counted = match version {
            TlsVersion::Tls12 => [5, 6, 7, 8, 9, 11, 1, 0],
            TlsVersion::Tls13 => [5, 6, 7, 8, 9, 10, 0xff, 0xfe],
        };
        match &info.0 {
            CryptoInfo::AesGcm128(info) => {
                assert_eq!((suite, info.info.cipher_type), (Suite::Aes128Gcm, 51));
                assert_eq!((info.info.version, info.rec_seq), (number, sequence));
                assert_eq!((info.key, info.salt, info.iv), ([7; 16], [7, 2, 3, 4], counted));
            }
            CryptoInfo::AesGcm256(info) => {
                assert_eq!((suite, info.info.cipher_type), (Suite::Aes256Gcm, 52));
                assert_eq!((info.info.version, info.rec_seq), (number, sequence));
                assert_eq!((info.key, info.salt, info.iv), ([7; 32], [7, 2, 3, 4], counted));
            }
            CryptoInfo::Chacha20Poly1305(info) => {
                assert_eq!((suite, info.info.cipher_type), (Suite::ChaCha20Poly1305, 54));
                assert_eq!((info.info.version, info.rec_seq), (number, sequence));
                assert_eq!(info.iv, [7, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0xff, 0xfe]);
                assert_eq!(info.key, [7; 32]);
            }
            _ => panic!("a structure that crypto_info does not make"),
        }
        assert_eq!(info.size(), if suite == Suite::Aes128Gcm { size } else { 56 });
    }
}

#[test]
fn a_kernel_without_tls_is_explained() {
    let support = probe();
    assert_eq!(support.attempts.len(), 12);
    if let Some(obstacle) = support.unavailable() {
        let text = obstacle.to_string();
        assert!(!text.is_empty());
        assert!(!support.covers(TlsVersion::Tls13, Suite::Aes128Gcm, Direction::Transmit));
        assert_eq!((support.no_padding, support.rekey), (Err(obstacle), Err(obstacle)));
    }
    let missing = Obstacle::Ulp(libc::ENOENT);
    assert_eq!(missing.to_string(), "the kernel has no tls ULP (ENOENT)");
    assert!(missing.remedy().unwrap().contains("modprobe tls"));
}

/// Records 0 to 2 are ours, the kernel continues; the peer notices nothing, no nonce repeats.
#[test]
fn the_kernel_continues_what_we_sent() {
    if support("the_kernel_continues_what_we_sent").is_none() {
        return;
    }
    for (suite, version) in all() {
        let (mut server, mut client) = pair();
        let mut opener = Opener::new(&keys(suite, version, 1, 0));
        let mut sealer = Sealer::new(&keys(suite, version, 1, 0));
        for _ in 0..3 {
            send(&mut server, &mut sealer, DATA, b"ours");
        }
        let mut moved = keys(suite, version, 1, 0);
        moved.advance_to(sealer.sequence());
        install_ulp(server.as_fd()).unwrap();
        install_transmit(server.as_fd(), &moved).unwrap();
        for _ in 0..5 {
            server.write_all(b"kernel").unwrap();
        }
        let mut explicit_nonces = HashSet::new();
        for expected in [&b"ours"[..]; 3].into_iter().chain([&b"kernel"[..]; 5]) {
            let mut record = read_record(&mut client);
            let explicit = record[HEADER..HEADER + 8].to_vec();
            assert!(explicit_nonces.insert(explicit), "{suite} {version}: a nonce repeats");
            let opened = opener.open(&mut record).unwrap();
            assert_eq!(&record[opened.plaintext], expected, "{suite} {version}");
        }
        for size in [1, 1000, 16384, 16385, 100_000] {
            let data = pattern(size);
            server.write_all(&data).unwrap();
            assert!(receive(&mut client, &mut opener, size) == data, "{suite} {version} {size}");
        }
    }
}

/// The first records are opened by us, what follows by the kernel, even what arrived before it
/// got the keys.
#[test]
fn the_kernel_continues_what_we_received() {
    let Some(support) = support("the_kernel_continues_what_we_received") else { return };
    for (suite, version) in all() {
        let (mut server, mut client) = pair();
        let mut sealer = Sealer::new(&keys(suite, version, 1, 0));
        let mut opener = Opener::new(&keys(suite, version, 1, 0));
        send(&mut client, &mut sealer, DATA, b"first");
        send(&mut client, &mut sealer, DATA, b"second");
        send(&mut client, &mut sealer, DATA, b"waiting in the socket");
        assert_eq!(receive(&mut server, &mut opener, 11), b"firstsecond");

        let mut moved = keys(suite, version, 1, 0);
        moved.advance_to(opener.sequence());
        install_ulp(server.as_fd()).unwrap();
        install_receive(server.as_fd(), &moved).unwrap();
        if version == TlsVersion::Tls13 && support.no_padding.is_ok() {
            expect_no_padding(server.as_fd()).unwrap();
        }
        assert_eq!(read_exactly(&mut server, 21), b"waiting in the socket");
        for size in [1, 1000, 16384, 16385, 100_000] {
            let data = pattern(size);
            let writer = std::thread::spawn({
                let (mut client, data) = (client.try_clone().unwrap(), data.clone());
                move || {
                    send(&mut client, &mut sealer, DATA, &data);
                    sealer
                }
            });
            assert!(read_exactly(&mut server, size) == data, "{suite} {version} {size}");
            sealer = writer.join().unwrap();
        }
        // A control record must be fetched with its type; a plain read says EIO.
        send(&mut client, &mut sealer, ContentType::Alert, &[1, 0]);
        let refused = server.read(&mut [0; 16]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EIO), "{suite} {version}");
    }
}

#[test]
fn padding_is_not_expected_in_tls_12() {
    if support("padding_is_not_expected_in_tls_12").is_none() {
        return;
    }
    let (server, _client) = pair();
    install_ulp(server.as_fd()).unwrap();
    install_receive(server.as_fd(), &keys(Suite::Aes128Gcm, TlsVersion::Tls12, 1, 0)).unwrap();
    let refused = expect_no_padding(server.as_fd()).unwrap_err();
    assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
}

/// Our own KeyUpdate where the kernel can change keys; where it cannot, it says so.
#[test]
fn keys_are_replaced() {
    let Some(support) = support("keys_are_replaced") else { return };
    for suite in Suite::ALL {
        let keys = |generation| keys(suite, TlsVersion::Tls13, generation, 0);
        let (mut server, mut client) = pair();
        install_ulp(server.as_fd()).unwrap();
        install_transmit(server.as_fd(), &keys(1)).unwrap();
        install_receive(server.as_fd(), &keys(2)).unwrap();
        if let Err(obstacle) = support.rekey {
            assert_eq!(obstacle, Obstacle::Rekey(libc::EBUSY));
            let refused = install_transmit(server.as_fd(), &keys(3)).unwrap_err();
            assert_eq!(refused.raw_os_error(), Some(libc::EBUSY));
            continue;
        }
        server.write_all(b"old").unwrap();
        install_transmit(server.as_fd(), &keys(3)).unwrap();
        server.write_all(b"new").unwrap();
        assert_eq!(receive(&mut client, &mut Opener::new(&keys(1)), 3), b"old");
        assert_eq!(receive(&mut client, &mut Opener::new(&keys(3)), 3), b"new");

        let mut old = Sealer::new(&keys(2));
        send(&mut client, &mut old, DATA, b"old");
        assert_eq!(read_exactly(&mut server, 3), b"old");
        send(&mut client, &mut old, ContentType::Handshake, &KEY_UPDATE);
        let mut new = Sealer::new(&keys(4));
        send(&mut client, &mut new, DATA, b"new");
        let met = server.read(&mut [0; 16]).unwrap_err();
        assert_eq!(met.raw_os_error(), Some(libc::EIO));
        let message = read_control(&server);
        let control = parse_control(TlsVersion::Tls13, ContentType::Handshake, &message);
        assert_eq!(control, Ok(Control::KeyUpdate { requested: false }));
        install_receive(server.as_fd(), &keys(4)).unwrap();
        assert_eq!(read_exactly(&mut server, 3), b"new");
    }
}

/// Takes a control record, leaving its type aside: what matters is that there is room for it.
fn read_control(socket: &TcpStream) -> Vec<u8> {
    let mut payload = [0; 64];
    let mut room = [MaybeUninit::uninit(); 64];
    let mut control = rustix::net::RecvAncillaryBuffer::new(&mut room);
    let mut parts = [IoSliceMut::new(&mut payload)];
    let received =
        rustix::net::recvmsg(socket, &mut parts, &mut control, rustix::net::RecvFlags::empty());
    payload[..received.unwrap().bytes].to_vec()
}

/// The server's whole path: a real handshake over the socket, then the kernel both ways.
#[test]
fn a_handshake_is_handed_over() {
    if support("a_handshake_is_handed_over").is_none() {
        return;
    }
    for suite in crate::handshake::tests::SUITES {
        crate::handshake::tests::hand_over_to_kernel(suite);
    }
}

#[test]
fn what_it_costs_can_be_tried_with_every_suite() {
    if support("what_it_costs_can_be_tried_with_every_suite").is_none() {
        assert!(compare(Suite::Aes128Gcm).is_err(), "nothing to compare with");
        return;
    }
    for suite in Suite::ALL {
        let trial = compare(suite).unwrap();
        assert_eq!(trial.costs.map(|cost| cost.length), [1024, 65_536, 512]);
        for cost in trial.costs {
            // No message was free, and none took all of the patience.
            for side in [cost.user, cost.kernel] {
                assert!((1..500_000_000).contains(&side), "{suite:?}: {cost}");
            }
        }
    }
}

#[test]
fn a_small_difference_decides_nothing() {
    let cost = |kernel| Cost { direction: Direction::Transmit, length: 1024, user: 1_000, kernel };
    assert!(!cost(1_000).is_kernels() && !cost(970).is_kernels());
    assert!(cost(969).is_kernels() && !cost(u64::MAX).is_kernels());
}
