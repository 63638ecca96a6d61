//! The small page of a redirect. Those of errors stand beside their statuses in `respond`.
//!
//! The invariant: what comes from the request enters a page only as the target of a redirect,
//! percent-encoded and then escaped.

use std::borrow::Cow;

/// A page's bytes: HTML in UTF-8.
pub(crate) type Page = Cow<'static, [u8]>;

/// The page of a redirect to `location`.
pub(crate) fn redirect(location: &[u8]) -> Page {
    let mut page =
        b"<!DOCTYPE html>\n<html lang=\"en\">\n<title>Moved</title>\n<p>Moved to <a href=\""
            .to_vec();
    for &byte in location {
        match byte {
            b'&' => page.extend_from_slice(b"&amp;"),
            b'"' => page.extend_from_slice(b"&quot;"),
            b'<' => page.extend_from_slice(b"&lt;"),
            b'>' => page.extend_from_slice(b"&gt;"),
            byte => page.push(byte),
        }
    }
    page.extend_from_slice(b"\">another address</a>.</p>\n</html>\n");
    Cow::Owned(page)
}

#[cfg(test)]
mod tests {
    use super::redirect;

    #[test]
    fn a_query_cannot_leave_its_attribute() {
        let page = String::from_utf8(redirect(b"/a/?x=1&y=\"><script>").to_vec()).unwrap();
        assert!(page.contains("href=\"/a/?x=1&amp;y=&quot;&gt;&lt;script&gt;\""), "{page}");
    }
}
