//! Validators: which version of a representation this is (RFC 9110 section 8.8).
//!
//! The invariant: an [`EntityTag`] is strong and made of the representation's own file, so that
//! each content coding has its own; a `Last-Modified` is a validator only if no other content of
//! the file has, had or can get the same date or a later one, as far as that can be known.

use std::fmt;
use std::io::Write as _;

use super::negotiate::Coding;
use crate::calendar::fixdate;

/// What the file system reports of one file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileStat {
    /// Its length in bytes.
    pub length: u64,
    /// The file system that it is on. Inode numbers are unique within one only.
    pub device: u64,
    /// Its inode number.
    pub inode: u64,
    /// When its content changed: seconds since the epoch.
    pub modified: i64,
    /// The nanoseconds of the same.
    pub modified_nanos: u32,
    /// When its content or metadata changed, which nobody can set back: seconds since the epoch.
    pub changed: i64,
    /// The nanoseconds of the same.
    pub changed_nanos: u32,
}

/// The longest entity tag: two quotes, three 64-bit numbers in hexadecimal with a hyphen between,
/// and a coding's name.
const MAX_TAG_BYTES: usize = 2 + 3 * 16 + 2 + 5;

/// A strong entity tag (RFC 9110 section 8.8.3), quotes included, in a fixed buffer.
///
/// It is made of the length, the time of the last change of content to the nanosecond, and a mix
/// of the file system, the inode number and the time of its last change, which keeps the numbers
/// themselves private. Two writes of equal length in place within one tick of the file system's clock cannot
/// be distinguished; a file replaced by renaming always can.
#[derive(Clone, Copy)]
pub struct EntityTag {
    text: [u8; MAX_TAG_BYTES],
    len: u8,
}

impl EntityTag {
    /// The tag of a file that is the representation in this coding.
    pub fn new(stat: &FileStat, coding: Coding) -> Self {
        let modified = nanoseconds(stat.modified, stat.modified_nanos);
        let changed = nanoseconds(stat.changed, stat.changed_nanos);
        let origin = mix(stat.inode ^ mix(changed ^ mix(stat.device)));
        let suffix = match coding {
            Coding::Identity => "",
            Coding::Brotli => "-br",
            Coding::Zstandard => "-zstd",
            Coding::Gzip => "-gzip",
        };
        let mut text = [0; MAX_TAG_BYTES];
        let mut rest = &mut text[..];
        let written = write!(rest, "\"{:x}-{modified:x}-{origin:x}{suffix}\"", stat.length);
        debug_assert!(written.is_ok(), "MAX_TAG_BYTES holds the longest tag");
        let len = (MAX_TAG_BYTES - rest.len()) as u8;
        Self { text, len }
    }

    /// The tag of a file by its length and the time of its last change of content alone: equal for equal
    /// files on different machines, where a deploy keeps their times.
    pub fn shared(stat: &FileStat, coding: Coding) -> Self {
        Self::new(&FileStat { device: 0, inode: 0, changed: 0, changed_nanos: 0, ..*stat }, coding)
    }

    /// The tag of content that was made of a file in this coding: of its length, the file's time of
    /// modification, and 64 bits of a hash of the coded content. Two encoders never share one.
    pub(crate) fn made(stat: &FileStat, digest: u64, coding: Coding) -> Self {
        let origin = FileStat { device: 0, inode: digest, changed: 0, changed_nanos: 0, ..*stat };
        Self::new(&origin, coding)
    }

    /// The tag as it stands in a field value, with its quotes.
    pub fn as_bytes(&self) -> &[u8] {
        // `len` is what was written of it.
        &self.text[..usize::from(self.len)]
    }
}

impl PartialEq for EntityTag {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for EntityTag {}

impl fmt::Debug for EntityTag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.as_bytes().escape_ascii())
    }
}

/// Nanoseconds since the epoch, wrapped: a name for the moment, not a number to reckon with.
fn nanoseconds(seconds: i64, nanos: u32) -> u64 {
    seconds.wrapping_mul(1_000_000_000).wrapping_add(i64::from(nanos)) as u64
}

/// A bijection that spreads every bit over all others (the finalizer of SplitMix64).
fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    bits ^ (bits >> 31)
}

/// The last second that an HTTP date can say: 31 December 9999.
const LAST_SECOND: i64 = 253_402_300_799;

/// A moment at the granularity of a second, with its text (RFC 9110 section 5.6.7).
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct LastModified {
    seconds: i64,
    text: [u8; 29],
}

impl LastModified {
    /// The moment so many seconds after the epoch; moments before the epoch or beyond the year
    /// 9999 become the nearest that a date can say.
    pub fn new(seconds: i64) -> Self {
        let seconds = seconds.clamp(0, LAST_SECOND);
        Self { seconds, text: fixdate(seconds) }
    }

    /// Seconds since the epoch.
    pub fn seconds(&self) -> i64 {
        self.seconds
    }

    /// The date as it stands in a field value.
    pub fn as_bytes(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Debug for LastModified {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.text.escape_ascii())
    }
}

/// Both validators of one representation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validators {
    /// The entity tag.
    pub entity_tag: EntityTag,
    last_modified: Option<LastModified>,
}

/// The last second that is no date: reproducible archives and builds give their files
/// the time 0 or 1, whatever they hold.
const NO_DATE: i64 = 1;

impl Validators {
    /// The validators of a file that is the representation in this coding.
    pub fn new(stat: &FileStat, coding: Coding) -> Self {
        Self {
            entity_tag: EntityTag::new(stat, coding),
            last_modified: (stat.modified > NO_DATE).then(|| LastModified::new(stat.modified)),
        }
    }

    /// The same for a file that was known with a date as late as this one and other content: a
    /// client that has that date must not take this content for that.
    #[must_use]
    pub fn without_date(self) -> Self {
        Self { last_modified: None, ..self }
    }

    /// The date, if it can be trusted at `now` (seconds since the epoch). One of the future says
    /// nothing, and within its own second the file can change again (RFC 9110 section 8.8.2.2).
    pub fn date(&self, now: i64) -> Option<&LastModified> {
        self.last_modified.as_ref().filter(|date| date.seconds < now)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Coding, EntityTag, FileStat, LastModified, Validators, mix};

    const STAT: FileStat = FileStat {
        length: 1_024,
        device: 3,
        inode: 7,
        modified: 784_111_777,
        modified_nanos: 5,
        changed: 784_111_777,
        changed_nanos: 5,
    };

    #[test]
    fn a_tag_is_quoted_and_of_allowed_characters() {
        let tag = EntityTag::new(&STAT, Coding::Identity);
        let text = tag.as_bytes();
        assert!(text.starts_with(b"\"400-ae1b981bc490a05-"), "{tag:?}");
        assert!(text.ends_with(b"\""));
        let opaque = &text[1..text.len() - 1];
        assert!(opaque.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"'));
    }

    #[test]
    fn every_fact_and_coding_changes_the_tag() {
        let tags = [
            EntityTag::new(&STAT, Coding::Identity),
            EntityTag::new(&STAT, Coding::Brotli),
            EntityTag::new(&STAT, Coding::Zstandard),
            EntityTag::new(&STAT, Coding::Gzip),
            EntityTag::new(&FileStat { length: 1, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { device: 4, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { inode: 8, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { modified: 1, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { modified_nanos: 6, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { changed: 1, ..STAT }, Coding::Identity),
            EntityTag::new(&FileStat { changed_nanos: 6, ..STAT }, Coding::Identity),
        ];
        for (index, tag) in tags.iter().enumerate() {
            assert!(!tags[..index].contains(tag), "{tag:?}");
        }
        assert_eq!(tags[0], EntityTag::new(&STAT, Coding::Identity));
    }

    /// What SplitMix64 gives first from the seed 0, whose state grows by the golden ratio.
    #[test]
    fn bits_are_spread_as_splitmix64_does() {
        let golden = 0x9e37_79b9_7f4a_7c15_u64;
        let given = [1, 2, 3].map(|step| mix(golden.wrapping_mul(step)));
        assert_eq!(given, [0xe220_a839_7b1d_cdaf, 0x6e78_9e6a_a1b9_65f4, 0x06c4_5d18_8009_454f]);
    }

    /// Each fact goes through a bijection, so that none of its values can stand for another.
    #[test]
    fn no_two_values_of_a_fact_share_a_tag() {
        let stats: [fn(u64) -> FileStat; 3] = [
            |device| FileStat { device, ..STAT },
            |inode| FileStat { inode, ..STAT },
            |nanos| FileStat { changed_nanos: nanos as u32, ..STAT },
        ];
        for stat in stats {
            let tag = |value| EntityTag::new(&stat(value), Coding::Identity).as_bytes().to_vec();
            assert_eq!((0..1_000).map(tag).collect::<HashSet<_>>().len(), 1_000);
        }
    }

    #[test]
    fn a_tag_that_machines_share_is_of_the_content_alone() {
        let other = FileStat { device: 9, inode: 9, changed: 9, changed_nanos: 9, ..STAT };
        let shared = EntityTag::shared(&STAT, Coding::Gzip);
        assert_eq!(shared, EntityTag::shared(&other, Coding::Gzip));
        assert_ne!(shared, EntityTag::shared(&STAT, Coding::Brotli));
        let newer = FileStat { modified_nanos: 6, ..STAT };
        assert_ne!(shared, EntityTag::shared(&newer, Coding::Gzip));
        let made = EntityTag::made(&STAT, 1, Coding::Gzip);
        assert_eq!(made, EntityTag::made(&other, 1, Coding::Gzip));
        assert_ne!(made, EntityTag::made(&STAT, 2, Coding::Gzip));
        assert_ne!(made, shared);
    }

    #[test]
    fn the_longest_tag_fits() {
        let stat = FileStat {
            length: u64::MAX,
            device: u64::MAX,
            inode: u64::MAX,
            modified: i64::MIN,
            modified_nanos: u32::MAX,
            changed: i64::MAX,
            changed_nanos: u32::MAX,
        };
        assert!(EntityTag::new(&stat, Coding::Zstandard).as_bytes().ends_with(b"-zstd\""));
        let stat = FileStat { modified: -1, modified_nanos: 0, ..stat };
        assert!(EntityTag::new(&stat, Coding::Zstandard).as_bytes().ends_with(b"-zstd\""));
    }

    #[test]
    fn dates_are_imf_fixdates() {
        let date = LastModified::new(784_111_777);
        assert_eq!(date.as_bytes(), b"Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(LastModified::new(-1).as_bytes(), b"Thu, 01 Jan 1970 00:00:00 GMT");
        assert_eq!(LastModified::new(i64::MAX).as_bytes(), b"Fri, 31 Dec 9999 23:59:59 GMT");
    }

    #[test]
    fn a_date_that_cannot_be_trusted_is_no_validator() {
        let date = |modified, now| {
            let stat = FileStat { modified, ..STAT };
            Validators::new(&stat, Coding::Identity).date(now).map(LastModified::seconds)
        };
        for (modified, now, expected) in [
            (2_000, 3_000, Some(2_000)),
            (2_000, 2_001, Some(2_000)),
            (2_000, 2_000, None),
            (2_000, 1_999, None),
            (2, 3_000, Some(2)),
            (1, 3_000, None),
            (0, 3_000, None),
            (-1, 3_000, None),
            (i64::MIN, 3_000, None),
            (i64::MAX, 3_000, None),
        ] {
            assert_eq!(date(modified, now), expected, "{modified} at {now}");
        }
        let validators = Validators::new(&STAT, Coding::Identity);
        assert_eq!(validators.without_date().date(i64::MAX), None);
        assert_eq!(validators.without_date().entity_tag, validators.entity_tag);
    }
}
