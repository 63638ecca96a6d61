//! The served folders, looked at by their paths once a second and on SIGHUP: a symbolic link may lead
//! to another folder, and a folder may be renamed away and replaced. The workers then serve the new
//! one; what they keep open of the old one is served to its end.
//!
//! Looking has a thread of its own, which is not waited for at the end: a network file system may
//! hold it.

use std::{
    collections::HashMap,
    io,
    path::Path,
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
    conn::SitePlan,
    files::Folder,
    worker::{Command, Inbox},
};

/// How often paths are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// How many are looked at each time, in turn: with more, a change is noticed later.
const AT_A_TIME: usize = 256;

/// What became of the paths since the start.
#[derive(Debug, Default)]
pub(super) struct RootFigures {
    /// There is no folder at one of the paths at present.
    pub(super) missing: AtomicBool,
    /// Times that another folder took the place of a served one.
    pub(super) replaced: AtomicU64,
}

#[derive(Debug)]
enum Message {
    Look,
    /// Look at the folders of this plan from here on.
    Watch(Arc<SitePlan>),
    End,
}

/// What stands at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// This folder, by device and inode, which is served.
    Served(u64, u64),
    /// A folder that this process may not read; the one before is served.
    Refused(u64, u64),
    /// None.
    Missing,
}

/// Looks at the paths of the served folders.
#[derive(Debug)]
pub(super) struct RootWatch {
    messages: Sender<Message>,
    received: Mutex<Option<Receiver<Message>>>,
    figures: Arc<RootFigures>,
}

impl RootWatch {
    pub(super) fn new() -> Self {
        let (messages, received) = mpsc::channel();
        Self { messages, received: Mutex::new(Some(received)), figures: Arc::default() }
    }

    pub(super) fn figures(&self) -> &Arc<RootFigures> {
        &self.figures
    }

    /// Starts the thread. `plan` is what the workers serve.
    ///
    /// # Errors
    /// There is no thread for it.
    pub(super) fn start(
        &self,
        plan: &SitePlan,
        inboxes: Vec<Arc<Inbox>>,
    ) -> Result<(), StartError> {
        let received = self.received.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(received) = received else { return Ok(()) };
        let watched = watched(plan);
        let mut looking = Looking { watched, next: 0, inboxes, figures: Arc::clone(&self.figures) };
        let thread = thread::Builder::new().name("folder".to_owned());
        thread.spawn(move || looking.run(&received)).map(drop).map_err(StartError::Thread)
    }

    /// Has all paths looked at, by that thread.
    pub(super) fn call(&self) {
        // It may have ended with the server.
        let _ = self.messages.send(Message::Look);
    }

    /// Has the folders of another plan looked at from here on.
    pub(super) fn watch(&self, plan: Arc<SitePlan>) {
        let _ = self.messages.send(Message::Watch(plan));
    }

    /// Ends that thread.
    pub(super) fn end(&self) {
        let _ = self.messages.send(Message::End);
    }
}

/// The folders of a plan.
fn watched(plan: &SitePlan) -> Vec<Watched> {
    let watched = plan.folders().map(|(path, folder)| {
        let (device, inode) = folder.identity();
        Watched { path: path.into(), found: Found::Served(device, inode) }
    });
    watched.collect()
}

/// A path, and what was found there last.
struct Watched {
    path: Arc<Path>,
    found: Found,
}

struct Looking {
    watched: Vec<Watched>,
    /// The first of those that were not looked at last time.
    next: usize,
    inboxes: Vec<Arc<Inbox>>,
    figures: Arc<RootFigures>,
}

impl Looking {
    fn run(&mut self, messages: &Receiver<Message>) {
        loop {
            match messages.recv_timeout(INTERVAL) {
                Ok(Message::Look) => self.look(self.watched.len()),
                Ok(Message::Watch(plan)) => self.watch(&plan),
                Err(RecvTimeoutError::Timeout) => self.look(AT_A_TIME),
                Ok(Message::End) | Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Looks at the folders of another plan from here on. Workers keep the stores of paths that stay,
    /// with the folders that those were moved to.
    fn watch(&mut self, plan: &SitePlan) {
        let before = std::mem::take(&mut self.watched);
        let mut found: HashMap<_, _> =
            before.into_iter().map(|watched| (watched.path, watched.found)).collect();
        self.watched = watched(plan);
        for watched in &mut self.watched {
            if let Some(found) = found.remove(&watched.path) {
                watched.found = found;
            }
        }
        self.next = 0;
    }

    /// Looks at so many paths, from where the last look ended.
    fn look(&mut self, most: usize) {
        let all = self.watched.len();
        for _ in 0..most.min(all) {
            let at = self.next % all;
            self.next = at + 1;
            if let Some(watched) = self.watched.get_mut(at)
                && let Some(folder) = watched.look()
            {
                let (path, folder) = (Arc::clone(&watched.path), Arc::new(folder));
                self.figures.replaced.fetch_add(1, Ordering::Relaxed);
                for inbox in &self.inboxes {
                    inbox.send(Command::Folder(Arc::clone(&path), Arc::clone(&folder)));
                }
                let shown = path.display();
                log::info!("folder: {shown} is another folder now, which is served from here on");
            }
        }
        let missing = self.watched.iter().any(|watched| watched.found == Found::Missing);
        self.figures.missing.store(missing, Ordering::Relaxed);
    }
}

impl Watched {
    /// The folder that stands at the path, if it is another one and can be served.
    fn look(&mut self) -> Option<Folder> {
        let shown = self.path.display();
        let folder = match Folder::open(&self.path) {
            Ok(folder) => folder,
            Err(error) => {
                if self.found != Found::Missing {
                    log::error!("folder: {shown} is gone ({error}); what it was is still served");
                }
                self.found = Found::Missing;
                return None;
            }
        };
        let (device, inode) = folder.identity();
        if self.found == Found::Served(device, inode) || self.found == Found::Refused(device, inode)
        {
            return None;
        }
        if let Err(error) = self.may_read(&folder) {
            log::error!(
                "folder: {shown} is another folder now, and the old one is still served: {error}. \
                 Landlock leaves to ringway the folder of the start and, if that was named by a \
                 symbolic link, those beside it: replace the link, or restart ringway"
            );
            self.found = Found::Refused(device, inode);
            return None;
        }
        self.found = Found::Served(device, inode);
        Some(folder)
    }

    /// Whether Landlock lets this process read the folder. One that its permissions deny is served
    /// as it would be at the start: its files may be readable.
    fn may_read(&self, folder: &Folder) -> io::Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        match rustix::fs::openat(folder, ".", flags, Mode::empty()) {
            Ok(_) => Ok(()),
            Err(rustix::io::Errno::ACCESS)
                if rustix::fs::access(&*self.path, Access::READ_OK).is_err() =>
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
    use std::{fs, os::unix::fs::symlink};

    fn looking(path: &Path) -> Looking {
        let (device, inode) = Folder::open(path).unwrap().identity();
        Looking {
            watched: vec![Watched { path: path.into(), found: Found::Served(device, inode) }],
            next: 0,
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
        looking.look(1);
        assert_eq!(replaced(&looking), 0);
        // As it is done so that there is a folder at every moment: `ln -s two t; mv -T t current`.
        symlink("two", path("new")).unwrap();
        fs::rename(path("new"), path("current")).unwrap();
        looking.look(1);
        looking.look(1);
        assert_eq!(replaced(&looking), 1);
    }

    #[test]
    fn a_folder_that_is_gone_is_said_to_be_until_one_is_there() {
        let place = tempfile::tempdir().unwrap();
        let path = |name: &str| place.path().join(name);
        fs::create_dir(path("www")).unwrap();
        let mut looking = looking(&path("www"));
        fs::rename(path("www"), path("old")).unwrap();
        looking.look(1);
        assert!(looking.figures.missing.load(Ordering::Relaxed));
        fs::create_dir(path("www")).unwrap();
        looking.look(1);
        assert!(!looking.figures.missing.load(Ordering::Relaxed));
        assert_eq!(replaced(&looking), 1);
    }
}
