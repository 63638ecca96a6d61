//! Which content codings answers are compressed with while they are served.

/// Content codings that answers are compressed with (RFC 9110 section 8.4.1). Default: none.
///
/// A file is compressed once, at its second request, apart from the workers, and kept in the cache
/// of files. A file beside it that carries the coding (`app.js.br`) always comes first. Listings,
/// fixed answers, and what services and servers of pools answer are compressed while they are sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Compression {
    /// `zstd` (RFC 8878).
    pub zstd: bool,
    /// `br` (RFC 7932).
    pub brotli: bool,
    /// `gzip` (RFC 1952).
    pub gzip: bool,
}

impl Compression {
    /// None.
    pub const NONE: Self = Self { zstd: false, brotli: false, gzip: false };

    /// All that Ringway has.
    pub const ALL: Self = Self { zstd: true, brotli: true, gzip: true };

    /// Whether nothing is compressed.
    pub fn is_none(self) -> bool {
        self == Self::NONE
    }

    /// Adds a coding by its name; `true` stands for all of them, `false` for none.
    ///
    /// # Errors
    /// The names that there are.
    #[cfg_attr(not(feature = "cli"), allow(dead_code))]
    pub(crate) fn add(&mut self, word: &str) -> Result<(), String> {
        match word {
            "true" => *self = Self::ALL,
            "false" => *self = Self::NONE,
            "zstd" => self.zstd = true,
            "br" => self.brotli = true,
            "gzip" => self.gzip = true,
            _ => return Err("give true, false, or a list of \"zstd\", \"br\" and \"gzip\"".into()),
        }
        Ok(())
    }
}
