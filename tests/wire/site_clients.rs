//! Certificates of clients, demanded by some sites and not by others.

use std::{fs, path::Path, sync::Arc};

use rustls::{
    ClientConfig, HandshakeKind,
    version::{TLS12, TLS13},
};

use crate::{
    authority::{Authority, Issued},
    client::Client,
    configured::{Configured, H2, write},
    reload_file::reload,
};

const NAMES: [&str; 3] = ["open.example", "closed.example", "maybe.example"];

/// Three sites: one asks nobody, one demands a certificate, one takes it.
fn text(closed: &str) -> String {
    format!(
        "[process]\ncontrol = 'control'\n\
         [[site]]\nnames = 'open.example'\ncertificate = {{ cert = 'names.pem', key = 'names.key' }}\n\
         [[site.route]]\nrespond = 'open'\n\
         [[site]]\nnames = 'closed.example'\n{closed}\n[[site.route]]\nrespond = 'closed'\n\
         [[site]]\nnames = 'maybe.example'\nclient_auth = 'optional'\nclient_ca = 'clients.pem'\n\
         [[site.route]]\nrespond = 'maybe'\n"
    )
}

const CLOSED: &str = "client_ca = 'clients.pem'";

struct Sites {
    server: Configured,
    servers: Authority,
    clients: Authority,
}

fn start(first: &str) -> Sites {
    let (servers, clients) = (Authority::new("servers"), Authority::new("clients"));
    let fill = |folder: &Path| {
        servers.issue(&NAMES).write(folder, "names");
        clients.write(&folder.join("clients.pem"));
    };
    let server = Configured::start_with(first, &text(CLOSED), fill);
    Sites { server, servers, clients }
}

/// What a client gets that asks for one name in its handshake and for another in its request: statuses
/// over both protocols, or None where it is not let in.
fn ask(sites: &Sites, config: &Arc<ClientConfig>, name: &str, host: &str) -> [Option<u16>; 2] {
    let mut h1 = Client::connect_to(sites.server.port, Arc::clone(config), name).unwrap();
    h1.send(format!("GET / HTTP/1.1\r\nHost: {host}\r\n\r\n").as_bytes());
    let first = h1.try_response("GET").ok().map(|response| response.status);
    let mut config = ClientConfig::clone(config);
    config.alpn_protocols = vec![b"h2".to_vec()];
    let h2 = Client::connect_to(sites.server.port, Arc::new(config), name).unwrap();
    let second = H2::over(h2).and_then(|mut h2| h2.get(host, "/")).ok().map(|(status, _)| status);
    [first, second]
}

#[test]
fn a_site_is_reached_by_its_own_demand_alone() {
    let sites = start("");
    let own = sites.clients.issue(&["client"]);
    let stranger = Authority::new("strangers").issue(&["client"]);
    for version in [&TLS12, &TLS13] {
        let config = |own: Option<&Issued>| sites.servers.client(version, own);
        for (shown, lets_in) in [(None, false), (Some(&own), true), (Some(&stranger), false)] {
            for name in NAMES {
                let enters = match name {
                    "open.example" => true,
                    "closed.example" => lets_in,
                    _ => lets_in || shown.is_none(),
                };
                for host in NAMES {
                    let status = if name == host { 200 } else { 421 };
                    let expected = enters.then_some(status);
                    let got = ask(&sites, &config(shown), name, host);
                    assert_eq!(got, [expected; 2], "SNI {name}, Host {host}, {version:?}");
                }
            }
        }
    }
}

/// The ticket of a session without a certificate does not open where one is demanded.
#[test]
fn a_session_is_not_resumed_under_another_demand() {
    let sites = start("");
    for version in [&TLS12, &TLS13] {
        write(sites.server.folder.path(), &text("client_auth = 'none'"));
        assert_eq!(reload(&sites.server).0, Some(0));
        let config = sites.servers.client(version, None);
        let visit = || {
            let port = sites.server.port;
            let mut client =
                Client::connect_to(port, Arc::clone(&config), "closed.example").unwrap();
            client.send(b"GET / HTTP/1.1\r\nHost: closed.example\r\n\r\n");
            let status = client.try_response("GET").ok().map(|response| response.status)?;
            let kind = client.tls.handshake_kind().unwrap();
            client.close();
            client.expect_close();
            Some((kind, status))
        };
        assert_eq!(visit(), Some((HandshakeKind::Full, 200)));
        assert_eq!(visit(), Some((HandshakeKind::Resumed, 200)));
        write(sites.server.folder.path(), &text(CLOSED));
        assert_eq!(reload(&sites.server).0, Some(0));
        assert_eq!(visit(), None, "neither by its ticket nor anew");
    }
}

/// A connection that there was before the demand is not a way around it.
#[test]
fn a_connection_of_before_is_misdirected() {
    let sites = start("");
    write(sites.server.folder.path(), &text("client_auth = 'none'"));
    assert_eq!(reload(&sites.server).0, Some(0));
    let config = sites.servers.client(&TLS13, None);
    let mut client = Client::connect_to(sites.server.port, config, "closed.example").unwrap();
    let mut ask = || {
        client.send(b"GET / HTTP/1.1\r\nHost: closed.example\r\n\r\n");
        client.response("GET").status
    };
    assert_eq!(ask(), 200);
    write(sites.server.folder.path(), &text(CLOSED));
    assert_eq!(reload(&sites.server).0, Some(0));
    assert_eq!(ask(), 421);
    write(sites.server.folder.path(), &text("client_auth = 'none'"));
    assert_eq!(reload(&sites.server).0, Some(0));
    assert_eq!(ask(), 200);
}

#[test]
fn what_a_file_says_of_clients_is_checked() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("ringway.toml");
    for (site, says) in [
        ("client_auth = 'required'", "there is no authority"),
        ("client_auth = 'perhaps'", "none of the words"),
        ("client_ca = 'none.pem'", "none.pem"),
    ] {
        fs::write(&file, format!("[[site]]\n{site}\n[[site.route]]\nrespond = ''\n")).unwrap();
        let output = crate::server::run(&["check", file.to_str().unwrap()]);
        let said = String::from_utf8([&output.stdout[..], &output.stderr].concat()).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(says), "{said}");
    }
}
