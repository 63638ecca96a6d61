use proptest::prelude::*;

use super::{After, Entry, Listing, MAX_ENTRIES, Moment, SitePath, Size, percent};

fn entry(name: &[u8], length: Option<u64>) -> Entry {
    Entry { name: name.into(), length, modified: 784_111_777 }
}

fn page(path: &[u8], entries: Vec<Entry>) -> String {
    page_after(None, path, entries)
}

fn page_after(after: Option<After>, path: &[u8], entries: Vec<Entry>) -> String {
    let mut listing = Listing::new(after);
    for entry in entries {
        if Listing::shows(&entry.name) && listing.wants(entry.length.is_some(), &entry.name) {
            listing.add(entry);
        }
        assert!(listing.entries.len() <= MAX_ENTRIES);
    }
    listing.into_page(&SitePath::resolve(path).unwrap())
}

/// The names that a page links to, and the query of its next page.
fn links(page: &str) -> (Vec<String>, Option<String>) {
    let names = page.split("<tr><td><a href=\"./").skip(1);
    let names = names.map(|rest| rest.split('"').next().unwrap().to_owned()).collect();
    let next = page.split("rel=\"next\" href=\"./?").nth(1);
    (names, next.map(|rest| rest.split('"').next().unwrap().to_owned()))
}

#[test]
fn folders_come_first_and_names_are_sorted() {
    let page = page(
        b"/d/",
        vec![entry(b"b", Some(1)), entry(b"a", Some(1)), entry(b"z", None), entry(b"y", None)],
    );
    let places: Vec<_> = ["\"../\"", "\"./y/\"", "\"./z/\"", "\"./a\"", "\"./b\""]
        .map(|name| page.find(name))
        .into();
    assert!(places.iter().all(Option::is_some) && places.is_sorted(), "{page}");
    assert!(page.contains("<title>/d/</title>"));
}

#[test]
fn names_are_escaped_and_links_encoded() {
    let page = page(b"/%3Cb%3E/", vec![entry(b"<i>\"&'\xff?#%:", Some(2_048))]);
    assert!(page.contains("/&lt;b&gt;/"));
    assert!(page.contains("<bdi>&lt;i&gt;&quot;&amp;&#39;\u{fffd}?#%:</bdi>"));
    assert!(page.contains("href=\"./%3Ci%3E%22%26%27%FF%3F%23%25:\""), "{page}");
    assert!(page.contains("title=\"2048 bytes\">2.0 KiB<"));
    assert!(page.contains("<time datetime=\"1994-11-06T08:49Z\">1994-11-06 08:49</time>"));
}

#[test]
fn hidden_and_unreachable_names_are_absent() {
    let names: [&[u8]; 5] = [b".git", b".", b"..", b"a\nb", b"a\\b"];
    let page = page(b"/", names.iter().map(|name| entry(name, Some(1))).collect());
    assert!(page.contains("This folder is empty."));
    assert!(!page.contains("href"), "the root has no parent");
}

#[test]
fn pages_are_bounded_and_together_complete() {
    // Folders and files, in an order of the disk; `%` and `&` have to survive the link.
    let name = |i: usize| format!("{}&%25 {i:04}", char::from(b'a' + (i % 7) as u8));
    let entries: Vec<_> = (0..2 * MAX_ENTRIES + 7)
        .map(|i| i * 1_009 % (2 * MAX_ENTRIES + 7))
        .map(|i| entry(name(i).as_bytes(), (i % 3 > 0).then_some(0)))
        .collect();
    let (mut seen, mut query) = (Vec::new(), None::<String>);
    for number in 0..3 {
        let after = After::of(query.as_deref().map(str::as_bytes));
        assert_eq!(after.is_some(), number > 0);
        let page = page_after(after, b"/", entries.clone());
        let (names, next) = links(&page);
        assert_eq!(names.len(), if number < 2 { MAX_ENTRIES } else { 7 });
        assert_eq!(page.contains("First page"), number > 0);
        assert!(page.contains(&format!(
            "<p>Entries {} to {} of {}.",
            seen.len() + 1,
            seen.len() + names.len(),
            entries.len()
        )));
        seen.extend(names);
        query = next;
    }
    assert_eq!(query, None);
    let mut sorted = entries.clone();
    sorted.sort();
    let expected: Vec<_> = sorted
        .iter()
        .map(|entry| {
            let slash = if entry.length.is_none() { "/" } else { "" };
            let name: String = percent::path(&entry.name).map(char::from).collect();
            format!("{name}{slash}")
        })
        .collect();
    assert_eq!(seen, expected);
}

#[test]
fn a_query_that_names_no_place_is_the_first_page() {
    for query in [
        "",
        "after",
        "after=",
        "C=N;O=D",
        "after=%",
        "after=%zz",
        "after=a/b",
        "after=.git",
        "after=..",
        "after=%0a",
    ] {
        assert_eq!(After::of(Some(query.as_bytes())), None, "{query}");
    }
    let after = |query: &str| After::of(Some(query.as_bytes())).unwrap();
    assert_eq!(after("after=a%20b"), After { is_file: true, name: (*b"a b").into() });
    assert_eq!(after("after=a/"), After { is_file: false, name: (*b"a").into() });
    let page = page_after(Some(after("after=zz")), b"/", vec![entry(b"a", Some(1))]);
    assert!(page.contains("<p>No more of 1 entries. <a href=\"./\">First page</a></p>"));
}

#[test]
fn what_was_not_looked_at_is_said() {
    let mut listing = Listing::default();
    listing.cut_off(77);
    assert!(listing.into_page(&SitePath::resolve(b"/").unwrap()).contains("more than 77 names"));
}

#[test]
fn sizes_for_people() {
    for (bytes, text) in [
        (0, "0 B"),
        (1_023, "1023 B"),
        (1_024, "1.0 KiB"),
        (10_239, "10 KiB"),
        (1_048_063, "1023 KiB"),
        (1_048_575, "1.0 MiB"),
        (u64::MAX, "16 EiB"),
    ] {
        assert_eq!(Size(bytes).to_string(), text);
    }
}

#[test]
fn moments() {
    for (seconds, text) in [
        (0, "1970-01-01 00:00"),
        (951_825_599, "2000-02-29 11:59"),
        (4_107_542_400, "2100-03-01 00:00"),
        (-1, "1969-12-31 23:59"),
        (i64::MIN, "0001-01-01 00:00"),
        (i64::MAX, "9999-12-31 23:59"),
    ] {
        assert_eq!(Moment::new(seconds).to_string(), text);
    }
}

proptest! {
    #[test]
    fn a_name_never_becomes_markup(name in any::<Vec<u8>>()) {
        let page = page(b"/", vec![entry(&name, Some(1))]);
        let links = usize::from(Listing::shows(&name));
        prop_assert_eq!(page.matches('<').count(), page.matches('>').count());
        prop_assert_eq!(page.matches("<a ").count(), links);
    }
}
