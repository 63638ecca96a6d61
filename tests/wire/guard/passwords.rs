//! Names and passwords.

use std::{fs, process::Command};

use base64ct::{Base64, Encoding};

use super::*;
use crate::{
    configured::{H2, h2_get},
    server::PROGRAM,
};

/// A line for this user, by `ringway hash-password`.
fn argon2(name: &str, password: &str) -> String {
    let mut child = Command::new(PROGRAM)
        .args(["hash-password", name])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Serves files, a fixed answer and an application for the users in a file.
fn serve(users: &str, more: &str) -> (Configured, u16) {
    let admin = free_port();
    let text = format!(
        "[observe]\nadmin = '127.0.0.1:{admin}'\n{more}[auth.staff]\nrealm = 'the staff'\n\
         file = 'users'\n[[site]]\n[[site.route]]\nfiles = 'www'\nauth = 'staff'\n[[site.route]]\n\
         path = '/free'\nrespond = 'free'\n[[site.route]]\npath = '/fixed'\nrespond = 'fixed'\n\
         auth = 'staff'\n[[site.route]]\npath = '/app'\nproxy = 'app'\nauth = 'staff'\n[pool.app]\n\
         servers = '127.0.0.1:{}'\n",
        echo(),
    );
    let server = Configured::start(&text, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "home").unwrap();
        fs::write(folder.join("users"), users).unwrap();
    });
    (server, admin)
}

fn field(name: &str, password: &str) -> String {
    let credentials = Base64::encode_string(format!("{name}:{password}").as_bytes());
    format!("Authorization: Basic {credentials}\r\n")
}

#[test]
fn only_users_with_their_passwords_are_served() {
    let (server, admin) = serve(&format!("{}\n", argon2("alice", "open sesame")), "");
    let mut client = server.connect();
    let right = field("alice", "open sesame");
    let wrong = [
        String::new(),
        field("alice", "open"),
        field("alice", ""),
        field("bob", "open sesame"),
        "Authorization: Bearer x\r\n".to_owned(),
        "Authorization: Basic ????\r\n".to_owned(),
        format!("{right}{right}"),
    ];
    for path in ["/", "/missing", "/fixed", "/app"] {
        for fields in &wrong {
            let refused = client.request("GET", path, fields);
            assert_eq!(refused.status, 401, "{path} {fields}");
            let challenge = "Basic realm=\"the staff\", charset=\"UTF-8\"";
            assert_eq!(refused.need("WWW-Authenticate"), challenge);
            assert!(!refused.text().contains("home") && !refused.text().contains("GET /app"));
        }
        let head = client.request("HEAD", path, &wrong[1]);
        assert_eq!((head.status, head.body.len()), (401, 0), "{path}");
    }
    assert_eq!(client.get("/free").text(), "free");
    for _ in 0..2 {
        assert_eq!(client.request("GET", "/", &right).text(), "home");
        assert_eq!(client.request("GET", "/fixed", &right).text(), "fixed");
        assert!(client.request("GET", "/app", &right).text().starts_with("GET /app HTTP/1.1"));
        assert_eq!(client.request("GET", "/missing", &right).status, 404);
    }
    // On a worker that has not seen them, the first request is to an application.
    for _ in 0..6 {
        let mut other = server.connect();
        assert_eq!(other.request("GET", "/app", &right).status, 200);
    }
    expect_metric(admin, "ringway_requests_unauthorized_total", 32);
}

#[test]
fn http2_is_asked_too() {
    let (server, _) = serve(&format!("{}\n", argon2("alice", "open sesame")), "");
    for path in ["/", "/fixed", "/app"] {
        assert_eq!(h2_get(&server, "localhost", path).0, 401, "{path}");
    }
    assert_eq!(H2::connect(&server).get("localhost", "/free").unwrap().0, 200);
    if !has_program("curl") {
        return skip("this host has no curl");
    }
    for (user, path, expected) in [
        ("alice:open sesame", "/app", "200 2"),
        ("alice:open sesame", "/", "200 2"),
        ("alice:open sesame", "/fixed", "200 2"),
        ("alice:wrong", "/app", "401 2"),
        ("alice:wrong", "/", "401 2"),
        ("bob:open sesame", "/fixed", "401 2"),
    ] {
        let url = format!("https://127.0.0.1:{}{path}", server.port);
        let run = Command::new("curl")
            .args(["-sk", "--http2", "-u", user, "-o", "/dev/null"])
            .args(["-w", "%{http_code} %{http_version}", &url])
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&run.stdout), expected, "{user} {path}");
    }
}

/// Files, fixed answers and applications alike: a client without the password gets the same: the operator's page, the challenge,
/// and the same reason in the log.
#[test]
fn a_refusal_is_the_same_before_files_and_before_applications() {
    let text = format!(
        "[observe]\naccess_log = 'access.log'\n[auth.staff]\nfile = 'users'\n[[site]]\n\
         errors = {{ 401 = {{ html = '<p>members only' }} }}\n[[site.route]]\nfiles = 'www'\n\
         auth = 'staff'\n[[site.route]]\npath = '/app'\nproxy = 'app'\nauth = 'staff'\n[pool.app]\n\
         servers = '127.0.0.1:{}'\n",
        echo(),
    );
    let users = format!("{}\n", argon2("alice", "secret"));
    let server = Configured::start(&text, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("users"), &users).unwrap();
    });
    let mut client = server.connect();
    let heads = ["/", "/app"].map(|path| {
        let refused = client.request("GET", path, &field("alice", "wrong"));
        assert_eq!((refused.status, &*refused.text()), (401, "<p>members only"), "{path}");
        let head = client.request("HEAD", path, &field("alice", "wrong"));
        assert_eq!((head.status, head.promised(), head.body.len()), (401, 15, 0), "{path}");
        let names = ["Content-Type", "WWW-Authenticate", "Content-Length"];
        names.map(|name| refused.need(name).to_owned())
    });
    assert_eq!(heads[0], heads[1]);
    // The connection goes on, with content that nobody took behind it.
    let fields = format!("{}Content-Length: 5\r\n", field("alice", "wrong"));
    client.send(format!("POST /app HTTP/1.1\r\nHost: x\r\n{fields}\r\nhello").as_bytes());
    assert_eq!(client.response("POST").status, 401);
    assert_eq!(client.request("GET", "/app", &field("alice", "secret")).status, 200);
    for path in ["/", "/app"] {
        assert_eq!(
            h2_get(&server, "localhost", path),
            (401, "<p>members only".to_owned()),
            "{path}"
        );
    }
    if has_program("curl") {
        for path in ["", "app"] {
            let run = Command::new("curl")
                .args(["-sk", "--http2", "-u", "alice:wrong"])
                .arg(format!("https://127.0.0.1:{}/{path}", server.port))
                .output()
                .unwrap();
            assert_eq!(String::from_utf8_lossy(&run.stdout), "<p>members only", "{path}");
        }
    }
    let log = || fs::read_to_string(server.folder.path().join("access.log")).unwrap_or_default();
    let refused = if has_program("curl") { 9 } else { 7 };
    let deadline = Instant::now() + PATIENCE;
    while log().matches("client.credentials").count() < refused {
        assert!(Instant::now() < deadline, "{}", log());
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

/// Several lines are refused without a hash: else those that come after them would find no place.
#[test]
fn of_several_lines_of_credentials_none_is_looked_at() {
    let (server, _) = serve(&format!("{}\n", argon2("alice", "open sesame")), "");
    let mut client = server.connect();
    let request = |fields: &str| format!("GET /fixed HTTP/1.1\r\nHost: x\r\n{fields}\r\n");
    let twice = |number| field("alice", &format!("guess {number}")).repeat(2);
    let mut requests: Vec<_> = (0..60).map(|number| request(&twice(number))).collect();
    requests.push(request(&field("alice", "open sesame")));
    client.send(requests.concat().as_bytes());
    for _ in 0..60 {
        assert_eq!(client.response("GET").status, 401);
    }
    assert_eq!(client.response("GET").status, 200);
}

#[test]
fn lines_of_htpasswd_are_taken_and_a_reload_reads_them_again() {
    if !has_program("htpasswd") {
        return skip("this host has no htpasswd");
    }
    let line = |password: &str| {
        let run = Command::new("htpasswd").args(["-nbB", "carol", password]).output().unwrap();
        String::from_utf8(run.stdout).unwrap()
    };
    let (server, _) = serve(&line("first"), "");
    let mut client = server.connect();
    assert_eq!(client.request("GET", "/", &field("carol", "first")).status, 200);
    assert_eq!(client.request("GET", "/", &field("carol", "second")).status, 401);
    fs::write(server.folder.path().join("users"), line("second")).unwrap();
    let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
    wait_for(|| server.log(), &["is in force"]);
    assert_eq!(client.request("GET", "/", &field("carol", "first")).status, 401, "forgotten");
    assert_eq!(client.request("GET", "/", &field("carol", "second")).status, 200);
}

/// More guesses at a time than may wait: some are refused with 503, none is let in, and the server
/// serves others.
#[test]
fn guesses_are_bounded() {
    let (server, _) = serve(&format!("{}\n", argon2("alice", "open sesame")), "");
    let mut guessing: Vec<_> = (0..60).map(|_| server.connect()).collect();
    for (number, client) in guessing.iter_mut().enumerate() {
        let fields = field("alice", &format!("guess {number}"));
        let path = ["/", "/app"][number % 2];
        client.send(format!("GET {path} HTTP/1.1\r\nHost: x\r\n{fields}\r\n").as_bytes());
    }
    assert_eq!(server.connect().get("/free").text(), "free");
    let statuses: Vec<_> =
        guessing.iter_mut().map(|client| client.response("GET").status).collect();
    assert!(statuses.iter().all(|status| [401, 503].contains(status)), "{statuses:?}");
    assert!(statuses.contains(&401), "{statuses:?}");
}

/// What a pool says of its server reaches the client behind a check of credentials too.
#[test]
fn a_server_that_fails_behind_credentials_is_named() {
    // Bound, and nobody listens.
    let gone = crate::port::Reserved::new();
    let text = format!(
        "[auth.staff]\nfile = 'users'\n[[site]]\n[[site.route]]\nproxy = 'app'\nauth = 'staff'\n\
         [pool.app]\nservers = '127.0.0.1:{}'\nproxy_status = true\n",
        gone.number,
    );
    let users = format!("{}\n", argon2("alice", "secret"));
    let server = Configured::start(&text, |folder| fs::write(folder.join("users"), users).unwrap());
    // The first is checked by a thread, the second is remembered.
    for round in 0..2 {
        let answer = server.connect().request("GET", "/", &field("alice", "secret"));
        assert_eq!(answer.status, 502, "{round}");
        let said = answer.field("proxy-status");
        assert!(said.is_some_and(|said| said.contains("connection_refused")), "{round}: {said:?}");
    }
}
