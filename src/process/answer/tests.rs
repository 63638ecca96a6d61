use super::{Content, FieldSink};
use crate::config::CacheRule;
use crate::parse::Method;
use crate::process::caching::Caching;
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

#[test]
fn the_operator_adds_replaces_and_leaves_out() {
    let site = Site::default().with_field("X-A", b"1").with_replaced("X-B", b"2").without("X-C");
    for (name, rules, drops, leaves_out) in [
        ("x-a", true, false, false),
        ("x-b", true, true, false),
        ("x-c", true, true, true),
        ("x-d", false, false, false),
    ] {
        let found = (site.rules(name), site.drops(name), site.leaves_out(name));
        assert_eq!(found, (rules, drops, leaves_out), "{name}");
    }
    assert!(site.leaves_any_out() && !Site::default().leaves_any_out());
    let silent = Site::default().without("x-content-type-options");
    let mut head = Head::default();
    Answer::error(Status::NotFound).head.write_fields(&silent, &mut head);
    assert!(head.0.iter().all(|(name, _)| !name.eq_ignore_ascii_case("x-content-type-options")));
}

/// A rule for a file stands for what all files have; on other answers nothing speaks of caching.
#[test]
fn a_rule_on_caching_stands_for_the_general_line() {
    let rule = CacheRule::new("*.txt".parse().unwrap(), "no-cache").unwrap();
    let fields = [("cache-control", "max-age=1"), ("Expires", "x"), ("X-A", "1")];
    let mut site = Site::default();
    for (name, value) in fields {
        site = site.with_field(name, value.as_bytes());
    }
    site.caching = Caching::new(&[rule]);
    for (cacheable, rule, expected) in [
        (true, None, &fields[..]),
        (true, Some(0), &[fields[1], fields[2], ("Cache-Control", "no-cache")]),
        (true, Some(9), &fields),
        (false, None, &fields[2..]),
    ] {
        let mut head = Head::default();
        site.write_fields_cached(cacheable, rule, &mut head);
        let written: Vec<_> = head.0.iter().map(|(name, value)| (&name[..], &value[..])).collect();
        assert_eq!(written, expected, "{cacheable} {rule:?}");
    }
    let mut head = Head::default();
    site.write_own_fields(true, &mut head);
    assert_eq!(head.0.len(), fields.len());
}
