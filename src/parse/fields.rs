//! The field lines of a head and the memory that lists them.

use std::fmt;
use std::mem::MaybeUninit;

use httparse::Header;

/// The most field lines that a head can have here.
pub const MAX_FIELDS: usize = crate::config::MAX_HEAD_FIELDS;

/// Room for the list of a head's field lines: 3.2 KiB that nobody has to clear first.
pub struct FieldStorage<'b>(pub(super) [MaybeUninit<Header<'b>>; MAX_FIELDS]);

impl FieldStorage<'_> {
    /// Uninitialised room.
    #[inline]
    pub const fn new() -> Self {
        Self([const { MaybeUninit::uninit() }; MAX_FIELDS])
    }
}

impl Default for FieldStorage<'_> {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for FieldStorage<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FieldStorage").finish_non_exhaustive()
    }
}

/// The field lines of a head in the order they came, values without surrounding whitespace.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'h, 'b>(pub(super) &'h [Header<'b>]);

impl<'h, 'b> Fields<'h, 'b> {
    /// Every line as name and value.
    pub fn iter(self) -> impl ExactSizeIterator<Item = (&'b str, &'b [u8])> + use<'h, 'b> {
        self.0.iter().map(|line| (line.name, line.value))
    }

    /// The line at a place, from 0, as name and value.
    pub(crate) fn at(self, place: usize) -> Option<(&'b str, &'b [u8])> {
        self.0.get(place).map(|line| (line.name, line.value))
    }

    /// The value of the first line with this name, in any case.
    pub fn get(self, name: &str) -> Option<&'b [u8]> {
        self.0.iter().find(|line| line.name.eq_ignore_ascii_case(name)).map(|line| line.value)
    }

    /// The values of every line with this name, in any case: one list in several lines
    /// (RFC 9110 section 5.3).
    pub fn all<'n>(self, name: &'n str) -> impl Iterator<Item = &'b [u8]> + use<'h, 'b, 'n> {
        self.0
            .iter()
            .filter(move |line| line.name.eq_ignore_ascii_case(name))
            .map(|line| line.value)
    }

    /// The number of lines.
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}
