//! The store over a real ring and a folder.

mod late;

use std::{
    future::Future,
    os::unix::fs::PermissionsExt,
    pin::pin,
    rc::Rc,
    task::{Context, Poll, Waker},
    time::Duration,
};

use super::{Entry, FileStore, Folder, Pool, Press, Stores};
use crate::{
    config::{Config, Limits},
    process::{negotiate::Coding, validator::LastModified},
    ring::{Ring, RingConfig, TaskId},
};

fn ring() -> Rc<Ring> {
    let ring = Ring::new(&RingConfig { receive_buffer_len: 4096, ..RingConfig::small() }).unwrap();
    ring.set_current(TaskId::first(0));
    ring
}

/// The store of a configuration's folder.
fn store(ring: &Rc<Ring>, config: &Config) -> FileStore {
    let stores = Stores::new(ring, Pool::default(), Press::default(), config);
    stores.open(&Folder::open(&config.root).unwrap(), true, "index.html")
}

fn block_on<F: Future>(ring: &Rc<Ring>, future: F) -> F::Output {
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            return output;
        }
        ring.take_ready(&mut Vec::new(), usize::MAX);
        ring.turn().unwrap();
    }
}

fn is_at_hand(entry: &Entry) -> bool {
    entry.file().unwrap().object(Coding::Identity).content.cached().is_some()
}

/// A slow reader holds a file's content after it has left the cache.
#[test]
fn content_that_left_the_cache_is_bounded_too() {
    const FILE: usize = 1000;
    let folder = tempfile::tempdir().unwrap();
    for number in 0..20 {
        std::fs::write(folder.path().join(number.to_string()), [b'x'; FILE]).unwrap();
    }
    // Content is kept once the file has been left alone for a moment.
    std::thread::sleep(Duration::from_millis(200));
    let ring = ring();
    let limits =
        Limits { file_cache_bytes: 3 * FILE, file_cache_max_file: FILE, ..Limits::default() };
    let config = Config { root: folder.path().into(), limits, ..Config::default() };
    let store = store(&ring, &config);
    let find = |number: usize| block_on(&ring, store.find(number.to_string().as_bytes())).unwrap();

    let mut held: Vec<_> = (0..20).map(&find).collect();
    let at_hand = held.iter().filter(|entry| is_at_hand(entry)).count();
    assert_eq!(at_hand, 6, "the cache, and as much again");
    held.clear();
    // Nobody holds it any more: there is room again.
    let fresh: Vec<_> = (0..3).map(&find).collect();
    assert!(fresh.iter().all(|entry| is_at_hand(entry)));
}

fn date(entry: &Entry) -> Option<i64> {
    let facts = &entry.file().unwrap().facts;
    facts.representation(Coding::Identity).validators.date(i64::MAX).map(LastModified::seconds)
}

/// A deploy may bring other content under the date of the one before, or go back to an older one.
#[test]
fn a_date_that_other_content_had_is_no_validator() {
    let folder = tempfile::tempdir().unwrap();
    let ring = ring();
    let config = Config { root: folder.path().into(), ..Config::default() };
    let store = store(&ring, &config);
    let page = folder.path().join("page");
    let deploy = |seconds: u64, content: &str| {
        let new = folder.path().join("new");
        std::fs::write(&new, content).unwrap();
        let time = std::time::UNIX_EPOCH + Duration::from_secs(seconds);
        std::fs::File::open(&new).unwrap().set_modified(time).unwrap();
        std::fs::rename(&new, &page).unwrap();
    };
    let look = || {
        // Beyond `FRESH_FOR`.
        std::thread::sleep(Duration::from_millis(110));
        date(&block_on(&ring, store.find(b"page")).unwrap())
    };
    for (seconds, content, expected) in [
        (1_000, "one", Some(1_000)),
        (2_000, "two", Some(2_000)),
        (2_000, "TWO", None),
        (1_500, "older", None),
        (1_900, "newer, and older than one that was", None),
        (2_001, "newest", Some(2_001)),
    ] {
        deploy(seconds, content);
        assert_eq!(look(), expected, "{content}");
        std::fs::set_permissions(&page, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(look(), expected, "{content} with other permissions");
    }
}
