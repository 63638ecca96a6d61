//! Reading again, in one thread: what is replaced, what is kept, and what is said.

use super::*;
use crate::config::{CertificatePair, ClientAuth};

struct Folder(tempfile::TempDir);

impl Folder {
    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes a new pair for this name; its fingerprint.
    fn pair(&self, name: &str) -> String {
        let made = rcgen::generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let path = |extension: &str| self.path(&format!("{name}.{extension}"));
        std::fs::write(path("pem"), made.cert.pem()).unwrap();
        std::fs::write(path("key"), made.signing_key.serialize_pem()).unwrap();
        crate::tls::identity::fingerprint(made.cert.der())
    }
}

/// Two pairs, and an authority of clients.
fn start() -> (Folder, Arc<Tls>, [String; 2]) {
    let folder = Folder(tempfile::tempdir().unwrap());
    let fingerprints = [folder.pair("a.example"), folder.pair("b.example")];
    folder.pair("ca");
    let pair = |name: &str| CertificatePair {
        cert: folder.path(&format!("{name}.pem")),
        key: folder.path(&format!("{name}.key")),
    };
    let config = Config {
        certificate: CertificateSource::Files(vec![pair("a.example"), pair("b.example")]),
        client_auth: Some(ClientAuth::required(folder.path("ca.pem"))),
        ..Config::default()
    };
    let tls = Tls::load(&config).unwrap();
    (folder, tls, fingerprints)
}

fn current(tls: &Tls) -> Arc<rustls::ServerConfig> {
    let demand = tls.state().clients[0].0;
    tls.config().current(demand, false).unwrap()
}

fn served(tls: &Tls) -> Vec<String> {
    tls.certificates().into_iter().map(|one| one.fingerprint).collect()
}

#[test]
fn what_is_good_is_replaced_and_what_is_bad_is_kept() {
    let (folder, tls, [a, b]) = start();
    assert_eq!(served(&tls), [a.clone(), b.clone()]);
    assert_eq!(tls.certificates()[1].names, ["b.example"]);
    let before = current(&tls);
    assert_eq!(tls.refresh(true), Ok(0), "nothing has changed");
    assert!(Arc::ptr_eq(&before, &current(&tls)), "so nothing is built anew");

    std::fs::write(folder.path("a.example.pem"), "no longer").unwrap();
    let new = folder.pair("b.example");
    let error = tls.refresh(true).unwrap_err();
    assert!(error.refusals()[0].contains("a.example.pem"), "{error}");
    assert_eq!(error.refusals().len(), 1);
    assert_eq!(served(&tls), [a, new.clone()]);
    assert!(!Arc::ptr_eq(&before, &current(&tls)));

    let newer = folder.pair("a.example");
    folder.pair("ca");
    assert_eq!(tls.refresh(true), Ok(2));
    assert_eq!(served(&tls), [newer, new]);
}

/// Wiping the old key waits for nobody but those who began with it.
#[test]
fn the_old_configuration_goes_with_its_last_user() {
    let (folder, tls, _) = start();
    let user = current(&tls);
    let old = Arc::downgrade(&user);
    folder.pair("a.example");
    assert_eq!(tls.refresh(true), Ok(1));
    assert!(old.upgrade().is_some(), "a handshake that has begun");
    drop(user);
    assert!(old.upgrade().is_none(), "nothing else holds it");
}

#[test]
fn what_cannot_be_built_is_given_up_and_tried_again() {
    let (folder, tls, [a, b]) = start();
    let before = current(&tls);
    let new = folder.pair("a.example");
    tls.state().make = |_, _| Err(rustls::Error::General("no".to_owned()));
    assert!(tls.refresh(true).is_err());
    assert_eq!(served(&tls), [a.clone(), b.clone()], "what is in use");
    assert!(Arc::ptr_eq(&before, &current(&tls)));
    tls.state().make = TlsParts::server_config;
    assert_eq!(tls.refresh(true), Ok(1));
    assert_eq!(served(&tls), [new, b]);
}

#[test]
fn looks_without_force_wait_until_a_change_rests() {
    let (folder, tls, [_, b]) = start();
    let new = folder.pair("a.example");
    assert_eq!(tls.refresh(false), Ok(0), "it may be half written");
    assert_eq!(tls.refresh(false), Ok(1));
    assert_eq!(tls.refresh(false), Ok(0));
    assert_eq!(served(&tls), [new, b]);
}
