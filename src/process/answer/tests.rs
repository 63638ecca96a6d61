use super::{Content, FieldSink};
use crate::parse::Method;
use crate::process::negotiate::Coding;
use crate::process::site::Site;
use crate::respond::Status;

type Answer<'f> = super::Answer<'f>;

#[derive(Default)]
struct Head(Vec<(String, String)>);

impl FieldSink for Head {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), str::from_utf8(value).unwrap().to_owned()));
    }
    fn field_u64(&mut self, name: &str, number: u64) {
        self.0.push((name.to_owned(), number.to_string()));
    }
}

/// The value of a field of an answer.
fn field(answer: &Answer<'_>, name: &str) -> Option<String> {
    let mut head = Head::default();
    answer.head.write_fields(&Site::default(), &mut head);
    head.0.into_iter().find(|(field, _)| field == name).map(|(_, value)| value)
}

fn page(answer: &Answer<'_>) -> Option<Vec<u8>> {
    match &answer.content {
        Content::Page(page) => Some(page.to_vec()),
        _ => None,
    }
}

/// RFC 9110 section 10.2.3: 503 says when to come again, and others do if they know.
#[test]
fn who_may_come_again_is_told_when() {
    for (answer, after) in [
        (Answer::error(Status::ServiceUnavailable), Some("1")),
        (Answer::error(Status::ServiceUnavailable).retrying(None), Some("1")),
        (Answer::error(Status::ServiceUnavailable).retrying(Some(9)), Some("9")),
        (Answer::error(Status::TooManyRequests).retrying(Some(5)), Some("5")),
        (Answer::error(Status::TooManyRequests).retrying(None), None),
        (Answer::fixed(Status::ServiceUnavailable, "text/plain", vec![]), Some("1")),
        (Answer::fixed(Status::Ok, "text/plain", vec![]), None),
    ] {
        assert_eq!(field(&answer, "Retry-After").as_deref(), after, "{answer:?}");
    }
}

/// RFC 9110 sections 11.6.1 and 15.5.6.
#[test]
fn errors_say_what_would_be_allowed() {
    let challenge = Answer::error(Status::Unauthorized).challenging(Some("Basic".into()));
    assert_eq!(field(&challenge, "WWW-Authenticate").as_deref(), Some("Basic"));
    let silent = Answer::error(Status::Unauthorized).challenging(None);
    assert_eq!(field(&silent, "WWW-Authenticate"), None);
    let allow = |status| field(&Answer::error(status), "Allow");
    assert_eq!(allow(Status::MethodNotAllowed).as_deref(), Some("GET, HEAD, OPTIONS"));
    assert_eq!(allow(Status::NotFound), None);
}

#[test]
fn our_page_of_an_error_is_replaced_and_the_rest_stays() {
    let own = Answer::error(Status::MethodNotAllowed);
    assert!(own.is_own_error());
    assert_eq!(page(&own).as_deref(), Some(Status::MethodNotAllowed.page().as_bytes()));
    assert!(field(&own, "Content-Security-Policy").is_some());
    let theirs = own.with_page("text/plain", b"no");
    assert!(!theirs.is_own_error());
    assert_eq!(page(&theirs).as_deref(), Some(&b"no"[..]));
    for (name, value) in [
        ("Content-Type", Some("text/plain")),
        ("Content-Length", Some("2")),
        ("Content-Security-Policy", None),
        ("Allow", Some("GET, HEAD, OPTIONS")),
        ("X-Content-Type-Options", Some("nosniff")),
    ] {
        assert_eq!(field(&theirs, name).as_deref(), value, "{name}");
    }
    let head = Answer::error(Status::NotFound).to(Method::Head);
    let head = head.with_page("text/plain", b"no");
    assert_eq!((page(&head), head.head.content_length()), (None, Some(2)));
    assert!(!Answer::listing(String::new()).is_own_error());
}

#[test]
fn redirects_and_fixed_answers_say_what_they_are() {
    let moved = Answer::redirect(Status::Found, b"/a/".to_vec());
    assert_eq!(
        (moved.head.status, field(&moved, "Location").as_deref()),
        (Status::Found, Some("/a/"))
    );
    assert_eq!(moved.head.content_length(), page(&moved).map(|page| page.len() as u64));
    assert!(moved.head.fields_bound() >= Answer::listing(String::new()).head.fields_bound() + 3);
    let fixed = Answer::fixed(Status::Gone, "text/plain", b"gone".to_vec());
    assert_eq!(page(&fixed).as_deref(), Some(&b"gone"[..]));
    for (name, value) in [
        ("Content-Type", Some("text/plain")),
        ("Content-Length", Some("4")),
        ("X-Content-Type-Options", Some("nosniff")),
        ("Location", None),
    ] {
        assert_eq!(field(&fixed, name).as_deref(), value, "{name}");
    }
}

/// RFC 9110 section 12.5.5: what depends on Accept-Encoding says so to clients that get it plain, too.
#[test]
fn a_page_that_some_get_compressed_varies() {
    let listing = || Answer::listing("page".into());
    assert_eq!(field(&listing(), "Vary"), None);
    let plain = listing().coded(Coding::Gzip, None);
    assert_eq!(field(&plain, "Vary").as_deref(), Some("Accept-Encoding"));
    assert_eq!(field(&plain, "Content-Encoding"), None);
    assert_eq!(page(&plain).as_deref(), Some(&b"page"[..]));
    let coded = listing().coded(Coding::Gzip, Some(b"coded".to_vec()));
    assert_eq!(field(&coded, "Content-Encoding").as_deref(), Some("gzip"));
    assert_eq!(field(&coded, "Content-Length").as_deref(), Some("5"));
    assert_eq!(page(&coded).as_deref(), Some(&b"coded"[..]));
}
