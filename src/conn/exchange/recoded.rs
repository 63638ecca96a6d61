//! What the head of an answer says of compressing its content, and what compressing changes in it.
//!
//! The invariant: fields that hold for the plain bytes alone never stand beside coded ones (RFC 9110
//! sections 8.4, 8.8.1 and 14.3, RFC 9530), and where a client's `Accept-Encoding` decides, `Vary` says so
//! to every client.

use super::streamed::{Fields, StreamedHead, each_line};
#[cfg(feature = "service")]
use crate::observe::defect;
use crate::process::{media_type::is_compressible, negotiate::Coding};

/// Bytes of content that is worth compressing, at least: below, an answer is one packet anyway.
pub(super) const SHORTEST: u64 = 1 << 10;

/// What may be done with an answer, by its head.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fit {
    /// It stays as it is.
    Unchanged,
    /// Its content may be compressed.
    Content,
    /// It has no content, but speaks of one that may have been compressed (304).
    Unmodified,
}

/// What the fields of a head say.
#[derive(Default)]
struct Said {
    /// The media type is one that gets shorter. None: there is no media type.
    compressible: Option<bool>,
    /// The content must stay as it is: it is coded, a part, or signed, or its maker says so.
    fixed: bool,
}

/// What may be done with an answer with this head, which answers no CONNECT.
pub(super) fn fit(head: &StreamedHead) -> Fit {
    // The length in a 304 is no reason: some servers state that of its own content, which is none.
    let short = head.status != 304 && head.length.is_some_and(|all| all < SHORTEST);
    if short || matches!(head.status, ..200 | 204..=206) {
        return Fit::Unchanged;
    }
    let mut said = Said::default();
    head.fields.each(|name, value| said.note(name, value));
    match (said, head.status) {
        (Said { fixed: true, .. }, _) => Fit::Unchanged,
        // A 304 need not name the type. A weak tag matches whichever content it is for.
        (Said { compressible: None | Some(true), .. }, 304) => Fit::Unmodified,
        (Said { compressible: Some(true), .. }, _) => Fit::Content,
        _ => Fit::Unchanged,
    }
}

impl Said {
    fn note(&mut self, name: &str, value: &[u8]) {
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted);
        if is("content-type") {
            self.compressible = Some(is_compressible(value));
        } else if is("cache-control") {
            self.fixed |= lists(value, "no-transform");
        } else if is("trailer") {
            self.fixed |= DIGESTS.iter().any(|digest| lists(value, digest));
        } else if is("content-encoding") || is("content-range") || is_digest(name) {
            self.fixed = true;
        }
    }
}

/// Fields that hold a digest of the content.
const DIGESTS: [&str; 4] = ["content-digest", "repr-digest", "digest", "content-md5"];

/// Whether a field holds a digest of the content: RFC 9530, and what came before it.
fn is_digest(name: &str) -> bool {
    DIGESTS.iter().any(|digest| digest.eq_ignore_ascii_case(name))
}

/// Whether a list of tokens has this one.
fn lists(value: &[u8], token: &str) -> bool {
    let mut tokens = value.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    tokens.any(|other| other.eq_ignore_ascii_case(token.as_bytes()))
}

/// Says that the answer depends on `Accept-Encoding`: in a line of its own behind one that its maker wrote,
/// which is the same as one line with both (RFC 9110 section 5.3; `Vary` is a list, section 12.5.5) and leaves
/// the maker's as it came.
pub(super) fn vary(fields: &mut Fields) {
    let mut said = false;
    fields.each(|name, value| {
        said |= name.eq_ignore_ascii_case("vary")
            && (lists(value, "*") || lists(value, "accept-encoding"));
    });
    if !said {
        fields.push("Vary", "Accept-Encoding");
    }
}

/// Changes what belongs to the plain content alone: the tag becomes a weak one, and there are no ranges.
pub(super) fn recode(fields: &mut Fields) {
    fields.edit(|name, value| {
        if name.eq_ignore_ascii_case("accept-ranges") {
            Edit::Remove
        } else if name.eq_ignore_ascii_case("etag") && !value.starts_with(b"W/") {
            Edit::Prefix("W/")
        } else {
            Edit::Keep
        }
    });
}

/// Names the coding of the content, which comes in an unknown number of bytes.
pub(super) fn name_coding(head: &mut StreamedHead, coding: Coding) {
    head.length = None;
    if let Some(token) = coding.token() {
        head.fields.push("Content-Encoding", token);
    }
}

/// Takes digests of the plain content out of trailers.
pub(super) fn without_digests(mut trailers: Fields) -> Fields {
    trailers.edit(|name, _| if is_digest(name) { Edit::Remove } else { Edit::Keep });
    trailers
}

/// What becomes of a field.
enum Edit {
    Keep,
    Remove,
    /// This stands before its value.
    Prefix(&'static str),
}

impl Fields {
    fn edit(&mut self, edit: impl Fn(&str, &[u8]) -> Edit) {
        match self {
            Self::None => {}
            Self::Lines(lines) => {
                let mut edited = Vec::with_capacity(lines.len() + 2);
                each_line(lines, |name, value| match edit(name, value) {
                    Edit::Keep => push_line(&mut edited, name, &[value]),
                    Edit::Remove => {}
                    Edit::Prefix(prefix) => {
                        push_line(&mut edited, name, &[prefix.as_bytes(), value]);
                    }
                });
                *lines = edited;
            }
            #[cfg(feature = "service")]
            Self::Map(map) => edit_map(map, edit),
        }
    }

    fn push(&mut self, name: &'static str, value: &'static str) {
        match self {
            Self::None => {
                let mut lines = Vec::new();
                push_line(&mut lines, name, &[value.as_bytes()]);
                *self = Self::Lines(lines);
            }
            Self::Lines(lines) => {
                push_line(lines, name, &[value.as_bytes()]);
            }
            #[cfg(feature = "service")]
            Self::Map(map) => {
                map.append(name, http::HeaderValue::from_static(value));
            }
        }
    }
}

fn push_line(lines: &mut Vec<u8>, name: &str, value: &[&[u8]]) {
    lines.extend_from_slice(name.as_bytes());
    lines.extend_from_slice(b": ");
    for piece in value {
        lines.extend_from_slice(piece);
    }
    lines.extend_from_slice(b"\r\n");
}

#[cfg(feature = "service")]
fn edit_map(map: &mut http::HeaderMap, edit: impl Fn(&str, &[u8]) -> Edit) {
    let mut removed = Vec::new();
    for (name, value) in map.iter_mut() {
        match edit(name.as_str(), value.as_bytes()) {
            Edit::Keep => {}
            Edit::Remove => removed.push(name.clone()),
            Edit::Prefix(prefix) => {
                let longer = [prefix.as_bytes(), value.as_bytes()].concat();
                if let Ok(longer) = http::HeaderValue::from_bytes(&longer) {
                    *value = longer;
                } else {
                    // A strong tag would promise bytes that are not sent.
                    defect("a prefix of letters made a field value invalid");
                    removed.push(name.clone());
                }
            }
        }
    }
    for name in removed {
        map.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::respond::forward::Present;

    fn head(status: u16, length: Option<u64>, lines: &str) -> StreamedHead {
        let fields = Fields::Lines(lines.as_bytes().into());
        StreamedHead { status, fields, present: Present::default(), length }
    }

    fn text(fields: &Fields) -> String {
        let mut text = String::new();
        fields.each(|name, value| {
            let value = String::from_utf8_lossy(value);
            text.extend([&name.to_ascii_lowercase(), ": ", &*value, "\n"]);
        });
        text
    }

    #[test]
    fn what_may_be_compressed_goes_by_status_length_and_fields() {
        const HTML: &str = "Content-Type: text/html; charset=utf-8\r\n";
        let with = |more: &str| format!("{HTML}{more}\r\n");
        for (status, length, lines, expected) in [
            (200, None, HTML.to_owned(), Fit::Content),
            (200, Some(1024), HTML.to_owned(), Fit::Content),
            (200, Some(1023), HTML.to_owned(), Fit::Unchanged),
            (404, None, HTML.to_owned(), Fit::Content),
            (500, None, HTML.to_owned(), Fit::Content),
            (200, None, String::new(), Fit::Unchanged),
            (200, None, "Content-Type: image/png\r\n".to_owned(), Fit::Unchanged),
            (200, None, "content-type: text/event-stream\r\n".to_owned(), Fit::Content),
            (103, None, HTML.to_owned(), Fit::Unchanged),
            (101, None, HTML.to_owned(), Fit::Unchanged),
            (204, None, HTML.to_owned(), Fit::Unchanged),
            (205, None, HTML.to_owned(), Fit::Unchanged),
            (206, None, HTML.to_owned(), Fit::Unchanged),
            (304, None, String::new(), Fit::Unmodified),
            (304, Some(0), HTML.to_owned(), Fit::Unmodified),
            (304, None, "Content-Type: image/png\r\n".to_owned(), Fit::Unchanged),
            (304, None, with("Content-Encoding: gzip"), Fit::Unchanged),
            (200, None, with("Content-Encoding: br"), Fit::Unchanged),
            (200, None, with("content-range: bytes 0-9/20"), Fit::Unchanged),
            (200, None, with("Cache-Control: max-age=1, No-Transform"), Fit::Unchanged),
            (200, None, with("Cache-Control: max-age=1"), Fit::Content),
            (200, None, with("Repr-Digest: sha-256=:AA==:"), Fit::Unchanged),
            (200, None, with("Content-Digest: sha-256=:AA==:"), Fit::Unchanged),
            (200, None, with("Digest: sha-256=AA=="), Fit::Unchanged),
            (200, None, with("Content-MD5: AA=="), Fit::Unchanged),
            (200, None, with("Trailer: Content-Digest"), Fit::Unchanged),
            (200, None, with("Trailer: Grpc-Status"), Fit::Content),
        ] {
            assert_eq!(fit(&head(status, length, &lines)), expected, "{status} {lines:?}");
        }
    }

    #[test]
    fn a_coded_answer_has_a_weak_tag_no_ranges_and_its_coding() {
        let lines = "ETag: \"a\"\r\nAccept-Ranges: bytes\r\nVary: Origin\r\n";
        #[cfg(feature = "service")]
        let map = {
            let mut map = http::HeaderMap::new();
            map.insert("etag", http::HeaderValue::from_static("\"a\""));
            map.insert("accept-ranges", http::HeaderValue::from_static("bytes"));
            map.insert("vary", http::HeaderValue::from_static("Origin"));
            Fields::Map(map.into())
        };
        let both = [
            Fields::Lines(lines.as_bytes().into()),
            #[cfg(feature = "service")]
            map,
        ];
        for fields in both {
            let mut head = StreamedHead {
                status: 200,
                fields,
                present: Present::default(),
                length: Some(5_000),
            };
            vary(&mut head.fields);
            recode(&mut head.fields);
            name_coding(&mut head, Coding::Zstandard);
            assert_eq!(head.length, None);
            let text = text(&head.fields);
            let mut lines: Vec<_> = text.lines().collect();
            lines.sort_unstable();
            assert_eq!(
                lines,
                [
                    "content-encoding: zstd",
                    "etag: W/\"a\"",
                    "vary: Accept-Encoding",
                    "vary: Origin"
                ]
            );
        }
    }

    #[test]
    fn what_is_said_already_is_not_said_twice() {
        for lines in
            ["Vary: *\r\n", "Vary: Origin, accept-encoding\r\n", "vary: Accept-Encoding\r\n"]
        {
            let mut fields = Fields::Lines(lines.as_bytes().into());
            vary(&mut fields);
            assert!(
                matches!(&fields, Fields::Lines(same) if **same == *lines.as_bytes()),
                "{lines}"
            );
        }
        let mut none = Fields::None;
        vary(&mut none);
        assert_eq!(text(&none), "vary: Accept-Encoding\n");
        let mut weak = Fields::Lines(b"ETag: W/\"a\"\r\n".to_vec());
        recode(&mut weak);
        assert_eq!(text(&weak), "etag: W/\"a\"\n");
        let trailers = Fields::Lines(b"Repr-Digest: x\r\nGrpc-Status: 0\r\n".to_vec());
        assert_eq!(text(&without_digests(trailers)), "grpc-status: 0\n");
    }
}
