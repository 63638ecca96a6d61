//! The block that is printed once the server listens: where it is, what it does, and the line to
//! try it with.

mod addresses;
mod try_it;

use std::fmt;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use serde_json::{Map, Value};

use crate::config::{ClientAuth, ClientAuthMode, LogFormat, MemoryCeiling};
use crate::observe::log::push_time;
use crate::server::ServedCertificate;
use addresses::urls;

/// The label of each URL.
const AT: &str = "at";

/// Most names that are shown.
const MAX_NAMES: usize = 8;

/// The content of the block.
pub(super) struct StartBlock {
    /// The folder, as it was given.
    pub(super) serves: String,
    /// The addresses that are listened on, with their real ports.
    pub(super) addresses: Vec<SocketAddr>,
    /// The addresses that are served without TLS.
    pub(super) plain: Vec<SocketAddr>,
    /// The addresses at which clients are sent to HTTPS.
    pub(super) redirect: Vec<SocketAddr>,
    /// Worker threads.
    pub(super) workers: usize,
    /// Whether each worker is pinned to a CPU, and if not, why.
    pub(super) cpus: String,
    /// Which TLS path records take, and why.
    pub(super) tls_path: String,
    /// What the workers run on, and why.
    pub(super) io_path: String,
    /// The certificates, the one for strangers first.
    pub(super) certificates: Vec<ServedCertificate>,
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
    /// Where slow requests go as spans, if they do.
    pub(super) spans: Option<String>,
}

/// One fact of the block: its label, and what it says.
type Fact = (&'static str, String);

impl fmt::Display for StartBlock {
    /// As text for a person, a line for each fact.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title())?;
        for (label, says) in self.facts() {
            writeln!(f, "  {label:<11}  {says}")?;
        }
        Ok(())
    }
}

impl StartBlock {
    /// As one line of JSON in the form of the log's lines, for a collector that reads both streams.
    pub(super) fn to_json(&self) -> String {
        let mut time = String::new();
        push_time(&mut time, SystemTime::now());
        let mut line = Map::new();
        let mut member = |name: &str, value: Value| line.insert(name.to_owned(), value);
        member("time", time.into());
        member("level", "INFO".into());
        member("target", "ringway::start".into());
        member("message", self.title().into());
        let (addresses, facts): (Vec<Fact>, Vec<Fact>) =
            self.facts().into_iter().partition(|(label, _)| *label == AT);
        if !addresses.is_empty() {
            member("at", addresses.into_iter().map(|(_, url)| url).collect());
        }
        for (label, says) in facts {
            let name = label.to_lowercase().replace('/', "").replace([' ', '-'], "_");
            member(&name, says.into());
        }
        format!("{}\n", Value::Object(line))
    }

    fn title(&self) -> String {
        format!("Ringway {} serves {}", env!("CARGO_PKG_VERSION"), self.serves)
    }

    fn facts(&self) -> Vec<Fact> {
        let threads = if self.workers == 1 { "thread" } else { "threads" };
        let log = match self.log_format {
            LogFormat::Text => "text",
            LogFormat::Json => "JSON lines",
        };
        let mut facts: Vec<Fact> = urls(&self.addresses).into_iter().map(|url| (AT, url)).collect();
        facts.extend(self.plain.iter().map(|address| {
            let open = if address.ip().is_loopback() {
                ""
            } else {
                ": WITHOUT TLS, and reachable from other hosts; all that passes can be read and changed"
            };
            ("plain", format!("http://{address}/{open}"))
        }));
        facts.extend(
            self.redirect.iter().map(|at| ("redirect", format!("http://{at}/ to https by 308"))),
        );
        facts.push(("workers", format!("{} {threads}, {}", self.workers, self.cpus)));
        facts.push(("I/O", self.io_path.clone()));
        facts.push(("TLS", self.tls_path.clone()));
        self.push_identity(&mut facts);
        facts.extend(self.confinement.clone().map(|says| ("privileges", says)));
        facts.push(("connections", self.connections()));
        facts.push(("memory", self.memory.to_string()));
        facts.push(("log", format!("{log} on standard error")));
        facts.extend(self.access_log.as_ref().map(|path| {
            let is_stdout = path.as_os_str() == "-";
            let place =
                if is_stdout { "standard output".to_owned() } else { path.display().to_string() };
            ("access log", place)
        }));
        facts.extend(self.spans.clone().map(|collector| ("spans", collector)));
        facts.extend(self.admin.clone().map(|admin| ("admin", admin)));
        facts.extend(self.try_it().map(|line| ("try", line)));
        facts.push(("stop", "Ctrl-C drains, a second one ends at once".to_owned()));
        facts
    }

    fn connections(&self) -> String {
        let in_all = self.in_all.map(|in_all| format!(", {in_all} in all"));
        let scarce = self
            .open_files
            .map(|limit| format!("; the limit of {limit} open files allows no more"));
        let more: String = [in_all, scarce].into_iter().flatten().collect();
        format!("at most {} per worker{more}", self.connections)
    }

    /// Who we are, and who the clients have to be.
    fn push_identity(&self, facts: &mut Vec<Fact>) {
        let Some((first, others)) = self.certificates.split_first() else { return };
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} more by name"),
        };
        let file = if first.file.as_os_str().is_empty() {
            "in memory alone, so the next start makes another one".to_owned()
        } else {
            first.file.display().to_string()
        };
        facts.push(("certificate", file + &more));
        facts.push(("SHA-256", first.fingerprint.clone()));
        facts.push(("names", names(&self.certificates)));
        if let Some(clients) = &self.client_auth {
            let must = match clients.mode {
                ClientAuthMode::Optional => "may show",
                ClientAuthMode::Required => "must show",
            };
            let says = format!("{must} a certificate by {}", clients.ca.display());
            facts.push(("clients", says));
        }
        if let Some(file) = &self.ticket_keys {
            facts.push(("tickets", format!("under the keys in {}", file.display())));
        }
    }

    fn try_it(&self) -> Option<String> {
        let certificate = self.certificates.first()?;
        let asks = self.client_auth.as_ref().map(|clients| clients.mode);
        let is_readable = !is_private(&certificate.file);
        let must_show = asks == Some(ClientAuthMode::Required);
        Some(try_it::command(self.addresses.first()?, certificate, is_readable, must_show))
    }
}

/// Whether a file is a credential that systemd made for this service alone (`LoadCredential=`).
fn is_private(file: &Path) -> bool {
    std::env::var_os("CREDENTIALS_DIRECTORY").is_some_and(|folder| file.starts_with(folder))
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn served(file: &str, names: &[&str]) -> ServedCertificate {
        ServedCertificate {
            file: file.into(),
            names: names.iter().map(|&name| name.to_owned()).collect(),
            fingerprint: "AB:CD".to_owned(),
            not_after: None,
        }
    }

    fn block(addresses: &[&str]) -> StartBlock {
        StartBlock {
            serves: "site".into(),
            plain: Vec::new(),
            redirect: Vec::new(),
            addresses: addresses.iter().map(|a| a.parse().unwrap()).collect(),
            workers: 2,
            cpus: "each pinned to a CPU".to_owned(),
            io_path: "io_uring".to_owned(),
            tls_path: "kernel TLS: no, the kernel has no tls ULP; user-space TLS".to_owned(),
            certificates: vec![served("/home/a user/certificate.pem", &["localhost", "::1"])],
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
            spans: None,
        }
    }

    #[test]
    fn the_block_says_where_how_and_what_to_try() {
        let text = block(&["127.0.0.1:8443", "[::1]:8443"]).to_string();
        for line in [
            "  at           https://localhost:8443/\n",
            "  workers      2 threads, each pinned to a CPU\n",
            "  I/O          io_uring\n",
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
    fn a_certificate_in_memory_has_no_file_to_paste() {
        let mut block = block(&["127.0.0.1:8443"]);
        block.certificates = vec![served("", &["localhost"])];
        let text = block.to_string();
        assert!(text.contains("  certificate  in memory alone"), "{text}");
        assert!(text.contains("  try          curl -k https://localhost:8443/\n"), "{text}");
    }

    #[test]
    fn as_json_the_block_is_one_object_on_one_line() {
        let text = block(&["127.0.0.1:8443", "[::]:443"]).to_json();
        assert_eq!(text.matches('\n').count(), 1, "{text}");
        let json: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert!(json["message"].as_str().unwrap().ends_with("serves site"), "{text}");
        assert_eq!(json["at"][1], "https://localhost/ and on every address of this host");
        for key in ["time", "level", "workers", "io", "tls", "sha_256", "memory", "try", "stop"] {
            assert!(json[key].is_string(), "{key}: {text}");
        }
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
}
