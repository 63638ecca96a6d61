//! A server of a few lines: a thread for each connection, rustls's buffered API.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use rustls::pki_types::PrivateKeyDer;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::http2;

/// What the server does. The wrong ones do it to every second request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Behaviour {
    Sound,
    Slow,
    CloseAfterEach,
    WrongStatus,
    WrongLength,
    WrongBytes,
    Garbage,
    Break,
    Alert,
    Silence,
    Reset,
    GoAway,
}

#[derive(Clone, Debug)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    plain: bool,
}

/// The body of a path: 5,000 bytes that differ by path.
pub(crate) fn body(path: &str) -> Vec<u8> {
    path.bytes().cycle().take(5000).collect()
}

impl Server {
    pub(crate) fn start(behaviour: Behaviour) -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".into()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let mut config = ServerConfig::builder()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new().unwrap();
        let config = Arc::new(config);
        Self::accept(false, move |socket, asked| {
            let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = StreamOwned::new(connection, socket);
            while stream.conn.is_handshaking() {
                stream.conn.complete_io(&mut stream.sock)?;
            }
            if stream.conn.alpn_protocol() == Some(b"h2") {
                return http2::serve(&mut stream, behaviour, &asked);
            }
            let end = serve(&mut stream, behaviour, &asked);
            if matches!(end, Ok(End::Alert)) {
                // In the clear, where only sealed records may come.
                stream.sock.write_all(&[21, 3, 3, 0, 2, 2, 40])?;
            } else if matches!(end, Ok(End::Close)) {
                stream.conn.send_close_notify();
                stream.flush()?;
            }
            end.map(|_| ())
        })
    }

    pub(crate) fn start_plain(behaviour: Behaviour) -> Self {
        Self::accept(true, move |mut socket, asked| {
            serve(&mut socket, behaviour, &asked).map(|_| ())
        })
    }

    fn accept(
        plain: bool,
        serve: impl Fn(TcpStream, Arc<AtomicUsize>) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (asked, serve) = (Arc::new(AtomicUsize::new(0)), Arc::new(serve));
        thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (asked, serve) = (Arc::clone(&asked), Arc::clone(&serve));
                socket.set_nodelay(true).unwrap();
                // The client may break off whenever it likes.
                thread::spawn(move || drop(serve(socket, asked)));
            }
        });
        Self { address, plain }
    }

    pub(crate) fn scheme(&self) -> &'static str {
        if self.plain { "http" } else { "https" }
    }
}

/// How a connection is to end.
enum End {
    Close,
    Break,
    Alert,
}

fn serve<S: Read + Write>(
    stream: &mut S,
    behaviour: Behaviour,
    asked: &AtomicUsize,
) -> io::Result<End> {
    let mut reader = BufReader::new(stream);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(End::Break);
        }
        let path = line.split(' ').nth(1).unwrap_or_default().to_owned();
        while line != "\r\n" {
            line.clear();
            reader.read_line(&mut line)?;
        }
        let number = asked.fetch_add(1, Ordering::Relaxed);
        let wrong = number % 2 == 1;
        let mut body = body(&path);
        let (mut status, mut more) = ("200 OK", "");
        match behaviour {
            Behaviour::Slow => thread::sleep(Duration::from_millis(20)),
            Behaviour::CloseAfterEach => more = "Connection: close\r\n",
            Behaviour::WrongStatus if wrong => status = "503 Service Unavailable",
            Behaviour::WrongLength if wrong => body.truncate(4999),
            Behaviour::WrongBytes if wrong => body[4999] ^= 1,
            Behaviour::Garbage if wrong => status = "teapot",
            Behaviour::Break if wrong => return Ok(End::Break),
            Behaviour::Alert if wrong => return Ok(End::Alert),
            Behaviour::Silence if wrong => thread::sleep(Duration::from_secs(1)),
            _ => {}
        }
        let head = format!("HTTP/1.1 {status}\r\n{more}Content-Length: {}\r\n\r\n", body.len());
        let out = reader.get_mut();
        out.write_all(head.as_bytes())?;
        out.write_all(&body)?;
        out.flush()?;
        if !more.is_empty() {
            return Ok(End::Close);
        }
    }
}
