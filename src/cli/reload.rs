//! A reload of the configuration file: by SIGHUP, whose outcome goes to the log, or by
//! `ringway reload`, which waits for the outcome at a Unix socket.
//!
//! The invariant: the file is read by one thread, one reload after the other, and a file that is wrong
//! changes nothing.

use std::{
    fs,
    io::{self, BufRead, BufReader, Read, Write},
    os::unix::{
        fs::PermissionsExt,
        net::{UnixListener, UnixStream},
    },
    path::{Path, PathBuf},
    sync::mpsc::{self, Receiver, SyncSender},
    thread,
    time::Duration,
};

use super::{Exit, check, complain, options::Reload as Options, print};
use crate::{config::Config, server::Handle};

/// What the command sends, and what it gets back in front of the text.
const REQUEST: &str = "reload\n";
const DONE: &str = "done\n";

/// How long one side waits for the other to send: the reload itself has its own bounds, which are
/// shorter together.
const PATIENCE: Duration = Duration::from_secs(180);

/// Reloads that wait; beyond them, one that waits stands for all.
const WAITING: usize = 16;

/// Who waits for the outcome of a reload, if anybody does.
type Waiting = Option<SyncSender<Result<String, String>>>;

/// The thread that reloads.
pub(super) struct Reload {
    requests: SyncSender<Waiting>,
}

impl Reload {
    /// Starts the thread. `config` is what the server was started with: what `file` said then.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(file: PathBuf, config: Config, handle: Handle) -> io::Result<Self> {
        let (requests, received) = mpsc::sync_channel(WAITING);
        let thread = thread::Builder::new().name("reload".to_owned());
        thread.spawn(move || run(&file, config, &handle, &received))?;
        Ok(Self { requests })
    }

    /// Has the file read again. Without room for the request, one that waits does the same.
    pub(super) fn request(&self) {
        let _ = self.requests.try_send(None);
    }

    /// Answers `ringway reload` at a socket, by a thread of its own.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn listen(&self, socket: UnixListener) -> io::Result<()> {
        let requests = self.requests.clone();
        let thread = thread::Builder::new().name("control".to_owned());
        thread.spawn(move || {
            for client in socket.incoming().flatten() {
                // One after the other: a client has a bounded time.
                if let Err(error) = answer(&client, &requests) {
                    log::debug!("control: {error}");
                }
            }
        })?;
        Ok(())
    }
}

/// Reads the file again whenever that is asked for.
fn run(file: &Path, mut config: Config, handle: &Handle, requests: &Receiver<Waiting>) {
    for waiting in requests {
        let outcome = reload(file, &mut config, handle);
        match &outcome {
            Ok(done) => log::info!("{done}"),
            Err(why) => {
                log::error!("reload: refused, the configuration before stays in force: {why}");
            }
        }
        if let Some(waiting) = waiting {
            // It may have given up.
            let _ = waiting.try_send(outcome);
        }
    }
}

fn reload(file: &Path, config: &mut Config, handle: &Handle) -> Result<String, String> {
    let mut new = check::read(file)?;
    // An option of the command line holds whatever the file says.
    new.workers = config.workers;
    handle.replace(config, &new).map_err(|error| error.to_string())?;
    *config = new;
    let (sites, plural) = (config.sites.len(), if config.sites.len() == 1 { "" } else { "s" });
    Ok(format!("reload: {} is in force, {sites} site{plural}", file.display()))
}

/// Answers one client.
fn answer(client: &UnixStream, requests: &SyncSender<Waiting>) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(client.try_clone()?.take(64)).read_line(&mut line)?;
    if line != REQUEST {
        return Err(io::Error::other("another request than a reload"));
    }
    let (outcome, waits) = mpsc::sync_channel(1);
    let gone = |_| io::Error::other("the server ends");
    requests.send(Some(outcome)).map_err(|_| io::Error::other("the server ends"))?;
    let outcome = waits.recv_timeout(PATIENCE).map_err(gone)?;
    let text = match outcome {
        Ok(done) => format!("{DONE}{done}\n"),
        Err(why) => format!("refused\n{why}\n"),
    };
    let mut client = client;
    client.write_all(text.as_bytes())
}

/// Makes the socket, for the user of the process alone. One that nobody answers at is replaced.
///
/// # Errors
/// What bind(2) says; somebody answers at the path.
pub(super) fn bind(path: &Path) -> io::Result<UnixListener> {
    if UnixStream::connect(path).is_ok() {
        return Err(io::Error::new(io::ErrorKind::AddrInUse, "another server answers there"));
    }
    let is_socket = fs::symlink_metadata(path).is_ok_and(|metadata| {
        use std::os::unix::fs::FileTypeExt;
        metadata.file_type().is_socket()
    });
    if is_socket {
        fs::remove_file(path)?;
    }
    let listener = UnixListener::bind(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Runs `ringway reload`.
pub(super) fn ask(options: &Options) -> Exit {
    let config = match check::read(&options.file) {
        Ok(config) => config,
        Err(why) => return complain(Exit::Usage, why),
    };
    let Some(path) = &config.process.control else {
        return complain(
            Exit::Usage,
            format_args!(
                "{} names no control socket; add control = \"/run/ringway/control.sock\" to \
                 [process] and restart, or send SIGHUP, whose outcome is in the log",
                options.file.display()
            ),
        );
    };
    let asked = || -> io::Result<String> {
        let server = UnixStream::connect(path)?;
        server.set_read_timeout(Some(PATIENCE))?;
        (&server).write_all(REQUEST.as_bytes())?;
        let mut text = String::new();
        server.take(1 << 20).read_to_string(&mut text)?;
        Ok(text)
    };
    match asked() {
        Ok(text) => match (text.strip_prefix(DONE), text.strip_prefix("refused\n")) {
            (Some(done), _) => print(done.as_bytes()),
            (None, Some(why)) => complain(Exit::Usage, why.trim_end()),
            (None, None) => complain(Exit::Failed, "the server ended before it answered"),
        },
        Err(error) => {
            complain(Exit::Failed, format_args!("{}: {error}; is ringway running?", path.display()))
        }
    }
}
