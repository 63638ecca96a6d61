//! Ringway, its peers and the bounds: how each is started, and what is known of it.
//!
//! The invariant: all get the same certificate, directory, suite and one worker, each in the
//! configuration that its own documentation recommends for files.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::material::{FILES, Material};
use crate::options::Options;

/// The lock file, for the versions of the libraries that the peers were built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// How a peer is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ringway,
    Nginx,
    Haproxy,
    Caddy,
    /// One of our programs around a library, with the libraries that make it up.
    Library {
        program: &'static str,
        options: &'static [&'static str],
        crates: &'static [&'static str],
    },
    Bound {
        program: &'static str,
    },
}

/// A server.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Peer {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    /// Passes over a byte of a body between the page cache or memory and the socket's buffer,
    /// without kernel TLS: from how the server works, not measured.
    pub(crate) passes: &'static str,
    /// Whether its capacity may set the fixed rates.
    pub(crate) serious: bool,
    kind: Kind,
}

/// Ringway's name among the peers.
pub(crate) const RINGWAY: &str = "ringway";

const CACHED: &str = "copy into rustls, seal, copy to the socket";

/// All that take part.
pub(crate) const ALL: [Peer; 12] = [
    Peer {
        name: RINGWAY,
        what: "files, metadata, Date; one worker",
        passes: "see its ledger",
        serious: true,
        kind: Kind::Ringway,
    },
    Peer {
        name: "nginx",
        what: "files with sendfile and open_file_cache; one worker",
        passes: "read, seal with a copy inside OpenSSL, copy to the socket",
        serious: true,
        kind: Kind::Nginx,
    },
    Peer {
        name: "haproxy",
        what: "fixed answers from memory, up to 16 KB; one thread",
        passes: "copy to the buffer, seal, copy to the socket",
        serious: true,
        kind: Kind::Haproxy,
    },
    Peer {
        name: "caddy",
        what: "file_server; GOMAXPROCS=1",
        passes: "read, seal, copy to the socket",
        serious: false,
        kind: Kind::Caddy,
    },
    Peer {
        name: "hyper",
        what: "body in memory; tokio, tokio-rustls, one thread",
        passes: CACHED,
        serious: true,
        kind: Kind::Library {
            program: "peer-hyper",
            options: &[],
            crates: &["hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "hyper-file",
        what: "file read for each request; tokio, tokio-rustls, one thread",
        passes: "read, copy into rustls, seal, copy to the socket",
        serious: false,
        kind: Kind::Library {
            program: "peer-hyper",
            options: &["--read-files"],
            crates: &["hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "axum",
        what: "tower-http ServeDir; tokio, tokio-rustls, one thread and tokio's file threads",
        passes: "read, copy into rustls, seal, copy to the socket",
        serious: false,
        kind: Kind::Library {
            program: "peer-axum",
            options: &[],
            crates: &["axum", "tower-http", "hyper", "tokio", "rustls"],
        },
    },
    Peer {
        name: "actix",
        what: "body in memory; actix-web, one worker",
        passes: CACHED,
        serious: true,
        kind: Kind::Library {
            program: "peer-actix",
            options: &[],
            crates: &["actix-web", "tokio", "rustls"],
        },
    },
    Peer {
        name: "tokio-uring",
        what: "a small responder, body in memory; io_uring, one thread",
        passes: CACHED,
        serious: true,
        kind: Kind::Library {
            program: "peer-tokio-uring",
            options: &[],
            crates: &["tokio-uring", "httparse", "rustls"],
        },
    },
    Peer {
        name: "monoio",
        what: "a small responder, body in memory; io_uring, one thread",
        passes: CACHED,
        serious: true,
        kind: Kind::Library {
            program: "peer-monoio",
            options: &[],
            crates: &["monoio", "httparse", "rustls"],
        },
    },
    Peer {
        name: "bound-uring",
        what: "no HTTP: the least that io_uring and TLS records cost",
        passes: "copy to registered memory, seal, copy to the socket",
        serious: false,
        kind: Kind::Bound { program: "bound-uring" },
    },
    Peer {
        name: "bound-epoll",
        what: "no HTTP: the least that epoll and TLS records cost",
        passes: "copy to a buffer, seal, copy to the socket",
        serious: false,
        kind: Kind::Bound { program: "bound-epoll" },
    },
];

impl Peer {
    /// Its version, or why it cannot be had.
    pub(crate) fn version(&self, options: &Options) -> Result<String, String> {
        match self.kind {
            Kind::Ringway => said(&options.ringway, "--version"),
            Kind::Nginx => said(Path::new("nginx"), "-v"),
            Kind::Haproxy => said(Path::new("haproxy"), "-v"),
            Kind::Caddy => said(Path::new("caddy"), "version"),
            Kind::Library { program, crates, .. } => {
                said(&own(options, program)?, "--help")?;
                Ok(crates.iter().map(|name| locked(name)).collect::<Vec<_>>().join(", "))
            }
            Kind::Bound { program } => {
                said(&own(options, program)?, "--help")?;
                Ok(format!("{}, {}", locked("rustls"), locked("aws-lc-rs")))
            }
        }
    }

    /// The command that serves `material` on `port`; `file` is the only file that will be asked
    /// for, if there is only one.
    ///
    /// # Errors
    ///
    /// Why it cannot serve that, or what is wrong with the temporary directory.
    pub(crate) fn command(
        &self,
        options: &Options,
        material: &Material,
        port: u16,
        file: Option<&str>,
    ) -> Result<Command, String> {
        let listen = format!("127.0.0.1:{port}");
        let (cert, key, root) = (material.cert(), material.key(), material.root());
        let write = |name: &str, text: &str| {
            let path = material.dir().join(name);
            fs::write(&path, text).map(|()| path).map_err(|error| error.to_string())
        };
        let mut command;
        match self.kind {
            Kind::Ringway => {
                command = Command::new(&options.ringway);
                command.arg("serve").arg(root).args(["--listen", &listen, "--workers", "1"]);
                command.arg("--cert").arg(cert).arg("--key").arg(key).args(["--ktls", "auto"]);
            }
            Kind::Nginx => {
                let config = write("nginx.conf", &nginx(material, &listen))?;
                command = Command::new("nginx");
                command.arg("-p").arg(material.dir()).arg("-c").arg(config);
            }
            Kind::Haproxy => {
                let Some(file) = file.filter(|file| size(file) <= 16 << 10) else {
                    return Err("it serves no files, and fixed answers only up to 16 KB".into());
                };
                let config = write("haproxy.cfg", &haproxy(material, &listen, file)?)?;
                command = Command::new("haproxy");
                command.arg("-f").arg(config);
            }
            Kind::Caddy => {
                let config = write("Caddyfile", &caddy(material, port))?;
                command = Command::new("caddy");
                command.args(["run", "--adapter", "caddyfile", "--config"]).arg(config);
                command.env("GOMAXPROCS", "1").env("HOME", material.dir());
                command.env("XDG_DATA_HOME", material.dir()).env("XDG_CONFIG_HOME", material.dir());
            }
            Kind::Library { program, options: more, .. } => {
                command = Command::new(own(options, program)?);
                command.arg(root).args(["--listen", &listen]).args(more);
                command.arg("--cert").arg(cert).arg("--key").arg(key);
            }
            Kind::Bound { program } => {
                let file = file.ok_or("it has one answer only")?;
                command = Command::new(own(options, program)?);
                command.args(["--listen", &listen]).arg("--body").arg(root.join(file));
                command.arg("--cert").arg(cert).arg("--key").arg(key);
            }
        }
        Ok(command)
    }
}

/// One of our programs.
fn own(options: &Options, program: &str) -> Result<std::path::PathBuf, String> {
    if let Some(dir) = &options.programs {
        return Ok(dir.join(program));
    }
    let this = std::env::current_exe().map_err(|error| error.to_string())?;
    Ok(this.with_file_name(program))
}

/// The first line that `program` says when asked `how`.
fn said(program: &Path, how: &str) -> Result<String, String> {
    let output = Command::new(program).arg(how).output();
    let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    if output.status.success() {
        Ok(said.lines().next().unwrap_or_default().to_owned())
    } else {
        Err(format!("{} {how}: {}", program.display(), output.status))
    }
}

/// A library and its version in the lock file.
fn locked(name: &str) -> String {
    let entry = format!("name = \"{name}\"\nversion = \"");
    let version = LOCK.split(&entry).nth(1).and_then(|rest| rest.split('"').next());
    format!("{name} {}", version.unwrap_or("of unknown version"))
}

fn size(file: &str) -> usize {
    FILES.iter().find(|(name, _)| *name == file).map_or(usize::MAX, |(_, size)| *size)
}

fn nginx(material: &Material, listen: &str) -> String {
    let dir = material.dir().display();
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    format!(
        "{user} worker_processes 1; daemon off; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
worker_rlimit_nofile 20000;
events {{ worker_connections 16384; multi_accept on; }}
http {{
  include /etc/nginx/mime.types; default_type application/octet-stream;
  access_log off; sendfile on; tcp_nopush on; tcp_nodelay on;
  keepalive_requests 1000000000; keepalive_timeout 600s;
  open_file_cache max=1000 inactive=600s; open_file_cache_valid 600s;
  ssl_protocols TLSv1.3; ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;
  ssl_ecdh_curve X25519; ssl_session_tickets on; ssl_session_cache off;
  server {{
    listen {listen} ssl backlog=4096; root {dir}/www;
    ssl_certificate {dir}/cert.pem; ssl_certificate_key {dir}/key.pem;
  }}
}}
"
    )
}

fn haproxy(material: &Material, listen: &str, file: &str) -> Result<String, String> {
    let dir = material.dir().display();
    let both = material.dir().join("haproxy.pem");
    let read = |path| fs::read_to_string(path).map_err(|error| error.to_string());
    let pem = read(material.cert())? + &read(material.key())?;
    fs::write(&both, pem).map_err(|error| error.to_string())?;
    let mut config = String::new();
    let _ = write!(
        config,
        "global
  nbthread 1
  maxconn 8000
  tune.bufsize 32768
  tune.ssl.default-dh-param 2048
  ssl-default-bind-options ssl-min-ver TLSv1.3
  ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256
  ssl-default-bind-curves X25519
defaults
  mode http
  timeout client 600s
  timeout http-keep-alive 600s
  timeout http-request 60s
  timeout connect 5s
  timeout server 60s
frontend bench
  bind {listen} ssl crt {dir}/haproxy.pem alpn http/1.1 backlog 4096
  http-request return status 200 content-type application/octet-stream file {dir}/www/{file}
"
    );
    Ok(config)
}

fn caddy(material: &Material, port: u16) -> String {
    let dir = material.dir().display();
    format!(
        "{{
  admin off
  auto_https off
  default_sni 127.0.0.1
  log default {{
    level ERROR
  }}
  servers {{
    protocols h1
    timeouts {{
      idle 600s
    }}
  }}
}}
https://127.0.0.1:{port} {{
  bind 127.0.0.1
  root * {dir}/www
  tls {dir}/cert.pem {dir}/key.pem {{
    protocols tls1.3
    curves x25519
  }}
  file_server
}}
"
    )
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{ALL, Kind, locked};

    #[test]
    fn names_are_unique_and_libraries_are_locked() {
        let names: HashSet<_> = ALL.iter().map(|peer| peer.name).collect();
        assert_eq!(names.len(), ALL.len());
        for peer in ALL {
            if let Kind::Library { crates, .. } = peer.kind {
                for name in crates {
                    assert!(!locked(name).contains("unknown"), "{name}");
                }
            }
        }
    }
}
