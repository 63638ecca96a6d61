//! Ringway, its peers and the bounds: how each is started, and what is known of it.
//!
//! The invariant: all get the same certificate, directory, suite and one worker, each in the
//! configuration that its own documentation recommends for files.

mod all;
mod configuration;

use std::fs;
use std::path::Path;
use std::process::Command;

pub(crate) use self::all::{ALL, COUNTED};
use self::configuration::{caddy, h2o, haproxy, nginx, size};
use crate::material::Material;
use crate::options::Options;
use crate::results::Results;
use crate::workloads::{self, About, Workload};

/// The lock file, for the versions of the libraries that the peers were built with.
const LOCK: &str = include_str!("../../Cargo.lock");

/// How a peer is started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Ringway {
        workers: usize,
        cpus: usize,
        /// The value of `--ktls`.
        ktls: &'static str,
        /// The value of `--io`.
        io: &'static str,
    },
    Nginx {
        /// Whether OpenSSL may leave records to the kernel.
        ktls: bool,
    },
    Haproxy,
    H2o,
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
    /// What it does not do that Ringway does for each request; empty if there is nothing.
    pub(crate) spares: &'static str,
    /// Whether its capacity may set the fixed rates.
    pub(crate) serious: bool,
    /// Whether it belongs to the quick set.
    pub(crate) quick: bool,
    /// Whether it takes part where HTTP/2 is spoken.
    http2: bool,
    kind: Kind,
}

/// Ringway's name among the peers.
pub(crate) const RINGWAY: &str = "ringway";

/// The name of Ringway with two workers on two CPUs.
pub(crate) const TWO_WORKERS: &str = "ringway-2";

/// The name of Ringway with two workers on one CPU.
pub(crate) const TWO_ON_ONE: &str = "ringway-2-on-1";

/// The name of Ringway over HTTP/1.1, beside itself over HTTP/2.
pub(crate) const OVER_HTTP1: &str = "ringway-http1";

/// The name of Ringway on epoll.
pub(crate) const POLLING: &str = "ringway-poll";

/// Whether this is Ringway once more, in another way than all others are measured.
pub(crate) fn is_ringway_again(name: &str) -> bool {
    [TWO_WORKERS, TWO_ON_ONE, OVER_HTTP1, POLLING].contains(&name)
}

/// Whether this is a bound: a responder without HTTP, which shows what no server can save.
pub(crate) fn is_bound(name: &str) -> bool {
    ALL.iter().any(|peer| peer.name == name && matches!(peer.kind, Kind::Bound { .. }))
}

/// What the server of this name is spared for each request; empty if nothing is known.
pub(crate) fn spares(name: &str) -> &'static str {
    ALL.iter().find(|peer| peer.name == name).map_or("", |peer| peer.spares)
}

/// The names of those whose capacity may set the fixed rates.
fn serious() -> Vec<&'static str> {
    ALL.iter().filter(|peer| peer.serious).map(|peer| peer.name).collect()
}

/// Those of them that took part in `results`.
pub(crate) fn serious_in(results: &Results) -> Vec<&'static str> {
    let present =
        |name: &str| results.peers.iter().any(|peer| peer.name == name && peer.missing.is_none());
    serious().into_iter().filter(|name| present(name)).collect()
}

/// The peers that take part. Ringway always does, on epoll if that is asked for
/// (`scripts/ring-or-epoll`).
pub(crate) fn chosen(options: &Options) -> Vec<Peer> {
    let workloads = workloads::chosen(options);
    ALL.into_iter()
        .filter(|peer| {
            let wanted = Options::wanted(&options.peer, peer.name);
            match peer.kind {
                Kind::Ringway { .. } if peer.name == POLLING => wanted && !options.peer.is_empty(),
                Kind::Ringway { .. } => true,
                _ => wanted,
            }
        })
        .filter(|peer| workloads.iter().any(|workload| peer.takes_part(workload)))
        .collect()
}

impl Peer {
    /// How many CPUs it is given.
    pub(crate) fn cpus(&self) -> usize {
        if let Kind::Ringway { cpus, .. } = self.kind { cpus } else { 1 }
    }

    /// Whether it reports which bytes it copies.
    pub(crate) fn tells_copies(&self) -> bool {
        matches!(self.kind, Kind::Ringway { .. })
    }

    /// Whether its configuration demands kernel TLS.
    pub(crate) fn must_use_kernel_tls(&self) -> bool {
        matches!(self.kind, Kind::Ringway { ktls: "on" | "send", .. } | Kind::Nginx { ktls: true })
    }

    /// Whether it takes part in `workload`: two workers are compared with one and nobody else.
    pub(crate) fn takes_part(&self, workload: &Workload) -> bool {
        if workload.http1.is_some() {
            return self.http2;
        }
        let alone = workload.about == About::Workers;
        if self.name == POLLING {
            return !alone;
        }
        let again = is_ringway_again(self.name);
        self.name == RINGWAY || again == alone && self.name != OVER_HTTP1
    }

    /// The load generator's options for `workload`.
    pub(crate) fn loaded_with(&self, workload: &Workload) -> &'static [&'static str] {
        match workload.http1 {
            Some(options) if self.name == OVER_HTTP1 => options,
            _ => workload.options,
        }
    }

    /// Whether it takes part; if not, why.
    pub(crate) fn wanted(&self, options: &Options) -> Result<(), String> {
        if options.quick && !self.quick && options.peer.is_empty() {
            return Err("it is measured in the full set only".into());
        }
        Ok(())
    }

    /// Its version, or why it cannot be had.
    pub(crate) fn version(&self, options: &Options) -> Result<String, String> {
        match self.kind {
            Kind::Ringway { .. } => said(&options.ringway, "--version"),
            Kind::Nginx { .. } => said(Path::new("nginx"), "-v")
                .map(|said| said.trim_start_matches("nginx version: ").into()),
            Kind::Haproxy => said(Path::new("haproxy"), "-v"),
            Kind::H2o => said(Path::new("h2o"), "-v"),
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
            Kind::Ringway { workers, ktls, io, .. } => {
                command = Command::new(&options.ringway);
                command.arg("serve").arg(root).args(["--listen", &listen]);
                command.args(["--workers", &workers.to_string()]);
                command.arg("--cert").arg(cert).arg("--key").arg(key).args(["--ktls", ktls]);
                command.args(["--io", io]);
            }
            Kind::Nginx { ktls } => {
                let config = write("nginx.conf", &nginx(material, &listen, ktls))?;
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
            Kind::H2o => {
                let config = write("h2o.conf", &h2o(material, port))?;
                command = Command::new("h2o");
                command.arg("-c").arg(config);
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

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{ALL, COUNTED, Kind, locked};

    #[test]
    fn names_are_unique_and_libraries_are_locked() {
        for peers in [&ALL[..], &COUNTED] {
            let names: HashSet<_> = peers.iter().map(|peer| peer.name).collect();
            assert_eq!(names.len(), peers.len());
        }
        for peer in ALL {
            if let Kind::Library { crates, .. } = peer.kind {
                for name in crates {
                    assert!(!locked(name).contains("unknown"), "{name}");
                }
            }
        }
    }
}
