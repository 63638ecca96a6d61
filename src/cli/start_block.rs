//! The block that is printed once the server listens: where it is, what it does, and the line to
//! try it with.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{ClientAuth, ClientAuthMode, LogFormat, MemoryCeiling};
use crate::server::ServedCertificate;

/// Most names that are shown.
const MAX_NAMES: usize = 8;

/// All that the block tells.
pub(super) struct StartBlock {
    /// The folder, as it was given.
    pub(super) root: PathBuf,
    /// The addresses that are listened on, with their real ports.
    pub(super) addresses: Vec<SocketAddr>,
    /// Worker threads.
    pub(super) workers: usize,
    /// Whether each worker is pinned to a CPU.
    pub(super) pinned: bool,
    /// Which TLS path records take, and why.
    pub(super) tls_path: String,
    /// The certificates, the one for strangers first.
    pub(super) certificates: Vec<ServedCertificate>,
    /// Whether Ringway made the certificate, so that clients have to be told to trust it.
    pub(super) self_signed: bool,
    /// What clients have to show of themselves.
    pub(super) client_auth: Option<ClientAuth>,
    /// The file with the keys of session tickets, if they are shared.
    pub(super) ticket_keys: Option<PathBuf>,
    /// What the process has given up.
    pub(super) confinement: Option<String>,
    /// Connections that a worker serves at a time, at most.
    pub(super) connections: usize,
    /// Connections that all workers serve together at a time, at most; None if that is not limited.
    pub(super) in_all: Option<usize>,
    /// The limit on open files, if that is why there are no more.
    pub(super) open_files: Option<u64>,
    /// The bound on user memory.
    pub(super) memory: MemoryCeiling,
    /// The form of the log on standard error.
    pub(super) log_format: LogFormat,
    /// Where the admin listener is, if there is one.
    pub(super) admin: Option<String>,
    /// Where the access log goes, if there is one; `-` is standard output.
    pub(super) access_log: Option<PathBuf>,
}

impl fmt::Display for StartBlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let threads = if self.workers == 1 { "thread" } else { "threads" };
        let pinned = if self.pinned { "pinned to a CPU" } else { "not pinned" };
        let log = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "JSON lines",
        };
        writeln!(f, "Ringway {} serves {}", env!("CARGO_PKG_VERSION"), self.root.display())?;
        for url in urls(&self.addresses) {
            writeln!(f, "  at           {url}")?;
        }
        writeln!(f, "  workers      {} {threads}, one ring each, {pinned}", self.workers)?;
        writeln!(f, "  TLS          {}", self.tls_path)?;
        self.identity(f)?;
        if let Some(confinement) = &self.confinement {
            writeln!(f, "  privileges   {confinement}")?;
        }
        write!(f, "  connections  at most {} per worker", self.connections)?;
        if let Some(in_all) = self.in_all {
            write!(f, ", {in_all} in all")?;
        }
        match self.open_files {
            Some(limit) => writeln!(f, "; the limit of {limit} open files allows no more")?,
            None => writeln!(f)?,
        }
        writeln!(f, "  memory       {}", self.memory)?;
        writeln!(f, "  log          {log} on standard error")?;
        match &self.access_log {
            Some(path) if path.as_os_str() == "-" => writeln!(f, "  access log   standard output")?,
            Some(path) => writeln!(f, "  access log   {}", path.display())?,
            None => {}
        }
        if let Some(admin) = &self.admin {
            writeln!(f, "  admin        {admin}")?;
        }
        if let Some(line) = self.try_it() {
            writeln!(f, "  try          {line}")?;
        }
        writeln!(f, "  stop         Ctrl-C drains, a second one ends at once")
    }
}

impl StartBlock {
    /// Who we are, and who the clients have to be.
    fn identity(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some((first, others)) = self.certificates.split_first() else { return Ok(()) };
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} more by name"),
        };
        writeln!(f, "  certificate  {}{more}", first.file.display())?;
        writeln!(f, "  SHA-256      {}", first.fingerprint)?;
        writeln!(f, "  names        {}", names(&self.certificates))?;
        if let Some(clients) = &self.client_auth {
            let must = match clients.mode {
                ClientAuthMode::Optional => "may show",
                ClientAuthMode::Required => "must show",
            };
            writeln!(f, "  clients      {must} a certificate by {}", clients.ca.display())?;
        }
        if let Some(file) = &self.ticket_keys {
            writeln!(f, "  tickets      under the keys in {}", file.display())?;
        }
        Ok(())
    }

    fn try_it(&self) -> Option<String> {
        let address = self.addresses.first()?;
        let port = address.port();
        if self.self_signed && reached_as_localhost(address) {
            let file = quoted(&self.certificates.first()?.file);
            return Some(format!("curl --cacert {file} https://localhost:{port}/"));
        }
        // A certificate of the user's is for a name that we do not guess.
        let ip =
            if address.ip().is_unspecified() { loopback(address) } else { address.to_string() };
        Some(format!("curl --connect-to ::{ip} https://NAME-IN-THE-CERTIFICATE:{port}/"))
    }
}

/// Every name once, or the first of them and how many there are besides.
fn names(certificates: &[ServedCertificate]) -> String {
    let mut names: Vec<&str> = Vec::new();
    for name in certificates.iter().flat_map(|certificate| &certificate.names) {
        if !names.contains(&name.as_str()) {
            names.push(name);
        }
    }
    match names.split_at_checked(MAX_NAMES) {
        Some((shown, rest)) if !rest.is_empty() => {
            format!("{}, and {} more", shown.join(", "), rest.len())
        }
        _ if names.is_empty() => "none, so clients will refuse it".to_owned(),
        _ => names.join(", "),
    }
}

/// Where the server is to be found, each URL once.
fn urls(addresses: &[SocketAddr]) -> Vec<String> {
    let mut urls: Vec<String> = Vec::new();
    for address in addresses {
        let port = address.port();
        let url = if address.ip().is_loopback() && reached_as_localhost(address) {
            format!("https://localhost:{port}/")
        } else if address.ip().is_unspecified() {
            format!("https://localhost:{port}/ and on every address of this host")
        } else {
            format!("https://{address}/")
        };
        if !urls.contains(&url) {
            urls.push(url);
        }
    }
    urls
}

fn reached_as_localhost(address: &SocketAddr) -> bool {
    let ip = address.ip();
    ip.is_unspecified() || ip.to_string() == "127.0.0.1" || ip.to_string() == "::1"
}

fn loopback(address: &SocketAddr) -> String {
    let ip = if address.is_ipv4() { "127.0.0.1" } else { "[::1]" };
    format!("{ip}:{}", address.port())
}

/// A path that a shell takes as one word.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+@%:,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn served(file: &str, names: &[&str]) -> ServedCertificate {
        ServedCertificate {
            file: file.into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            fingerprint: "AB:CD".to_owned(),
        }
    }

    fn block(addresses: &[&str]) -> StartBlock {
        StartBlock {
            root: "site".into(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            workers: 2,
            pinned: true,
            tls_path: "kernel TLS: no, the kernel has no tls ULP; user-space TLS".to_owned(),
            certificates: vec![served("/home/a user/certificate.pem", &["localhost", "::1"])],
            self_signed: true,
            client_auth: None,
            ticket_keys: None,
            confinement: Some("user www (uid 33, gid 33); no core dumps".to_owned()),
            connections: 7,
            in_all: None,
            open_files: Some(64),
            memory: Config::default().memory_ceiling(2),
            log_format: LogFormat::Text,
            admin: None,
            access_log: None,
        }
    }

    #[test]
    fn the_block_says_where_how_and_what_to_try() {
        let text = block(&["127.0.0.1:8443", "[::1]:8443"]).to_string();
        for line in [
            "  at           https://localhost:8443/\n",
            "  workers      2 threads, one ring each, pinned to a CPU\n",
            "  TLS          kernel TLS: no, the kernel has no tls ULP; user-space TLS\n",
            "  certificate  /home/a user/certificate.pem\n",
            "  SHA-256      AB:CD\n",
            "  names        localhost, ::1\n",
            "  privileges   user www (uid 33, gid 33); no core dumps\n",
            "  connections  at most 7 per worker; the limit of 64 open files allows no more\n",
            "  memory       at most ",
            "  try          curl --cacert '/home/a user/certificate.pem' https://localhost:8443/\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches("  at  ").count(), 1, "{text}");
    }

    #[test]
    fn a_limit_of_all_together_is_told() {
        let mut block = block(&["0.0.0.0:443"]);
        (block.in_all, block.open_files) = (Some(9), None);
        let text = block.to_string();
        assert!(text.contains("  connections  at most 7 per worker, 9 in all\n"), "{text}");
    }

    #[test]
    fn other_addresses_are_shown_as_they_are() {
        let text = block(&["192.0.2.7:443", "[::]:8443"]).to_string();
        assert!(text.contains("https://192.0.2.7:443/\n"), "{text}");
        assert!(text.contains("https://localhost:8443/ and on every address"), "{text}");
    }

    #[test]
    fn a_certificate_of_the_users_is_asked_for_by_its_name() {
        let mut block = block(&["0.0.0.0:443"]);
        block.self_signed = false;
        let text = block.to_string();
        assert!(text.contains("curl --connect-to ::127.0.0.1:443 https://NAME"), "{text}");
    }

    #[test]
    fn several_certificates_are_counted_and_their_names_told() {
        let mut block = block(&["0.0.0.0:443"]);
        let many: Vec<String> = (0..9).map(|number| format!("{number}.example")).collect();
        let many: Vec<&str> = many.iter().map(String::as_str).collect();
        block.certificates = vec![served("a.pem", &["localhost"]), served("b.pem", &many)];
        block.client_auth = Some(ClientAuth::required("ca.pem"));
        block.ticket_keys = Some("keys".into());
        let text = block.to_string();
        for line in [
            "  certificate  a.pem, and 1 more by name\n",
            "  names        localhost, 0.example, 1.example, 2.example, 3.example, 4.example, \
             5.example, 6.example, and 2 more\n",
            "  clients      must show a certificate by ca.pem\n",
            "  tickets      under the keys in keys\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
    }

    #[test]
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.pem")), "/a/b-c.pem");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
