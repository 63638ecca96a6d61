//! Whatever `Accept-Encoding` says, a coding is chosen only if it is there and was asked for, and
//! the conditional fields of the same bytes never panic.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway::internals::process::conditional;
use ringway::internals::process::interest::Interest;
use ringway::internals::process::negotiate::{Coding, Siblings, choose};
use ringway::internals::process::validator::{FileStat, Validators};

fuzz_target!(|input: (u8, &[u8])| {
    let (mask, text) = input;
    let lines: Vec<&[u8]> = text.split(|&byte| byte == b'\n').collect();
    let siblings = Coding::SIBLINGS
        .into_iter()
        .enumerate()
        .filter(|(bit, _)| mask & (1 << bit) != 0)
        .fold(Siblings::default(), |all, (_, coding)| all.with(coding));

    let interest = Interest::collect(lines.iter().map(|line| ("Accept-Encoding", *line)));
    let coding = choose(&interest.accept_encoding, siblings);
    if let Some(token) = coding.token() {
        assert!(siblings.has(coding));
        let lower = text.to_ascii_lowercase();
        assert!(
            lower.contains(&b'*')
                || lower.windows(token.len()).any(|window| window == token.as_bytes())
        );
    }

    let stat = FileStat {
        length: 1,
        device: 1,
        inode: 2,
        modified: 3,
        modified_nanos: 4,
        changed: 5,
        changed_nanos: 6,
    };
    let validators = Validators::new(&stat, coding);
    for name in
        ["If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range"]
    {
        let interest = Interest::collect(lines.iter().map(|line| (name, *line)));
        conditional::evaluate(&interest, &validators, i64::from(mask));
        conditional::range_applies(&interest, &validators, i64::from(mask));
    }
});
