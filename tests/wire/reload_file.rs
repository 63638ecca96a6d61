//! Another configuration file for a running server, with requests under way all the time.

use std::{
    fs,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::{
    configured::{Configured, H2, write},
    server::{PATIENCE, run},
};

/// On a crowded machine the clients themselves may stand still for longer than a server waits by default.
const PATIENT: &str =
    "[timeouts]\nidle = '600s'\nhead = '600s'\nresponse = '600s'\nresponse_min_rate = 0\n";

fn text(version: usize) -> String {
    format!(
        "[process]\ncontrol = 'control'\n{PATIENT}[[site]]\nnames = 'localhost'\n[[site.route]]\nfiles = 'www'\n\
         headers = {{ set = {{ X-Version = '{version}' }} }}\n[[site.route]]\npath = '/version'\n\
         respond = '{version}'\nheaders = {{ set = {{ X-Version = '{version}' }} }}\n"
    )
}

fn start() -> Configured {
    Configured::start(&text(0), |folder| {
        for (name, content) in [("www/index.html", "one"), ("other/index.html", "other")] {
            let path = folder.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        fs::write(folder.join("www/large.bin"), vec![7; 3 << 20]).unwrap();
    })
}

/// Runs `ringway reload`: its exit code, and what it said.
pub(crate) fn reload(server: &Configured) -> (Option<i32>, String) {
    let file = server.folder.path().join("ringway.toml");
    let output = run(&["reload", file.to_str().unwrap()]);
    let said = [&output.stdout[..], &output.stderr].concat();
    (output.status.code(), String::from_utf8(said).unwrap())
}

/// Sets a flag when it goes out of scope.
struct Stop<'f>(&'f AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// How many reloads are tried: 60, or as many as `RINGWAY_RELOADS` says.
fn reloads_wanted() -> usize {
    std::env::var("RINGWAY_RELOADS").map_or(60, |number| number.parse().unwrap())
}

/// Memory of the process that is resident and its own, in KiB.
fn anonymous_memory(server: &Configured) -> u64 {
    let status = fs::read_to_string(format!("/proc/{}/status", server.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// Every tenth file is refused, requests are under way over both protocols, and memory stays what it was
/// after the first quarter of many reloads.
#[test]
fn reloads_under_load_fail_no_request() {
    let server = start();
    let wanted = reloads_wanted();
    let mut early = 0;
    let stop = Arc::new(AtomicBool::new(false));
    let answered = Arc::new(AtomicU64::new(0));
    let (reloads, refused) = thread::scope(|scope| {
        for http2 in [false, true, false, true] {
            let (stop, answered, server) = (Arc::clone(&stop), Arc::clone(&answered), &server);
            scope.spawn(move || {
                let mut h2 = http2.then(|| H2::connect(server));
                let mut h1 = (!http2).then(|| server.connect());
                while !stop.load(Ordering::Relaxed) {
                    for target in ["/", "/version", "/large.bin"] {
                        if let Some(h2) = &mut h2 {
                            let (status, _) = h2.get("localhost", target).unwrap();
                            assert_eq!(status, 200, "{target}");
                        }
                        if let Some(h1) = &mut h1 {
                            let response = h1.get(target);
                            assert_eq!(response.status, 200, "{target}");
                            // Head and content are of one configuration.
                            if target == "/version" {
                                assert_eq!(response.need("X-Version"), response.text());
                            }
                        }
                        answered.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
        // However this ends, the clients do.
        let _stop = Stop(&stop);
        let (mut reloads, mut refused) = (0, 0);
        for version in 1..=wanted {
            if version == wanted / 4 {
                early = anonymous_memory(&server);
            }
            if version % 10 == 0 {
                write(server.folder.path(), "[[site]]\nname = 'x'\n");
            } else {
                write(server.folder.path(), &text(version));
            }
            let (code, said) = reload(&server);
            if version % 10 == 0 {
                assert_eq!(code, Some(2), "{said}");
                assert!(said.contains("unknown key \"name\""), "{said}");
                refused += 1;
            } else {
                assert_eq!(code, Some(0), "{said}");
                reloads += 1;
                // Once the command is done, every new request has the new configuration.
                let response = server.connect().get("/version");
                assert_eq!(response.text(), version.to_string());
            }
        }
        (reloads, refused)
    });
    assert_eq!((reloads, refused), (wanted - wanted / 10, wanted / 10));
    let late = anonymous_memory(&server);
    println!(
        "{wanted} reloads, {} answers; {early} KiB, then {late} KiB",
        answered.load(Ordering::Relaxed)
    );
    // A generation that stayed would be 20 KiB or more, and each worker has its own.
    assert!(wanted < 500 || late < early + (8 << 10), "from {early} KiB to {late} KiB");
    assert!(answered.load(Ordering::Relaxed) > 100);
}

#[test]
fn a_refused_file_leaves_all_as_it_was() {
    let server = start();
    let mut client = server.connect();
    for (change, says) in [
        (
            "[limits]\nsend_memory = '16MiB'\n".to_owned() + &text(5),
            "limits.send_memory: its memory is taken at the start; restart ringway",
        ),
        (text(5) + "[[site]]\nnames = 'localhost'\n[[site.route]]\nrespond = ''\n", "given twice"),
        (text(5) + "[[site]]\n[[site.route]]\nfiles = 'none'\n", "cannot be opened"),
        (
            text(5)
                + "[[site]]\nnames = 'a'\ncertificate = { cert = 'none', key = 'none' }\n\
                       [[site.route]]\nrespond = ''\n",
            "none",
        ),
    ] {
        // Tables stand behind what belongs to the one before.
        write(server.folder.path(), &change);
        let (code, said) = reload(&server);
        assert_eq!(code, Some(2), "{said}");
        assert!(said.contains(says), "{says}: {said}");
        assert_eq!(client.get("/version").text(), "0");
    }
    write(server.folder.path(), &text(6));
    assert_eq!(reload(&server).0, Some(0));
    assert_eq!(client.get("/version").text(), "6");
}

/// Without the command, the signal does the same and the log says what came of it.
#[test]
fn the_signal_reloads_and_the_log_says_so() {
    let server = start();
    let hang_up =
        || kill_process(Pid::from_raw(server.pid() as i32).unwrap(), Signal::HUP).unwrap();
    let wait_for = |words: &str| {
        let until = Instant::now() + PATIENCE;
        while !server.log().contains(words) {
            assert!(Instant::now() < until, "{words}: {}", server.log());
            thread::sleep(Duration::from_millis(10));
        }
    };
    write(server.folder.path(), "nonsense");
    hang_up();
    wait_for("reload: refused");
    assert_eq!(server.connect().get("/version").text(), "0");
    write(server.folder.path(), &text(1));
    hang_up();
    wait_for("is in force, 1 site");
    let until = Instant::now() + PATIENCE;
    while server.connect().get("/version").text() != "1" {
        assert!(Instant::now() < until);
    }
}

fn ask(server: &Configured, host: &str) -> (u16, String) {
    let mut client = server.connect();
    client.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    let response = client.response("GET");
    (response.status, response.text())
}

/// A folder beside those of the start is out of reach where Landlock confines the process, unless the start
/// was given it.
#[test]
fn sites_and_certificates_come_and_go() {
    for allowed in [false, true] {
        let other = tempfile::tempdir().unwrap();
        fs::create_dir(other.path().join("below")).unwrap();
        fs::write(other.path().join("below/index.html"), "other").unwrap();
        let place = other.path().display();
        let allow = if allowed { format!("allow_read = '{place}'\n") } else { String::new() };
        let text =
            |version| text(version).replacen("[process]\n", &format!("[process]\n{allow}"), 1);
        let server = Configured::start(&text(0), |folder| {
            fs::create_dir(folder.join("www")).unwrap();
            fs::write(folder.join("www/index.html"), "one").unwrap();
        });
        let identity = crate::identity::Identity::rsa(server.folder.path());
        assert!(identity.cert.exists());
        let more = text(1)
            + "[[site]]\nnames = 'new.example'\ncertificate = { cert = 'rsa.pem', key = 'rsa.key' }\n"
            + &format!("[[site.route]]\nfiles = '{place}/below'\n");
        assert_eq!(ask(&server, "new.example").0, 421);
        write(server.folder.path(), &more);
        let (code, said) = reload(&server);
        if !allowed && server.start_block.contains("Landlock ABI") {
            assert_eq!(code, Some(2), "{said}");
            assert!(said.contains("Landlock") && said.contains("allow_read"), "{said}");
            assert_eq!(ask(&server, "new.example").0, 421);
            continue;
        }
        assert_eq!(code, Some(0), "{said}");
        assert_eq!(ask(&server, "new.example"), (200, "other".to_owned()));
        write(server.folder.path(), &text(2));
        assert_eq!(reload(&server).0, Some(0));
        assert_eq!(ask(&server, "new.example").0, 421);
    }
}
