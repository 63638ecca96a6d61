use super::super::answer::{Answer, Content, FieldSink};
use super::super::facts::{FileFacts, Found};
use super::super::interest::Interest;
use super::super::negotiate::Coding;
use super::super::path::SitePath;
use super::super::validator::FileStat;
use crate::respond::Status;

use super::{Asked, Decision, Fallback, Method, Plan, Site};

/// Sun, 06 Nov 1994 08:49:37 GMT
const MODIFIED: i64 = 784_111_777;
const DATE: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const NOW: i64 = MODIFIED + 1_000;

fn stat(length: u64) -> FileStat {
    FileStat {
        length,
        device: 1,
        inode: length,
        modified: MODIFIED,
        modified_nanos: 9,
        changed: MODIFIED,
        changed_nanos: 9,
    }
}

fn plain() -> FileFacts {
    FileFacts::new(b"a.txt", &stat(1_000))
}

fn coded() -> FileFacts {
    plain().with_sibling(Coding::Gzip, &stat(300)).with_sibling(Coding::Brotli, &stat(200))
}

fn tag(facts: &FileFacts, coding: Coding) -> String {
    let tag = facts.representation(coding).validators.entity_tag;
    String::from_utf8(tag.as_bytes().to_vec()).unwrap()
}

fn asked<'r>(method: Method<'r>, path: &'r str, fields: &[(&'r str, &'r str)]) -> Asked<'r> {
    let (path, query) = match path.split_once('?') {
        Some((path, query)) => (path, Some(query.as_bytes())),
        None => (path, None),
    };
    let interest = Interest::collect(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
    Asked {
        via: super::Via::Tls,
        demand: crate::config::Demand::NONE,
        method,
        host: None,
        path: path.as_bytes(),
        query,
        interest: Box::leak(Box::new(interest)),
        now: NOW,
    }
}

fn path<'r>(asked: &Asked<'r>) -> SitePath<'r> {
    match asked.plan::<FileFacts>() {
        Plan::Find(path) => path,
        Plan::Decided(decision) => panic!("{decision:?}"),
    }
}

fn answer(decision: Decision<'_>) -> Answer<'_> {
    match decision {
        Decision::Answer(answer) => answer,
        other => panic!("{other:?}"),
    }
}

/// The answer to a request for a file that is there.
fn get<'f>(facts: &'f FileFacts, fields: &[(&str, &str)]) -> Answer<'f> {
    let asked = asked(Method::Get, "/a.txt", fields);
    answer(Site::default().decide(&asked, &path(&asked), Found::File(facts)))
}

#[derive(Default, Debug, PartialEq, Eq)]
struct Head(Vec<(String, String)>);

impl FieldSink for Head {
    fn field(&mut self, name: &str, value: &[u8]) {
        self.0.push((name.to_owned(), String::from_utf8(value.to_vec()).unwrap()));
    }
    fn field_u64(&mut self, name: &str, number: u64) {
        self.0.push((name.to_owned(), number.to_string()));
    }
}

impl Head {
    fn of(answer: &Answer<'_>, site: &Site) -> Self {
        let mut head = Self::default();
        answer.head.write_fields(site, &mut head);
        for (index, (name, _)) in head.0.iter().enumerate() {
            assert!(!head.0[..index].iter().any(|other| other.0 == *name), "{name} twice");
        }
        head
    }

    fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|field| field.0 == name).map(|field| field.1.as_str())
    }

    fn names(&self) -> Vec<&str> {
        self.0.iter().map(|field| field.0.as_str()).collect()
    }
}

fn head(answer: &Answer<'_>) -> Head {
    Head::of(answer, &Site::default())
}

#[test]
fn a_plain_get() {
    let facts = plain();
    let answer = get(&facts, &[]);
    assert_eq!(answer.head.status.code(), 200);
    assert!(matches!(answer.content, Content::Whole(_, Coding::Identity)));
    let expected = [
        ("Content-Type", "text/plain; charset=utf-8"),
        ("Content-Length", "1000"),
        ("ETag", &tag(&facts, Coding::Identity)),
        ("Last-Modified", DATE),
        ("Accept-Ranges", "bytes"),
    ];
    assert_eq!(head(&answer).0, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

#[test]
fn a_head_has_the_same_head_and_no_content() {
    let facts = coded();
    let site = Site { listing: true, ..Site::default() };
    for (target, found) in [
        ("/a.txt", Found::File(&facts)),
        ("/d/", Found::Folder { index: Some(&facts) }),
        ("/d", Found::Folder { index: Some(&facts) }),
        ("/a.txt", Found::Forbidden),
    ] {
        for fields in [&[][..], &[("Accept-Encoding", "gzip")], &[("If-None-Match", "*")]] {
            let [get, head] = [Method::Get, Method::Head].map(|method| {
                let asked = asked(method, target, fields);
                answer(site.decide(&asked, &path(&asked), found))
            });
            assert_eq!(get.head.status.code(), head.head.status.code());
            assert_eq!(Head::of(&get, &site), Head::of(&head, &site));
            assert!(matches!(head.content, Content::Nothing));
        }
    }
}

#[test]
fn head_ignores_ranges() {
    let facts = plain();
    let asked = asked(Method::Head, "/a.txt", &[("Range", "bytes=0-1")]);
    let answer = answer(Site::default().decide(&asked, &path(&asked), Found::File(&facts)));
    assert_eq!((answer.head.status.code(), answer.head.content_length()), (200, Some(1_000)));
}

#[test]
fn the_coding_has_its_own_length_and_tag_and_the_files_type() {
    let facts = coded();
    let answer = get(&facts, &[("Accept-Encoding", "gzip, br")]);
    assert!(matches!(answer.content, Content::Whole(_, Coding::Brotli)));
    let head = head(&answer);
    assert_eq!(head.get("Content-Type"), Some("text/plain; charset=utf-8"));
    assert_eq!(head.get("Content-Encoding"), Some("br"));
    assert_eq!(head.get("Content-Length"), Some("200"));
    assert_eq!(head.get("Vary"), Some("Accept-Encoding"));
    assert_eq!(head.get("ETag"), Some(&*tag(&facts, Coding::Brotli)));
    // The plain file varies too, once there are siblings.
    let answer = get(&facts, &[]);
    assert_eq!(self::head(&answer).get("Vary"), Some("Accept-Encoding"));
    assert_eq!(self::head(&answer).get("Content-Encoding"), None);
}

#[test]
fn not_modified_has_the_fields_that_update_a_cache() {
    let facts = coded();
    let gzip = tag(&facts, Coding::Gzip);
    let by_tag = get(&facts, &[("Accept-Encoding", "gzip"), ("If-None-Match", &gzip)]);
    assert_eq!((by_tag.head.status.code(), by_tag.head.content_length()), (304, None));
    assert!(matches!(by_tag.content, Content::Nothing));
    let site = Site::default().with_field("Cache-Control", b"no-cache");
    assert_eq!(Head::of(&by_tag, &site).names(), ["ETag", "Vary", "Cache-Control"]);
    // Another coding's tag is another representation's.
    assert_eq!(
        get(&facts, &[("Accept-Encoding", "br"), ("If-None-Match", &gzip)]).head.status.code(),
        200
    );
    let by_date = get(&facts, &[("If-Modified-Since", DATE)]);
    assert_eq!(by_date.head.status.code(), 304);
    assert_eq!(head(&by_date).names(), ["ETag", "Last-Modified", "Vary"]);
}

#[test]
fn a_failed_precondition() {
    let facts = plain();
    let answer = get(&facts, &[("If-Match", "\"x\""), ("Range", "bytes=5000-")]);
    assert_eq!(answer.head.status.code(), 412);
    assert_eq!(head(&answer).get("Content-Type"), Some("text/html; charset=utf-8"));
}

#[test]
fn one_range() {
    let facts = coded();
    let answer = get(&facts, &[("Range", "bytes=-100"), ("Accept-Encoding", "gzip")]);
    assert_eq!(answer.head.status.code(), 206);
    let Content::Slice(_, Coding::Gzip, range) = answer.content else { panic!("{answer:?}") };
    assert_eq!((range.first, range.last), (200, 299));
    let head = head(&answer);
    assert_eq!(head.get("Content-Range"), Some("bytes 200-299/300"));
    assert_eq!(head.get("Content-Length"), Some("100"));
    for name in ["ETag", "Last-Modified", "Vary", "Content-Encoding", "Content-Type"] {
        assert!(head.get(name).is_some(), "{name}");
    }
}

#[test]
fn several_ranges() {
    let facts = plain();
    let answer = get(&facts, &[("Range", "bytes=0-9,20-29")]);
    assert_eq!(answer.head.status.code(), 206);
    let Content::Parts(_, Coding::Identity, multipart) = &answer.content else {
        panic!("{answer:?}")
    };
    assert_eq!(multipart.ranges().len(), 2);
    let head = head(&answer);
    let boundary = multipart.boundary();
    assert_eq!(
        head.get("Content-Type"),
        Some(&*format!("multipart/byteranges; boundary={boundary}"))
    );
    assert_eq!(head.get("Content-Length"), Some(&*multipart.content_length().to_string()));
    assert_eq!(head.get("Content-Range"), None);
}

#[test]
fn no_range_satisfiable() {
    let answer = get(&plain(), &[("Range", "bytes=1000-")]).head.status.code();
    assert_eq!(answer, 416);
    let facts = plain();
    let answer = get(&facts, &[("Range", "bytes=1000-")]);
    let head = head(&answer);
    assert_eq!(head.get("Content-Range"), Some("bytes */1000"));
    assert_eq!(head.get("ETag"), None);
    let Content::Page(page) = &answer.content else { panic!("{answer:?}") };
    assert_eq!(head.get("Content-Length"), Some(&*page.len().to_string()));
}

#[test]
fn if_range_guards_the_range() {
    let facts = plain();
    let tag = tag(&facts, Coding::Identity);
    let status = |if_range: &str| {
        get(&facts, &[("Range", "bytes=0-1"), ("If-Range", if_range)]).head.status.code()
    };
    assert_eq!(status(&tag), 206);
    assert_eq!(status(DATE), 206);
    assert_eq!(status("\"x\""), 200);
    assert_eq!(
        get(&facts, &[("Range", "bytes=5000-"), ("If-Range", "\"x\"")]).head.status.code(),
        200
    );
    // A 304 comes before any range.
    assert_eq!(
        get(&facts, &[("Range", "bytes=0-1"), ("If-None-Match", &tag)]).head.status.code(),
        304
    );
    // A repeated Range is none.
    assert_eq!(
        get(&facts, &[("Range", "bytes=0-1"), ("Range", "bytes=0-1")]).head.status.code(),
        200
    );
}

fn decide<'f>(site: &Site, target: &str, found: Found<'f>) -> Decision<'f> {
    let asked = asked(Method::Get, target, &[]);
    site.decide(&asked, &path(&asked), found)
}

#[test]
fn folders() {
    let index = FileFacts::new(b"index.html", &stat(10));
    let with_index = Found::Folder { index: Some(&index) };
    let without = Found::Folder { index: None };
    let site = Site::default();
    let listing = Site { listing: true, ..Site::default() };

    assert_eq!(answer(decide(&site, "/d/", with_index)).head.status.code(), 200);
    assert_eq!(answer(decide(&listing, "/d/", with_index)).head.status.code(), 200);
    let moved = answer(decide(&site, "//evil.example/%41b?x=//y", with_index));
    assert_eq!(moved.head.status.code(), 301);
    assert_eq!(head(&moved).get("Location"), Some("/evil.example/Ab/?x=//y"));
    let Content::Page(page) = &moved.content else { panic!("{moved:?}") };
    assert_eq!(moved.head.content_length(), Some(page.len() as u64));

    assert!(matches!(decide(&listing, "/d/", without), Decision::List));
    assert_eq!(answer(decide(&listing, "/d", without)).head.status.code(), 301);
    for target in ["/d/", "/d"] {
        let decision = decide(&site, target, without);
        assert!(matches!(decision, Decision::Fallback(Fallback::NotFoundPage)), "{target}");
    }
    // A file is no folder.
    let decision = decide(&site, "/a.txt/", Found::File(&index));
    assert!(matches!(decision, Decision::Fallback(Fallback::NotFoundPage)));
}

#[test]
fn what_is_not_found() {
    let site = Site::default();
    let request = asked(Method::Get, "/x", &[("If-None-Match", "*"), ("Range", "bytes=0-0")]);
    let bare = site.fallback(&request, Fallback::NotFoundPage, None);
    assert_eq!(bare.head.status.code(), 404);
    assert_eq!(head(&bare).get("X-Content-Type-Options"), Some("nosniff"));

    let page = FileFacts::new(b"404.html", &stat(50)).with_sibling(Coding::Gzip, &stat(20));
    let own = site.fallback(&request, Fallback::NotFoundPage, Some(&page));
    assert_eq!((own.head.status.code(), own.head.content_length()), (404, Some(50)));
    assert_eq!(
        head(&own).names(),
        ["Content-Type", "Content-Length", "Vary", "X-Content-Type-Options"]
    );
    let zipped = asked(Method::Head, "/x", &[("Accept-Encoding", "gzip")]);
    let own = site.fallback(&zipped, Fallback::NotFoundPage, Some(&page));
    assert_eq!((own.head.status.code(), own.head.content_length()), (404, Some(20)));
    assert!(matches!(own.content, Content::Nothing));
}

#[test]
fn a_single_page_stands_in_for_pages_only() {
    let site = Site { single_page: true, ..Site::default() };
    for (target, fallback) in [
        ("/users/7", Fallback::SinglePage),
        ("/users/john.doe", Fallback::SinglePage),
        ("/old.html", Fallback::SinglePage),
        ("/deep/folder/", Fallback::SinglePage),
        ("/assets/app.js", Fallback::NotFoundPage),
        ("/logo.PNG", Fallback::NotFoundPage),
    ] {
        match decide(&site, target, Found::Missing) {
            Decision::Fallback(found) => assert_eq!(found, fallback, "{target}"),
            other => panic!("{other:?}"),
        }
    }
    let page = FileFacts::new(b"index.html", &stat(50));
    let asked = asked(Method::Get, "/users/7", &[("If-Modified-Since", DATE)]);
    assert_eq!(site.fallback(&asked, Fallback::SinglePage, Some(&page)).head.status.code(), 304);
    assert_eq!(
        site.fallback::<FileFacts>(&asked, Fallback::SinglePage, None).head.status.code(),
        404
    );
}

#[test]
fn what_needs_no_look_up() {
    let decided = |method, target| match asked(method, target, &[]).plan::<FileFacts>() {
        Plan::Decided(decision) => decision,
        Plan::Find(path) => panic!("{path:?}"),
    };
    let options = answer(decided(Method::Options, "*"));
    assert_eq!((options.head.status.code(), options.head.content_length()), (204, None));
    assert_eq!(head(&options).0, [("Allow".to_owned(), "GET, HEAD, OPTIONS".to_owned())]);
    let refused = answer(decided(Method::Post, "/a.txt"));
    assert_eq!(refused.head.status.code(), 405);
    assert_eq!(head(&refused).get("Allow"), Some("GET, HEAD, OPTIONS"));
    assert_eq!(answer(decided(Method::Get, "/../x")).head.status.code(), 400);
    assert!(matches!(answer(decided(Method::Head, "/%00")).content, Content::Nothing));
    assert!(matches!(
        decided(Method::Get, "/.git/config"),
        Decision::Fallback(Fallback::NotFoundPage)
    ));
    assert_eq!(
        answer(decided(Method::from_token(b"get"), "/a.txt")).head.status,
        Status::NotImplemented
    );
}

#[test]
fn the_operators_fields() {
    let site = Site::default()
        .with_field("X-Frame-Options", b"DENY")
        .with_field("cache-control", b"max-age=31536000, immutable");
    let facts = plain();
    let found = Head::of(&get(&facts, &[]), &site);
    assert_eq!(found.get("cache-control"), Some("max-age=31536000, immutable"));
    assert_eq!(found.get("X-Frame-Options"), Some("DENY"));
    let missing = Head::of(&Answer::error(Status::NotFound), &site);
    assert_eq!(missing.get("cache-control"), None);
    assert_eq!(missing.get("X-Frame-Options"), Some("DENY"));

    let site = Site::default().with_field("x-content-type-options", b"nosniff");
    let missing = Head::of(&Answer::error(Status::NotFound), &site);
    assert_eq!(missing.get("x-content-type-options"), Some("nosniff"));
    assert_eq!(missing.get("X-Content-Type-Options"), None);
}

#[test]
fn a_listing_is_an_inert_page() {
    let answer = Answer::listing("<p>page</p>".to_owned()).to(Method::Head);
    assert_eq!((answer.head.status.code(), answer.head.content_length()), (200, Some(11)));
    let head = head(&answer);
    assert_eq!(head.get("X-Content-Type-Options"), Some("nosniff"));
    assert!(head.get("Content-Security-Policy").unwrap().starts_with("default-src 'none'"));
}

#[test]
fn a_date_that_cannot_be_trusted_is_not_sent() {
    let facts = plain();
    let sent = |facts: &FileFacts, now| {
        let asked = Asked { now, ..asked(Method::Get, "/a.txt", &[]) };
        let answer = answer(Site::default().decide(&asked, &path(&asked), Found::File(facts)));
        head(&answer).get("Last-Modified").map(str::to_owned)
    };
    // What was made for one second is not sent in another.
    for (now, date) in
        [(MODIFIED - 1, None), (MODIFIED, None), (MODIFIED + 1, Some(DATE)), (MODIFIED, None)]
    {
        assert_eq!(sent(&facts, now).as_deref(), date, "at {now}");
    }
    let undated = facts.without_date(Coding::Identity);
    assert_eq!(sent(&undated, NOW), None);
    let coded = coded().without_date(Coding::Gzip);
    assert_eq!(sent(&coded, NOW).as_deref(), Some(DATE));
    assert!(coded.representation(Coding::Gzip).validators.date(NOW).is_none());
}

/// The room that a protocol makes for a head is made before it is written.
#[test]
fn fields_are_no_longer_than_their_bound() {
    let names: [&[u8]; 3] = [b"x", b"x.html", b"x.pptx"];
    let big = FileStat {
        length: u64::MAX,
        inode: u64::MAX,
        device: u64::MAX,
        modified: i64::from(u32::MAX),
        modified_nanos: 999_999_999,
        ..stat(0)
    };
    let ranges = "bytes=0-1,18446744073709551600-18446744073709551610";
    let query = format!("/d?{}", "&\"<a".repeat(1_000));
    let mut answers = Vec::new();
    let files = names.map(|name| FileFacts::new(name, &big).with_sibling(Coding::Zstandard, &big));
    for file in &files {
        for fields in [
            vec![],
            vec![("Range", "bytes=18446744073709551600-18446744073709551610")],
            vec![("Range", ranges)],
            vec![("If-None-Match", "*")],
            vec![("If-Modified-Since", "Sun, 06 Nov 2994 08:49:37 GMT")],
            vec![("If-Match", "\"x\"")],
        ] {
            for coding in ["identity", "zstd"] {
                let fields = [&fields[..], &[("Accept-Encoding", coding)]].concat();
                answers.push(get(file, &fields));
            }
        }
        answers.push(Answer::not_found(file, Coding::Zstandard));
        let index = Some(file);
        answers.push(answer(decide(&Site::default(), &query, Found::Folder { index })));
    }
    answers.extend(Status::ALL.iter().map(|status| Answer::error(*status)));
    answers.extend([Answer::options(), Answer::unsatisfiable(u64::MAX)]);
    for answer in answers {
        let written = Head::of(&answer, &Site::default());
        let line = |(name, value): &(String, String)| name.len() + value.len() + 4;
        let bytes: usize = written.0.iter().map(line).sum();
        assert!(bytes <= answer.head.fields_bound(), "{bytes} bytes: {written:?}");
    }
}
