//! The block that is printed once the server listens: where it is, what it does, and the line to
//! try it with.

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use crate::config::{LogFormat, MemoryCeiling};

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
    /// The PEM file of the certificate.
    pub(super) certificate: PathBuf,
    /// Whether Ringway made the certificate, so that clients have to be told to trust it.
    pub(super) self_signed: bool,
    /// SHA-256 of the leaf certificate, as colon-separated hex.
    pub(super) fingerprint: String,
    /// Connections that a worker serves at a time, at most.
    pub(super) connections: usize,
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
        writeln!(f, "  certificate  {}", self.certificate.display())?;
        writeln!(f, "  SHA-256      {}", self.fingerprint)?;
        write!(f, "  connections  at most {} per worker", self.connections)?;
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
    fn try_it(&self) -> Option<String> {
        let address = self.addresses.first()?;
        let port = address.port();
        if self.self_signed && reached_as_localhost(address) {
            let file = quoted(&self.certificate);
            return Some(format!("curl --cacert {file} https://localhost:{port}/"));
        }
        // A certificate of the user's is for a name that we do not guess.
        let ip =
            if address.ip().is_unspecified() { loopback(address) } else { address.to_string() };
        Some(format!("curl --connect-to ::{ip} https://NAME-IN-THE-CERTIFICATE:{port}/"))
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

    fn block(addresses: &[&str]) -> StartBlock {
        StartBlock {
            root: "site".into(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            workers: 2,
            pinned: true,
            tls_path: "kernel TLS: no, the kernel has no tls ULP; user-space TLS".to_owned(),
            certificate: "/home/a user/certificate.pem".into(),
            self_signed: true,
            fingerprint: "AB:CD".to_owned(),
            connections: 7,
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
            "  SHA-256      AB:CD\n",
            "  connections  at most 7 per worker; the limit of 64 open files allows no more\n",
            "  memory       at most ",
            "  try          curl --cacert '/home/a user/certificate.pem' https://localhost:8443/\n",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        assert_eq!(text.matches("  at  ").count(), 1, "{text}");
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
    fn words_are_quoted_for_the_shell() {
        assert_eq!(quoted(Path::new("/a/b-c.pem")), "/a/b-c.pem");
        assert_eq!(quoted(Path::new("it's")), r"'it'\''s'");
    }
}
