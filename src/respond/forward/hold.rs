//! What must hold of any bytes: for the fuzz targets, and tried on a few by the tests.

use super::{Forward, Hop, Origin, Outgoing, Spoken, end_of_request, request, response_fields};
use crate::parse::{
    FieldStorage, HeadLimits, MAX_FIELDS, request_head,
    response::{Answered, response_head},
};

/// Whatever a client sends: what goes upstream is one message to the strict parser, framed as the
/// client's was, and names nobody but the peer.
///
/// # Panics
/// It is not.
pub fn a_request_keeps_its_meaning(bytes: &[u8]) {
    let mut storage = FieldStorage::new();
    let Ok(Some(head)) = request_head(bytes, &mut storage, &HeadLimits::default()) else { return };
    let Some(path) = head.target.path() else { return };
    let mut target = path.to_vec();
    if let Some(query) = head.target.query() {
        target.push(b'?');
        target.extend_from_slice(query);
    }
    let outgoing = Outgoing {
        method: head.method.as_bytes(),
        target: &target,
        authority: head.host,
        spoken: Spoken::Http11,
        fields: &|visit| head.fields.iter().for_each(|(name, value)| visit(name, value)),
        origin: &Origin::new(([192, 0, 2, 7], 1).into(), ([192, 0, 2, 1], 443).into(), true),
        trusted: false,
    };
    let rules = Forward { pseudonym: "ringway-1".into(), ..Forward::default() };
    let mut out = Vec::new();
    if request(&mut out, &outgoing, &rules).is_err() {
        return;
    }
    end_of_request(&mut out, head.body, Hop::Persists, false);
    // As many fields as the client's and our own, and as many bytes.
    let limits =
        HeadLimits { max_head_bytes: 1 << 20, max_target_bytes: 1 << 20, ..HeadLimits::default() };
    if head.fields.len() + 8 > MAX_FIELDS {
        return;
    }
    let mut storage = FieldStorage::new();
    let read = match request_head(&out, &mut storage, &limits) {
        Ok(Some(read)) => read,
        other => panic!("{other:?} of {}", out.escape_ascii()),
    };
    assert_eq!((read.length, read.body), (out.len(), head.body));
    assert_eq!(read.method.as_bytes(), head.method.as_bytes());
    assert!(read.persistent && !read.expect_continue);
    assert!(read.fields.all("x-forwarded-for").eq([&b"192.0.2.7"[..]]));
    for gone in ["connection", "te", "trailer", "upgrade", "keep-alive", "expect", "x-real-ip"] {
        assert_eq!(read.fields.get(gone), None, "{gone}");
    }
}

/// Whatever a server sends: what goes to the client are whole lines, without framing of the server's.
///
/// # Panics
/// It is not.
pub fn a_response_keeps_its_lines(bytes: &[u8]) {
    let mut storage = FieldStorage::new();
    let parsed = response_head(bytes, &mut storage, &HeadLimits::default(), Answered::default());
    let Ok(Some(head)) = parsed else { return };
    let mut lines = Vec::new();
    response_fields(&mut lines, head.fields);
    let whole = [b"HTTP/1.1 200 OK\r\n", &lines[..], b"\r\n"].concat();
    let limits = HeadLimits { max_head_bytes: 1 << 20, ..HeadLimits::default() };
    let mut storage = FieldStorage::new();
    match response_head(&whole, &mut storage, &limits, Answered::default()) {
        Ok(Some(read)) => {
            assert_eq!(read.length, whole.len());
            for gone in ["content-length", "transfer-encoding", "connection", "keep-alive"] {
                assert_eq!(read.fields.get(gone), None, "{gone}");
            }
        }
        other => panic!("{other:?} of {}", whole.escape_ascii()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_holds_of_a_few() {
        for bytes in [
            &b"GET /a?b HTTP/1.1\r\nHost: a\r\nConnection: x\r\nX: y\r\nX-Real-IP: z\r\n\r\n"[..],
            b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n",
            b"GET / HTTP/1.0\r\n\r\n",
        ] {
            a_request_keeps_its_meaning(bytes);
        }
        let head = b"HTTP/1.1 200 OK\r\nConnection: x\r\nX: y\r\nContent-Length: 3\r\n\r\n";
        a_response_keeps_its_lines(head);
    }
}
