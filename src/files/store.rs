//! Looking paths up, through the cache and through the ring.

mod making;

use std::{
    cell::{Cell, RefCell},
    fmt, io,
    rc::Rc,
    time::Duration,
};

use rustix::fs::FileType;

use super::{
    Entry, FileContent, FileEntry, FileObject, Standing,
    cache::Cache,
    entry::{self, is_settled, stat},
    folder,
    pool::Pool,
    press::Press,
    root::{Folder, Root},
};
use crate::{
    config::{Config, LISTING_BYTES, Limits, Timeouts},
    defects::give_back,
    process::{
        listing::After,
        negotiate::{Coding, Siblings},
        path::SitePath,
        validator::FileStat,
    },
    ring::{Elapsed, OpenFile, Pages, Ring},
};

/// Operations on files that were given up and that the kernel has not ended: those of a disk that
/// does not answer. With more, nothing is looked up until some end, so that such a disk cannot use
/// up the slots of the ring.
pub(super) const MAX_ABANDONED: u32 = 128;

/// Why a path was not looked up. The client gets 503.
#[derive(Debug)]
pub(crate) enum LookupError {
    /// Descriptors or memory have run out, or the disk failed.
    Io(io::Error),
    /// It was not done within [`Timeouts::process`](crate::config::Timeouts::process).
    Late(Duration),
    /// Too many operations on files have been given up and have not ended.
    DiskHangs,
    /// Enough listings are being made or sent.
    ListingsFull,
}

impl fmt::Display for LookupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "opening a file: {error}"),
            Self::Late(limit) => write!(f, "opening a file: not done after {limit:?}"),
            Self::DiskHangs => f.write_str("opening a file: the disk does not answer"),
            Self::ListingsFull => f.write_str("listing a folder: enough listings are sent"),
        }
    }
}

impl std::error::Error for LookupError {}

impl From<io::Error> for LookupError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// What making a page takes at most: the entries, the page at the longest names in memory that has
/// grown to twice what it holds, and the copy that is sent.
const MAKING_BYTES: usize = 16 << 20;

/// A number of bytes in an account, for as long as this lives.
#[derive(Debug)]
struct Reserved {
    account: Rc<Cell<usize>>,
    bytes: usize,
}

impl Reserved {
    fn new(account: &Rc<Cell<usize>>, bytes: usize) -> Self {
        account.set(account.get() + bytes);
        Self { account: Rc::clone(account), bytes }
    }

    fn set(&mut self, bytes: usize) {
        give_back(&self.account, self.bytes);
        self.account.set(self.account.get() + bytes);
        self.bytes = bytes;
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.set(0);
    }
}

/// The page that lists a folder, counted for as long as this lives, though the page was taken out.
#[derive(Debug)]
pub(crate) struct Listed {
    /// The page.
    pub page: String,
    /// It goes to some clients compressed.
    pub varies: bool,
    /// The coding that this client gets it in, and the page in that; None: it is not compressed.
    pub coding: Coding,
    pub coded: Option<Vec<u8>>,
    _place: Reserved,
}

/// What the stores of a worker share: the ring, threads, and one cache with one limit.
#[derive(Debug)]
pub(crate) struct Stores {
    ring: Rc<Ring>,
    max_file: Cell<usize>,
    /// Bytes of content in memory, in the cache or with those that it is sent to.
    alive: Rc<Cell<usize>>,
    max_alive: Cell<usize>,
    /// Bytes of listings, being made or on their way.
    listings: Rc<Cell<usize>>,
    /// For one look-up, or one listing.
    limit: Cell<Duration>,
    pool: Pool,
    press: Press,
    /// Contents that were made of files and kept, and their bytes.
    made: Cell<(u64, u64)>,
    cache: RefCell<Cache>,
}

impl Stores {
    /// Without a folder yet.
    pub(crate) fn new(ring: &Rc<Ring>, pool: Pool, press: Press, config: &Config) -> Rc<Self> {
        let limits = &config.limits;
        Rc::new(Self {
            ring: Rc::clone(ring),
            max_file: Cell::new(limits.file_cache_max_file),
            alive: Rc::default(),
            listings: Rc::default(),
            limit: Cell::new(config.timeouts.process),
            pool,
            press,
            made: Cell::default(),
            max_alive: Cell::new(limits.file_cache_bytes.saturating_mul(2)),
            cache: RefCell::new(Cache::new(limits.file_cache_entries, limits.file_cache_bytes)),
        })
    }

    /// Goes by other limits from here on: what is cached beyond them is dropped.
    pub(crate) fn set_limits(&self, limits: &Limits, timeouts: &Timeouts) {
        self.max_file.set(limits.file_cache_max_file);
        self.max_alive.set(limits.file_cache_bytes.saturating_mul(2));
        self.limit.set(timeouts.process);
        let mut cache = self.cache.borrow_mut();
        cache.set_limits(limits.file_cache_entries, limits.file_cache_bytes);
    }

    /// A store for a folder whose symbolic links are followed or not, and whose folders are answered
    /// for by files of the name `index`.
    pub(crate) fn open(
        self: &Rc<Self>,
        folder: &Folder,
        follows_links: bool,
        index: &str,
    ) -> FileStore {
        FileStore {
            shared: Rc::clone(self),
            number: self.cache.borrow_mut().open(),
            root: RefCell::new(Root::new(folder, follows_links)),
            index: index.as_bytes().to_vec(),
            shared_etags: false,
            codings: Siblings::default(),
        }
    }

    /// Contents that were made of files and kept, and their bytes, since the start.
    pub(crate) fn made(&self) -> (u64, u64) {
        self.made.get()
    }

    /// Where the bytes of listings are counted.
    pub(crate) fn listings(&self) -> &Rc<Cell<usize>> {
        &self.listings
    }

    /// Entries known, bytes of cached content, descriptors held.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn usage(&self) -> (usize, usize, usize) {
        self.cache.borrow().usage()
    }

    /// Awaits what waits for the disk, up to its limit.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, LookupError>>,
    ) -> Result<T, LookupError> {
        if self.ring.abandoned_files() >= MAX_ABANDONED {
            return Err(LookupError::DiskHangs);
        }
        let limit = self.limit.get();
        match self.ring.within(limit, work).await {
            Ok(done) => done,
            Err(Elapsed) => Err(LookupError::Late(limit)),
        }
    }
}

/// A served folder.
#[derive(Debug)]
pub(crate) struct FileStore {
    shared: Rc<Stores>,
    /// In the cache.
    number: usize,
    root: RefCell<Root>,
    index: Vec<u8>,
    /// Entity tags are made of length and time of modification alone.
    shared_etags: bool,
    /// Codings that are made of files that clients ask for.
    codings: Siblings,
}

impl Drop for FileStore {
    fn drop(&mut self) {
        self.shared.cache.borrow_mut().close(self.number);
    }
}

impl FileStore {
    /// Where the bytes of listings are counted.
    #[cfg(test)]
    pub(super) fn listings(&self) -> &Rc<Cell<usize>> {
        self.shared.listings()
    }

    /// Has entity tags made of length and time of modification alone, or not.
    #[must_use]
    pub(crate) fn with_etags(mut self, shared: bool) -> Self {
        self.shared_etags = shared;
        self
    }

    /// Serves another folder from here on. Look-ups that have begun end in the old one.
    pub(crate) fn move_to(&self, folder: &Folder) {
        let root = self.root.borrow().moved_to(folder);
        self.root.replace(root);
        self.shared.cache.borrow_mut().clear(self.number);
    }

    /// What stands at a path, if that is known and fresh.
    pub(crate) fn known(&self, path: &[u8]) -> Option<Rc<Entry>> {
        let cache = self.shared.cache.borrow();
        let entry = cache.get(self.number, path)?;
        if !entry.is_fresh(self.shared.ring.now()) {
            return None;
        }
        let entry = Rc::clone(entry);
        if !entry.has_news() {
            return Some(entry);
        }
        drop(cache);
        Some(self.adopt(path, entry))
    }

    /// Finds out what stands at a path.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn find(&self, path: &[u8]) -> Result<Rc<Entry>, LookupError> {
        let (shared, number) = (&*self.shared, self.number);
        let now = shared.ring.now();
        let old = shared.cache.borrow().get(number, path).cloned();
        if let Some(old) = &old {
            if old.is_fresh(now) {
                let old = Rc::clone(old);
                return Ok(if old.has_news() { self.adopt(path, old) } else { old });
            }
            // Others go on with what is known while this task looks.
            old.checked.set(now);
        }
        let standing = shared.in_time(self.look_up(path, old.as_deref())).await?;
        let entry = Rc::new(Entry::new(standing, now));
        let mut cache = shared.cache.borrow_mut();
        // What is not there is not kept: anyone can ask for any number of such paths.
        if matches!(entry.standing, Standing::File(_) | Standing::Folder(_)) {
            cache.insert(number, path, Rc::clone(&entry));
        } else {
            cache.remove(number, path);
        }
        drop(cache);
        // A file that is asked for seldom is looked up at each request.
        Ok(if entry.has_news() { self.adopt(path, entry) } else { entry })
    }

    /// A page that lists the folder at `below`, which clients know as `path`, of the entries behind
    /// `after`.
    ///
    /// # Errors
    /// See [`LookupError`].
    pub(crate) async fn list(
        &self,
        path: &SitePath<'_>,
        below: &[u8],
        after: Option<After>,
    ) -> Result<Box<Listed>, LookupError> {
        let shared = &*self.shared;
        let mut place = Reserved::new(&shared.listings, MAKING_BYTES);
        if shared.listings.get() > LISTING_BYTES {
            return Err(LookupError::ListingsFull);
        }
        let listing = shared.in_time(async {
            let folder = self.open(below).await?;
            Ok(folder::list(&shared.ring, &shared.pool, folder.into_fd(), after).await?)
        });
        let page = listing.await?.into_page(path);
        place.set(page.capacity());
        let (varies, coding, coded) = (false, Coding::Identity, None);
        Ok(Box::new(Listed { page, varies, coding, coded, _place: place }))
    }

    async fn open(&self, path: &[u8]) -> io::Result<OpenFile> {
        let root = self.root.borrow().clone();
        root.open_below(&self.shared.ring, path).await
    }

    async fn look_up(&self, path: &[u8], old: Option<&Entry>) -> Result<Standing, LookupError> {
        let old = old.and_then(Entry::file);
        match self.open_any(path).await? {
            Opened::File(opened, stat) => {
                Ok(Standing::File(self.file(path, opened, &stat, old).await?))
            }
            Opened::Folder => {
                let index = if path.is_empty() {
                    self.index.clone()
                } else {
                    [path, b"/", &self.index[..]].concat()
                };
                match self.open_any(&index).await? {
                    Opened::File(opened, stat) => {
                        let file = self.file(&index, opened, &stat, old).await?;
                        Ok(Standing::Folder(Some(file)))
                    }
                    Opened::Folder | Opened::Missing => Ok(Standing::Folder(None)),
                    // The folder has an index, so it is not listed.
                    Opened::Forbidden => Ok(Standing::Forbidden),
                }
            }
            Opened::Missing => Ok(Standing::Missing),
            Opened::Forbidden => Ok(Standing::Forbidden),
        }
    }

    /// Opens what stands at a path. Only a regular file stays open.
    async fn open_any(&self, path: &[u8]) -> Result<Opened, LookupError> {
        let opened = match self.open(path).await {
            Ok(opened) => opened,
            Err(error) => return refused(error),
        };
        let (kind, stat) = stat(&opened)?;
        if kind == FileType::RegularFile {
            return Ok(Opened::File(opened, stat));
        }
        self.shared.ring.close(opened.into_fd());
        // Pipes, sockets and devices have no content that could be promised.
        Ok(if kind == FileType::Directory { Opened::Folder } else { Opened::Missing })
    }

    async fn file(
        &self,
        path: &[u8],
        opened: OpenFile,
        stat: &FileStat,
        old: Option<&FileEntry>,
    ) -> Result<FileEntry, LookupError> {
        let kept = old.and_then(|old| old.exact(Coding::Identity));
        let identity = self.object(opened, stat, kept).await;
        let mut coded = Vec::new();
        for coding in Coding::SIBLINGS {
            let sibling = [path, coding.suffix().as_bytes()].concat();
            // One that may not be read is not sent; the file itself can be.
            if let Opened::File(opened, stat) = self.open_any(&sibling).await? {
                let kept = old.and_then(|old| old.exact(coding));
                coded.push((coding, self.object(opened, &stat, kept).await));
            }
        }
        if let Some(old) = old {
            let there =
                coded.iter().fold(Siblings::default(), |all, (coding, _)| all.with(*coding));
            coded.extend(old.made_of(stat, there));
        }
        let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
        let file = FileEntry::new(name, identity, coded, self.shared_etags, self.codings);
        Ok(file.after(old))
    }

    /// Takes over cached content if it is of this version of the file; else reads it, if it is
    /// small; else keeps the file open.
    async fn object(
        &self,
        opened: OpenFile,
        stat: &FileStat,
        kept: Option<&FileObject>,
    ) -> FileObject {
        let date_before = kept.and_then(|kept| kept.date_before(stat));
        let same = kept.filter(|kept| kept.stat == *stat);
        let is_long = stat.length > self.shared.max_file.get() as u64;
        let kept = same.map(|kept| &kept.content);
        if let Some(content) = kept.filter(|kept| kept.cached().is_some() || is_long) {
            self.shared.ring.close(opened.into_fd());
            return FileObject { stat: *stat, date_before, content: content.clone(), made: None };
        }
        let file = Rc::new(opened);
        let read = if !is_long && is_settled(stat) { self.read(&file, stat).await } else { None };
        let content = read.map_or(FileContent::Open(file), FileContent::Cached);
        FileObject { stat: *stat, date_before, content, made: None }
    }

    /// Reads a whole file of one version. None if it changed meanwhile, or could not be read:
    /// then it is sent from the open file, and fails there if it must. None also if what slow
    /// readers hold of other files, which have left the cache, is as much as the cache may be:
    /// an open file costs no memory.
    async fn read(&self, file: &Rc<OpenFile>, stat: &FileStat) -> Option<Rc<Pages>> {
        let length = usize::try_from(stat.length).ok()?;
        if self.shared.alive.get().saturating_add(length) > self.shared.max_alive.get() {
            return None;
        }
        let mut pages = Pages::counted(length, &self.shared.alive);
        let mut filled = 0;
        while filled < length {
            let (read, returned) =
                self.shared.ring.read_pages(file, pages, filled, filled as u64).await;
            pages = returned;
            match read {
                Ok(0) => return None,
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return None,
            }
        }
        let (_, now) = entry::stat(file).ok()?;
        (now == *stat).then(|| Rc::new(pages))
    }
}

/// What stands at a path.
enum Opened {
    File(OpenFile, FileStat),
    Folder,
    /// Nothing that is served.
    Missing,
    /// Something that may not be read.
    Forbidden,
}

/// What a failed open means: nothing there, not permitted, or out of means. What is not known to
/// mean that there is nothing is no 404, which clients and caches would believe.
fn refused(error: io::Error) -> Result<Opened, LookupError> {
    match error.raw_os_error() {
        Some(libc::EACCES | libc::EPERM) => Ok(Opened::Forbidden),
        // EXDEV and ELOOP: it leads outside, in circles, or over a link that is not followed. ENXIO
        // and ENODEV: sockets, and devices without a driver.
        Some(
            libc::ENOENT
            | libc::ENOTDIR
            | libc::ENAMETOOLONG
            | libc::EXDEV
            | libc::ELOOP
            | libc::ENXIO
            | libc::ENODEV,
        ) => Ok(Opened::Missing),
        None if error.kind() == io::ErrorKind::NotFound => Ok(Opened::Missing),
        _ => Err(LookupError::Io(error)),
    }
}
