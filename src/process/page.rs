//! The small pages that stand where there is no file: errors and redirects.
//!
//! The invariant: what comes from the request enters a page only as the target of a redirect,
//! percent-encoded and then escaped.

use std::borrow::Cow;

/// A page's bytes: HTML in UTF-8.
pub type Page = Cow<'static, [u8]>;

macro_rules! page {
    ($title:literal, $text:literal) => {
        concat!(
            "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n",
            "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n",
            "<meta name=\"color-scheme\" content=\"light dark\">\n<title>",
            $title,
            "</title>\n</head>\n<body>\n<h1>",
            $title,
            "</h1>\n<p>",
            $text,
            "</p>\n</body>\n</html>\n"
        )
        .as_bytes()
    };
}

/// The page of an error that process decides. A status that is none of them gets a page that says
/// no more than that the request failed.
pub fn error(status: u16) -> Page {
    Cow::Borrowed(match status {
        400 => page!("400 Bad Request", "The address is not one that a browser would send."),
        403 => page!("403 Forbidden", "The server may not read this file."),
        404 => page!("404 Not Found", "There is nothing at this address."),
        405 => page!("405 Method Not Allowed", "Files here can only be read: use GET or HEAD."),
        412 => page!("412 Precondition Failed", "The file is not the version that was asked for."),
        416 => page!("416 Range Not Satisfiable", "The file ends before the bytes asked for."),
        _ => page!("Error", "The request could not be answered."),
    })
}

/// The page of a redirect to `location`.
pub fn redirect(location: &[u8]) -> Page {
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
    page.extend_from_slice(b"\">the folder's address</a>.</p>\n</html>\n");
    Cow::Owned(page)
}

#[cfg(test)]
mod tests {
    use super::{error, redirect};

    #[test]
    fn every_error_has_its_page() {
        for status in [400, 403, 404, 405, 412, 416] {
            let page = String::from_utf8(error(status).to_vec()).unwrap();
            assert_eq!(page.matches(&status.to_string()).count(), 2, "{page}");
            assert!(page.starts_with("<!DOCTYPE html>") && page.contains("utf-8"));
        }
        assert!(error(599).starts_with(b"<!DOCTYPE html>"));
    }

    #[test]
    fn a_query_cannot_leave_its_attribute() {
        let page = String::from_utf8(redirect(b"/a/?x=1&y=\"><script>").to_vec()).unwrap();
        assert!(page.contains("href=\"/a/?x=1&amp;y=&quot;&gt;&lt;script&gt;\""), "{page}");
    }
}
