//! A certificate for a host that has none: made once, kept, and reused until it is about to
//! expire.
//!
//! The invariant: the private key is only ever in files of mode 0600 in a folder that only this user
//! may write to (see `state_folder`), or in memory. A file appears whole or not at all.

#![forbid(unsafe_code)]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use rcgen::{
    CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, date_time_ymd,
};
use rustls::client::verify_server_name;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use rustls::server::ParsedCertificate;
use zeroize::Zeroizing;

use super::credentials::Credentials;
use super::state_folder;
use super::x509::Parsed;
use crate::wall_clock::unix_seconds as now;

const DAY: i64 = 86_400;
/// How long a certificate is valid.
const LIFETIME: i64 = 365 * DAY;
/// It begins a little in the past, for clients whose clocks are slow.
const BACKDATED: i64 = DAY;
/// It is replaced when less than this is left.
const RENEW_BEFORE: i64 = 30 * DAY;

const CERTIFICATE_FILE: &str = "self-signed.pem";
const KEY_FILE: &str = "self-signed.key.pem";

/// A self-signed certificate, ready to serve.
#[derive(Debug)]
pub(crate) struct SelfSigned {
    /// The certificate and its key.
    pub credentials: Credentials,
    /// Where they are kept.
    pub storage: Storage,
}

/// Where a self-signed certificate is kept.
#[derive(Debug)]
pub(crate) enum Storage {
    /// In this file, its key beside it: clients that trust the file will do so next time too.
    Kept {
        /// The certificate's file, for `curl --cacert`.
        certificate: PathBuf,
    },
    /// In memory only, for this reason: it is gone when the process ends.
    MemoryOnly {
        /// Why it could not be kept.
        reason: String,
    },
}

impl SelfSigned {
    /// The certificate of this host for `localhost`, `127.0.0.1`, `::1` and the host's name, kept
    /// in `$XDG_STATE_HOME/ringway` or `~/.local/state/ringway`, for root in `/var/lib/ringway`.
    ///
    /// That it cannot be kept is no error: see [`Storage::MemoryOnly`].
    pub(crate) fn obtain() -> Result<Self, rcgen::Error> {
        Self::obtain_in(state_folder::path().as_deref(), &host_names())
    }

    /// The same for the given directory and names.
    pub(crate) fn obtain_in(
        directory: Option<&Path>,
        names: &[String],
    ) -> Result<Self, rcgen::Error> {
        let Some(directory) = directory else {
            let reason = "neither XDG_STATE_HOME nor HOME names a directory to keep it in";
            let made = Made::new(names)?;
            return Ok(made.into_memory(reason.to_owned()));
        };
        let certificate = directory.join(CERTIFICATE_FILE);
        let key = directory.join(KEY_FILE);
        if state_folder::check(directory).is_ok()
            && let Some(credentials) = load_fit(&certificate, &key, names)
        {
            return Ok(Self { credentials, storage: Storage::Kept { certificate } });
        }
        let made = Made::new(names)?;
        match made.keep(directory, &certificate, &key) {
            Ok(()) => {
                Ok(Self { credentials: made.credentials, storage: Storage::Kept { certificate } })
            }
            Err(error) => {
                let reason = format!("{} cannot be written: {error}", directory.display());
                Ok(made.into_memory(reason))
            }
        }
    }

    /// The file in which [`obtain`](Self::obtain) keeps the certificate, whether or not there is
    /// one yet; `None` where nothing can be kept.
    pub(crate) fn kept_file() -> Option<PathBuf> {
        state_folder::path().map(|directory| directory.join(CERTIFICATE_FILE))
    }
}

/// A certificate just made, in both forms.
struct Made {
    credentials: Credentials,
    certificate_pem: String,
    /// Wiped on drop; rcgen's own copies are not.
    key_pem: Zeroizing<String>,
}

impl Made {
    fn new(names: &[String]) -> Result<Self, rcgen::Error> {
        let key_pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256)?;
        let mut params = CertificateParams::new(names)?;
        let epoch = date_time_ymd(1970, 1, 1);
        let after_epoch = |seconds: i64| epoch + Duration::from_secs(seconds.unsigned_abs());
        params.not_before = after_epoch(now() - BACKDATED);
        params.not_after = after_epoch(now() + LIFETIME - BACKDATED);
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, "Ringway self-signed certificate");
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.self_signed(&key_pair)?;
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key_pair.serialize_der()));
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: Zeroizing::new(key_pair.serialize_pem()),
            credentials: Credentials {
                chain: vec![certificate.der().clone()],
                key,
                warnings: Vec::new(),
            },
        })
    }

    /// Writes both files. Should the process end in between, they do not match, and the next
    /// start makes new ones.
    fn keep(&self, directory: &Path, certificate: &Path, key: &Path) -> io::Result<()> {
        state_folder::claim(directory)?;
        write_whole(key, self.key_pem.as_bytes())?;
        write_whole(certificate, self.certificate_pem.as_bytes())?;
        File::open(directory)?.sync_all()
    }

    fn into_memory(self, reason: String) -> SelfSigned {
        SelfSigned { credentials: self.credentials, storage: Storage::MemoryOnly { reason } }
    }
}

/// Writes a new file beside `path`, then puts it in its place.
fn write_whole(path: &Path, text: &[u8]) -> io::Result<()> {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let temporary = path.with_extension(format!("{}-{number}.tmp", std::process::id()));
    let written = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(&temporary)
        .and_then(|mut file| {
            file.write_all(text)?;
            file.sync_all()
        })
        .and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // Whatever is left of it is of no use; that it may not exist is fine.
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// The kept pair, if it matches, is this user's alone, lasts, and is for every one of `names`.
fn load_fit(certificate: &Path, key: &Path, names: &[String]) -> Option<Credentials> {
    if !state_folder::is_own_file(certificate) || !state_folder::is_own_file(key) {
        return None;
    }
    let mode = fs::metadata(key).ok()?.permissions().mode();
    if mode & 0o077 != 0 {
        return None;
    }
    let credentials = Credentials::load(certificate, key).ok()?;
    let leaf = credentials.chain.first()?;
    let validity = Parsed::parse(leaf).ok()?;
    let now = now();
    if validity.not_before() > now || validity.not_after() - now < RENEW_BEFORE {
        return None;
    }
    let parsed = ParsedCertificate::try_from(leaf).ok()?;
    let fit = names.iter().all(|name| {
        ServerName::try_from(name.as_str())
            .is_ok_and(|name| verify_server_name(&parsed, &name).is_ok())
    });
    fit.then_some(credentials)
}

/// The names under which a client on this host, or near it, may reach the server.
fn host_names() -> Vec<String> {
    let mut names = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    if !names.contains(&host) && ServerName::try_from(host.as_str()).is_ok() {
        names.push(host);
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::TlsVersion;

    fn names(names: &[&str]) -> Vec<String> {
        names.iter().map(|&name| name.to_owned()).collect()
    }

    fn obtain(directory: &Path, wanted: &[&str]) -> (String, bool) {
        let before = std::fs::read(directory.join(CERTIFICATE_FILE)).ok();
        let made = SelfSigned::obtain_in(Some(directory), &names(wanted)).unwrap();
        let Storage::Kept { certificate } = made.storage else {
            panic!("not kept: {:?}", made.storage);
        };
        assert_eq!(certificate, directory.join(CERTIFICATE_FILE));
        let reused = before == std::fs::read(certificate).ok();
        (made.credentials.fingerprint().unwrap(), reused)
    }

    #[test]
    fn is_kept_privately_and_reused() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path().join("deep/ringway");
        let (first, reused) = obtain(&directory, &["localhost", "127.0.0.1", "::1"]);
        assert!(!reused);
        assert_eq!(first.len(), 32 * 3 - 1);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(&directory), 0o700);
        assert_eq!(mode(&directory.join(KEY_FILE)), 0o600);
        assert_eq!(mode(&directory.join(CERTIFICATE_FILE)), 0o600);
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 2, "no temporary file is left");

        assert_eq!(obtain(&directory, &["localhost", "127.0.0.1", "::1"]), (first, true));
    }

    #[test]
    fn is_made_anew_when_unfit() {
        let state = tempfile::tempdir().unwrap();
        let directory = state.path();
        let (first, _) = obtain(directory, &["localhost"]);

        let (other_names, reused) = obtain(directory, &["localhost", "host.example"]);
        assert!(!reused);
        assert_ne!(other_names, first);

        let key = directory.join(KEY_FILE);
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        let (readable_key, reused) = obtain(directory, &["localhost"]);
        assert!(!reused);
        assert_ne!(readable_key, other_names);

        fs::write(directory.join(CERTIFICATE_FILE), b"garbage").unwrap();
        assert!(!obtain(directory, &["localhost"]).1);
    }

    #[test]
    fn stays_in_memory_where_it_cannot_be_kept() {
        let nowhere = SelfSigned::obtain_in(None, &names(&["localhost"])).unwrap();
        assert!(matches!(nowhere.storage, Storage::MemoryOnly { .. }));

        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("file");
        fs::write(&file, b"").unwrap();
        let below_a_file = file.join("ringway");
        let made = SelfSigned::obtain_in(Some(&below_a_file), &names(&["localhost"])).unwrap();
        let Storage::MemoryOnly { reason } = made.storage else {
            panic!("kept below a file");
        };
        assert!(reason.contains("cannot be written"), "{reason}");
        crate::tls::server_config(made.credentials, TlsVersion::Tls12).unwrap();
    }

    #[test]
    fn is_valid_for_about_a_year() {
        let made = Made::new(&names(&["localhost"])).unwrap();
        let leaf = Parsed::parse(&made.credentials.chain[0]).unwrap();
        assert_eq!(leaf.not_after() - leaf.not_before(), LIFETIME);
        assert!(leaf.not_before() < now() && leaf.not_after() > now() + 360 * DAY);
    }

    #[test]
    fn host_names_begin_with_loopback() {
        assert_eq!(host_names()[..3], names(&["localhost", "127.0.0.1", "::1"]));
    }
}
