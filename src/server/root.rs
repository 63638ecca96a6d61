//! The served folder, looked at by its path once a second and on SIGHUP: a symbolic link may lead to
//! another folder, and a folder may be renamed away and replaced. The workers then serve the new
//! one; what they keep open of the old one is served to its end.
//!
//! Looking has a thread of its own, which is not waited for at the end: a network file system may
//! hold it.

use std::{
    io,
    path::PathBuf,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::Duration,
};

use rustix::fs::{Access, Mode, OFlags};

use super::StartError;
use crate::{
    files::Folder,
    worker::{Command, Inbox},
};

/// How often the path is looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// What became of the path since the start.
#[derive(Debug, Default)]
pub(super) struct RootFigures {
    /// There is no folder at the path at present.
    pub(super) missing: AtomicBool,
    /// Times that another folder took the place of the served one.
    pub(super) replaced: AtomicU64,
}

#[derive(Clone, Copy, Debug)]
enum Errand {
    Look,
    End,
}

/// What stands at the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This folder, by device and inode, which is served.
    Served(u64, u64),
    /// A folder that this process may not read; the one before is served.
    Refused(u64, u64),
    /// None.
    Missing,
}

/// Looks at the path of the served folder.
#[derive(Debug)]
pub(super) struct RootWatch {
    errands: Sender<Errand>,
    received: Mutex<Option<Receiver<Errand>>>,
    figures: Arc<RootFigures>,
}

impl RootWatch {
    pub(super) fn new() -> Self {
        let (errands, received) = mpsc::channel();
        Self { errands, received: Mutex::new(Some(received)), figures: Arc::default() }
    }

    pub(super) fn figures(&self) -> &Arc<RootFigures> {
        &self.figures
    }

    /// Starts the thread. `folder` is what the workers serve.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(
        &self,
        path: PathBuf,
        folder: &Folder,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Result<(), StartError> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(received) = received else { return Ok(()) };
        let (device, inode) = folder.identity();
        let found = Found::Served(device, inode);
        let mut looking = Looking { path, found, inboxes, figures: Arc::clone(&self.figures) };
        let thread = thread::Builder::new().name("folder".to_owned());
        thread.spawn(move || looking.run(&received)).map(drop).map_err(StartError::Thread)
    }

    /// Has the path looked at, by that thread.
    pub(super) fn call(&self) {
        // It may have ended with the server.
        let _ = self.errands.send(Errand::Look);
    }

    /// Ends that thread.
    pub(super) fn end(&self) {
        let _ = self.errands.send(Errand::End);
    }
}

struct Looking {
    path: PathBuf,
    found: Found,
    inboxes: Vec<Arc<Inbox>>,
    figures: Arc<RootFigures>,
}

impl Looking {
    fn run(&mut self, errands: &Receiver<Errand>) {
        loop {
            match errands.recv_timeout(INTERVAL) {
                Ok(Errand::Look) | Err(RecvTimeoutError::Timeout) => self.look(),
                Ok(Errand::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    fn look(&mut self) {
        let shown = self.path.display();
        let folder = Folder::open(&self.path);
        self.figures.missing.store(folder.is_err(), Ordering::Relaxed);
        let folder = match folder {
            Ok(folder) => folder,
            Err(error) => {
                if self.found != Found::Missing {
                    log::error!("folder: {shown} is gone ({error}); what it was is still served");
                }
                self.found = Found::Missing;
                return;
            }
        };
        let (device, inode) = folder.identity();
        if self.found == Found::Served(device, inode) || self.found == Found::Refused(device, inode)
        {
            return;
        }
        if let Err(error) = self.may_read(&folder) {
            log::error!(
                "folder: {shown} is another folder now, and the old one is still served: {error}. \
                 Landlock leaves to ringway the folder of the start and, if that was named by a \
                 symbolic link, those beside it: replace the link, or restart ringway"
            );
            self.found = Found::Refused(device, inode);
            return;
        }
        self.found = Found::Served(device, inode);
        self.figures.replaced.fetch_add(1, Ordering::Relaxed);
        let folder = Arc::new(folder);
        for inbox in &self.inboxes {
            inbox.send(Command::Folder(Arc::clone(&folder)));
        }
        log::info!("folder: {shown} is another folder now, which is served from here on");
    }

    /// Whether Landlock lets this process read the folder. One that its permissions deny is served
    /// as it would be at the start: its files may be readable.
    fn may_read(&self, folder: &Folder) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, ".", flags, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::ACCESS)
                if rustix::fs::access(&self.path, Access::READ_OK).is_err() =>
            {
                Ok(())
            }
            Err(error) => Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, os::unix::fs::symlink, path::Path};

    fn looking(path: &Path) -> Looking {
        let (device, inode) = Folder::open(path).unwrap().identity();
        Looking {
            path: path.to_owned(),
            found: Found::Served(device, inode),
            inboxes: vec![Arc::new(Inbox::new().unwrap())],
            figures: Arc::default(),
        }
    }

    fn replaced(looking: &Looking) -> u64 {
        looking.figures.replaced.load(Ordering::Relaxed)
    }

    #[test]
    fn a_folder_that_is_replaced_is_noticed_once() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        for name in ["one", "two"] {
            fs::create_dir(path(name)).unwrap();
        }
        symlink("one", path("current")).unwrap();
        let mut looking = looking(&path("current"));
        looking.look();
        assert_eq!(replaced(&looking), 0);
        // As it is done so that there is a folder at every moment: `ln -s two t; mv -T t current`.
        symlink("two", path("new")).unwrap();
        fs::rename(path("new"), path("current")).unwrap();
        looking.look();
        looking.look();
        assert_eq!(replaced(&looking), 1);
    }

    #[test]
    fn a_folder_that_is_gone_is_said_to_be_until_one_is_there() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("www")).unwrap();
        let mut looking = looking(&path("www"));
        fs::rename(path("www"), path("old")).unwrap();
        looking.look();
        assert!(looking.figures.missing.load(Ordering::Relaxed));
        fs::create_dir(path("www")).unwrap();
        looking.look();
        assert!(!looking.figures.missing.load(Ordering::Relaxed));
        assert_eq!(replaced(&looking), 1);
    }
}
