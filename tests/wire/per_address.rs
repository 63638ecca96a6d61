//! The limit on connections of one address.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::time::Instant;

use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

use crate::client::{Client, ClientOptions, End};
use crate::server::{PATIENCE, Server};
use crate::site::{HELLO, Site};

/// A client whose connection was kept, or None.
pub(crate) fn admitted(server: &Server) -> Option<Client> {
    let config = ClientOptions::default().config(&server.identity);
    let mut client = Client::connect(server.port, config).ok()?;
    client.handshake().is_ok().then_some(client)
}

#[test]
fn an_address_has_its_places_and_no_more() {
    let site = Site::new();
    let socket = site.outside().join("admin.sock");
    let admin = format!("unix:{}", socket.display());
    let options = ["--max-connections-per-address", "4", "--admin", &admin];
    let server = Server::start(site, &options);
    // Over both workers together.
    let mut held: Vec<Client> = (0..4).map(|_| admitted(&server).expect("a place")).collect();
    for _ in 0..20 {
        assert!(admitted(&server).is_none(), "a fifth connection");
    }
    for client in &mut held {
        assert_eq!(client.get("/hello.txt").body, HELLO, "those that are in are served");
    }
    // Another address is not concerned.
    let mut other = from_another_address(server.port);
    other.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = [0; 12];
    other.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 400");

    // Places come back, whichever way connections end.
    held.pop().unwrap().close();
    drop(held);
    let deadline = Instant::now() + PATIENCE;
    let mut again = Vec::new();
    while again.len() < 4 {
        assert!(Instant::now() < deadline, "places do not come back");
        again.extend(admitted(&server));
    }
    assert!(admitted(&server).is_none());

    let mut asked = UnixStream::connect(&socket).unwrap();
    asked.write_all(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n").unwrap();
    let mut metrics = String::new();
    asked.read_to_string(&mut metrics).unwrap();
    let name = "ringway_connections_refused_by_address_total ";
    let line = metrics.lines().find_map(|line| line.strip_prefix(name)).expect("the counter");
    let refused: usize = line.parse().unwrap();
    assert!(refused >= 21, "{line}");
    // Told of at once, and then now and then.
    let told = server.log().matches("--max-connections-per-address").count();
    assert!((1..refused / 2).contains(&told), "{}", server.log());
}

/// A refusal is a reset: nothing of it is left in the server's kernel.
#[test]
fn a_refusal_is_a_reset() {
    let server = Server::plain(&["--max-connections-per-address", "1"]);
    let held = admitted(&server).expect("a place");
    // It may come before the client has its socket ready.
    let refused = crate::client::connect(server.port);
    let ended = refused.and_then(|mut refused| refused.read(&mut [0; 1])).unwrap_err();
    assert_eq!(ended.kind(), ErrorKind::ConnectionReset);
    drop(held);
}

#[test]
fn without_the_option_there_is_no_limit() {
    let server = Server::plain(&[]);
    let mut held: Vec<Client> = (0..200).filter_map(|_| admitted(&server)).collect();
    assert_eq!(held.len(), 200);
    for client in &mut held {
        client.close();
        assert_eq!(client.end().1, End::Notified);
    }
}

/// A connection from 127.0.0.2.
pub(crate) fn from_another_address(port: u16) -> TcpStream {
    let socket = socket(AddressFamily::INET, SocketType::STREAM, None).unwrap();
    bind(&socket, &SocketAddr::from(([127, 0, 0, 2], 0))).unwrap();
    connect(&socket, &SocketAddr::from(([127, 0, 0, 1], port))).unwrap();
    let stream = TcpStream::from(socket);
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}
