use proptest::prelude::*;

use super::super::negotiate::Coding;
use super::super::validator::FileStat;
use super::{Interest, Outcome, Validators, evaluate, range_applies};

/// Sun, 06 Nov 1994 08:49:37 GMT
const MODIFIED: i64 = 784_111_777;
const NOW: i64 = MODIFIED + 1_000;

fn validators() -> Validators {
    let stat = FileStat {
        length: 10,
        device: 1,
        inode: 1,
        modified: MODIFIED,
        modified_nanos: 0,
        changed: MODIFIED,
        changed_nanos: 0,
    };
    Validators::new(&stat, Coding::Identity)
}

fn tag() -> String {
    String::from_utf8(validators().entity_tag.as_bytes().to_vec()).unwrap()
}

fn outcome(fields: &[(&str, &str)]) -> Outcome {
    let interest = Interest::collect(fields.iter().map(|(name, value)| (*name, value.as_bytes())));
    evaluate(&interest, &validators(), NOW)
}

const AT: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

use Outcome::{NotModified, PreconditionFailed, Proceed};

#[test]
fn without_conditions_the_request_proceeds() {
    assert_eq!(outcome(&[]), Proceed);
}

#[test]
fn if_none_match_compares_weakly() {
    let tag = tag();
    for value in [
        tag.clone(),
        format!("W/{tag}"),
        format!("\"other\", {tag}"),
        format!("\"a,b\" , W/\"\",{tag},"),
        format!(",, {tag}"),
        "*".to_owned(),
        " * ".to_owned(),
    ] {
        assert_eq!(outcome(&[("If-None-Match", &value)]), NotModified, "{value}");
    }
    for value in [
        "\"other\"".to_owned(),
        String::new(),
        tag.trim_matches('"').to_owned(),
        format!("w/{tag}"),
        format!("*, {tag}x"),
        format!("broken, {tag}"),
        format!("\"unclosed, {tag}"),
        format!("\"a b\", {tag}"),
    ] {
        assert_eq!(outcome(&[("If-None-Match", &value)]), Proceed, "{value}");
    }
}

#[test]
fn if_match_compares_strongly() {
    let tag = tag();
    assert_eq!(outcome(&[("If-Match", &tag)]), Proceed);
    assert_eq!(outcome(&[("If-Match", "*")]), Proceed);
    assert_eq!(outcome(&[("If-Match", &format!("\"x\", {tag}"))]), Proceed);
    assert_eq!(outcome(&[("If-Match", &format!("W/{tag}"))]), PreconditionFailed);
    assert_eq!(outcome(&[("If-Match", "\"x\"")]), PreconditionFailed);
    assert_eq!(outcome(&[("If-Match", "\"x\""), ("If-Match", &tag)]), Proceed);
}

#[test]
fn lists_may_be_spread_over_lines() {
    let tag = tag();
    assert_eq!(outcome(&[("If-None-Match", "\"x\""), ("If-None-Match", &tag)]), NotModified);
    assert_eq!(outcome(&[("If-None-Match", "*"), ("If-None-Match", "\"x\"")]), Proceed);
}

#[test]
fn if_modified_since() {
    assert_eq!(outcome(&[("If-Modified-Since", AT)]), NotModified);
    assert_eq!(outcome(&[("If-Modified-Since", AFTER)]), NotModified);
    assert_eq!(outcome(&[("If-Modified-Since", BEFORE)]), Proceed);
    // The obsolete formats (RFC 9110 section 5.6.7).
    for obsolete in ["Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
        assert_eq!(outcome(&[("If-Modified-Since", obsolete)]), NotModified);
    }
    for invalid in ["", "yesterday", "784111777", "Sun, 06 Nov 1994 08:49:37 PST", "\u{fc}"] {
        assert_eq!(outcome(&[("If-Modified-Since", invalid)]), Proceed);
    }
    assert_eq!(outcome(&[("If-Modified-Since", AT), ("If-Modified-Since", AT)]), Proceed);
}

#[test]
fn if_unmodified_since() {
    assert_eq!(outcome(&[("If-Unmodified-Since", AT)]), Proceed);
    assert_eq!(outcome(&[("If-Unmodified-Since", BEFORE)]), PreconditionFailed);
    assert_eq!(outcome(&[("If-Unmodified-Since", "never")]), Proceed);
}

#[test]
fn precedence() {
    let tag = tag();
    // If-Match decides alone over If-Unmodified-Since.
    assert_eq!(outcome(&[("If-Match", &tag), ("If-Unmodified-Since", BEFORE)]), Proceed);
    // If-None-Match decides alone over If-Modified-Since.
    assert_eq!(outcome(&[("If-None-Match", "\"x\""), ("If-Modified-Since", AT)]), Proceed);
    assert_eq!(outcome(&[("If-None-Match", &tag), ("If-Modified-Since", BEFORE)]), NotModified);
    // A failed If-Match comes before a matching If-None-Match, and a held one lets it decide.
    let both = [("If-None-Match", tag.as_str()), ("If-Match", "\"x\"")];
    assert_eq!(outcome(&both), PreconditionFailed);
    assert_eq!(outcome(&[("If-Match", &tag), ("If-None-Match", &tag)]), NotModified);
    assert_eq!(outcome(&[("If-Unmodified-Since", AT), ("If-None-Match", &tag)]), NotModified);
}

fn if_range(values: &[&str], now: i64) -> bool {
    let interest = Interest::collect(values.iter().map(|value| ("If-Range", value.as_bytes())));
    range_applies(&interest, &validators(), now)
}

#[test]
fn if_range_wants_a_strong_and_exact_validator() {
    let tag = tag();
    assert!(if_range(&[], NOW));
    assert!(if_range(&[&tag], NOW));
    assert!(!if_range(&[&format!("W/{tag}")], NOW));
    assert!(!if_range(&["\"x\""], NOW));
    assert!(!if_range(&["*"], NOW));
    assert!(!if_range(&[&format!("{tag}, {tag}")], NOW));
    assert!(!if_range(&[&tag, &tag], NOW));
    assert!(if_range(&[AT], NOW));
    assert!(!if_range(&[AFTER], NOW));
    assert!(!if_range(&[BEFORE], NOW));
    assert!(!if_range(&["never"], NOW));
}

#[test]
fn a_date_is_weak_within_its_own_second() {
    assert!(!if_range(&[AT], MODIFIED));
    assert!(!if_range(&[AT], MODIFIED - 10));
    assert!(if_range(&[AT], MODIFIED + 1));
}

#[test]
fn a_date_that_cannot_be_trusted_holds_and_fails_nothing() {
    let trusted = validators();
    for (name, value, if_trusted) in [
        ("If-Modified-Since", AFTER, NotModified),
        ("If-Unmodified-Since", BEFORE, PreconditionFailed),
    ] {
        let interest = Interest::collect([(name, value.as_bytes())]);
        assert_eq!(evaluate(&interest, &trusted, MODIFIED + 1), if_trusted, "{name}");
        for now in [MODIFIED, MODIFIED - 1] {
            assert_eq!(evaluate(&interest, &trusted, now), Proceed, "{name} at {now}");
        }
        assert_eq!(evaluate(&interest, &trusted.without_date(), NOW), Proceed, "{name}");
    }
    let interest = Interest::collect([("If-Range", AT.as_bytes())]);
    assert!(!range_applies(&interest, &trusted.without_date(), NOW));
}

/// The tags and dates that fields are made of, each with what it means.
fn tag_member() -> impl Strategy<Value = (String, bool, bool)> {
    prop_oneof![
        Just((tag(), true, true)),
        Just((format!("W/{}", tag()), false, true)),
        "[!a-z,]{0,4}".prop_map(|text| (format!("\"{text}\""), false, false)),
        "[!a-z,]{0,4}".prop_map(|text| (format!("W/\"{text}\""), false, false)),
    ]
}

fn tag_list() -> impl Strategy<Value = Option<Vec<(String, bool, bool)>>> {
    prop::option::of(prop::collection::vec(tag_member(), 0..4))
}

proptest! {
    /// Section 13.2.2 written down as it stands there.
    #[test]
    fn the_naive_model_agrees(
        if_match in tag_list(),
        if_none_match in tag_list(),
        modified_since in prop::option::of(-2_i64..3),
        unmodified_since in prop::option::of(-2_i64..3),
    ) {
        let date = |offset: i64| {
            let second = std::time::Duration::from_secs((MODIFIED + offset) as u64);
            httpdate::fmt_http_date(std::time::UNIX_EPOCH + second)
        };
        let join = |list: &Vec<(String, bool, bool)>| {
            list.iter().map(|member| member.0.as_str()).collect::<Vec<_>>().join(", ")
        };
        let mut fields = Vec::new();
        fields.extend(if_match.as_ref().map(|list| ("if-match", join(list))));
        fields.extend(if_none_match.as_ref().map(|list| ("if-none-match", join(list))));
        fields.extend(modified_since.map(|offset| ("if-modified-since", date(offset))));
        fields.extend(unmodified_since.map(|offset| ("if-unmodified-since", date(offset))));
        let fields: Vec<_> = fields.iter().map(|(n, v)| (*n, v.as_str())).collect();

        let expected = 'model: {
            if let Some(list) = &if_match {
                if !list.iter().any(|member| member.1) { break 'model PreconditionFailed; }
            } else if unmodified_since.is_some_and(|offset| offset < 0) {
                break 'model PreconditionFailed;
            }
            if let Some(list) = &if_none_match {
                if list.iter().any(|member| member.2) {
                    break 'model NotModified;
                }
            } else if modified_since.is_some_and(|offset| offset >= 0) {
                break 'model NotModified;
            }
            Proceed
        };
        prop_assert_eq!(outcome(&fields), expected);
    }

    #[test]
    fn no_value_panics(value in any::<Vec<u8>>()) {
        for name in ["if-match", "if-none-match", "if-modified-since", "if-unmodified-since"] {
            let interest = Interest::collect([(name, &value[..])]);
            evaluate(&interest, &validators(), NOW);
        }
        let interest = Interest::collect([("if-range", &value[..])]);
        range_applies(&interest, &validators(), NOW);
    }
}
