//! Servers that speak TLS, and names with several addresses.

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    thread,
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

use super::ask;
use crate::{
    identity::Identity,
    server::{PATIENCE, Server},
};

/// A server of TLS with this certificate, which answers each request with the content that it had.
struct Secured {
    address: String,
    full: Arc<AtomicUsize>,
    resumed: Arc<AtomicUsize>,
    names: Arc<std::sync::Mutex<Vec<String>>>,
}

/// How a connection ends behind its first answer.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Goes,
    /// The content lasts until close_notify.
    Notify,
    /// It lasts until a FIN that no close_notify announces.
    Cut,
}

fn read_head(stream: &mut impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    Ok(String::from_utf8(head).unwrap())
}

fn serve(mut stream: StreamOwned<ServerConnection, TcpStream>, end: End) -> io::Result<()> {
    loop {
        let head = read_head(&mut stream)?;
        let length = head.split("Content-Length: ").nth(1);
        let length = length.map_or(0, |rest| rest.split("\r\n").next().unwrap().parse().unwrap());
        let mut content = vec![0; length];
        stream.read_exact(&mut content)?;
        if end == End::Goes {
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all(&[head.as_bytes(), &content].concat())?;
            stream.flush()?;
            continue;
        }
        stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nok")?;
        if end == End::Notify {
            stream.conn.send_close_notify();
        }
        stream.flush()?;
        return stream.sock.shutdown(std::net::Shutdown::Write);
    }
}

fn secured(identity: &Identity, end: End) -> Secured {
    let certs =
        CertificateDer::pem_file_iter(&identity.cert).unwrap().map(Result::unwrap).collect();
    let key = PrivateKeyDer::from_pem_file(&identity.key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider);
    let builder = builder.with_safe_default_protocol_versions().unwrap();
    let mut config = builder.with_no_client_auth().with_single_cert(certs, key).unwrap();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let (full, resumed, names) = (Arc::default(), Arc::default(), Arc::default());
    let secured = Secured { address, full, resumed, names };
    let (full, resumed) = (Arc::clone(&secured.full), Arc::clone(&secured.resumed));
    let names = Arc::clone(&secured.names);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            stream.set_read_timeout(Some(PATIENCE)).unwrap();
            let mut session = ServerConnection::new(Arc::clone(&config)).unwrap();
            let (full, resumed, names) = (full.clone(), resumed.clone(), names.clone());
            thread::spawn(move || {
                if session.complete_io(&mut stream).is_err() {
                    return;
                }
                let kind = session.handshake_kind();
                let resumes = kind == Some(rustls::HandshakeKind::Resumed);
                (if resumes { &resumed } else { &full }).fetch_add(1, SeqCst);
                names.lock().unwrap().extend(session.server_name().map(str::to_owned));
                let _ = serve(StreamOwned::new(session, stream), end);
            });
        }
    });
    secured
}

/// A certificate that names `localhost`, as all of the tests' do, and is its own authority.
fn identity() -> (tempfile::TempDir, Identity) {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity::ecdsa(folder.path());
    (folder, identity)
}

#[test]
fn content_passes_both_ways_over_tls_and_connections_are_kept() {
    let (_folder, identity) = identity();
    let upstream = secured(&identity, End::Goes);
    let ca = identity.cert.to_str().unwrap();
    let options = ["--upstream-ca", ca, "--upstream-name", "localhost", "--keep-idle", "60s"];
    let server = Server::proxy(&[&upstream.address], &options);
    let mut client = server.connect();
    for size in [0_usize, 1, 5_000, 70_000, 1_000_000, 3] {
        let content: Vec<u8> = (0..size).map(|at| (at % 251) as u8).collect();
        let answer = ask(&mut client, "PUT", "/", "", &content);
        assert_eq!(answer.head.status, 200, "{size}\n{}", server.log());
        assert!(answer.body == content, "{size}");
    }
    assert_eq!(upstream.full.load(SeqCst) + upstream.resumed.load(SeqCst), 1, "it was kept");
    assert_eq!(*upstream.names.lock().unwrap(), ["localhost"]);
}

#[test]
fn sessions_are_resumed() {
    let (_folder, identity) = identity();
    let upstream = secured(&identity, End::Goes);
    let ca = identity.cert.to_str().unwrap();
    let options = ["--upstream-ca", ca, "--upstream-name", "localhost", "--keep", "0"];
    let server = Server::proxy(&[&upstream.address], &options);
    for _ in 0..10 {
        assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 200);
    }
    let (full, resumed) = (upstream.full.load(SeqCst), upstream.resumed.load(SeqCst));
    assert!(full <= 2 && resumed >= 8, "{full} full handshakes, {resumed} resumed");
}

#[test]
fn a_server_that_cannot_be_believed_gets_no_request() {
    let ((_one, own), (_other, foreign)) = (identity(), identity());
    let upstream = secured(&own, End::Goes);
    let (own, foreign) = (own.cert.to_str().unwrap(), foreign.cert.to_str().unwrap());
    for (ca, name) in [(foreign, "localhost"), (own, "other.example")] {
        let options = ["--upstream-ca", ca, "--upstream-name", name, "--tries", "0"];
        let server = Server::proxy(&[&upstream.address], &options);
        assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").head.status, 502);
        server.expect_logged("tls_certificate_error", 1);
    }
    // One that speaks no TLS.
    let plain = super::Upstream::fixed(b"HTTP/1.1 400 Bad\r\nContent-Length: 0\r\n\r\n");
    let address = plain.address.replace("http:", "https:");
    let server = Server::proxy(&[&address], &["--upstream-ca", own, "--connect-timeout", "1s"]);
    let status = ask(&mut server.connect(), "GET", "/", "", b"").head.status;
    assert!([502, 504].contains(&status), "{status}");
}

#[test]
fn content_that_lasts_until_the_end_needs_close_notify() {
    let (_folder, identity) = identity();
    let ca = identity.cert.to_str().unwrap();
    let options = ["--upstream-ca", ca, "--upstream-name", "localhost", "--tries", "0"];
    let whole = secured(&identity, End::Notify);
    let server = Server::proxy(&[&whole.address], &options);
    assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").body, b"ok");
    let cut = secured(&identity, End::Cut);
    let server = Server::proxy(&[&cut.address], &options);
    let mut client = server.connect();
    client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    super::expect_cut(&mut client, "GET", "FIN without close_notify");
}

/// Each address of a name is a server: one that nobody listens on costs no request.
#[test]
fn a_name_is_all_of_its_addresses() {
    let upstream = super::Upstream::fixed(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    let port = upstream.address.rsplit(':').next().unwrap();
    // On most hosts 127.0.0.1 and ::1, of which the upstream has the first only.
    let server = Server::proxy(&[&format!("http://localhost:{port}")], &["--keep", "0"]);
    for _ in 0..20 {
        assert_eq!(ask(&mut server.connect(), "GET", "/", "", b"").body, b"ok");
    }
}

#[test]
fn a_server_that_fails_its_health_checks_gets_no_requests_until_it_passes() {
    use super::upstream::{Then, Upstream};
    let well = Arc::new(AtomicUsize::new(1));
    let state = Arc::clone(&well);
    let sick = Upstream::start(move |request, stream| {
        let answer = match (request.path(), state.load(SeqCst)) {
            ("/health", 0) => "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n",
            _ => "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nsick",
        };
        let _ = stream.write_all(answer.as_bytes());
        Then::Close
    });
    let other = Upstream::start(|_, stream| {
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwell");
        Then::Close
    });
    let text = format!(
        "[[site]]\n[[site.route]]\npath = '/'\nproxy = 'app'\n[pool.app]\n\
         servers = ['{}', '{}']\nhealth = '/health'\nhealth_interval = '100ms'\nbalance = 'round-robin'\n",
        sick.address, other.address
    );
    let server = crate::configured::Configured::start(&text, |_| {});
    let asked = |count: usize| -> Vec<Vec<u8>> {
        (0..count).map(|_| ask(&mut server.connect(), "GET", "/", "", b"").body).collect()
    };
    let logged = |words: &str| {
        let deadline = std::time::Instant::now() + PATIENCE;
        while !server.log().contains(words) {
            assert!(std::time::Instant::now() < deadline, "{words:?} is not logged");
            thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    assert!(asked(4).contains(&b"sick".to_vec()));
    well.store(0, SeqCst);
    logged("fails its health check: status 500");
    assert!(asked(6).iter().all(|body| body == b"well"));
    well.store(1, SeqCst);
    logged("passes its health check");
    assert!(asked(6).contains(&b"sick".to_vec()));
}
