use std::sync::Arc;

use proptest::prelude::*;
use rustls::client::{Resumption, UnbufferedClientConnection};
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::UnbufferedServerConnection;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::handshake::{Handshake, Session, Step, tickets};
use crate::record::{Content, Fault, HEADER, MAX_PLAINTEXT, OVERHEAD, record_len};

type ClientSession = Session<rustls::client::ClientConnectionData>;
type ServerSession = Session<rustls::server::ServerConnectionData>;

fn configs() -> (Arc<ClientConfig>, Arc<ServerConfig>) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let mut server = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    server.enable_secret_extraction = true;
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    client.enable_secret_extraction = true;
    client.resumption = Resumption::in_memory_sessions(8);
    (Arc::new(client), Arc::new(server))
}

/// Shakes hands, `piece` bytes at a time, the client's first application record sent along with
/// its last flight. What each side has left unread comes third and fourth.
fn shake(
    (client, server): &(Arc<ClientConfig>, Arc<ServerConfig>),
    piece: usize,
) -> (ClientSession, ServerSession, Vec<u8>, Vec<u8>) {
    let name = ServerName::try_from("localhost").unwrap();
    let mut client =
        Some(Handshake::new(UnbufferedClientConnection::new(Arc::clone(client), name).unwrap()));
    let mut server =
        Some(Handshake::new(UnbufferedServerConnection::new(Arc::clone(server)).unwrap()));
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    let (mut at_server, mut at_client) = (Vec::new(), Vec::new());
    let (mut client_done, mut server_done) = (None, None);
    for _ in 0..100_000 {
        if let Some(running) = client.take() {
            match running.step(&mut at_client, &mut to_server).unwrap() {
                Step::More(more) => client = Some(more),
                Step::Done(mut session) => {
                    let mut record = vec![0; OVERHEAD + 5];
                    record[HEADER..][..5].copy_from_slice(b"GET /");
                    session.sealer.seal(&mut record, Content::Data, 5).unwrap();
                    to_server.extend(record);
                    client_done = Some(*session);
                }
            }
        }
        let now = piece.min(to_server.len());
        at_server.extend(to_server.drain(..now));
        if let Some(running) = server.take() {
            match running.step(&mut at_server, &mut to_client).unwrap() {
                Step::More(more) => server = Some(more),
                Step::Done(session) => server_done = Some(*session),
            }
        }
        let now = piece.min(to_client.len());
        at_client.extend(to_client.drain(..now));
        if to_server.is_empty() && to_client.is_empty() && client_done.is_some() {
            break;
        }
    }
    (client_done.unwrap(), server_done.unwrap(), at_client, at_server)
}

/// Opens all records of `bytes`.
fn open_all(
    opener: &mut crate::record::Opener,
    mut bytes: &mut [u8],
) -> Result<Vec<(Content, Vec<u8>)>, Fault> {
    let mut opened = Vec::new();
    while let Some(len) = record_len(bytes)? {
        let (record, rest) = bytes.split_at_mut(len);
        let (content, plain) = opener.open(record)?;
        opened.push((content, plain.to_vec()));
        bytes = rest;
    }
    Ok(opened)
}

#[test]
fn handshakes_in_any_pieces_leave_what_follows_them() {
    let configs = configs();
    for piece in [1, 7, 100, 1 << 20] {
        let (mut client, mut server, mut at_client, mut at_server) = shake(&configs, piece);
        let data = open_all(&mut server.opener, &mut at_server).unwrap();
        assert_eq!(data, [(Content::Data, b"GET /".to_vec())]);
        for (content, message) in open_all(&mut client.opener, &mut at_client).unwrap() {
            assert_eq!(content, Content::Handshake);
            for ticket in tickets(&message).unwrap() {
                client.kernel.handle_new_session_ticket(ticket).unwrap();
            }
        }
    }
}

#[test]
fn a_ticket_resumes_the_session() {
    let configs = configs();
    let (mut client, server, mut at_client, _) = shake(&configs, 1 << 20);
    assert!(!client.resumed && !server.resumed);
    for (_, message) in open_all(&mut client.opener, &mut at_client).unwrap() {
        for ticket in tickets(&message).unwrap() {
            client.kernel.handle_new_session_ticket(ticket).unwrap();
        }
    }
    let (client, server, _, _) = shake(&configs, 1 << 20);
    assert!(client.resumed && server.resumed);
}

#[test]
fn tickets_are_told_from_other_messages() {
    assert_eq!(tickets(&[4, 0, 0, 2, 8, 9, 4, 0, 0, 0]), Some(vec![&[8, 9][..], &[][..]]));
    assert_eq!(tickets(&[24, 0, 0, 1, 0]), None);
    assert_eq!(tickets(&[4, 0, 0, 2, 8]), None);
}

#[test]
fn headers_announce_lengths_within_the_protocol() {
    assert_eq!(record_len(&[23, 3, 3, 0]), Ok(None));
    assert_eq!(record_len(&[23, 3, 3, 0, 17, 9]), Ok(Some(22)));
    assert_eq!(record_len(&[23, 3, 3, 0x41, 0]), Ok(Some(16_645)));
    assert_eq!(record_len(&[23, 3, 3, 0x41, 1]), Err(Fault::Length));
}

#[test]
fn sealing_refuses_what_does_not_fit() {
    let (mut client, ..) = shake(&configs(), 1 << 20);
    let mut room = vec![0; MAX_PLAINTEXT + OVERHEAD + 1];
    assert_eq!(client.sealer.seal(&mut room, Content::Data, MAX_PLAINTEXT + 1), Err(Fault::Length));
    assert_eq!(client.sealer.seal(&mut room[..OVERHEAD], Content::Data, 1), Err(Fault::Length));
    assert!(client.sealer.seal(&mut room, Content::Data, MAX_PLAINTEXT).is_ok());
}

#[test]
fn rustls_reads_what_is_sealed_here() {
    // rustls seals and opens on the other side of `shake`; here its own record layer meets ours.
    let (client, server) = configs();
    let name = ServerName::try_from("localhost").unwrap();
    let mut peer = rustls::ServerConnection::new(server).unwrap();
    let mut ours = Some(Handshake::new(UnbufferedClientConnection::new(client, name).unwrap()));
    let (mut input, mut session) = (Vec::new(), None);
    for _ in 0..10 {
        let mut output = Vec::new();
        if let Some(running) = ours.take() {
            match running.step(&mut input, &mut output).unwrap() {
                Step::More(more) => ours = Some(more),
                Step::Done(done) => session = Some(done),
            }
        }
        let mut pending = &output[..];
        while !pending.is_empty() {
            peer.read_tls(&mut pending).unwrap();
            peer.process_new_packets().unwrap();
        }
        while peer.wants_write() {
            peer.write_tls(&mut input).unwrap();
        }
    }
    let mut session = session.unwrap();
    let mut record = vec![0; OVERHEAD + 3];
    record[HEADER..][..3].copy_from_slice(b"abc");
    session.sealer.seal(&mut record, Content::Data, 3).unwrap();
    peer.read_tls(&mut &record[..]).unwrap();
    peer.process_new_packets().unwrap();
    let mut read = [0; 3];
    std::io::Read::read_exact(&mut peer.reader(), &mut read).unwrap();
    assert_eq!(&read, b"abc");
    std::io::Write::write_all(&mut peer.writer(), b"back").unwrap();
    peer.send_close_notify();
    while peer.wants_write() {
        peer.write_tls(&mut input).unwrap();
    }
    let opened = open_all(&mut session.opener, &mut input).unwrap();
    assert_eq!(
        opened.last_chunk::<2>(),
        Some(&[(Content::Data, b"back".to_vec()), (Content::Alert, vec![1, 0])])
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn records_round_trip_and_alterations_are_refused(
        plain in proptest::collection::vec(any::<u8>(), 0..400),
        at in any::<prop::sample::Index>(),
    ) {
        let (mut client, mut server, _, mut at_server) = shake(&configs(), 1 << 20);
        open_all(&mut server.opener, &mut at_server).unwrap();
        let mut record = vec![0; plain.len() + OVERHEAD];
        for _ in 0..2 {
            record[HEADER..][..plain.len()].copy_from_slice(&plain);
            let len = client.sealer.seal(&mut record, Content::Data, plain.len()).unwrap();
            prop_assert_eq!(len, record.len());
            prop_assert_eq!(record_len(&record), Ok(Some(len)));
            prop_assert_eq!(server.opener.open(&mut record).unwrap(), (Content::Data, &plain[..]));
        }
        client.sealer.seal(&mut record, Content::Data, plain.len()).unwrap();
        let at = at.index(record.len());
        record[at] ^= 1;
        let fault = server.opener.open(&mut record).unwrap_err();
        prop_assert_eq!(fault, if at == 0 { Fault::ContentType } else { Fault::Tag });
    }
}
