//! Certificates, clients' certificates and ticket keys: where they come from.

use std::path::{Path, PathBuf};

use super::ConfigError;

/// Where the server's certificates and private keys come from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CertificateSource {
    /// PEM files, 1 to 10,000 pairs. The client's choice of a name chooses among them; the first is
    /// for clients that name none, or one that no certificate has. Between pairs for one name the
    /// first is taken whose key the client can verify. They are read again when they change.
    Files(Vec<CertificatePair>),
    /// A certificate that Ringway makes on first use and keeps in the user's state directory.
    SelfSigned,
}

impl CertificateSource {
    /// One pair of files.
    pub fn pair(cert: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self::Files(vec![CertificatePair { cert: cert.into(), key: key.into() }])
    }

    /// The first chain with the first key, the second with the second, and so on; with none at
    /// all, [`CertificateSource::SelfSigned`].
    ///
    /// # Errors
    /// There are not as many keys as chains.
    pub fn paired(certs: &[PathBuf], keys: &[PathBuf]) -> Result<Self, ConfigError> {
        if certs.len() != keys.len() {
            let (fewer, more) =
                if certs.len() < keys.len() { ("cert", "key") } else { ("key", "cert") };
            return Err(ConfigError::new(
                fewer,
                format_args!("{} --cert and {} --key are given", certs.len(), keys.len()),
                format_args!(
                    "give one --{fewer} for each --{more}; the first belongs to the first, the \
                     second to the second"
                ),
            ));
        }
        if certs.is_empty() {
            return Ok(Self::SelfSigned);
        }
        let pair = |(cert, key): (&PathBuf, &PathBuf)| CertificatePair {
            cert: cert.clone(),
            key: key.clone(),
        };
        Ok(Self::Files(certs.iter().zip(keys).map(pair).collect()))
    }

    /// The pairs of files; none for a certificate of Ringway's own.
    pub fn pairs(&self) -> &[CertificatePair] {
        match self {
            Self::Files(pairs) => pairs,
            Self::SelfSigned => &[],
        }
    }
}

/// A certificate chain and its key, as PEM files; they may be the same file.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct CertificatePair {
    /// The chain, leaf first, at most 64 KiB.
    pub cert: PathBuf,
    /// The private key of the leaf (PKCS#8, SEC1 or PKCS#1), at most 64 KiB.
    pub key: PathBuf,
}

/// That clients are asked for certificates, and what becomes of those without.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ClientAuth {
    /// A PEM file, at most 1 MiB, with the certificates of the authorities that vouch for clients.
    /// It is read again when it changes.
    pub ca: PathBuf,
    /// Whether a client may come without. Default: it may not.
    pub mode: ClientAuthMode,
}

impl ClientAuth {
    /// Requires a certificate by an authority in this file.
    pub fn required(ca: impl Into<PathBuf>) -> Self {
        Self { ca: ca.into(), mode: ClientAuthMode::Required }
    }
}

/// What is demanded of a client's certificate, in a form that is compared at once: equal for the same
/// mode and the same file of authorities, and that alone. Short, since each connection keeps one: the
/// operator chooses what is hashed, so that 64 bits tell all demands apart.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Demand([u8; 8]);

impl Demand {
    /// No certificate is asked for.
    pub const NONE: Self = Self([0; 8]);
}

impl ClientAuth {
    /// What it demands. The file counts by its path: a connection stays what it was when the file's
    /// content changes, as it does where the whole server has one demand.
    pub(crate) fn demand(&self) -> Demand {
        let mode: &[u8] = match self.mode {
            ClientAuthMode::Optional => b"optional ",
            ClientAuthMode::Required => b"required ",
        };
        let text = [mode, self.ca.as_os_str().as_encoded_bytes()].concat();
        let mut demand = [0; 8];
        demand.copy_from_slice(&<sha2::Sha256 as sha2::Digest>::digest(&text)[..8]);
        Demand(demand)
    }
}

/// What a site demands of clients' certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SiteClients {
    /// What the whole server demands, [`Config::client_auth`](super::Config::client_auth).
    #[default]
    AsServer,
    /// Nothing.
    NotAsked,
    /// This.
    Asked(ClientAuth),
}

/// Most demands on clients' certificates: each has a configuration of TLS of its own.
const MAX_DEMANDS: usize = 256;

/// Whether a client may come without a certificate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClientAuthMode {
    /// A client without one is served; one with a bad one is refused.
    Optional,
    /// A client without one is refused: alert certificate_required.
    #[default]
    Required,
}

/// Most certificate chains, each with its key.
const MAX_PAIRS: usize = 10_000;

impl super::Config {
    /// Checks what this file defines.
    pub(super) fn check_tls(&self) -> Result<(), ConfigError> {
        if let CertificateSource::Files(pairs) = &self.certificate_in_force() {
            if pairs.is_empty() || pairs.len() > MAX_PAIRS {
                return Err(ConfigError::new(
                    "cert",
                    format_args!("{} certificates are given", pairs.len()),
                    format_args!("give 1 to {MAX_PAIRS}"),
                ));
            }
            for pair in pairs {
                named("cert", &pair.cert)?;
                named("key", &pair.key)?;
            }
        }
        if let Some(clients) = &self.client_auth {
            named("client-ca", &clients.ca)?;
        }
        if let Some(keys) = &self.ticket_keys {
            named("ticket-keys", keys)?;
        }
        let demands = self.demands().len();
        if demands > MAX_DEMANDS {
            return Err(ConfigError::new(
                "client-ca",
                format_args!("sites have {demands} different demands on clients' certificates"),
                format_args!("have at most {MAX_DEMANDS}"),
            ));
        }
        Ok(())
    }

    /// What a site demands of clients' certificates, if anything.
    pub(crate) fn clients_of<'c>(&'c self, site: &'c super::Site) -> Option<&'c ClientAuth> {
        match &site.clients {
            SiteClients::AsServer => self.client_auth.as_ref(),
            SiteClients::NotAsked => None,
            SiteClients::Asked(clients) => Some(clients),
        }
    }

    /// The demand of the whole server, which holds for names that no site has, then those of sites and of an
    /// admin listener with TLS, each once; None among them where nothing is demanded.
    pub(crate) fn demands(&self) -> Vec<Option<ClientAuth>> {
        let mut demands = vec![self.client_auth.clone()];
        let mut seen: std::collections::HashSet<_> =
            [self.client_auth.as_ref().map(ClientAuth::demand)].into();
        for site in self.sites.iter().filter(|site| site.clients != SiteClients::AsServer) {
            let clients = self.clients_of(site);
            if seen.insert(clients.map(ClientAuth::demand)) {
                demands.push(clients.cloned());
            }
        }
        let admin = self.observe.admin_clients();
        if self.observe.guards_admin() && seen.insert(admin.as_ref().map(ClientAuth::demand)) {
            demands.push(admin);
        }
        demands
    }
}

fn named(option: &'static str, path: &Path) -> Result<(), ConfigError> {
    if path.as_os_str().is_empty() {
        return Err(ConfigError::new(option, "the path is empty", "name a file"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_and_keys_are_paired_in_order() {
        let paths = |names: &[&str]| names.iter().map(PathBuf::from).collect::<Vec<_>>();
        let source = CertificateSource::paired(&paths(&["a", "b"]), &paths(&["x", "y"])).unwrap();
        let pair = |cert: &str, key: &str| CertificatePair { cert: cert.into(), key: key.into() };
        assert_eq!(source.pairs(), [pair("a", "x"), pair("b", "y")]);
        assert_eq!(CertificateSource::paired(&[], &[]), Ok(CertificateSource::SelfSigned));
        let error = CertificateSource::paired(&paths(&["a", "b"]), &paths(&["x"])).unwrap_err();
        assert_eq!(error.option(), "key");
        assert!(error.to_string().contains("2 --cert and 1 --key"), "{error}");
        let error = CertificateSource::paired(&paths(&["a"]), &paths(&["x", "y"])).unwrap_err();
        assert_eq!(error.option(), "cert");
    }
}
