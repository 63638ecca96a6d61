//! The command line.

use std::fs;
use std::net::ToSocketAddrs;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::plan::{Group, Plan, Sessions, Slow, Suite, Tls, Verify};

/// Loads an HTTP/1.1 or HTTP/2 server and says what it did with it.
///
/// Without --rate each connection asks again as soon as it is answered (closed loop): that
/// measures capacity. With --rate requests are due at a fixed rate and latency counts from the
/// moment a request was due (open loop, no coordinated omission): that measures latency.
#[derive(Clone, Debug, Parser)]
#[command(name = "ringway-load", version, about, max_term_width = 100, args_override_self = true)]
pub struct Options {
    /// Where to ask: http[s]://HOST:PORT/PATH
    url: String,

    /// More paths, or the URL's with another weight; with this the URL's path counts only if named
    #[arg(long = "mix", value_name = "PATH=WEIGHT", value_parser = weighted, value_delimiter = ',')]
    mix: Vec<(String, u32)>,

    /// Connections that ask
    #[arg(short, long, default_value_t = 64)]
    connections: usize,

    /// Requests in flight on each connection at most: pipelined, or as streams of HTTP/2. 64 at
    /// most without --h2
    #[arg(long, visible_alias = "streams", default_value_t = 1,
          value_parser = clap::value_parser!(u16).range(1..=1000))]
    depth: u16,

    /// Speak HTTP/2
    #[arg(long)]
    h2: bool,

    /// Requests a second, all connections together [default: as many as the server can]
    #[arg(short, long)]
    rate: Option<f64>,

    /// One connection for many requests, or a new one with a handshake for each
    #[arg(long, value_enum, default_value_t = Sessions::KeepAlive)]
    sessions: Sessions,

    /// Connections that ask once and then stay idle, beside the others
    #[arg(long, default_value_t = 0)]
    idle: usize,

    /// Connections that read slowly, beside the others
    #[arg(long, default_value_t = 0)]
    slow: usize,

    /// Bytes a second that a slow connection reads
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..))]
    slow_rate: u32,

    /// Time that is measured, as 5s or 500ms
    #[arg(short, long, default_value = "5s", value_parser = time)]
    duration: Duration,

    /// End the measurement after so many answers, if the time has not passed before
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..))]
    requests: Option<u64>,

    /// Time before the measurement, or longer: until each connection has had an answer
    #[arg(long, default_value = "1s", value_parser = time)]
    warm_up: Duration,

    /// After which a request has failed
    #[arg(long, default_value = "10s", value_parser = time)]
    timeout: Duration,

    /// Threads; each keeps one CPU busy
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=256))]
    threads: u16,

    /// CPUs to pin the threads to, one for each
    #[arg(long, value_delimiter = ',')]
    cpus: Vec<usize>,

    /// Sleep while there is nothing to do, instead of polling: where the server, or somebody else
    /// who loads it, has no CPU of its own. At a fixed rate the time that it takes to wake counts
    #[arg(long)]
    sleep: bool,

    /// A header field to add to each request, as 'Name: value'
    #[arg(long = "header", value_name = "FIELD")]
    headers: Vec<String>,

    /// The status that every response must have
    #[arg(long, default_value_t = 200)]
    status: u16,

    /// The directory that is served: compare every byte of every body with its files
    #[arg(long, value_name = "DIR")]
    root: Option<PathBuf>,

    /// Hash every body (SHA-256): all of a path must be the same
    #[arg(long)]
    hash: bool,

    /// The cipher suite
    #[arg(long, value_enum, default_value_t = Suite::Aes128)]
    suite: Suite,

    /// The key exchange
    #[arg(long, value_enum, default_value_t = Group::X25519)]
    group: Group,

    /// The certificate (PEM) that the server must present [default: the first one seen]
    #[arg(long, value_name = "FILE")]
    cert: Option<PathBuf>,

    /// Which handshakes' signatures to check
    #[arg(long, value_enum, default_value_t = Verify::Sample)]
    verify: Verify,

    /// The server's process, its children included: report its CPU time and memory
    #[arg(long = "server-pid", value_name = "PID")]
    server: Vec<u32>,

    /// Write the report as JSON to a file, or to standard output for -
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,

    /// Neither progress nor table
    #[arg(short, long)]
    pub quiet: bool,
}

impl Options {
    /// Checks what was typed.
    ///
    /// # Errors
    ///
    /// What is wrong, for a person.
    pub fn plan(&self) -> Result<Plan, String> {
        let (secure, rest) = match self.url.split_once("://") {
            Some(("https", rest)) => (true, rest),
            Some(("http", rest)) => (false, rest),
            _ => return Err(format!("{}: not an http:// or https:// URL", self.url)),
        };
        let (host, path) = match rest.find('/') {
            Some(at) => rest.split_at(at),
            None => (rest, "/"),
        };
        let target = self.resolve(host, secure)?;
        let mut paths = self.mix.clone();
        if paths.is_empty() {
            paths.push((path.to_owned(), 1));
        }
        if paths.len() > usize::from(u16::MAX) {
            return Err("more than 65,535 paths".into());
        }
        let threads = usize::from(self.threads);
        if self.connections + self.idle + self.slow == 0 || self.connections == 0 {
            return Err("--connections must be at least 1".into());
        }
        if self.connections < threads {
            return Err(format!("{threads} threads need as many connections"));
        }
        if !self.cpus.is_empty() && self.cpus.len() != threads {
            return Err(format!("--cpus names {} CPUs for {threads} threads", self.cpus.len()));
        }
        if self.rate.is_some_and(|rate| !(rate > 0.0 && rate.is_finite())) {
            return Err("--rate must be above zero".into());
        }
        if self.sessions != Sessions::KeepAlive && self.depth > 1 {
            return Err("--depth above 1 needs connections that are kept alive".into());
        }
        if self.depth > 64 && !self.h2 {
            return Err("--depth above 64 needs --h2".into());
        }
        if self.sessions != Sessions::KeepAlive && !secure {
            return Err("--sessions full and resumed are about TLS".into());
        }
        if self.duration.is_zero() {
            return Err("--duration must be above zero".into());
        }
        if let Some(bad) =
            self.headers.iter().find(|h| !h.contains(':') || h.contains(['\r', '\n']))
        {
            return Err(format!("--header {bad:?}: not 'Name: value'"));
        }
        let slow = Slow { connections: self.slow, rate: self.slow_rate };
        Ok(Plan {
            url: self.url.clone(),
            target,
            host: host.to_owned(),
            tls: if secure { Some(self.tls()?) } else { None },
            paths,
            http2: self.h2,
            headers: self.headers.clone(),
            sessions: self.sessions,
            connections: self.connections,
            depth: usize::from(self.depth),
            rate: self.rate,
            idle: self.idle,
            slow: (self.slow > 0).then_some(slow),
            threads,
            cpus: self.cpus.clone(),
            warm_up: self.warm_up,
            duration: self.duration,
            enough: self.requests,
            timeout: self.timeout,
            status: self.status,
            root: self.root.clone(),
            hash: self.hash,
            sleep: self.sleep,
            server: self.server.clone(),
        })
    }

    fn resolve(&self, host: &str, secure: bool) -> Result<std::net::SocketAddr, String> {
        let default = if secure { 443 } else { 80 };
        let resolved = if host.rsplit_once(':').is_some_and(|(_, port)| port.parse::<u16>().is_ok())
        {
            host.to_socket_addrs()
        } else {
            (host, default).to_socket_addrs()
        };
        resolved
            .map_err(|error| format!("{}: {error}", self.url))?
            .next()
            .ok_or_else(|| format!("{}: no such host", self.url))
    }

    fn tls(&self) -> Result<Tls, String> {
        let read = |file: &PathBuf| {
            let pem = fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
            CertificateDer::from_pem_slice(&pem)
                .map_err(|error| format!("{}: no certificate: {error:?}", file.display()))
        };
        let pinned = self.cert.as_ref().map(read).transpose()?;
        Ok(Tls { suite: self.suite, group: self.group, verify: self.verify, pinned })
    }
}

fn weighted(text: &str) -> Result<(String, u32), String> {
    let (path, weight) = text.rsplit_once('=').ok_or("not PATH=WEIGHT")?;
    let weight = weight.parse().map_err(|_| "the weight is no number")?;
    if !path.starts_with('/') || weight == 0 {
        return Err("the path begins with / and the weight is above zero".into());
    }
    Ok((path.to_owned(), weight))
}

fn time(text: &str) -> Result<Duration, String> {
    let (digits, unit) = match text.strip_suffix("ms") {
        Some(digits) => (digits, 1e-3),
        None => (text.strip_suffix('s').unwrap_or(text), 1.0),
    };
    let number: f64 = digits.parse().map_err(|_| "not a time such as 5s or 500ms")?;
    if !(0.0..=86_400.0).contains(&number) {
        return Err("not between 0 and a day".into());
    }
    Ok(Duration::from_secs_f64(number * unit))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::{CommandFactory, Parser};

    use super::{Options, time};
    use crate::plan::Plan;

    fn plan(line: &str) -> Result<Plan, String> {
        let words = std::iter::once("ringway-load").chain(line.split(' '));
        Options::try_parse_from(words).map_err(|error| error.to_string())?.plan()
    }

    #[test]
    fn the_command_is_sound() {
        Options::command().debug_assert();
    }

    #[test]
    fn urls_become_targets_and_requests() {
        let plan = plan("https://127.0.0.1:8443/a --header X:y").unwrap();
        assert_eq!(plan.target.to_string(), "127.0.0.1:8443");
        assert!(plan.tls.is_some());
        let request = b"GET /a HTTP/1.1\r\nHost: 127.0.0.1:8443\r\nX:y\r\n\r\n";
        assert_eq!(plan.requests(), [request.to_vec()]);
        let plain = super::tests::plan("http://127.0.0.1").unwrap();
        assert_eq!((plain.target.port(), plain.tls.is_none()), (80, true));
        assert_eq!(plain.paths, [("/".to_owned(), 1)]);
    }

    #[test]
    fn a_mix_replaces_the_path() {
        let plan = plan("http://127.0.0.1/x --mix /a=3,/b=1").unwrap();
        assert_eq!(plan.paths, [("/a".to_owned(), 3), ("/b".to_owned(), 1)]);
    }

    #[test]
    fn contradictions_are_refused() {
        for line in [
            "127.0.0.1:80",
            "ftp://127.0.0.1",
            "http://127.0.0.1 -c 0",
            "http://127.0.0.1 -c 1 -t 2",
            "http://127.0.0.1 --cpus 1,2",
            "http://127.0.0.1 --rate 0",
            "http://127.0.0.1 --rate NaN",
            "http://127.0.0.1 --sessions full",
            "https://127.0.0.1 --sessions full --depth 2",
            "http://127.0.0.1 --mix a=1",
            "http://127.0.0.1 --mix /a=0",
            "http://127.0.0.1 --header nocolon",
            "http://127.0.0.1 -d 0s",
            "https://127.0.0.1 --cert /nonexistent",
        ] {
            assert!(plan(line).is_err(), "{line}");
        }
    }

    #[test]
    fn times_have_units() {
        assert_eq!(time("2"), Ok(Duration::from_secs(2)));
        assert_eq!(time("1.5s"), Ok(Duration::from_millis(1500)));
        assert_eq!(time("20ms"), Ok(Duration::from_millis(20)));
        for bad in ["", "s", "-1", "1h", "inf"] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
