//! The page of the admin listener.

/// The document.
pub(super) const PAGE: &str = include_str!("index.html");
