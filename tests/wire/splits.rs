//! The client's first flights, cut at every byte: the hand-over from handshake to records must not
//! lose, repeat or misread a byte, wherever TCP happens to divide them.

use std::io::Write;

use rustls::ClientConnection;

use crate::client::{Client, ClientOptions, breathe};
use crate::server::Server;
use crate::site::HELLO;

const REQUEST: &[u8] = b"GET /hello.txt HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// Takes what the connection wants to send.
fn flight(tls: &mut ClientConnection) -> Vec<u8> {
    let mut bytes = Vec::new();
    while tls.wants_write() {
        tls.write_tls(&mut bytes).unwrap();
    }
    bytes
}

/// A connection whose last flight of the handshake is made, but not sent: with the request behind
/// it, in one record, or divided over two.
fn at_last_flight(server: &Server, options: &ClientOptions, records: usize) -> (Client, Vec<u8>) {
    let mut client = Client::connect(server.port, options.config(&server.identity)).unwrap();
    let hello = flight(&mut client.tls);
    client.socket.write_all(&hello).unwrap();
    while client.tls.is_handshaking() && !client.tls.wants_write() {
        assert_ne!(client.tls.read_tls(&mut client.socket).unwrap(), 0, "an early end");
        client.tls.process_new_packets().unwrap();
    }
    for piece in REQUEST.chunks(REQUEST.len().div_ceil(records)) {
        client.tls.writer().write_all(piece).unwrap();
    }
    let bytes = flight(&mut client.tls);
    (client, bytes)
}

fn serve_split(mut client: Client, bytes: &[u8], at: usize) {
    let (first, second) = bytes.split_at(at);
    client.socket.write_all(first).unwrap();
    breathe();
    client.socket.write_all(second).unwrap();
    let response = client
        .try_response("GET")
        .unwrap_or_else(|error| panic!("cut at {at} of {}: {error}", bytes.len()));
    assert_eq!(response.body, HELLO, "cut at {at}");
    assert_eq!(client.get("/hello.txt").body, HELLO, "after a cut at {at}");
}

fn every_split_of_the_last_flight(options: &ClientOptions, records: usize) {
    let server = Server::plain(&[]);
    let (client, bytes) = at_last_flight(&server, options, records);
    let length = bytes.len();
    serve_split(client, &bytes, length);
    for at in 1..length {
        let (client, bytes) = at_last_flight(&server, options, records);
        serve_split(client, &bytes, at.min(bytes.len()));
    }
}

#[test]
fn finished_and_request() {
    every_split_of_the_last_flight(&ClientOptions::default(), 1);
}

#[test]
fn finished_and_request_in_two_records() {
    every_split_of_the_last_flight(&ClientOptions::default(), 2);
}

#[test]
fn finished_and_request_of_tls_1_2() {
    every_split_of_the_last_flight(&ClientOptions::tls12(), 1);
}

#[test]
fn the_first_flight() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let config = options.config(&server.identity);
        let mut at = 1;
        loop {
            let mut client = Client::connect(server.port, config.clone()).unwrap();
            let hello = flight(&mut client.tls);
            if at >= hello.len() {
                break;
            }
            client.socket.write_all(&hello[..at]).unwrap();
            breathe();
            client.socket.write_all(&hello[at..]).unwrap();
            assert_eq!(client.get("/hello.txt").body, HELLO, "cut at {at}");
            // The record header and the first fields byte by byte, the rest in larger steps.
            at += if at < 48 { 1 } else { 7 };
        }
    }
}

/// Many requests right behind Finished, so that the hand-over meets whole records, several in one
/// read, and a part of one at the end of a read.
#[test]
fn many_requests_behind_finished() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        for count in [2_usize, 10, 400] {
            let (mut client, mut bytes) = at_last_flight(&server, &options, 1);
            for _ in 1..count {
                client.tls.writer().write_all(REQUEST).unwrap();
                bytes.extend(flight(&mut client.tls));
            }
            // A reader beside the writer, so that neither waits for the other's full buffers.
            let mut socket = client.socket.try_clone().unwrap();
            let writer = std::thread::spawn(move || {
                for piece in bytes.chunks(1_000) {
                    socket.write_all(piece).unwrap();
                    breathe();
                }
            });
            for i in 0..count {
                assert_eq!(client.response("GET").body, HELLO, "{i} of {count}");
            }
            writer.join().unwrap();
        }
    }
}

/// Each byte of the whole handshake and of a request in a segment of its own.
#[test]
fn a_handshake_byte_by_byte() {
    let server = Server::plain(&[]);
    for options in [ClientOptions::default(), ClientOptions::tls12()] {
        let mut client = Client::connect(server.port, options.config(&server.identity)).unwrap();
        client.tls.writer().write_all(REQUEST).unwrap();
        while client.tls.is_handshaking() || client.tls.wants_write() {
            for byte in flight(&mut client.tls) {
                client.socket.write_all(&[byte]).unwrap();
            }
            if client.tls.is_handshaking() {
                assert_ne!(client.tls.read_tls(&mut client.socket).unwrap(), 0, "an early end");
                client.tls.process_new_packets().unwrap();
            }
        }
        assert_eq!(client.response("GET").body, HELLO);
    }
}
