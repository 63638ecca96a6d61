//! `ringway serve`: from options to a running server, and from signals to its end.
//!
//! The invariant: the first SIGTERM or SIGINT drains, the second ends at once; SIGUSR1 opens the
//! access log anew, SIGHUP has the certificates read again. During the start there is nothing to
//! drain, and SIGTERM and SIGINT end the process at once. The main thread does nothing but wait for
//! signals, or for the server to end by itself.

use std::io;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag::register_conditional_shutdown;
use signal_hook::iterator::{Handle, Signals};

use super::options::Serve;
use super::reload::{self, Reload};
use super::start_block::StartBlock;
use super::{Exit, complain, open_files, print};
use log::LevelFilter;

use crate::config::{Action, Config, LogFormat, Route};
use crate::observe::Counts;
use crate::server::{self, Builder, Prepared, RunningServer, ServerError, StartError};
use crate::{observe, privilege};

/// Runs the command.
pub(super) fn run(options: &Serve) -> Exit {
    match configuration(options) {
        Ok(config) => run_as(config, options.log_level(), options.config.as_deref()),
        Err(why) => complain(Exit::Usage, why),
    }
}

/// Runs a server as configured, by this file if there is one.
pub(super) fn run_as(mut config: Config, log_level: LevelFilter, file: Option<&Path>) -> Exit {
    if let Err(error) = observe::log::init(config.log_format, log_level) {
        return complain(Exit::Failed, error);
    }
    // Caught before anything that may block, so that none is lost and none is ignored.
    let starting = Arc::new(AtomicBool::new(true));
    let signals = match catch_signals(&starting) {
        Ok(signals) => signals,
        Err(error) => return complain(Exit::Failed, format_args!("signals: {error}")),
    };
    if let Err(error) = server::check(&config) {
        return complain(exit_of(&error), error);
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
    let control = match config.process.control.as_deref().map(reload::bind).transpose() {
        Ok(control) => control,
        Err(error) => return complain(Exit::Failed, format_args!("control socket: {error}")),
    };
    let as_read = config.clone();
    let (workers, open_files) = (config.worker_count(), open_files::raise());
    let wanted = config.limits.connections;
    let listeners = config.listeners();
    match open_files::fit(&mut config.limits, open_files, workers, listeners) {
        Ok(None) => {}
        Ok(Some(said)) => log::warn!("{said}"),
        Err(error) => return complain(Exit::HostLacks, error),
    }
    // The only thread is this one: what it gives up, those that are started hereafter lack too.
    let started = Builder::from(config.clone())
        .prepare()
        .and_then(Prepared::confine)
        .and_then(Prepared::start);
    let server = match started {
        Ok(server) => server,
        Err(error) => return complain(exit_of(&error), error),
    };
    let too_few = (config.limits.connections < wanted).then_some(open_files);
    let block = block(&server, too_few);
    let text = match config.log_format {
        LogFormat::Text => block.to_string(),
        LogFormat::Json => block.to_json(),
    };
    // From the block on a signal drains.
    starting.store(false, Ordering::SeqCst);
    print(text.as_bytes());
    let reload = match file.map(|file| reloads(file, as_read, &server, control)).transpose() {
        Ok(reload) => reload,
        Err(error) => return complain(Exit::HostLacks, format_args!("a thread: {error}")),
    };
    oversee(server, signals, reload.as_ref())
}

/// What reads the file again when that is asked for.
fn reloads(
    file: &Path,
    config: Config,
    server: &RunningServer,
    control: Option<UnixListener>,
) -> io::Result<Reload> {
    let reload = Reload::start(file.to_owned(), config, server.handle())?;
    if let Some(control) = control {
        reload.listen(control)?;
    }
    Ok(reload)
}

/// The configuration that the options or the file describe.
fn configuration(options: &Serve) -> Result<Config, String> {
    let Some(file) = &options.config else {
        return options.config().map_err(|error| error.to_string());
    };
    // What a file describes is not changed by options, but for the number of threads.
    let others = options.settings.given.iter().filter_map(|given| given.row.option);
    let others: Vec<_> = others.filter(|option| *option != "workers").collect();
    if !others.is_empty() {
        return Err(format!(
            "--{} cannot stand beside --config; write it into {}, where \
             `ringway config from-options` shows how",
            others.join(", --"),
            file.display()
        ));
    }
    let mut config = super::check::read(file)?;
    if let Some(workers) = options.config().map_err(|error| error.to_string())?.workers {
        config.workers = Some(workers);
    }
    Ok(config)
}

/// Catches all signals that mean something here. While `starting` is set, those that drain end the
/// process at once; the handler does so itself, since the first process of a container has no default
/// action (pid_namespaces(7)).
fn catch_signals(starting: &Arc<AtomicBool>) -> io::Result<Signals> {
    for signal in [SIGTERM, SIGINT] {
        let status = Exit::Signal(signal as u8).code().into();
        register_conditional_shutdown(signal, status, Arc::clone(starting))?;
    }
    Signals::new([SIGTERM, SIGINT, SIGHUP, SIGUSR1])
}

/// How the program ends if the server does not start.
fn exit_of(error: &StartError) -> Exit {
    if error.is_host_unsupported() {
        Exit::HostLacks
    } else if error.is_configuration() {
        Exit::Usage
    } else {
        Exit::Failed
    }
}

/// `open_files` is the limit on descriptors, if connections had to be lowered to it.
fn block(server: &RunningServer, open_files: Option<u64>) -> StartBlock {
    let config = server.config();
    StartBlock {
        serves: serves(config),
        addresses: server.addresses().to_vec(),
        plain: server.plain_addresses(),
        redirect: server.redirect_addresses(),
        workers: server.workers(),
        cpus: server.placement(),
        tls_path: server.tls_path().to_owned(),
        io_path: server.io_path().to_owned(),
        certificates: server.certificates(),
        client_auth: config.client_auth.clone(),
        ticket_keys: config.ticket_keys.clone(),
        confinement: server.confinement().map(str::to_owned),
        connections: config.limits.connections,
        in_all: Some(config.limits.connections_in_all).filter(|in_all| *in_all > 0),
        open_files,
        memory: server.memory_ceiling(),
        log_format: config.log_format,
        admin: match server.admin_address() {
            Some(address) if config.observe.guards_admin() => {
                let token = config.observe.admin_token.as_ref().map(|_| "the token");
                let certificate = config.observe.admin_client_ca.as_ref().map(|_| "a certificate");
                let asked: Vec<_> = token.into_iter().chain(certificate).collect();
                Some(format!("https://{address}/ for clients with {}", asked.join(" and ")))
            }
            Some(address) => Some(format!("http://{address}/")),
            None => config.observe.admin.as_ref().map(ToString::to_string),
        },
        spans: config.observe.otlp.as_ref().map(ToString::to_string),
        access_log: config.observe.access_log.as_ref().map(|log| log.path().to_owned()),
    }
}

/// What is served, for the first line.
fn serves(config: &Config) -> String {
    if config.sites.is_empty() {
        return config.root.display().to_string();
    }
    if let [site] = config.sites.as_slice()
        && let [Route { action: Action::Proxy { pool }, .. }] = site.routes.as_slice()
        && let Some(pool) = config.pools.get(pool)
        && site.names.is_empty()
    {
        let servers: Vec<_> =
            pool.servers.iter().map(|server| server.address.to_string()).collect();
        return format!("what {} answers", servers.join(", "));
    }
    let mut names = config.sites.iter().flat_map(|site| &site.names);
    let shown: Vec<_> = names.by_ref().take(3).map(ToString::to_string).collect();
    let more = names.count();
    let sites = config.sites.len();
    let (sites, plural) = (sites, if sites == 1 { "" } else { "s" });
    match (shown.is_empty(), more) {
        (true, _) => format!("{sites} site{plural}"),
        (false, 0) => format!("{sites} site{plural}: {}", shown.join(", ")),
        (false, more) => format!("{sites} site{plural}: {} and {more} more", shown.join(", ")),
    }
}

/// Waits for the server's end, and passes on signals until then.
fn oversee(server: RunningServer, mut signals: Signals, reload: Option<&Reload>) -> Exit {
    let handle = server.handle();
    let ended = match await_end(server, signals.handle()) {
        Ok(ended) => ended,
        Err(error) => return complain(Exit::Failed, format_args!("a thread: {error}")),
    };
    let mut draining = false;
    for signal in signals.forever() {
        match signal {
            SIGUSR1 => handle.reopen_access_log(),
            SIGHUP => {
                handle.request_reload();
                if let Some(reload) = reload {
                    reload.request();
                }
            }
            _ if draining => {
                log::warn!("a second signal: ending at once");
                return Exit::Signal(signal as u8);
            }
            _ => {
                draining = true;
                let delay = handle.leave();
                let fallback = handle.clone();
                let handle = handle.clone();
                let drain = move || {
                    thread::sleep(delay);
                    let deadline = handle.drain_as_configured();
                    log::info!("draining for at most {deadline:?}; a second signal ends at once");
                };
                if delay.is_zero() {
                    drain();
                    continue;
                }
                log::info!("serving for {delay:?} before the drain; a second signal ends at once");
                let later = thread::Builder::new().name("drain-delay".to_owned());
                if let Err(error) = later.spawn(drain) {
                    log::error!("drain: a thread: {error}; draining at once");
                    fallback.drain_as_configured();
                }
            }
        }
    }
    match ended.recv() {
        Ok(outcome) => exit_after(outcome),
        Err(mpsc::RecvError) => complain(Exit::Failed, "the server ended without a word"),
    }
}

fn exit_after(outcome: Result<Counts, ServerError>) -> Exit {
    match outcome {
        Ok(_) => Exit::Done,
        Err(error) => complain(Exit::Failed, error),
    }
}

/// Waits for the server in a thread of its own, which then ends the wait for signals.
fn await_end(
    server: RunningServer,
    signals: Handle,
) -> io::Result<mpsc::Receiver<Result<Counts, ServerError>>> {
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
    use crate::config::{AccessLogTarget, ObserveOptions};
    use signal_hook::low_level::raise;
    use std::sync::{Mutex, MutexGuard};
    use std::time::Duration;

    /// Signals are the process's, so these tests take turns.
    static TURN: Mutex<()> = Mutex::new(());

    /// A server for a folder with an access log in it.
    fn server() -> (tempfile::TempDir, RunningServer) {
        let folder = tempfile::tempdir().unwrap();
        let access_log = AccessLogTarget::File(folder.path().join("access.log"));
        let config = Config {
            root: folder.path().to_owned(),
            listen: vec!["127.0.0.1:0".parse().unwrap()],
            workers: Some(1),
            pin: false,
            observe: ObserveOptions { access_log: Some(access_log), ..ObserveOptions::default() },
            ..Config::default()
        };
        let server = Builder::from(config).start().unwrap();
        (folder, server)
    }

    fn turn() -> (MutexGuard<'static, ()>, Signals) {
        let turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        (turn, catch_signals(&Arc::default()).unwrap())
    }

    #[test]
    fn the_first_signal_drains() {
        let (_turn, signals) = turn();
        let (_folder, server) = server();
        raise(SIGTERM).unwrap();
        assert_eq!(oversee(server, signals, None), Exit::Done);
    }

    #[test]
    fn signals_of_their_own_open_the_log_anew_and_reload_and_end_nothing() {
        let (_turn, signals) = turn();
        let (folder, server) = server();
        let log = folder.path().join("access.log");
        std::fs::rename(&log, folder.path().join("access.log.1")).unwrap();
        let handle = server.handle();
        let overseen = thread::spawn(move || oversee(server, signals, None));
        raise(SIGUSR1).unwrap();
        raise(SIGHUP).unwrap();
        let until = std::time::Instant::now() + Duration::from_secs(120);
        while !log.exists() {
            assert!(std::time::Instant::now() < until, "the log is not opened anew");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(!overseen.is_finished());
        handle.drain(Duration::from_secs(60));
        assert_eq!(overseen.join().unwrap(), Exit::Done);
    }

    #[test]
    fn a_second_signal_ends_at_once() {
        let (_turn, signals) = turn();
        let (_folder, server) = server();
        raise(SIGTERM).unwrap();
        raise(SIGINT).unwrap();
        // Both are there at the first look, in no order.
        let exit = oversee(server, signals, None);
        assert!(matches!(exit.code(), 130 | 143), "{exit:?}");
    }

    #[test]
    fn a_server_that_fails_is_a_failure() {
        assert_eq!(exit_after(Err(ServerError::Panicked)), Exit::Failed);
        assert_eq!(exit_after(Ok(Counts::default())), Exit::Done);
    }
}
