//! One question to the admin listener of a server, and its answer.

use std::fmt;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::Duration;

use serde_json::Value;

use crate::config::AdminAddress;

/// For connecting, and for each read and write.
const PATIENCE: Duration = Duration::from_secs(5);

/// Bytes of an answer, at most.
const MOST: u64 = 64 << 20;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum AskError {
    /// Nobody listens there, or the connection failed.
    Io(AdminAddress, io::Error),
    /// It is an address of another host.
    Elsewhere(AdminAddress),
    /// What came is no report.
    Answer(AdminAddress, String),
}

impl fmt::Display for AskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(address, error) => write!(
                f,
                "{address} does not answer: {error}; start the server with --admin {address}, or \
                 name the address that it has"
            ),
            Self::Elsewhere(address) => write!(
                f,
                "{address} is no address of this host: run it there, by ssh -t HOST ringway top"
            ),
            Self::Answer(address, what) => {
                write!(f, "{address} is no admin listener of Ringway: {what}")
            }
        }
    }
}

/// Asks for a path and takes the report apart.
pub(super) fn ask(address: &AdminAddress, path: &str) -> Result<Value, AskError> {
    let failed = |error| AskError::Io(address.clone(), error);
    if !address.is_local() {
        return Err(AskError::Elsewhere(address.clone()));
    }
    let answer = match (address.as_tcp(), address.as_unix()) {
        (Some(tcp), _) => TcpStream::connect_timeout(&tcp, PATIENCE).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, path)
        }),
        (None, Some(unix)) => UnixStream::connect(unix).and_then(|stream| {
            stream.set_read_timeout(Some(PATIENCE))?;
            stream.set_write_timeout(Some(PATIENCE))?;
            exchange(stream, path)
        }),
        (None, None) => Err(io::ErrorKind::InvalidInput.into()),
    };
    report(&answer.map_err(failed)?).map_err(|what| AskError::Answer(address.clone(), what))
}

fn exchange(mut stream: impl Read + Write, path: &str) -> io::Result<Vec<u8>> {
    write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    stream.take(MOST).read_to_end(&mut answer)?;
    Ok(answer)
}

fn report(answer: &[u8]) -> Result<Value, String> {
    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let (head, body) = answer.split_at(end.ok_or("what it sends is not HTTP")? + 4);
    let status = head.split(|byte| *byte == b' ').nth(1).ok_or("its answer has no status")?;
    if status != b"200" {
        return Err(format!("it answers {}", String::from_utf8_lossy(status)));
    }
    serde_json::from_slice(body).map_err(|error| format!("its answer is no JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_report_is_taken() {
        assert_eq!(report(b"HTTP/1.1 200 OK\r\n\r\n{\"format\":2}").unwrap()["format"], 2);
        for (answer, says) in [
            (&b""[..], "not HTTP"),
            (b"SSH-2.0-OpenSSH\r\n", "not HTTP"),
            (b"HTTP/1.1 404 Not Found\r\n\r\n{}", "it answers 404"),
            (b"HTTP/1.1 200 OK\r\n\r\n<html>", "no JSON"),
        ] {
            assert!(report(answer).unwrap_err().contains(says), "{answer:?}");
        }
    }

    #[test]
    fn an_address_without_a_server_is_named() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none");
        let address = AdminAddress::unix(path).unwrap();
        let error = ask(&address, "/").unwrap_err().to_string();
        assert!(error.contains("start the server with --admin unix:"), "{error}");
    }
}
