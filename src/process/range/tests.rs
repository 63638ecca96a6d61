use proptest::prelude::*;

use super::{ByteRange, MAX_RANGES, Selection, select};

/// The ranges as pairs, `None` for the whole, an empty list for 416.
fn selected(value: &str, length: u64) -> Option<Vec<(u64, u64)>> {
    match select(value.as_bytes(), length) {
        Selection::Whole => None,
        Selection::Unsatisfiable => Some(Vec::new()),
        Selection::Part(ranges) => {
            Some(ranges.as_slice().iter().map(|range| (range.first, range.last)).collect())
        }
    }
}

#[test]
fn the_examples_of_the_rfc() {
    // RFC 9110 section 14.1.2, a representation of 10,000 bytes.
    assert_eq!(selected("bytes=0-499", 10_000), Some(vec![(0, 499)]));
    assert_eq!(selected("bytes=500-999", 10_000), Some(vec![(500, 999)]));
    assert_eq!(selected("bytes=-500", 10_000), Some(vec![(9_500, 9_999)]));
    assert_eq!(selected("bytes=9500-", 10_000), Some(vec![(9_500, 9_999)]));
    assert_eq!(selected("bytes=0-0,-1", 10_000), Some(vec![(0, 0), (9_999, 9_999)]));
    assert_eq!(
        selected("bytes= 0-999, 4500-5499, -1000", 10_000),
        Some(vec![(0, 999), (4_500, 5_499), (9_000, 9_999)])
    );
    assert_eq!(selected("bytes=500-600,601-999", 10_000), Some(vec![(500, 999)]));
    assert_eq!(selected("bytes=500-700,601-999", 10_000), Some(vec![(500, 999)]));
}

#[test]
fn ends_beyond_the_representation() {
    assert_eq!(selected("bytes=5-100", 10), Some(vec![(5, 9)]));
    assert_eq!(selected("bytes=-100", 10), Some(vec![(0, 9)]));
    assert_eq!(selected("bytes=9-", 10), Some(vec![(9, 9)]));
    assert_eq!(selected("bytes=10-", 10), Some(vec![]));
    assert_eq!(selected("bytes=10-20", 10), Some(vec![]));
    assert_eq!(selected("bytes=-0", 10), Some(vec![]));
    assert_eq!(selected("bytes=10-,0-0", 10), Some(vec![(0, 0)]));
}

#[test]
fn an_empty_representation() {
    assert_eq!(selected("bytes=0-", 0), Some(vec![]));
    assert_eq!(selected("bytes=0-0", 0), Some(vec![]));
    assert_eq!(selected("bytes=-0", 0), Some(vec![]));
    assert_eq!(selected("bytes=-5", 0), None);
}

#[test]
fn large_numbers() {
    let max = u64::MAX;
    assert_eq!(selected("bytes=0-18446744073709551615", 10), Some(vec![(0, 9)]));
    assert_eq!(selected("bytes=0-99999999999999999999999", 10), Some(vec![(0, 9)]));
    assert_eq!(selected("bytes=99999999999999999999999-", 10), Some(vec![]));
    assert_eq!(selected("bytes=-99999999999999999999999", 10), Some(vec![(0, 9)]));
    assert_eq!(selected("bytes=0-", max), Some(vec![(0, max - 1)]));
    assert_eq!(selected("bytes=0-0,1-", max), Some(vec![(0, max - 1)]));
}

#[test]
fn what_is_malformed_or_unknown_is_ignored() {
    for value in [
        "",
        "bytes",
        "bytes=",
        "bytes=,",
        "bytes=-",
        "bytes=5-4",
        "bytes=a-b",
        "bytes=0-a",
        "bytes=0x1-2",
        "bytes=+0-1",
        "bytes=0--1",
        "bytes=0 - 1",
        "bytes=--1",
        "bytes=0-1;2-3",
        "bytes=0-1,x",
        "bytes =0-1",
        "items=0-1",
        "bytes:0-1",
        "0-1",
    ] {
        assert_eq!(selected(value, 10), None, "{value:?}");
    }
    // Range units are case-insensitive, empty list members are borne.
    assert_eq!(selected("Bytes=0-1", 10), Some(vec![(0, 1)]));
    assert_eq!(selected("bytes=,0-1,\t,3-3 ,", 10), Some(vec![(0, 1), (3, 3)]));
}

#[test]
fn ranges_are_bounded_and_never_overlap() {
    let many = |count: u64| {
        let specs: Vec<_> = (0..count).map(|i| format!("{0}-{0}", i * 2)).collect();
        format!("bytes={}", specs.join(","))
    };
    assert_eq!(selected(&many(16), 1_000).unwrap().len(), MAX_RANGES);
    let first: Vec<_> = (0..16).map(|i| (i * 2, i * 2)).collect();
    assert_eq!(selected(&many(17), 1_000), Some(first.clone()));
    assert_eq!(selected(&many(400), 1_000), Some(first.clone()));
    // What touches those that are there is joined with them, however late it comes.
    let mut joined = first;
    joined[15] = (30, 32);
    assert_eq!(selected(&format!("{},31-32", many(20)), 1_000), Some(joined));
    assert_eq!(selected(&format!("{},0-", many(400)), 1_000), Some(vec![(0, 999)]));
    // A malformed one among them makes the field malformed.
    assert_eq!(selected(&format!("{},x", many(400)), 1_000), None);
    // The classic attack: the same bytes, over and over.
    assert_eq!(selected("bytes=0-,0-,0-,0-,0-,0-", 1_000), Some(vec![(0, 999)]));
    // Order of first appearance; a range that bridges two takes the place of the first.
    assert_eq!(selected("bytes=50-60,0-1,20-30", 100), Some(vec![(50, 60), (0, 1), (20, 30)]));
    assert_eq!(selected("bytes=50-60,0-1,20-30,31-49", 100), Some(vec![(20, 60), (0, 1)]));
}

#[test]
fn the_length_of_a_range() {
    assert_eq!(ByteRange { first: 3, last: 3 }.len(), 1);
    assert_eq!(ByteRange { first: 0, last: u64::MAX - 1 }.len(), u64::MAX);
}

/// A range as the RFC words it, and what it asks for, byte by byte.
#[derive(Clone, Copy, Debug)]
enum Model {
    FromTo(u64, u64),
    From(u64),
    Last(u64),
}

impl Model {
    fn text(self) -> String {
        match self {
            Self::FromTo(first, last) => format!("{first}-{last}"),
            Self::From(first) => format!("{first}-"),
            Self::Last(count) => format!("-{count}"),
        }
    }

    fn wants(self, at: u64, length: u64) -> bool {
        match self {
            Self::FromTo(first, last) => first <= at && at <= last,
            Self::From(first) => first <= at,
            Self::Last(count) => at + count >= length,
        }
    }
}

fn model() -> impl Strategy<Value = Model> {
    prop_oneof![
        (0_u64..40, 0_u64..40).prop_map(|(first, more)| Model::FromTo(first, first + more)),
        (0_u64..40).prop_map(Model::From),
        (0_u64..40).prop_map(Model::Last),
    ]
}

proptest! {
    /// Byte by byte: a byte is sent exactly once if any range asks for it, and not at all else.
    #[test]
    fn the_naive_model_agrees(
        specs in prop::collection::vec(model(), 1..=MAX_RANGES),
        length in 1_u64..40,
    ) {
        let texts: Vec<_> = specs.iter().map(|spec| spec.text()).collect();
        let value = format!("bytes={}", texts.join(", "));
        let wants = |at| usize::from(specs.iter().any(|spec| spec.wants(at, length)));
        let wanted: Vec<_> = (0..length).map(wants).collect();
        let mut sent = vec![0; length as usize];
        let ranges = selected(&value, length).unwrap();
        for &(first, last) in &ranges {
            prop_assert!(first <= last && last < length);
            (first..=last).for_each(|at| sent[at as usize] += 1);
        }
        prop_assert_eq!(sent, wanted);
        for (index, a) in ranges.iter().enumerate() {
            for b in &ranges[..index] {
                prop_assert!(a.1 + 1 < b.0 || b.1 + 1 < a.0, "{:?} touches {:?}", a, b);
            }
        }
    }

    /// However many are asked for, what is sent was asked for.
    #[test]
    fn many_ranges_are_answered_in_part(
        specs in prop::collection::vec((0_u64..400, 0_u64..4), MAX_RANGES..200),
    ) {
        let texts: Vec<_> = specs.iter().map(|(at, more)| format!("{at}-{}", at + more)).collect();
        let ranges = selected(&format!("bytes={}", texts.join(",")), 1_000).unwrap();
        let mut wanted = vec![false; 1_000];
        for (at, more) in specs {
            wanted[at as usize..=(at + more) as usize].fill(true);
        }
        prop_assert!((1..=MAX_RANGES).contains(&ranges.len()));
        for (first, last) in ranges {
            prop_assert!(wanted[first as usize..=last as usize].iter().all(|wanted| *wanted));
        }
    }

    #[test]
    fn whatever_comes_stays_inside(value in "(bytes=)?[-0-9, ]{0,40}", length in any::<u64>()) {
        if let Selection::Part(ranges) = select(value.as_bytes(), length) {
            prop_assert!(!ranges.as_slice().is_empty());
            let mut total = 0_u64;
            for range in ranges.as_slice() {
                prop_assert!(range.first <= range.last && range.last < length);
                total = total.checked_add(range.len()).unwrap();
            }
            prop_assert!(total <= length);
        }
    }
}
