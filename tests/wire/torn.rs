//! Files that change while they are sent: the client gets the promised length, or an end that it
//! cannot take for a whole response.

use std::fs::{self, File};
use std::io::Write;
use std::time::Instant;

use crate::client::End;
use crate::server::{PATIENCE, Server};
use crate::site::Site;

/// Larger than all buffers between the two, so that the server is still sending.
const SIZE: usize = 64 << 20;

/// Starts a download, changes the file, and reads the rest: its length and what ended it.
fn download(change: impl Fn(&std::path::Path)) -> (usize, Option<End>) {
    let site = Site::new();
    site.noise("file", SIZE);
    let server = Server::start(site, &[]);
    let path = server.site.root().join("file");
    let mut client = server.connect();
    client.send(b"GET /file HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let head = client.try_head().unwrap();
    assert_eq!(head.promised(), SIZE as u64);
    change(&path);
    let mut received = 0;
    let mut buffer = vec![0; 1 << 16];
    let end = loop {
        if received == SIZE {
            break None;
        }
        let room = buffer.len().min(SIZE - received);
        match client.read(&mut buffer[..room]) {
            Ok(read) if read > 0 => received += read,
            _ => break Some(client.end().1),
        }
    };
    if end.is_none() {
        // The next response shows that not a byte too many came.
        assert_eq!(client.get("/hello.txt").status, 200);
    }
    assert_eq!(server.connect().get("/hello.txt").status, 200, "the server goes on");
    (received, end)
}

#[test]
fn a_file_that_shrinks() {
    let (received, end) = download(|path| {
        File::options().write(true).open(path).unwrap().set_len(1_000_000).unwrap();
    });
    assert!(received < SIZE && end.is_some(), "{received} bytes of a file that has them no more");
}

#[test]
fn a_file_that_grows() {
    let (received, end) = download(|path| {
        let mut file = File::options().append(true).open(path).unwrap();
        file.write_all(&vec![0; 1 << 20]).unwrap();
    });
    assert!(received == SIZE || end.is_some());
}

#[test]
fn a_file_that_is_replaced() {
    let (received, end) = download(|path| {
        let other = path.with_extension("new");
        fs::write(&other, b"other").unwrap();
        fs::rename(other, path).unwrap();
    });
    assert!(received == SIZE || end.is_some());
}

#[test]
fn a_file_that_is_removed() {
    let (received, end) = download(|path| fs::remove_file(path).unwrap());
    assert!(received == SIZE || end.is_some());
}

/// Small files change under a server that caches them; every response is one version whole.
#[test]
fn a_small_file_that_changes_all_the_time() {
    let server = Server::plain(&[]);
    let path = server.site.root().join("hot.txt");
    let version = |i: usize| vec![b'a' + (i % 26) as u8; 1_000 + (i % 26) * 1_000];
    fs::write(&path, version(0)).unwrap();
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for i in 0..300 {
                let new = path.with_extension("new");
                fs::write(&new, version(i)).unwrap();
                fs::rename(&new, &path).unwrap();
                std::thread::sleep(std::time::Duration::from_millis(1));
            }
        });
        let mut client = server.connect();
        while !writer.is_finished() {
            let response = client.get("/hot.txt");
            assert_eq!(response.status, 200);
            let letter = response.body[0];
            let whole = response.body == version(usize::from(letter - b'a'));
            assert!(whole, "a mixture that begins with {:?}", char::from(letter));
        }
    });
    let deadline = Instant::now() + PATIENCE;
    while server.connect().get("/hot.txt").body != version(299) {
        assert!(Instant::now() < deadline, "the last version is never seen");
    }
}
