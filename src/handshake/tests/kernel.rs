//! The server's whole path on kernel TLS.

use std::os::fd::AsFd as _;

use super::*;

/// A rustls client over a real socket against [`Handshake`], then kernel TLS both ways; used by
/// the tests of `tls::kernel`. The second connection resumes the first one's session.
pub(crate) fn hand_over_to_kernel(suite: SupportedCipherSuite) {
    let bed = Bed::new(suite);
    for resumed in [false, true] {
        let (mut server, mut socket) = ktls::loopback_pair().unwrap();
        for side in [&server, &socket] {
            side.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
        }
        let mut client = bed.client();
        let peer = std::thread::spawn(move || {
            let mut stream = rustls::Stream::new(&mut client, &mut socket);
            let mut answer = vec![0; 100_000];
            stream.write_all(&pattern(70_000)).unwrap();
            stream.read_exact(&mut answer).unwrap();
            assert!(answer == pattern(100_000));
            client.handshake_kind()
        });
        let mut handshake = bed.handshake();
        let mut bytes = [0; 4096];
        let early = loop {
            let length = server.read(&mut bytes).unwrap();
            assert_ne!(length, 0);
            let mut output = Vec::new();
            let advance = handshake.advance(&bytes[..length], &mut output).unwrap();
            server.write_all(&output).unwrap();
            if advance.state == HandshakeState::Finished {
                break bytes[advance.consumed..length].to_vec();
            }
        };
        let mut established = handshake.finish().unwrap();
        assert_eq!(established.resumed, resumed);

        // What came early is opened by us, to the next record boundary.
        let mut opener = Opener::new(&established.receive);
        let mut received = Vec::new();
        let mut rest = early;
        while !rest.is_empty() {
            let wanted = RecordHeader::parse(&rest).unwrap().map_or(5, |h| h.record_length());
            if rest.len() < wanted {
                let held = rest.len();
                rest.resize(wanted, 0);
                server.read_exact(&mut rest[held..]).unwrap();
                continue;
            }
            let mut record: Vec<u8> = rest.drain(..wanted).collect();
            let opened = opener.open(&mut record).unwrap();
            received.extend_from_slice(&record[opened.plaintext]);
        }
        established.receive.advance_to(opener.sequence());
        ktls::install_ulp(server.as_fd()).unwrap();
        ktls::install_transmit(server.as_fd(), &established.transmit).unwrap();
        ktls::install_receive(server.as_fd(), &established.receive).unwrap();

        let held = received.len();
        received.resize(70_000, 0);
        server.read_exact(&mut received[held..]).unwrap();
        assert!(received == pattern(70_000), "{suite:?}");
        server.write_all(&pattern(100_000)).unwrap();
        let kind = peer.join().unwrap();
        assert_eq!(kind == Some(rustls::HandshakeKind::Resumed), resumed);
    }
}
