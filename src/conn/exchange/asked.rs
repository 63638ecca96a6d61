//! A copy of a request, for exchanges that have to wait: the head that it came in is gone by then.

use crate::{
    config::Demand,
    parse::Method,
    process::{
        interest::Interest,
        site::{Asked, Via},
    },
};

/// A copy of what a request asks for. The bytes that it came in are given back while something is
/// looked up for it, and a head of HTTP/2 could not be decoded twice. Its text is shorter than the
/// head that it was taken from.
#[derive(Debug)]
pub(in crate::conn) struct KeptAsked {
    via: Via,
    demand: Demand,
    /// Method, host, path, query and field values, one behind the other.
    text: Box<[u8]>,
    method: usize,
    host: Option<usize>,
    path: usize,
    query: Option<usize>,
    /// The name of each field of interest, and the length of its value.
    fields: Box<[(&'static str, usize)]>,
    now: i64,
}

impl KeptAsked {
    /// Copies what is asked. What is answered at once runs without it.
    #[cold]
    pub(in crate::conn) fn new(asked: &Asked<'_>) -> Self {
        let method = asked.method.as_bytes();
        // That one is absent, and not empty, is kept with its length.
        let (host, query) = (asked.host.unwrap_or(b""), asked.query.unwrap_or(b""));
        let mut fields = Vec::new();
        let mut length = method.len() + host.len() + asked.path.len() + query.len();
        asked.interest.each(|name, value| {
            length += value.len();
            fields.push((name, value.len()));
        });
        let mut text = Vec::with_capacity(length);
        for part in [method, host, asked.path, query] {
            text.extend_from_slice(part);
        }
        asked.interest.each(|_, value| text.extend_from_slice(value));
        Self {
            via: asked.via,
            demand: asked.demand,
            text: text.into_boxed_slice(),
            method: method.len(),
            host: asked.host.map(<[u8]>::len),
            path: asked.path.len(),
            query: asked.query.map(<[u8]>::len),
            fields: fields.into_boxed_slice(),
            now: asked.now,
        }
    }

    /// The fields of interest, for [`Self::asked`].
    pub(in crate::conn) fn interest(&self) -> Interest<'_> {
        let values: usize = self.fields.iter().map(|(_, length)| length).sum();
        let (_, mut rest) = self.text.split_at(self.text.len() - values);
        let mut interest = Interest::default();
        for &(name, length) in &self.fields {
            let (value, behind) = rest.split_at(length);
            interest.note(name, value);
            rest = behind;
        }
        interest
    }

    /// What was asked, with its fields of [`Self::interest`].
    pub(in crate::conn) fn asked<'k>(&'k self, interest: &'k Interest<'k>) -> Asked<'k> {
        let (method, rest) = self.text.split_at(self.method);
        // What is absent takes no bytes of the text.
        let [host_length, query_length] = [self.host, self.query].map(|part| part.unwrap_or(0));
        let (host, rest) = rest.split_at(host_length);
        let (path, rest) = rest.split_at(self.path);
        let (query, _) = rest.split_at(query_length);
        Asked {
            via: self.via,
            demand: self.demand,
            method: Method::from_token(method),
            host: self.host.map(|_| host),
            path,
            query: self.query.map(|_| query),
            interest,
            now: self.now,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_what_was_asked() {
        let fields: [(&str, &[u8]); 12] = [
            ("Accept-Encoding", b"gzip"),
            ("accept-encoding", b""),
            ("ACCEPT-ENCODING", b"br"),
            ("If-Match", b"\"a\""),
            ("If-None-Match", b"\"b\", \"c\""),
            ("If-None-Match", b"*"),
            ("If-Modified-Since", b"a date"),
            ("If-Unmodified-Since", b"another"),
            ("If-Range", b"\"d\""),
            ("Range", b"bytes=0-1"),
            ("Range", b"bytes=2-3"),
            ("User-Agent", b"of no interest"),
        ];
        for method in [Method::Get, Method::Head, Method::Other(b"BREW")] {
            for query in [None, Some(&b""[..]), Some(b"a=b")] {
                for few in 0..=fields.len() {
                    let interest = Interest::collect(fields.into_iter().take(few));
                    let host = query.map(|_| &b"a.example:1"[..]);
                    let asked = Asked {
                        via: Via::Plain,
                        demand: Demand::NONE,
                        method,
                        host,
                        path: b"/a/b",
                        query,
                        interest: &interest,
                        now: 7,
                    };
                    let kept = KeptAsked::new(&asked);
                    let interest = kept.interest();
                    let again = kept.asked(&interest);
                    assert_eq!(format!("{again:?}"), format!("{asked:?}"));
                }
            }
        }
    }
}
