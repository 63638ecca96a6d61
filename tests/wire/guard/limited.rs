//! Rates of requests, and whose requests they are behind proxies that name their clients.

use std::fs;

use super::*;
use crate::configured::{H2, h2_get};

/// Serves everything under one rate, with an access log and an admin listener on the port.
fn serve(rate: &str, more: &str) -> (Configured, u16) {
    let admin = free_port();
    let text = format!(
        "[observe]\naccess_log = 'access.log'\nadmin = '127.0.0.1:{admin}'\n{more}[rate.slow]\n{rate}\
         [[site]]\n[[site.route]]\nfiles = 'www'\nrate = 'slow'\n[[site.route]]\npath = '/free'\n\
         respond = 'free'\n[[site.route]]\npath = '/fixed'\nrespond = 'fixed'\nrate = 'slow'\n\
         [[site.route]]\npath = '/app'\nproxy = 'app'\nrate = 'slow'\n[pool.app]\n\
         servers = '127.0.0.1:{}'\n",
        echo(),
    );
    let server = Configured::start_with("plain = '127.0.0.1:0'\n", &text, |folder| {
        fs::create_dir(folder.join("www")).unwrap();
        fs::write(folder.join("www/index.html"), "home").unwrap();
    });
    (server, admin)
}

/// Requests within a day, so that the test's own time does not count.
const FOUR: &str = "requests = 4\nper = '24h'\n";

#[test]
fn a_rate_holds_for_all_routes_that_name_it() {
    let (server, admin) = serve(FOUR, "");
    let mut client = server.connect();
    for path in ["/", "/fixed", "/app", "/missing"] {
        assert_ne!(client.get(path).status, 429, "{path}");
    }
    for path in ["/", "/fixed", "/app"] {
        let refused = client.get(path);
        assert_eq!(refused.status, 429, "{path}");
        let after: u64 = refused.need("Retry-After").parse().unwrap();
        assert!((1..=21_600).contains(&after), "{after}");
        assert!(refused.text().contains("429"));
    }
    let head = client.request("HEAD", "/", "");
    assert_eq!((head.status, head.body.len()), (429, 0));
    assert_eq!(client.get("/free").text(), "free");
    // On all connections, all workers, and by HTTP/2.
    for _ in 0..8 {
        assert_eq!(server.connect().get("/").status, 429);
        assert_eq!(h2_get(&server, "localhost", "/").0, 429);
        assert_eq!(h2_get(&server, "localhost", "/app").0, 429);
    }
    expect_metric(admin, "ringway_requests_rate_limited_total", 28);
    expect_metric(admin, "ringway_rate_refused_total{rate=\"slow\"}", 28);
    let report = exchange(admin, b"GET /anatomy.json HTTP/1.1\r\nHost: localhost\r\n\r\n");
    let report: serde_json::Value =
        serde_json::from_str(report.split_once("\r\n\r\n").unwrap().1).unwrap();
    assert_eq!(
        (&report["rates"][0]["name"], &report["rates"][0]["refused"]),
        (&"slow".into(), &28.into())
    );
    let log = || fs::read_to_string(server.folder.path().join("access.log")).unwrap_or_default();
    wait_for(log, &["end=client.rate.decode", "\" 429 "]);
}

#[test]
fn a_rate_holds_over_http2_too() {
    let (server, _) = serve(FOUR, "");
    let mut client = H2::connect(&server);
    let statuses: Vec<_> = (0..8)
        .map(|number| client.get("localhost", ["/", "/app"][number % 2]).unwrap().0)
        .collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429, 429, 429, 429]);
}

#[test]
fn each_address_has_its_rate() {
    if !has_program("curl") {
        return skip("this host has no curl");
    }
    let (server, _) = serve(FOUR, "");
    let url = format!("https://127.0.0.1:{}/fixed", server.port);
    for (address, version) in [("127.0.0.2", "--http1.1"), ("127.0.0.3", "--http2")] {
        let from = |count: &str| {
            let range = format!("{url}?[1-{count}]");
            let run = std::process::Command::new("curl")
                .args(["-sk", version, "--interface", address, "-o", "/dev/null"])
                .args(["-w", "%{http_code} ", &range])
                .output()
                .unwrap();
            String::from_utf8(run.stdout).unwrap()
        };
        assert_eq!(from("6"), "200 200 200 200 429 429 ", "{address}");
    }
}

#[test]
fn a_field_may_be_the_key() {
    let (server, _) = serve(&format!("key = 'field:X-Api-Key'\n{FOUR}"), "");
    let mut client = server.connect();
    for key in ["one", "two"] {
        let field = format!("X-API-key: {key}\r\n");
        let statuses: Vec<_> =
            (0..5).map(|_| client.request("GET", "/fixed", &field).status).collect();
        assert_eq!(statuses, [200, 200, 200, 200, 429], "{key}");
    }
    // Without it, those of the address.
    let statuses: Vec<_> = (0..5).map(|_| client.get("/fixed").status).collect();
    assert_eq!(statuses, [200, 200, 200, 200, 429]);
}

/// What trusted proxies name is the client, for the rate and the log; what others say is nothing.
#[test]
fn a_trusted_proxy_names_the_client() {
    let (server, _) = serve("requests = 1\nper = '24h'\n", "[forwarded]\ntrusted = '127.0.0.1'\n");
    let mut client = server.connect();
    let ask = |client: &mut Client, chain: &str| {
        client.request("GET", "/fixed", &format!("X-Forwarded-For: {chain}\r\n")).status
    };
    assert_eq!(ask(&mut client, "6.6.6.6, 192.0.2.1"), 200);
    assert_eq!(ask(&mut client, "7.7.7.7, 192.0.2.1"), 429, "whatever the client has forged");
    assert_eq!(ask(&mut client, "192.0.2.2, 127.0.0.1"), 200);
    assert_eq!(ask(&mut client, "192.0.2.2"), 429);
    assert_eq!(ask(&mut client, "2001:db8::1"), 200);
    assert_eq!(ask(&mut client, "2001:db8::2"), 429, "one network");
    assert_eq!(ask(&mut client, "nonsense"), 200, "the proxy itself");
    assert_eq!(client.get("/fixed").status, 429);
    let log = || fs::read_to_string(server.folder.path().join("access.log")).unwrap_or_default();
    let log = wait_for(log, &["2001:db8::2 - - "]);
    assert!(log.starts_with("192.0.2.1 - - ") && log.contains("\n192.0.2.2 - - "), "{log}");
    assert!(!log.contains("6.6.6.6"), "{log}");
}

#[test]
fn the_standard_field_names_the_client_and_others_name_nobody() {
    let forwarded = "[forwarded]\ntrusted = '127.0.0.0/8'\nfield = 'forwarded'\n";
    let (server, _) = serve("requests = 1\nper = '24h'\n", forwarded);
    let mut client = server.connect();
    let named = "Forwarded: for=6.6.6.6, for=\"[2001:db8::1]:7\"\r\n";
    assert_eq!(client.request("GET", "/fixed", named).status, 200);
    assert_eq!(client.request("GET", "/app", named).status, 429);
    let other = "X-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(client.request("GET", "/fixed", other).status, 200);
    assert_eq!(client.request("GET", "/fixed", &other.replace(".1", ".2")).status, 429);
    let (server, _) = serve("requests = 1\nper = '24h'\n", "[forwarded]\ntrusted = '10.0.0.0/8'\n");
    let mut client = server.connect();
    assert_eq!(client.request("GET", "/fixed", other).status, 200);
    assert_eq!(client.request("GET", "/fixed", &other.replace(".1", ".2")).status, 429);
}

/// A reload keeps what clients have used up, unless the rate is another one then.
#[test]
fn a_reload_keeps_what_was_used_up() {
    let (server, _) = serve(FOUR, "");
    let mut client = server.connect();
    let mut count = |expected: &[u16]| {
        let statuses: Vec<_> = expected.iter().map(|_| client.get("/fixed").status).collect();
        assert_eq!(statuses, expected);
    };
    count(&[200, 200, 200, 200, 429]);
    let file = server.folder.path().join("ringway.toml");
    let text = fs::read_to_string(&file).unwrap();
    let reload = |text: &str, times: usize| {
        fs::write(&file, text).unwrap();
        let pid = rustix::process::Pid::from_raw(server.pid() as i32).unwrap();
        rustix::process::kill_process(pid, rustix::process::Signal::HUP).unwrap();
        let deadline = Instant::now() + PATIENCE;
        while server.log().matches("is in force").count() < times {
            assert!(Instant::now() < deadline, "{}", server.log());
            thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    reload(&text.replace("'free'", "'freed'"), 1);
    assert_eq!(server.connect().get("/free").text(), "freed");
    count(&[429]);
    reload(&text.replace("requests = 4", "requests = 2"), 2);
    count(&[200, 200, 429]);
}

/// Further requests may come at once than the rate has, and the table is as large as it should be.
#[test]
fn a_burst_comes_at_once_and_the_table_has_its_entries() {
    let (server, _) = serve("requests = 2\nper = '24h'\nburst = 2\nentries = 8\n", "");
    let mut client = server.connect();
    let statuses: Vec<_> = (0..3).map(|_| client.get("/fixed").status).collect();
    assert_eq!(statuses, [200, 200, 429]);
    let (server, _) = serve("requests = 1000\nper = '24h'\nburst = 1\n", "");
    let mut client = server.connect();
    let statuses: Vec<_> = (0..2).map(|_| client.get("/fixed").status).collect();
    assert_eq!(statuses, [200, 429]);
    // A table of eight keys forgets the first of a thousand. Of some keys, since one in eight thousand may share
    // its bits with a key that is there.
    let rate = "key = 'field:X-Key'\nrequests = 1\nper = '24h'\nentries = 8\n";
    let (server, _) = serve(rate, "");
    let mut client = server.connect();
    let mut ask = |key: usize| client.request("GET", "/fixed", &format!("X-Key: {key}\r\n")).status;
    let first = [0, 1, 2].map(|key| [ask(key), ask(key)]);
    assert!(first.iter().filter(|twice| **twice == [200, 429]).count() > 1, "{first:?}");
    // Two keys with the same 16 bits share a rate: of these keys, one in ten runs has such a pair.
    let refused = (3..1_000).filter(|key| ask(*key) == 429).count();
    assert!(refused < 10, "{refused} keys share another one's rate");
    assert!((0..3).any(|key| ask(key) == 200), "they are forgotten");
}
