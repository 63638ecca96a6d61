//! Handshakes that must fail, and what the client then gets.

use super::*;

fn fail(bed: &Bed, bytes: &[u8]) -> (HandshakeError, Vec<u8>) {
    let mut output = Vec::new();
    let error = bed.handshake().advance(bytes, &mut output).unwrap_err();
    (error, output)
}

#[test]
fn plain_http_is_recognised() {
    let bed = Bed::new(SUITES[0]);
    for request in ["GET / HTTP/1.1\r\n", "HEAD /", "DELETE /x", "PRI * HTTP/2.0\r\n\r\n"] {
        let (error, output) = fail(&bed, request.as_bytes());
        assert!(matches!(error, HandshakeError::PlainHttp), "{error}");
        assert!(output.is_empty());
    }
    // Also when it trickles in.
    let mut handshake = bed.handshake();
    let mut output = Vec::new();
    for byte in b"GET " {
        handshake.advance(&[*byte], &mut output).unwrap();
    }
    assert!(matches!(handshake.advance(b"/", &mut output), Err(HandshakeError::PlainHttp)));
}

#[test]
fn what_is_not_tls_gets_an_alert() {
    let bed = Bed::new(SUITES[0]);
    for bytes in [&b"SSH-2.0-OpenSSH"[..], &[0; 64], &[0x80, 0x2e, 1, 0, 2, 0], &[22, 9, 9, 0, 5]] {
        let (error, output) = fail(&bed, bytes);
        assert!(matches!(error, HandshakeError::Tls(_) | HandshakeError::NotTls), "{error:?}");
        assert_eq!(output.first(), Some(&21), "an alert for {bytes:?}: {error}");
        assert_eq!(output.len(), 7);
    }
}

#[test]
fn old_versions_get_protocol_version() {
    let bed = Bed::new(SUITES[3]);
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let chain = vec![made.cert.der().clone()];
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let credentials = Credentials { chain, key, warnings: Vec::new() };
    let server = server_config(credentials, TlsVersion::Tls13).unwrap();
    let bed = Bed { server, client: bed.client };
    let hello = sent(&mut bed.client());
    let (error, output) = fail(&bed, &hello);
    assert!(matches!(error, HandshakeError::Tls(rustls::Error::PeerIncompatible(_))), "{error:?}");
    assert_eq!(output, [21, 3, 3, 0, 2, 2, AlertDescription::ProtocolVersion as u8]);
}

/// The client's first flight with `TLS_FALLBACK_SCSV` among its suites.
fn hello_after_fallback(bed: &Bed) -> Vec<u8> {
    let mut hello = sent(&mut bed.client());
    // The lengths of the record, the message and the suites; the session is empty or 32 bytes.
    let suites = 5 + 4 + 2 + 32 + 1 + usize::from(hello[43]);
    let mut longer = |low: usize| {
        let length = u16::from_be_bytes([hello[low - 1], hello[low]]) + 2;
        hello[low - 1..=low].copy_from_slice(&length.to_be_bytes());
    };
    longer(4);
    longer(8);
    longer(suites + 1);
    hello.splice(suites + 2..suites + 2, [0x56, 0x00]);
    hello
}

#[test]
fn a_client_that_fell_back_is_refused() {
    let old = Bed::new(SUITES[3]);
    let (error, output) = fail(&old, &hello_after_fallback(&old));
    assert!(matches!(error, HandshakeError::InappropriateFallback), "{error:?}");
    assert_eq!(output, [21, 3, 3, 0, 2, 2, 86]);
    // With the newest version the signal means nothing.
    let new = Bed::new(SUITES[0]);
    let mut output = Vec::new();
    let advance = new.handshake().advance(&hello_after_fallback(&new), &mut output).unwrap();
    assert_eq!(advance.state, HandshakeState::NeedMore);
    assert_eq!(output[..3], [22, 3, 3], "a ServerHello");
}

#[test]
fn endless_handshakes_end() {
    let bed = Bed::new(SUITES[0]);
    // A ClientHello that claims to be long, in records of one byte.
    let mut bytes = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    for _ in 0..Handshake::MAX_RECORDS {
        bytes.extend([22, 3, 1, 0, 1, 0]);
    }
    assert!(matches!(fail(&bed, &bytes).0, HandshakeError::TooLong));
    // The same in long records.
    let mut bytes = vec![22, 3, 1, 0, 4, 1, 0, 0xff, 0xff];
    for _ in 0..3 {
        bytes.extend([22, 3, 1, 0x40, 0]);
        bytes.resize(bytes.len() + 0x4000, 0);
    }
    let (error, _) = fail(&bed, &bytes);
    assert!(matches!(error, HandshakeError::TooLong), "{error:?}");
}

#[test]
fn early_application_data_and_silence_are_refused() {
    let bed = Bed::new(SUITES[0]);
    let (error, output) = fail(&bed, &[23, 3, 3, 0, 1, 0]);
    assert!(matches!(error, HandshakeError::Tls(_)), "{error:?}");
    assert_eq!(output.first(), Some(&21));
    let handshake = bed.handshake();
    assert!(handshake.is_untouched());
    assert!(matches!(handshake.finish(), Err(HandshakeError::Unfinished)));
}

/// Damage anywhere in the client's second flight must fail, with an alert.
#[test]
fn damaged_finished_is_refused() {
    for suite in SUITES {
        let bed = Bed::new(suite);
        let mut client = bed.client();
        let mut handshake = bed.handshake();
        let mut output = Vec::new();
        handshake.advance(&sent(&mut client), &mut output).unwrap();
        give(&mut client, &output);
        let mut flight = sent(&mut client);
        *flight.last_mut().unwrap() ^= 1;
        let mut output = Vec::new();
        assert!(handshake.advance(&flight, &mut output).is_err());
        assert!(!output.is_empty());
    }
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn damaged_hellos_never_panic(position: proptest::sample::Index, byte: u8, cut: proptest::sample::Index) {
        let bed = Bed::new(SUITES[0]);
        let mut hello = sent(&mut bed.client());
        let position = position.index(hello.len());
        hello[position] = byte;
        let (one, two) = hello.split_at(cut.index(hello.len()));
        let mut handshake = bed.handshake();
        let mut output = Vec::new();
        let first = handshake.advance(one, &mut output);
        if first.is_ok() {
            let _ = handshake.advance(two, &mut output);
        }
    }
}
