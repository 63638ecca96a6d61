//! What a run does: plain data, checked.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use ringway_bench_h2::encode::{self, Literal};
use rustls::pki_types::CertificateDer;

/// How connections are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Sessions {
    /// Connections stay open for many requests.
    KeepAlive,
    /// A new connection for each request, with a full handshake.
    Full,
    /// A new connection for each request, its session resumed by a ticket.
    Resumed,
}

/// The cipher suites of TLS 1.3.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Suite {
    /// TLS_AES_128_GCM_SHA256.
    Aes128,
    /// TLS_AES_256_GCM_SHA384.
    Aes256,
    /// TLS_CHACHA20_POLY1305_SHA256.
    Chacha20,
}

/// The key exchange groups.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Group {
    /// X25519.
    X25519,
    /// NIST P-256.
    P256,
    /// X25519MLKEM768, post-quantum.
    Mlkem,
}

/// Which handshakes' signatures are checked. A check costs the client more than the server's
/// signing costs the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Verify {
    /// The first 16 of each thread; later ones must present the same certificate.
    Sample,
    /// All.
    Always,
}

/// How TLS is spoken.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The only suite offered.
    pub suite: Suite,
    /// The only group offered.
    pub group: Group,
    /// Which signatures are checked.
    pub verify: Verify,
    /// The certificate that the server must present; otherwise the first one seen.
    pub pinned: Option<CertificateDer<'static>>,
}

/// Connections that read slowly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slow {
    /// How many.
    pub connections: usize,
    /// Bytes a second that each takes.
    pub rate: u32,
}

/// What a run does.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The URL as it was given, for the report.
    pub url: String,
    /// Where to connect.
    pub target: SocketAddr,
    /// The server's name, for SNI and the Host header.
    pub host: String,
    /// Nothing for plain HTTP.
    pub tls: Option<Tls>,
    /// Paths and their weights; at least one, at most 65,535.
    pub paths: Vec<(String, u32)>,
    /// Whether HTTP/2 is spoken: by ALPN over TLS, by prior knowledge without.
    pub http2: bool,
    /// More header fields of each request, without CRLF.
    pub headers: Vec<String>,
    /// How connections are used.
    pub sessions: Sessions,
    /// Connections that ask.
    pub connections: usize,
    /// Requests in flight on each of them at most.
    pub depth: usize,
    /// Requests a second in all threads together; nothing for as many as the server can.
    pub rate: Option<f64>,
    /// Connections that ask once and then stay idle.
    pub idle: usize,
    /// Connections that read slowly.
    pub slow: Option<Slow>,
    /// Threads, each with its share of the connections.
    pub threads: usize,
    /// The CPU of each thread, or empty.
    pub cpus: Vec<usize>,
    /// Not measured.
    pub warm_up: Duration,
    /// Measured, unless there is [`enough`](Self::enough) before.
    pub duration: Duration,
    /// After so many answers the measurement ends, within some milliseconds.
    pub enough: Option<u64>,
    /// After which a request has failed.
    pub timeout: Duration,
    /// The status that every response must have.
    pub status: u16,
    /// The directory that the server serves: bytes are compared.
    pub root: Option<PathBuf>,
    /// Whether every body is hashed.
    pub hash: bool,
    /// Whether threads sleep while they have nothing to do, where the server needs their CPU.
    pub sleep: bool,
    /// The server's processes, whose CPU time and memory are read.
    pub server: Vec<u32>,
}

impl Plan {
    /// The bytes of the requests, one per path.
    pub fn requests(&self) -> Vec<Vec<u8>> {
        let extra: String = self.headers.iter().flat_map(|line| [line, "\r\n"]).collect();
        let request = |path: &str| {
            format!("GET {path} HTTP/1.1\r\nHost: {}\r\n{extra}\r\n", self.host).into_bytes()
        };
        self.paths.iter().map(|(path, _)| request(path)).collect()
    }

    /// The blocks of the requests over HTTP/2, one per path.
    pub fn blocks(&self) -> Vec<Blocks> {
        self.paths.iter().map(|(path, _)| Blocks::new(&self.host, path, &self.headers)).collect()
    }
}

/// A path's request as HPACK blocks.
#[derive(Clone, Debug)]
pub struct Blocks {
    /// The first of a connection: puts the fields that all requests share into the server's table.
    pub first: Vec<u8>,
    /// All others: refers to them.
    pub later: Vec<u8>,
    /// Where the server wants no table.
    pub literal: Vec<u8>,
}

impl Blocks {
    /// The blocks for `path`; `headers` are lines with a colon.
    pub fn new(host: &str, path: &str, headers: &[String]) -> Self {
        /// The indices of `:authority`, `:path` and `:method: GET`, and the first of the table.
        const AUTHORITY: usize = 1;
        const GET: usize = 2;
        const PATH: usize = 4;
        const HTTPS: usize = 7;
        const DYNAMIC: usize = 62;
        let fields = |how: Option<Literal>| {
            let mut block = Vec::new();
            encode::indexed(&mut block, GET);
            encode::indexed(&mut block, HTTPS);
            encode::literal_at(&mut block, Literal::Plain, PATH, path.as_bytes());
            // The newest entry has the lowest index.
            let mut index = DYNAMIC + headers.len();
            match how {
                Some(how) => encode::literal_at(&mut block, how, AUTHORITY, host.as_bytes()),
                None => encode::indexed(&mut block, index),
            }
            for (name, value) in headers.iter().filter_map(|line| line.split_once(':')) {
                index -= 1;
                let (name, value) = (name.to_ascii_lowercase(), value.trim());
                match how {
                    Some(how) => {
                        encode::literal(&mut block, how, name.as_bytes(), value.as_bytes());
                    }
                    None => encode::indexed(&mut block, index),
                }
            }
            block
        };
        Self {
            first: fields(Some(Literal::Indexed)),
            later: fields(None),
            literal: fields(Some(Literal::Plain)),
        }
    }
}

/// Thread `index`'s share of `count` things among `threads`.
pub(crate) fn share(count: usize, threads: usize, index: usize) -> usize {
    count / threads + usize::from(index < count % threads)
}

#[cfg(test)]
mod tests {
    use super::share;

    #[test]
    fn shares_add_up() {
        for (count, threads) in [(0, 1), (7, 3), (64, 2), (1, 4)] {
            let shares: Vec<_> = (0..threads).map(|i| share(count, threads, i)).collect();
            assert_eq!(shares.iter().sum::<usize>(), count);
            assert!(shares.iter().max().unwrap() - shares.iter().min().unwrap() <= 1);
        }
    }
}
