//! After the handshake: records, alerts and updates of keys, by the extracted keys.

use super::*;

#[test]
fn close_notify_both_ways() {
    for suite in SUITES {
        let mut link = Bed::new(suite).connect();
        link.client.send_close_notify();
        let bytes = sent(&mut link.client);
        let [(kind, payload)] = &link.open(bytes)[..] else { panic!("one record") };
        let control = parse_control(link.established.version, *kind, payload);
        assert_eq!(control, Ok(Control::CloseNotify));

        let record = link.seal(ContentType::Alert, &encode_alert(AlertDescription::CloseNotify));
        link.client.read_tls(&mut &record[..]).unwrap();
        assert!(link.client.process_new_packets().unwrap().peer_has_closed());
    }
}

#[test]
fn fatal_alerts_reach_the_client() {
    for suite in SUITES {
        let mut link = Bed::new(suite).connect();
        let error = RecordError::BadMac;
        let record = link.seal(ContentType::Alert, &encode_alert(error.alert()));
        link.client.read_tls(&mut &record[..]).unwrap();
        assert_eq!(
            link.client.process_new_packets().unwrap_err(),
            rustls::Error::AlertReceived(RustlsAlert::BadRecordMac)
        );
    }
}

/// Both sides update their keys, in turn and at once, many times over.
#[test]
fn key_updates() {
    for suite in &SUITES[..3] {
        let mut link = Bed::new(*suite).connect();
        for _ in 0..5 {
            link.client.refresh_traffic_keys().unwrap();
            let bytes = sent(&mut link.client);
            let [(kind, payload)] = &link.open(bytes)[..] else { panic!("one record") };
            let control = parse_control(TlsVersion::Tls13, *kind, payload);
            assert_eq!(control, Ok(Control::KeyUpdate { requested: true }));
            let keys = link.established.schedule.next_receive_keys().unwrap();
            link.opener = Opener::new(&keys);

            let record = link.seal(ContentType::Handshake, &KEY_UPDATE);
            let keys = link.established.schedule.next_transmit_keys().unwrap();
            link.sealer = Sealer::new(&keys);
            give(&mut link.client, &record);
            link.exchange();
        }
        // Only the server's.
        let record = link.seal(ContentType::Handshake, &KEY_UPDATE);
        let keys = link.established.schedule.next_transmit_keys().unwrap();
        link.sealer = Sealer::new(&keys);
        give(&mut link.client, &record);
        link.exchange();
    }
}

#[test]
fn tls_12_has_no_key_updates() {
    let mut link = Bed::new(SUITES[3]).connect();
    assert!(link.established.schedule.next_receive_keys().is_err());
    assert!(link.established.schedule.next_transmit_keys().is_err());
}

#[test]
fn tls_12_renegotiation_is_refused() {
    let mut link = Bed::new(SUITES[3]).connect();
    // With the client's own keys we may speak for the client.
    let mut client = Sealer::new(&link.established.receive);
    let hello = [1, 0, 0, 2, 3, 3];
    let mut record = vec![0; hello.len() + client.overhead()];
    client.seal(ContentType::Handshake, &hello, &mut record).unwrap();
    let [(kind, payload)] = &link.open(record)[..] else { panic!("one record") };
    let refused = parse_control(TlsVersion::Tls12, *kind, payload);
    assert_eq!(refused, Err(RecordError::Renegotiation));
}

#[test]
fn tickets_raise_the_record_number() {
    for suite in SUITES {
        let link = Bed::new(suite).connect();
        let is_13 = suite.tls13().is_some();
        // TLS 1.3: both tickets in one record. TLS 1.2: the Finished of each side.
        assert_eq!(link.established.transmit.sequence(), 1);
        assert_eq!(link.established.receive.sequence(), u64::from(!is_13));
    }
}

/// TLS 1.2 with AES-GCM shows its nonces: that of rustls's Finished, then ours, counting up.
#[test]
fn tls_12_nonces_do_not_repeat() {
    for suite in &SUITES[3..5] {
        let bed = Bed::new(*suite);
        for resumed in [false, true] {
            let mut client = bed.client();
            let mut handshake = bed.handshake();
            let mut output = Vec::new();
            let mut all_output = Vec::new();
            let mut finished = false;
            while !finished {
                output.clear();
                let advance = handshake.advance(&sent(&mut client), &mut output).unwrap();
                finished = advance.state == HandshakeState::Finished;
                all_output.extend_from_slice(&output);
                give(&mut client, &output);
            }
            let mut link = Link::new(client, handshake.finish().unwrap());
            assert_eq!(link.established.resumed, resumed);
            // The last record of the handshake is the Finished: 5 of header, 8 of nonce, 16 of
            // message, 16 of tag.
            let finished_record = &all_output[all_output.len() - 45..];
            assert_eq!(finished_record[..5], [22, 3, 3, 0, 40]);
            let number = |record: &[u8]| u64::from_be_bytes(record[5..13].try_into().unwrap());
            let first = number(finished_record);
            for later in 1..5 {
                let record = link.seal(ContentType::ApplicationData, b"data");
                assert_eq!(number(&record), first.wrapping_add(later));
            }
        }
    }
}

#[test]
fn the_state_that_remains_is_small() {
    // An idle connection keeps these, and what they point to.
    assert!(size_of::<crate::tls::KeySchedule>() <= 16);
    assert!(size_of::<Sealer>() + size_of::<Opener>() <= 128);
}
