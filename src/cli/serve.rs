//! `ringway serve`: from options to a running server, and from signals to its end.
//!
//! The invariant: the first SIGTERM or SIGINT drains, the second ends at once; SIGUSR1 opens the
//! access log anew, SIGHUP has the certificates read again. The main thread does nothing but wait for one of them, or for the server to
//! end by itself.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::{Handle, Signals};

use super::options::Serve;
use super::start::start;
use super::start_block::StartBlock;
use super::{Exit, complain, open_files, print};
use crate::config::{CertificateSource, Config};
use crate::server::ServedCertificate;
use crate::{observe, privilege};

/// What this command needs of a running server.
pub(super) trait Running: Send + 'static {
    /// The addresses that are listened on, with their real ports.
    fn addresses(&self) -> Vec<SocketAddr>;
    /// The worker threads.
    fn workers(&self) -> usize;
    /// Which TLS path records take, and why.
    fn tls_path(&self) -> String;
    /// The certificates, the one for strangers first.
    fn certificates(&self) -> Vec<ServedCertificate>;
    /// What the process has given up.
    fn confinement(&self) -> Option<String>;
    /// A handle that begins the drain, with a deadline for it, and returns at once.
    fn drainer(&self) -> Box<dyn Fn(Duration) + Send>;
    /// A handle that opens the access log anew.
    fn reopener(&self) -> Box<dyn Fn() + Send>;
    /// A handle that has the certificates read again.
    fn reloader(&self) -> Box<dyn Fn() + Send>;
    /// Where the admin listener is, with its real port; None for a Unix socket or none at all.
    fn admin_address(&self) -> Option<SocketAddr>;
    /// Waits for the end of all workers.
    fn wait(self) -> Result<(), String>;
}

/// Runs the command.
pub(super) fn run(options: &Serve) -> Exit {
    let mut config = match options.config() {
        Ok(config) => config,
        Err(error) => return complain(Exit::Usage, error),
    };
    if let Err(error) = observe::log::init(config.log_format, options.log_level()) {
        return complain(Exit::Failed, error);
    }
    if let Err(error) = config.check() {
        return complain(Exit::Usage, error);
    }
    // Before any key is read.
    if !config.process.core_dumps
        && let Err(error) = privilege::forbid_core_dumps()
    {
        let advice = "allow them with --core-dumps";
        return complain(Exit::Failed, format_args!("no core dumps: {error}; {advice}"));
    }
    if config.process.user.is_none() && rustix::process::geteuid().is_root() {
        log::warn!("running as root; --user NAME gives that up once the ports are bound");
    }
    let (workers, open_files) = (config.worker_count(), open_files::raise());
    let wanted = config.limits.connections;
    match open_files::fit(&mut config.limits, open_files, workers, config.listen.len()) {
        Ok(None) => {}
        Ok(Some(said)) => log::warn!("{said}"),
        Err(error) => return complain(Exit::HostLacks, error),
    }
    // Caught before the server starts, so that no signal is lost in between.
    let signals = match Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]) {
        Ok(signals) => signals,
        Err(error) => return complain(Exit::Failed, format_args!("signals: {error}")),
    };
    match start(&config) {
        Ok(server) => {
            print(
                block(&config, &server, (config.limits.connections < wanted).then_some(open_files))
                    .to_string()
                    .as_bytes(),
            );
            oversee(server, signals, config.timeouts.drain)
        }
        Err((exit, error)) => complain(exit, error),
    }
}

/// `open_files` is the limit on descriptors, if connections had to be lowered to it.
fn block(config: &Config, server: &impl Running, open_files: Option<u64>) -> StartBlock {
    StartBlock {
        root: config.root.clone(),
        addresses: server.addresses(),
        workers: server.workers(),
        pinned: config.pin,
        tls_path: server.tls_path(),
        certificates: server.certificates(),
        self_signed: config.certificate == CertificateSource::SelfSigned,
        client_auth: config.client_auth.clone(),
        ticket_keys: config.ticket_keys.clone(),
        confinement: server.confinement(),
        connections: config.limits.connections,
        in_all: Some(config.limits.connections_in_all).filter(|in_all| *in_all > 0),
        open_files,
        memory: config.memory_ceiling(server.workers()),
        log_format: config.log_format,
        admin: match server.admin_address() {
            Some(address) => Some(format!("http://{address}/")),
            None => config.observe.admin.as_ref().map(ToString::to_string),
        },
        access_log: config.observe.access_log.as_ref().map(|log| log.path().to_owned()),
    }
}

/// Waits for the server's end, and passes on signals until then.
fn oversee(server: impl Running, mut signals: Signals, deadline: Duration) -> Exit {
    let (drain, reopen) = (server.drainer(), server.reopener());
    let reload = server.reloader();
    let ended = match await_end(server, signals.handle()) {
        Ok(ended) => ended,
        Err(error) => return complain(Exit::Failed, format_args!("a thread: {error}")),
    };
    let mut draining = false;
    for signal in signals.forever() {
        if signal == SIGUSR1 {
            reopen();
            continue;
        }
        if signal == SIGHUP {
            reload();
            continue;
        }
        if draining {
            log::warn!("a second signal: ending at once");
            return Exit::Signal(signal as u8);
        }
        draining = true;
        log::info!("draining for at most {deadline:?}; a second signal ends at once");
        drain(deadline);
    }
    match ended.recv() {
        Ok(Ok(())) => Exit::Done,
        Ok(Err(error)) => complain(Exit::Failed, error),
        Err(mpsc::RecvError) => complain(Exit::Failed, "the server ended without a word"),
    }
}

/// Waits for the server in a thread of its own, which then ends the wait for signals.
fn await_end(
    server: impl Running,
    signals: Handle,
) -> io::Result<mpsc::Receiver<Result<(), String>>> {
    let (end, ended) = mpsc::channel();
    thread::Builder::new().name("await-end".to_owned()).spawn(move || {
        let _ = end.send(server.wait());
        signals.close();
    })?;
    Ok(ended)
}

#[cfg(test)]
mod tests {
    use super::*;
    use signal_hook::low_level::raise;
    use std::sync::{Mutex, MutexGuard};

    /// Signals are the process's, so these tests take turns.
    static TURN: Mutex<()> = Mutex::new(());

    /// A server without sockets.
    struct Fake {
        drained: mpsc::Sender<()>,
        reopened: mpsc::Sender<()>,
        reloaded: mpsc::Sender<()>,
        until: mpsc::Receiver<()>,
        obeys: bool,
        result: Result<(), String>,
    }

    /// One that ends when it is told to (`obeys`), or else is told to end a second time.
    fn fake(obeys: bool, result: Result<(), String>) -> Fake {
        let (drained, until) = mpsc::channel();
        let ((reopened, _), (reloaded, _)) = (mpsc::channel(), mpsc::channel());
        Fake { drained, reopened, reloaded, until, obeys, result }
    }

    impl Running for Fake {
        fn addresses(&self) -> Vec<SocketAddr> {
            Vec::new()
        }

        fn workers(&self) -> usize {
            1
        }

        fn tls_path(&self) -> String {
            String::new()
        }

        fn certificates(&self) -> Vec<ServedCertificate> {
            Vec::new()
        }

        fn confinement(&self) -> Option<String> {
            None
        }

        fn drainer(&self) -> Box<dyn Fn(Duration) + Send> {
            let drained = self.drained.clone();
            let obeys = self.obeys;
            Box::new(move |_| {
                if obeys {
                    let _ = drained.send(());
                } else {
                    let _ = raise(SIGINT);
                }
            })
        }

        fn reopener(&self) -> Box<dyn Fn() + Send> {
            let reopened = self.reopened.clone();
            Box::new(move || _ = reopened.send(()))
        }

        fn reloader(&self) -> Box<dyn Fn() + Send> {
            let reloaded = self.reloaded.clone();
            Box::new(move || _ = reloaded.send(()))
        }

        fn admin_address(&self) -> Option<SocketAddr> {
            None
        }

        fn wait(self) -> Result<(), String> {
            if self.result.is_ok() {
                let _ = self.until.recv();
            }
            self.result
        }
    }

    fn turn() -> (MutexGuard<'static, ()>, Signals) {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (turn, Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1]).unwrap())
    }

    #[test]
    fn the_first_signal_drains() {
        let (_turn, signals) = turn();
        raise(SIGTERM).unwrap();
        assert_eq!(oversee(fake(true, Ok(())), signals, Duration::from_secs(1)), Exit::Done);
    }

    #[test]
    fn signals_of_their_own_open_the_log_anew_and_reload_and_end_nothing() {
        let (_turn, signals) = turn();
        let (reopened, seen) = mpsc::channel();
        let (reloaded, read) = mpsc::channel();
        let fake = Fake { reopened, reloaded, ..fake(true, Ok(())) };
        raise(SIGUSR1).unwrap();
        raise(SIGHUP).unwrap();
        raise(SIGTERM).unwrap();
        assert_eq!(oversee(fake, signals, Duration::from_secs(1)), Exit::Done);
        assert_eq!(seen.try_iter().count(), 1);
        assert_eq!(read.try_iter().count(), 1);
    }

    #[test]
    fn a_second_signal_ends_at_once() {
        let (_turn, signals) = turn();
        raise(SIGTERM).unwrap();
        let exit = oversee(fake(false, Ok(())), signals, Duration::from_secs(1));
        assert_eq!(exit, Exit::Signal(SIGINT as u8));
        assert_eq!(exit.code(), 130);
    }

    #[test]
    fn a_server_that_fails_is_a_failure() {
        let (_turn, signals) = turn();
        let failing = fake(true, Err("worker 1 panicked".to_owned()));
        assert_eq!(oversee(failing, signals, Duration::from_secs(1)), Exit::Failed);
    }
}
