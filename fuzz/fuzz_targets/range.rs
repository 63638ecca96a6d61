//! Whatever range is asked for, what is sent lies inside the file, no byte twice, and several
//! parts are exactly as long as promised.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::process::multipart::{Boundaries, MAX_PART_HEAD, Multipart};
use ringway::internals::process::range::{MAX_RANGES, Selection, select};

fuzz_target!(|input: (u64, &[u8])| {
    let (length, value) = input;
    let Selection::Part(ranges) = select(value, length) else { return };
    let all = ranges.as_slice();
    assert!(!all.is_empty() && all.len() <= MAX_RANGES);
    let mut total = 0_u64;
    for (index, range) in all.iter().enumerate() {
        assert!(range.first <= range.last && range.last < length);
        total = total.checked_add(range.len()).expect("no byte is sent twice");
        for other in &all[..index] {
            assert!(range.last + 1 < other.first || other.last + 1 < range.first);
        }
    }
    assert!(total <= length);

    let multipart =
        Multipart::new(ranges, "text/plain", length, &Boundaries::default(), b"\"tag\"", 0);
    let mut buffer = [0; MAX_PART_HEAD];
    let mut promised = u128::from(total);
    for &range in multipart.ranges() {
        promised += multipart.part_head(range, &mut buffer).expect("a part head fits") as u128;
    }
    promised += multipart.end(&mut buffer).expect("the end fits") as u128;
    assert_eq!(u128::from(multipart.content_length()), promised.min(u128::from(u64::MAX)));
});
