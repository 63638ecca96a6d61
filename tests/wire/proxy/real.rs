//! Real servers behind the proxy. Each is started by its test, and skipped where this host has none.

use std::{
    fs,
    io::Write,
    net::TcpStream,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use super::{ask, paced};
use crate::host::skip;
use crate::server::{PATIENCE, Server};

/// A server that was started; killed with its children's listener at the end.
struct Real {
    child: Child,
    address: String,
    folder: tempfile::TempDir,
}

impl Drop for Real {
    fn drop(&mut self) {
        // TERM, so that each ends in order; to the group, since `go run` leaves its program behind.
        let group = rustix::process::Pid::from_child(&self.child);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::TERM);
        let deadline = Instant::now() + Duration::from_secs(10);
        while self.child.try_wait().is_ok_and(|ended| ended.is_none()) && Instant::now() < deadline
        {
            thread::sleep(Duration::from_millis(10));
        }
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.child.wait();
    }
}

/// Starts a server on a free port and waits until it listens. None, and a note, if it cannot be had.
fn start(name: &str, prepare: impl FnOnce(&Path, u16) -> Vec<String>) -> Option<Real> {
    let folder = tempfile::tempdir().unwrap();
    let port = crate::port::to_listen_at();
    let arguments = prepare(folder.path(), port);
    let child = Command::new(name)
        .args(arguments)
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        // Apache ends its whole process group.
        .process_group(0)
        .spawn();
    let Ok(mut child) = child else {
        skip(&format!("this host has no {name}"));
        return None;
    };
    let deadline = Instant::now() + PATIENCE;
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        if child.try_wait().is_ok_and(|ended| ended.is_some()) {
            skip(&format!("{name} does not start here"));
            return None;
        }
        assert!(Instant::now() < deadline, "{name} does not listen");
        thread::sleep(Duration::from_millis(20));
    }
    Some(Real { child, address: format!("http://127.0.0.1:{port}"), folder })
}

fn write(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::File::create(&path).unwrap().write_all(text.as_bytes()).unwrap();
    path.to_str().unwrap().to_owned()
}

fn nginx(keep_alive: &str) -> Option<Real> {
    start("nginx", |folder, port| {
        let shown = folder.display();
        let text = format!(
            "daemon off; pid {shown}/pid; error_log {shown}/error.log; events {{}} http {{ \
             log_format line '$request_method $request_uri'; access_log {shown}/access.log line; \
             client_body_temp_path {shown}/body; proxy_temp_path {shown}/proxy; \
             fastcgi_temp_path {shown}/fastcgi; uwsgi_temp_path {shown}/uwsgi; scgi_temp_path {shown}/scgi; \
             keepalive_timeout {keep_alive}; server {{ listen 127.0.0.1:{port}; return 200 hello; }} }}"
        );
        vec![
            "-c".to_owned(),
            write(folder, "nginx.conf", &text),
            "-p".to_owned(),
            shown.to_string(),
        ]
    })
}

fn haproxy(keep_alive: &str) -> Option<Real> {
    start("haproxy", |folder, port| {
        let text = format!(
            "defaults\n mode http\n timeout client 1s\n timeout connect 5s\n timeout server 5s\n \
             timeout http-keep-alive {keep_alive}\n\
             frontend f\n bind 127.0.0.1:{port}\n \
             http-request return status 200 content-type text/plain string hello\n"
        );
        vec!["-f".to_owned(), write(folder, "haproxy.cfg", &text)]
    })
}

fn caddy(keep_alive: &str) -> Option<Real> {
    start("caddy", |folder, port| {
        let text = format!(
            "{{\n admin off\n auto_https off\n servers {{\n timeouts {{\n idle {keep_alive}\n }}\n }}\n}}\n\
             http://:{port} {{\n bind 127.0.0.1\n respond hello\n}}\n"
        );
        let config = write(folder, "Caddyfile", &text);
        ["run", "--config", &config, "--adapter", "caddyfile"].map(str::to_owned).to_vec()
    })
}

fn python() -> Option<Real> {
    start("python3", |folder, port| {
        write(folder, "index.html", "hello");
        let port = port.to_string();
        ["-m", "http.server", &port, "--bind", "127.0.0.1"].map(str::to_owned).to_vec()
    })
}

/// Newer ones keep a connection for a second longer than `keepAliveTimeout`: the socket has the time too.
fn node(keep_alive_ms: u32) -> Option<Real> {
    start("node", |folder, port| {
        let text = format!(
            "const s = require('http').createServer((q, r) => {{ let n = 0; q.on('data', d => n += d.length); \
             q.on('end', () => r.end('hello')); \
             r.on('finish', () => q.socket.setTimeout({keep_alive_ms})); }}); \
             s.keepAliveTimeout = {keep_alive_ms}; s.listen({port}, '127.0.0.1');"
        );
        vec![write(folder, "app.js", &text)]
    })
}

const WSGI: &str = "def app(environ, start):\n    environ['wsgi.input'].read()\n    \
                    start('200 OK', [('Content-Length', '5')])\n    return [b'hello']\n";

fn gunicorn(options: &[&str]) -> Option<Real> {
    start("gunicorn", |folder, port| {
        write(folder, "app.py", WSGI);
        let bind = format!("127.0.0.1:{port}");
        let arguments = [&["--workers", "2", "--bind", &bind][..], options, &["app:app"]].concat();
        arguments.into_iter().map(str::to_owned).collect()
    })
}

fn uvicorn() -> Option<Real> {
    start("uvicorn", |folder, port| {
        let text = "async def app(scope, receive, send):\n    if scope['type'] != 'http':\n        return\n    \
                    while (await receive()).get('more_body'):\n        pass\n    \
                    await send({'type': 'http.response.start', 'status': 200, 'headers': []})\n    \
                    await send({'type': 'http.response.body', 'body': b'hello'})\n";
        write(folder, "app.py", text);
        let port = port.to_string();
        ["--port", &port, "--timeout-keep-alive", "1", "app:app"].map(str::to_owned).to_vec()
    })
}

fn php() -> Option<Real> {
    start("php", |folder, port| {
        write(folder, "index.php", "<?php file_get_contents('php://input'); echo 'hello';");
        vec![
            "-S".to_owned(),
            format!("127.0.0.1:{port}"),
            "-t".to_owned(),
            folder.display().to_string(),
        ]
    })
}

fn uwsgi() -> Option<Real> {
    start("uwsgi", |folder, port| {
        write(folder, "app.py", WSGI);
        let address = format!("127.0.0.1:{port}");
        let callable = ["--plugin", "python3", "--module", "app:app", "--processes", "2"];
        [&["--master", "--need-app", "--http-socket", &address][..], &callable]
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect()
    })
}

fn apache(keep_alive: &str, workers: usize) -> Option<Real> {
    start("apache2", |folder, port| {
        let shown = folder.display();
        fs::create_dir(folder.join("root")).unwrap();
        write(&folder.join("root"), "index.html", "hello");
        let modules = "/usr/lib/apache2/modules";
        let text = format!(
            "ServerRoot {shown}\nServerName localhost\nListen 127.0.0.1:{port}\nPidFile {shown}/pid\n\
             ErrorLog {shown}/error.log\nLoadModule mpm_prefork_module {modules}/mod_mpm_prefork.so\n\
             LoadModule authz_core_module {modules}/mod_authz_core.so\n\
             LoadModule dir_module {modules}/mod_dir.so\nDirectoryIndex index.html\n\
             FallbackResource /index.html\nDocumentRoot {shown}/root\nKeepAliveTimeout {keep_alive}\n\
             MaxKeepAliveRequests 0\nMaxRequestWorkers {workers}\n"
        );
        let config = write(folder, "apache.conf", &text);
        ["-D", "FOREGROUND", "-f", &config].map(str::to_owned).to_vec()
    })
}

/// net/http, compiled here.
fn go(keep_alive: &str) -> Option<Real> {
    start("go", |folder, port| {
        let text = format!(
            "package main\nimport (\"io\"; \"net/http\"; \"time\")\nfunc main() {{\n\
             http.HandleFunc(\"/\", func(w http.ResponseWriter, r *http.Request) {{\n\
             io.Copy(io.Discard, r.Body)\nw.Header().Set(\"Trailer\", \"X-Sum\")\n\
             w.WriteHeader(200)\nio.WriteString(w, \"hello\")\nw.Header().Set(\"X-Sum\", \"7\")\n}})\n\
             server := http.Server{{Addr: \"127.0.0.1:{port}\", IdleTimeout: {keep_alive}}}\n\
             server.ListenAndServe()\n}}\n"
        );
        vec!["run".to_owned(), write(folder, "main.go", &text)]
    })
}

/// Requests one after the other over several connections, as fast as they go.
fn serves(real: Option<Real>, posts: bool, options: &[&str]) {
    let Some(real) = real else { return };
    let server = Server::proxy(&[&real.address], options);
    thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut client = server.connect();
                for round in 0..30 {
                    let (method, content) = match round % 3 {
                        0 if posts => ("POST", vec![b'x'; round * 700]),
                        1 => ("HEAD", Vec::new()),
                        _ => ("GET", Vec::new()),
                    };
                    let answer = ask(&mut client, method, "/", "", &content);
                    assert_eq!(answer.head.status, 200, "{method} {round}\n{}", server.log());
                    if method != "HEAD" {
                        assert_eq!(answer.body, b"hello");
                    }
                }
            });
        }
    });
}

#[test]
fn nginx_is_served() {
    serves(nginx("1s"), true, &[]);
}

#[test]
fn haproxy_is_served() {
    serves(haproxy("1s"), true, &[]);
}

#[test]
fn caddy_is_served() {
    serves(caddy("1s"), true, &[]);
}

#[test]
fn pythons_own_server_is_served() {
    serves(python(), false, &[]);
}

#[test]
fn phps_own_server_is_served() {
    serves(php(), true, &["--max", "1", "--wait", "60s"]);
}

/// It ends each connection behind its answer without saying so: none is kept.
#[test]
fn uwsgi_is_served() {
    serves(uwsgi(), true, &["--max", "2", "--wait", "60s", "--keep", "0"]);
}

/// As many connections as it has workers: the line is the proxy's.
#[test]
fn apache_is_served_with_as_many_connections_as_it_has_workers() {
    serves(apache("1", 2), false, &["--max", "2", "--wait", "60s"]);
}

#[test]
fn gos_own_server_is_served() {
    serves(go("time.Second"), true, &[]);
}

#[test]
fn node_is_served() {
    serves(node(5_000), true, &[]);
}

#[test]
fn gunicorn_is_served_with_as_many_connections_as_it_has_workers() {
    serves(gunicorn(&[]), true, &["--max", "2", "--wait", "60s"]);
}

#[test]
fn uvicorn_is_served() {
    serves(uvicorn(), true, &[]);
}

/// Requests paced around the time at which the server closes unused connections: none fails, and those
/// that must not run twice do not.
#[test]
fn a_server_that_closes_early_fails_no_request() {
    let Some(real) = node(50) else { return };
    let server = Server::proxy(&[&real.address], &["--tries", "1"]);
    thread::scope(|scope| {
        for offset in 0..4_u64 {
            let server = &server;
            scope.spawn(move || {
                let mut client = server.connect();
                for round in 0..40 {
                    let (method, content) =
                        if round % 2 == 0 { ("GET", &b""[..]) } else { ("POST", &b"content"[..]) };
                    let answer = ask(&mut client, method, "/", "", content);
                    // A POST in the very moment of a close cannot be saved before the time is learned.
                    let excused = method == "POST" && answer.head.status == 502 && round < 20;
                    assert!(
                        answer.head.status == 200 || excused,
                        "{method} {round}\n{}",
                        server.log()
                    );
                    thread::sleep(Duration::from_millis(40 + (round * 7 + offset * 5) % 25));
                }
            });
        }
    });
    // Whether the time was learned depends on which side was first, 160 times; `upstream::learned` has
    // the cases.
}

/// The same for servers whose time can be short, and in longer runs for all that have one. `scripts/nightly`
/// asks a million times.
#[test]
fn requests_around_the_idle_time_of_real_servers_do_not_fail() {
    let left = paced::Left::new();
    let short = [nginx("60ms"), node(60)];
    let names = ["nginx", "Node"];
    let mut servers: Vec<_> = names.into_iter().zip(short).collect();
    if paced::is_long() {
        servers.extend([
            ("net/http", go("60 * time.Millisecond")),
            ("HAProxy", haproxy("60ms")),
            ("Apache", apache("60ms", 100)),
            ("Caddy", caddy("60ms")),
            (
                "gunicorn",
                gunicorn(&["--worker-class", "gthread", "--threads", "8", "--keep-alive", "1"]),
            ),
            ("uvicorn", uvicorn()),
        ]);
    }
    thread::scope(|scope| {
        for (name, real) in servers {
            let left = &left;
            let Some(real) = real else { continue };
            scope.spawn(move || paced::pace(name, &real.address, paced::idle(&real.address), left));
        }
    });
}

/// What two implementations might read differently: nginx counts as many requests as the client got
/// answers of nginx's.
#[test]
fn what_is_passed_on_is_counted_alike() {
    const MESSAGES: [&str; 26] = [
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /2 HTTP/1.1\r\nHost: a\r\n\r\nGET /2b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /4 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        "POST /5 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /6 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "POST /7 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
        "POST /8 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /9 HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST /10 HTTP/1.1\r\nHost: a\r\nContent-Length: 5\n\r\n\r\nhello",
        "GET /11 HTTP/1.1\nHost: a\n\n",
        "GET /12 HTTP/1.1\r\nHost: a\r\nX: y\r\n z\r\n\r\n",
        "GET /13 HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET http://b/14 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /15 HTTP/1.0\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /16 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\nGET /16b HTTP/1.1\r\nHost: a\r\n\r\n",
        "POST /17 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5;x=\"\r\n\"\r\nhello\r\n0\r\n\r\n",
        "POST /18 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n05\r\nhello\r\n0\r\nHost: evil\r\nContent-Length: 9\r\n\r\n",
        "POST /19 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
        "GET /20 HTTP/1.1\r\nHost: a\r\nContent-Length: 31\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\nzzz",
        "GET /21 HTTP/1.1\r\nHost: a\r\nConnection: Content-Length\r\nContent-Length: 30\r\n\r\nGET /x HTTP/1.1\r\nHost: a\r\n\r\nzzz",
        "GET /22 HTTP/1.1\r\nHost: a\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "GET /a/..;/23 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /24%0d%0aX:%20y HTTP/1.1\r\nHost: a\r\n\r\n",
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /26 HTTP/1.1\r\nHost: a\r\nUpgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: x\r\n\r\n",
    ];
    let Some(real) = nginx("65s") else { return };
    let server = Server::proxy(&[&real.address], &["--tries", "0"]);
    let mut answered = 0;
    for message in MESSAGES {
        let mut client = server.connect();
        client.send(message.as_bytes());
        // The last one ends the connection, if nothing before did.
        client.send(b"GET /end HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let (answers, _) = client.end();
        answered += String::from_utf8_lossy(&answers).matches("Server: nginx").count();
    }
    let log = real.folder.path().join("access.log");
    let counted = || fs::read_to_string(&log).unwrap_or_default();
    let deadline = Instant::now() + PATIENCE;
    while counted().lines().count() < answered {
        assert!(Instant::now() < deadline, "{answered} answers, and {}", counted());
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(200));
    let counted = counted();
    assert_eq!(counted.lines().count(), answered, "{counted}");
    assert!(!counted.contains("/x"), "a request within a request: {counted}");
    assert!(answered >= 12, "the honest ones were answered: {counted}");
}
