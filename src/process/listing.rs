//! The page that lists a folder.
//!
//! The invariant: names are shown escaped, linked percent-encoded and only where a link can be
//! followed; the page holds at most [`MAX_ENTRIES`] of them and says how many it left out.

use std::cmp::Ordering;
use std::fmt::{self, Write};

use super::path::{SitePath, is_reachable};
use super::percent;
use crate::calendar::Utc;

/// The most entries of one page; at the longest names it then takes some four megabytes, and some
/// 300 KB at usual ones.
pub const MAX_ENTRIES: usize = 2_000;

/// One entry of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its name, as the file system has it.
    pub name: Box<[u8]>,
    /// Its length in bytes; `None` for a folder.
    pub length: Option<u64>,
    /// When it was modified: seconds since the epoch.
    pub modified: i64,
}

/// A folder's entries, gathered one by one.
#[derive(Clone, Debug, Default)]
pub struct Listing {
    entries: Vec<Entry>,
    left_out: u64,
}

impl Listing {
    /// Whether an entry of this name belongs in the page: dotfiles, and names that no request can
    /// spell, do not. Ask before looking up an entry's length and date.
    pub fn shows(name: &[u8]) -> bool {
        is_reachable(name)
    }

    /// Whether the page has all the entries that it may have, so that a further entry only needs
    /// [`Listing::leave_out`].
    pub fn is_full(&self) -> bool {
        self.entries.len() >= MAX_ENTRIES
    }

    /// Adds an entry, if the page may show it; one too many is counted only.
    pub fn add(&mut self, entry: Entry) {
        if !Self::shows(&entry.name) {
            return;
        }
        if self.is_full() {
            self.leave_out();
        } else {
            self.entries.push(entry);
        }
    }

    /// Counts an entry that the page does not show for want of room.
    pub fn leave_out(&mut self) {
        self.left_out = self.left_out.saturating_add(1);
    }

    /// The page, folders first, each kind by name.
    pub fn into_page(mut self, path: &SitePath<'_>) -> String {
        self.entries.sort_unstable_by(by_kind_and_name);
        let mut page = String::with_capacity(1_024 + 192 * self.entries.len());
        // Writing to a string cannot fail.
        let _ = self.write(path, &mut page);
        page
    }

    fn write(&self, path: &SitePath<'_>, page: &mut String) -> fmt::Result {
        let place = Escaped(path.as_bytes());
        let slash = if path.is_root() { "" } else { "/" };
        write!(page, "{HEAD}<title>/{place}{slash}</title>\n{STYLE}</head>\n<body>\n<main>\n")?;
        write!(page, "<h1>Index of <bdi>/{place}{slash}</bdi></h1>\n{TABLE}")?;
        if !path.is_root() {
            page.push_str(PARENT);
        }
        for entry in &self.entries {
            entry.write(page)?;
        }
        page.push_str("</tbody>\n</table>\n");
        if self.left_out > 0 {
            writeln!(page, "<p>{} more not shown.</p>", self.left_out)?;
        } else if self.entries.is_empty() {
            page.push_str("<p>This folder is empty.</p>\n");
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

fn by_kind_and_name(a: &Entry, b: &Entry) -> Ordering {
    (a.length.is_some(), &a.name).cmp(&(b.length.is_some(), &b.name))
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{Entry, Listing, MAX_ENTRIES, Moment, SitePath, Size};

    fn entry(name: &[u8], length: Option<u64>) -> Entry {
        Entry { name: name.into(), length, modified: 784_111_777 }
    }

    fn page(path: &[u8], entries: Vec<Entry>) -> String {
        let mut listing = Listing::default();
        for entry in entries {
            listing.add(entry);
        }
        listing.into_page(&SitePath::resolve(path).unwrap())
    }

    #[test]
    fn folders_come_first_and_names_are_sorted() {
        let page = page(
            b"/d/",
            vec![entry(b"b", Some(1)), entry(b"a", Some(1)), entry(b"z", None), entry(b"y", None)],
        );
        let places: Vec<_> = ["\"../\"", "\"./y/\"", "\"./z/\"", "\"./a\"", "\"./b\""]
            .map(|name| page.find(name))
            .into();
        assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{page}");
        assert!(page.contains("<title>/d/</title>"));
    }

    #[test]
    fn names_are_escaped_and_links_encoded() {
        let page = page(b"/%3Cb%3E/", vec![entry(b"<i>\"&'\xff?#%:", Some(2_048))]);
        assert!(page.contains("/&lt;b&gt;/"));
        assert!(page.contains("<bdi>&lt;i&gt;&quot;&amp;&#39;\u{fffd}?#%:</bdi>"));
        assert!(page.contains("href=\"./%3Ci%3E%22%26%27%FF%3F%23%25:\""), "{page}");
        assert!(page.contains("title=\"2048 bytes\">2.0 KiB<"));
        assert!(page.contains("<time datetime=\"1994-11-06T08:49Z\">1994-11-06 08:49</time>"));
    }

    #[test]
    fn hidden_and_unreachable_names_are_absent() {
        let names: [&[u8]; 5] = [b".git", b".", b"..", b"a\nb", b"a\\b"];
        let page = page(b"/", names.iter().map(|name| entry(name, Some(1))).collect());
        assert!(page.contains("This folder is empty."));
        assert!(!page.contains("href"), "the root has no parent");
    }

    #[test]
    fn the_page_is_bounded() {
        let entries = (0..MAX_ENTRIES + 7).map(|i| entry(format!("f{i}").as_bytes(), Some(0)));
        let page = page(b"/", entries.collect());
        assert_eq!(page.matches("<tr><td>").count(), MAX_ENTRIES);
        assert!(page.contains("<p>7 more not shown.</p>"));
    }

    #[test]
    fn sizes_for_people() {
        for (bytes, text) in [
            (0, "0 B"),
            (1_023, "1023 B"),
            (1_024, "1.0 KiB"),
            (10_239, "10 KiB"),
            (1_048_063, "1023 KiB"),
            (1_048_575, "1.0 MiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(Size(bytes).to_string(), text);
        }
    }

    #[test]
    fn moments() {
        for (seconds, text) in [
            (0, "1970-01-01 00:00"),
            (951_825_599, "2000-02-29 11:59"),
            (4_107_542_400, "2100-03-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (i64::MIN, "0001-01-01 00:00"),
            (i64::MAX, "9999-12-31 23:59"),
        ] {
            assert_eq!(Moment::new(seconds).to_string(), text);
        }
    }

    proptest! {
        #[test]
        fn a_name_never_becomes_markup(name in any::<Vec<u8>>()) {
            let page = page(b"/", vec![entry(&name, Some(1))]);
            let links = usize::from(Listing::shows(&name));
            prop_assert_eq!(page.matches('<').count(), page.matches('>').count());
            prop_assert_eq!(page.matches("<a ").count(), links);
        }
    }
}
