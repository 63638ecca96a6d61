//! The store over a disk that does not answer: a scripted ring that never completes an operation.

use std::{
    fs::File,
    io::Write,
    pin::{Pin, pin},
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::super::{Entry, FileStore, LookupError, Standing, store::MAX_ABANDONED};
use crate::{
    config::{Config, Timeouts},
    process::{negotiate::Coding, path::SitePath},
    ring::{
        RingConfig, TaskId,
        sim::{Asked, SimKernel},
    },
};

struct Disk {
    kernel: SimKernel,
    store: Rc<FileStore>,
    /// What is not answered.
    hangs: Option<Asked>,
    folder: tempfile::TempDir,
}

impl Disk {
    fn new(hangs: Asked) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("page"), b"content").unwrap();
        // Content is cached once the file has been left alone for a moment.
        std::thread::sleep(Duration::from_millis(200));
        let config =
            RingConfig { operations: 1024, receive_buffer_len: 4096, ..RingConfig::small() };
        let kernel = SimKernel::new(&config).unwrap();
        kernel.ring().set_current(TaskId::first(0));
        let config = Config {
            root: folder.path().into(),
            timeouts: Timeouts { process: Duration::from_secs(3), ..Timeouts::default() },
            ..Config::default()
        };
        let store = Rc::new(super::store(kernel.ring(), &config));
        Self { kernel, store, hangs: Some(hangs), folder }
    }

    /// Awaits a future; answers with its result and the milliseconds that it took on the clock.
    fn wait<T>(&mut self, future: impl Future<Output = T>) -> (T, u64) {
        let ring = Rc::clone(self.kernel.ring());
        let began = ring.now();
        let mut future = pin!(future);
        for _ in 0..10_000 {
            if let Poll::Ready(output) =
                future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                return (output, ring.now() - began);
            }
            self.turn();
        }
        panic!("it waits for ever");
    }

    /// Polls a future until it waits for something that is not answered.
    fn start<T>(&mut self, future: &mut (impl Future<Output = T> + Unpin)) {
        for _ in 0..10_000 {
            let polled = Pin::new(&mut *future).poll(&mut Context::from_waker(Waker::noop()));
            assert!(polled.is_pending());
            if (0..self.kernel.held()).any(|at| self.kernel.asked(at) == self.hangs) {
                return;
            }
            self.turn();
        }
        panic!("it asks for nothing that hangs");
    }

    /// One turn of the loop and of the kernel, in which 10 ms pass if nothing else happens.
    fn turn(&mut self) {
        self.kernel.ring().turn().unwrap();
        self.kernel.ring().take_ready(&mut Vec::new(), usize::MAX);
        self.kernel.absorb();
        let answered = (0..self.kernel.held()).find(|at| self.kernel.asked(*at) != self.hangs);
        match (answered, answered.and_then(|at| self.kernel.asked(at))) {
            // A thread that sleeps in the kernel for a disk is not woken by a cancel.
            (Some(at), Some(Asked::Cancel)) => self.kernel.cancel(at, false),
            (Some(at), _) => self.kernel.perform(at, usize::MAX),
            (None, _) => self.kernel.advance(Duration::from_millis(10)),
        }
    }

    fn find(&mut self, path: &[u8]) -> (Result<Rc<Entry>, LookupError>, u64) {
        let store = Rc::clone(&self.store);
        self.wait(store.find(path))
    }

    fn is_read(&mut self) -> bool {
        let (found, _) = self.find(b"page");
        let entry = found.expect("the disk answers");
        entry.file().unwrap().object(Coding::Identity).content.cached().is_some()
    }

    /// The disk answers all that it was ever asked.
    fn recover(&mut self) {
        self.hangs = None;
        for _ in 0..10_000 {
            if self.kernel.held() == 0 {
                return;
            }
            self.turn();
        }
        panic!("the disk does not answer");
    }
}

const LIMIT: u64 = 3_000;

#[test]
fn a_look_up_ends_in_its_time_though_the_disk_does_not_answer() {
    for hangs in [Asked::Open, Asked::Read] {
        let mut disk = Disk::new(hangs);
        let (found, after) = disk.find(b"page");
        assert!(matches!(found, Err(LookupError::Late(_))), "{found:?}");
        assert!((LIMIT..LIMIT + 100).contains(&after), "{after} ms");
        assert_eq!(disk.kernel.ring().abandoned_files(), 1, "{hangs:?}");
        disk.recover();
        assert_eq!(disk.kernel.ring().abandoned_files(), 0, "{hangs:?}");
        assert!(disk.is_read());
    }
}

#[test]
fn a_listing_ends_in_its_time_though_the_disk_does_not_answer() {
    // The listing waits for the folder to be opened, then for a thread (its eventfd).
    for hangs in [Asked::Open, Asked::Inbox] {
        let mut disk = Disk::new(hangs);
        let store = Rc::clone(&disk.store);
        let path = SitePath::resolve(b"/").unwrap();
        let (listed, after) = disk.wait(store.list(&path, path.as_bytes(), None));
        assert!(matches!(listed, Err(LookupError::Late(_))), "{listed:?}");
        assert!((LIMIT..LIMIT + 100).contains(&after), "{after} ms");
        assert_eq!(store.listings().get(), 0, "what it would have taken is given back");
        disk.recover();
        assert!(disk.wait(store.list(&path, path.as_bytes(), None)).0.is_ok());
    }
}

#[test]
fn a_disk_that_does_not_answer_uses_up_no_more_than_its_slots() {
    let mut disk = Disk::new(Asked::Open);
    for number in 0..MAX_ABANDONED {
        let (found, _) = disk.find(number.to_string().as_bytes());
        assert!(matches!(found, Err(LookupError::Late(_))), "{found:?}");
    }
    let (found, after) = disk.find(b"page");
    assert!(matches!(found, Err(LookupError::DiskHangs)), "{found:?}");
    assert_eq!(after, 0);
    disk.recover();
    assert!(disk.is_read());
}

/// The time of change says nothing of the order of a write and a read, unless it moved in between.
#[test]
fn what_changed_while_it_was_read_is_not_cached() {
    for read_before in [0, 3] {
        let mut disk = Disk::new(Asked::Read);
        let store = Rc::clone(&disk.store);
        let mut find = Box::pin(store.find(b"page"));
        disk.start(&mut find);
        if read_before > 0 {
            let at = disk.kernel.find(Asked::Read).unwrap();
            disk.kernel.perform(at, read_before);
        }
        // In place, and of the same length.
        let mut page = File::options().write(true).open(disk.folder.path().join("page")).unwrap();
        page.write_all(b"CHANGED").unwrap();
        disk.hangs = None;
        let entry = disk.wait(find).0.unwrap();
        let object = entry.file().unwrap().object(Coding::Identity);
        assert!(object.content.cached().is_none(), "half of it may be old");
        assert!(object.content.open().is_some(), "it is sent as it is");
    }
}

#[test]
fn a_folder_whose_index_may_not_be_read_is_not_listed() {
    let mut disk = Disk::new(Asked::Open);
    std::fs::write(disk.folder.path().join("index.html"), b"secret").unwrap();
    let store = Rc::clone(&disk.store);
    let mut find = Box::pin(store.find(b""));
    // First the folder, then its index.
    for refused in [None, Some(-libc::EACCES)] {
        disk.start(&mut find);
        let at = disk.kernel.find(Asked::Open).unwrap();
        match refused {
            Some(error) => disk.kernel.end(at, error),
            None => disk.kernel.perform(at, usize::MAX),
        }
    }
    let (entry, _) = disk.wait(find);
    assert!(matches!(entry.unwrap().standing, Standing::Forbidden));
}

#[test]
fn only_what_is_known_to_be_missing_is_missing() {
    for (error, missing) in [
        (libc::ENOENT, true),
        (libc::ENOTDIR, true),
        (libc::ENAMETOOLONG, true),
        (libc::EIO, false),
        (libc::ENOTCONN, false),
        (libc::ESTALE, false),
        (libc::EMFILE, false),
        (libc::EINVAL, false),
    ] {
        let mut disk = Disk::new(Asked::Open);
        let store = Rc::clone(&disk.store);
        let mut find = Box::pin(store.find(b"page"));
        disk.start(&mut find);
        let at = disk.kernel.find(Asked::Open).unwrap();
        disk.kernel.end(at, -error);
        match disk.wait(find).0 {
            Ok(entry) => assert!(matches!(entry.standing, Standing::Missing) && missing, "{error}"),
            Err(LookupError::Io(_)) => assert!(!missing, "{error}"),
            Err(other) => panic!("{other}"),
        }
    }
}
