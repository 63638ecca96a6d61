use proptest::collection::vec;
use proptest::prelude::*;

use super::tests::{LIMITS, note};
use super::*;
use crate::parse::Target;

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        ":method",
        ":scheme",
        ":path",
        ":authority",
        ":status",
        ":x",
        "host",
        "content-length",
        "te",
        "expect",
        "cookie",
        "connection",
        "range",
        "if-match",
        "priority",
        "x-a",
        "X",
        "",
        "user-agent",
    ])
}

fn value() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::sample::select(vec![
            "GET", "HEAD", "OPTIONS", "https", "/", "/a?b", "*", "a", "a:443", "5", "trailers", "",
        ])
        .prop_map(|text| text.as_bytes().to_vec()),
        vec(any::<u8>(), 0..40),
    ]
}

proptest! {
    #[test]
    fn an_accepted_head_has_one_meaning(
        fields in vec((name(), value()), 0..12),
        end in any::<bool>(),
        usual in any::<bool>(),
    ) {
        let mut all: Vec<(&str, Vec<u8>)> = Vec::new();
        if usual {
            all.extend([":method", ":scheme", ":path", ":authority"].into_iter().zip(
                ["GET", "https", "/", "a"].map(|text| text.as_bytes().to_vec()),
            ));
        }
        all.extend(fields);
        let mut room = [0; 4096];
        let mut draft = Draft::new(&mut room, LIMITS);
        for (name, value) in &all {
            note(&mut draft, name.as_bytes(), value);
        }
        if let HeadOutcome::Head(head) = draft.finish(end) {
            let count = |wanted: &str| all.iter().filter(|(name, _)| *name == wanted).count();
            prop_assert_eq!(count(":method"), 1);
            prop_assert!(count("host") <= 1 && count("content-length") <= 1);
            prop_assert_eq!(count(":status") + count(":x") + count("connection"), 0);
            prop_assert_eq!(count("X") + count(""), 0);
            prop_assert!(!head.authority.is_empty());
            if let Target::Origin { path, .. } = head.target {
                prop_assert_eq!(path.first(), Some(&b'/'));
            }
            prop_assert!(!end || head.content_length.is_none_or(|length| length == 0));
            let first = all.iter().position(|(name, _)| !name.starts_with(':'));
            let behind = all.iter().skip(first.unwrap_or(all.len()));
            prop_assert!(!behind.clone().any(|(name, _)| name.starts_with(':')));
            for (_, value) in &all {
                prop_assert!(!value.iter().any(|byte| b"\r\n\0".contains(byte)));
            }
        }
    }

    #[test]
    fn no_priority_field_is_too_odd(value in vec(any::<u8>(), 0..40)) {
        prop_assert!(Priority::parse(&value).urgency <= 7);
    }
}
