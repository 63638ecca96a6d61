//! A browser: Chromium loads a page with sixty assets, and its log of the network shows no error of the
//! protocol.

use std::fmt::Write as _;
use std::process::Command;

use aws_lc_rs::digest::{SHA256, digest};
use base64ct::{Base64, Encoding as _};
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::host::skip;
use crate::site::Site;
use crate::target::Target;

const ASSETS: usize = 60;

/// Events that a connection of HTTP/2 without faults does not have.
const FAULTS: [&str; 5] = [
    "HTTP2_SESSION_RECV_RST_STREAM",
    "HTTP2_SESSION_SEND_RST_STREAM",
    "HTTP2_SESSION_RECV_GOAWAY",
    "HTTP2_SESSION_RECV_INVALID_HEADER",
    "HTTP2_STREAM_ERROR",
];

fn page(site: &Site) {
    let mut html = String::from("<!doctype html><title>assets</title>\n");
    for number in 0..ASSETS {
        let (name, content, element) = match number % 3 {
            0 => {
                let name = format!("{number}.css");
                let element = format!("<link rel=stylesheet href=/{name}>");
                (name, format!("p {{ margin: {number}px }}\n").repeat(200), element)
            }
            1 => {
                let name = format!("{number}.js");
                let element = format!("<script src=/{name}></script>");
                (name, format!("// {number}\n").repeat(3000), element)
            }
            _ => {
                let name = format!("{number}.svg");
                let element = format!("<img src=/{name}>");
                (name, "<svg xmlns='http://www.w3.org/2000/svg'/>".to_owned(), element)
            }
        };
        site.file(&name, content.as_bytes());
        writeln!(html, "{element}").unwrap();
    }
    html.push_str(
        // The browser lists what it has loaded a little after the event, so the page asks again.
        "<p id=loaded></p><script>const count = () => {
            const all = performance.getEntriesByType('resource');
            const h2 = all.filter(one => one.nextHopProtocol === 'h2' && one.decodedBodySize > 0);
            document.getElementById('loaded').textContent = `loaded ${h2.length} of ${all.length}`;
            if (h2.length < all.length || all.length < WANTED) setTimeout(count, 100);
        };
        addEventListener('load', count);</script>"
            .replace("WANTED", &ASSETS.to_string())
            .as_str(),
    );
    site.file("index.html", html.as_bytes());
}

#[test]
fn chromium_loads_a_page_of_sixty_assets() {
    if !Command::new("chromium").arg("--version").output().is_ok_and(|out| out.status.success()) {
        return skip("no chromium; apt-get install chromium");
    }
    let site = Site::new();
    page(&site);
    let target = Target::start(site, &[]);
    let server = target.server();
    let (_, certificate) = X509Certificate::from_der(&server.identity.der).unwrap();
    let key = digest(&SHA256, certificate.tbs_certificate.subject_pki.raw);
    let profile = tempfile::tempdir().unwrap();
    let log = profile.path().join("net.json");
    let output = Command::new("timeout")
        .args(["240", "chromium", "--headless=new", "--no-sandbox", "--disable-gpu"])
        .args(["--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage"])
        // Time of the page's own, which stands still while the network is waited for.
        .args(["--dump-dom", "--virtual-time-budget=10000"])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("--log-net-log={}", log.display()))
        .arg(format!(
            "--ignore-certificate-errors-spki-list={}",
            Base64::encode_string(key.as_ref())
        ))
        .arg(format!("https://localhost:{}/", server.port))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    let loaded = dom.split("<p id=\"loaded\">").nth(1).and_then(|rest| rest.split('<').next());
    let trouble = String::from_utf8_lossy(&output.stderr);
    let whole = format!("loaded {ASSETS} of {ASSETS}");
    assert_eq!(loaded, Some(whole.as_str()), "{}: {trouble}", output.status);
    let log: serde_json::Value = serde_json::from_slice(&std::fs::read(log).unwrap()).unwrap();
    let types = log["constants"]["logEventTypes"].as_object().unwrap();
    let events = log["events"].as_array().unwrap();
    let of = |name: &str| {
        let number = types.get(name);
        events.iter().filter(|event| Some(&event["type"]) == number).collect::<Vec<_>>()
    };
    assert!(!of("HTTP2_SESSION_INITIALIZED").is_empty(), "the log is of something else");
    for fault in FAULTS {
        let found = of(fault);
        assert!(found.is_empty(), "{fault}: {found:?}");
    }
}
