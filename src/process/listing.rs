//! The page that lists a folder.
//!
//! The invariant: names are shown escaped, linked percent-encoded and only where a link can be
//! followed; a page holds at most [`MAX_ENTRIES`] of them, in order, and links to the next page. A
//! page is found by the entry before it, so that making any page of any folder takes the memory of
//! one page.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::fmt::{self, Write};

use super::path::{SitePath, is_reachable};
use super::percent;
use crate::calendar::Utc;

#[cfg(test)]
mod tests;

/// The most entries of one page; at the longest names it then takes some four megabytes, and some
/// 300 KB at usual ones.
pub(crate) const MAX_ENTRIES: usize = 2_000;

/// One entry of a folder. Folders come first, and each kind by name, byte by byte.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Its name, as the file system has it.
    pub name: Box<[u8]>,
    /// Its length in bytes; `None` for a folder.
    pub length: Option<u64>,
    /// When it was modified: seconds since the epoch.
    pub modified: i64,
}

impl Entry {
    fn key(&self) -> (bool, &[u8]) {
        (self.length.is_some(), &self.name)
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(&other.key())
    }
}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where a page begins: behind this entry, which need not be there any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct After {
    is_file: bool,
    name: Box<[u8]>,
}

impl After {
    /// Reads the query of a request for a listing: `after=NAME` for a file, `after=NAME/` for a
    /// folder, percent-encoded. None for any other query: the first page.
    pub(crate) fn of(query: Option<&[u8]>) -> Option<Self> {
        let value = query?.strip_prefix(b"after=")?;
        let name = percent::decode(value)?;
        let (is_file, name) = match name.strip_suffix(b"/") {
            Some(name) => (false, name),
            None => (true, &name[..]),
        };
        is_reachable(name).then(|| Self { is_file, name: name.into() })
    }
}

/// A folder's entries, gathered one by one in any order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Listing {
    after: Option<After>,
    /// The first entries behind `after` so far.
    entries: BinaryHeap<Entry>,
    /// Entries up to `after`.
    before: u64,
    /// Entries behind those of the page.
    behind: u64,
    /// How many names were looked at, if there are more.
    cut_off: Option<usize>,
}

impl Listing {
    /// The page that begins behind an entry, or the first.
    pub(crate) fn new(after: Option<After>) -> Self {
        Self { after, ..Self::default() }
    }

    /// Whether an entry of this name belongs in a listing: dotfiles, and names that no request can
    /// spell, do not. Ask before looking up an entry's length and date.
    pub(crate) fn shows(name: &[u8]) -> bool {
        is_reachable(name)
    }

    /// Whether an entry belongs in this page, as far as is known; [`Listing::add`] it then. One that
    /// does not is counted.
    pub(crate) fn wants(&mut self, is_file: bool, name: &[u8]) -> bool {
        let key = (is_file, name);
        if self.after.as_ref().is_some_and(|after| key <= (after.is_file, &after.name[..])) {
            self.before += 1;
            return false;
        }
        let last = self.entries.peek().filter(|_| self.entries.len() >= MAX_ENTRIES);
        if last.is_some_and(|last| last.key() <= key) {
            self.behind += 1;
            return false;
        }
        true
    }

    /// Adds an entry, which [`Listing::wants`] has asked for.
    pub(crate) fn add(&mut self, entry: Entry) {
        self.entries.push(entry);
        if self.entries.len() > MAX_ENTRIES {
            self.entries.pop();
            self.behind += 1;
        }
    }

    /// Notes that the folder has more names than the `scanned` that were looked at.
    pub(crate) fn cut_off(&mut self, scanned: usize) {
        self.cut_off = Some(scanned);
    }

    /// The page.
    pub(crate) fn into_page(self, path: &SitePath<'_>) -> String {
        let mut page = String::with_capacity(1_024 + 192 * self.entries.len());
        // Writing to a string cannot fail.
        let _ = self.write(path, &mut page);
        page
    }

    fn write(self, path: &SitePath<'_>, page: &mut String) -> fmt::Result {
        let place = Escaped(path.as_bytes());
        let slash = if path.is_root() { "" } else { "/" };
        write!(page, "{HEAD}<title>/{place}{slash}</title>\n{STYLE}</head>\n<body>\n<main>\n")?;
        write!(page, "<h1>Index of <bdi>/{place}{slash}</bdi></h1>\n{TABLE}")?;
        if !path.is_root() {
            page.push_str(PARENT);
        }
        let Self { before, behind, cut_off, .. } = self;
        let entries = self.entries.into_sorted_vec();
        for entry in &entries {
            entry.write(page)?;
        }
        page.push_str("</tbody>\n</table>\n");
        write_place(page, before, behind, &entries)?;
        if let Some(scanned) = cut_off {
            writeln!(
                page,
                "<p>This folder has more than {scanned} names; others are left out.</p>"
            )?;
        }
        page.push_str("</main>\n</body>\n</html>\n");
        Ok(())
    }
}

impl Entry {
    fn write(&self, page: &mut String) -> fmt::Result {
        let slash = if self.length.is_none() { "/" } else { "" };
        // `./` keeps a name with a colon from being read as a scheme (RFC 3986 section 4.2).
        page.push_str("<tr><td><a href=\"./");
        page.extend(percent::path(&self.name).map(char::from));
        write!(page, "{slash}\"><bdi>{}</bdi>{slash}</a></td>", Escaped(&self.name))?;
        match self.length {
            Some(length) => write!(page, "<td title=\"{length} bytes\">{}</td>", Size(length))?,
            None => page.push_str("<td></td>"),
        }
        let moment = Moment::new(self.modified);
        writeln!(page, "<td><time datetime=\"{moment:#}\">{moment}</time></td></tr>")
    }
}

/// Which of the folder's entries these are, and links to the others.
fn write_place(page: &mut String, before: u64, behind: u64, entries: &[Entry]) -> fmt::Result {
    let shown = entries.len() as u64;
    let all = before + shown + behind;
    if all == 0 {
        page.push_str("<p>This folder is empty.</p>\n");
        return Ok(());
    }
    if shown == all {
        return Ok(());
    }
    match shown {
        0 => write!(page, "<p>No more of {all} entries.")?,
        _ => write!(page, "<p>Entries {} to {} of {all}.", before + 1, before + shown)?,
    }
    if before > 0 {
        page.push_str(" <a href=\"./\">First page</a>");
    }
    if let (Some(last), 1..) = (entries.last(), behind) {
        page.push_str(" <a rel=\"next\" href=\"./?after=");
        page.extend(percent::path(&last.name).map(char::from));
        let slash = if last.length.is_none() { "/" } else { "" };
        write!(page, "{slash}\">Next page</a>")?;
    }
    page.push_str("</p>\n");
    Ok(())
}

const HEAD: &str = "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
    <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
    <meta name=\"color-scheme\" content=\"light dark\">\n";

const STYLE: &str = "<style>\n\
    body { font: 1rem/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 60rem; padding: 1rem }\n\
    h1 { font-size: 1.25rem; overflow-wrap: anywhere }\n\
    table { border-collapse: collapse; width: 100% }\n\
    th, td { border-bottom: 1px solid #8884; padding: .35rem .5rem; text-align: start }\n\
    th + th, td + td { text-align: end; white-space: nowrap; font-variant-numeric: tabular-nums }\n\
    td:first-child { overflow-wrap: anywhere }\n\
    tbody tr:hover { background: #8882 }\n\
    @media (max-width: 36rem) { th:last-child, td:last-child { display: none } }\n\
    </style>\n";

const TABLE: &str = "<table>\n<thead>\n<tr><th scope=\"col\">Name</th><th scope=\"col\">Size</th>\
    <th scope=\"col\">Modified (UTC)</th></tr>\n</thead>\n<tbody>\n";

const PARENT: &str = "<tr><td><a href=\"../\">Parent folder</a></td><td></td><td></td></tr>\n";

/// Bytes as HTML text: what is not UTF-8 shows as U+FFFD, what HTML reads is escaped.
struct Escaped<'a>(&'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for character in String::from_utf8_lossy(self.0).chars() {
            match character {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                character => f.write_char(character)?,
            }
        }
        Ok(())
    }
}

/// A length for people: bytes, or three digits and a binary unit.
struct Size(u64);

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1_024 {
            return write!(f, "{} B", self.0);
        }
        let mut size = self.0 as f64 / 1_024.0;
        let mut units = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"].iter();
        let mut unit = units.next();
        // What would round to 1024 belongs to the next unit.
        while size >= 1_023.5 {
            size /= 1_024.0;
            unit = units.next();
        }
        let digits = usize::from(size < 9.95);
        write!(f, "{size:.digits$} {}", unit.unwrap_or(&"EiB"))
    }
}

/// A moment in UTC, to the minute; in ISO 8601 with the alternate flag.
struct Moment(Utc);

impl Moment {
    /// The moment so many seconds after the epoch; outside the years 1 to 9999, the nearest in
    /// them.
    fn new(seconds: i64) -> Self {
        Self(Utc::from_unix(seconds))
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Utc { year, month, day, hour, minute, .. } = self.0;
        let (between, zone) = if f.alternate() { ('T', "Z") } else { (' ', "") };
        write!(f, "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}{zone}")
    }
}
