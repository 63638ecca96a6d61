//! Conditional requests: whether the client needs the representation at all (RFC 9110 section 13).
//!
//! The invariant: the fields are weighed in the order of section 13.2.2 and no other; what is not
//! valid never makes a condition hold that would hide or spare content from the client.

use std::time::UNIX_EPOCH;

use super::interest::{Interest, Lines, Single};
use super::validator::{EntityTag, LastModified, Validators};

#[cfg(test)]
mod tests;

/// What the conditions come to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Go on with the request.
    Proceed,
    /// The client's copy is current: 304.
    NotModified,
    /// A condition that the client set does not hold: 412.
    PreconditionFailed,
}

/// Weighs the conditions of a GET or HEAD against the selected representation, which exists, as it
/// is at `now` (seconds since the epoch). Where the representation has no date that can be trusted,
/// conditions on dates are ignored (RFC 9110 sections 13.1.3 and 13.1.4).
pub fn evaluate(interest: &Interest<'_>, validators: &Validators, now: i64) -> Outcome {
    let modified = || validators.date(now).map(LastModified::seconds);
    let is_later = |since| modified().is_some_and(|modified| modified > since);
    let is_not_later = |since| modified().is_some_and(|modified| modified <= since);
    if !interest.if_match.is_empty() {
        if !matches(&interest.if_match, &validators.entity_tag, Comparison::Strong) {
            return Outcome::PreconditionFailed;
        }
    } else if date(interest.if_unmodified_since).is_some_and(is_later) {
        return Outcome::PreconditionFailed;
    }
    if !interest.if_none_match.is_empty() {
        if matches(&interest.if_none_match, &validators.entity_tag, Comparison::Weak) {
            return Outcome::NotModified;
        }
    } else if date(interest.if_modified_since).is_some_and(is_not_later) {
        return Outcome::NotModified;
    }
    Outcome::Proceed
}

/// Whether `If-Range` lets a `Range` be honoured (RFC 9110 section 13.1.5): it is absent, or its
/// validator is strong and exactly the current one.
///
/// A date is strong only where the representation did not change twice within its second (section
/// 8.8.2.2), which [`Validators::date`] sees to.
pub fn range_applies(interest: &Interest<'_>, validators: &Validators, now: i64) -> bool {
    let value = match interest.if_range {
        Single::Absent => return true,
        Single::Repeated => return false,
        Single::Once(value) => value.trim_ascii(),
    };
    if value.starts_with(b"\"") {
        return value == validators.entity_tag.as_bytes();
    }
    let modified = validators.date(now).map(LastModified::seconds);
    modified.is_some() && seconds(value) == modified
}

/// Strong or weak comparison (RFC 9110 section 8.8.3.2). Ours are all strong tags.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Comparison {
    Strong,
    Weak,
}

/// Whether a list of entity tags, or `*`, names this one, weak or strong.
pub(super) fn names(lines: &Lines<'_>, tag: &EntityTag) -> bool {
    matches(lines, tag, Comparison::Weak)
}

/// Whether a list of entity tags, or `*`, matches the current one.
fn matches(lines: &Lines<'_>, current: &EntityTag, comparison: Comparison) -> bool {
    if lines.only().is_some_and(|line| line.trim_ascii() == b"*") {
        return true;
    }
    lines.iter().any(|line| line_matches(line, current, comparison))
}

/// Whether one line's list of entity tags matches. A comma may stand inside a tag, so the list is
/// read tag by tag; what follows the first thing that is not a tag is not read.
fn line_matches(line: &[u8], current: &EntityTag, comparison: Comparison) -> bool {
    let mut rest = line;
    loop {
        rest = skip_separators(rest);
        let (weak, quoted) = match rest.strip_prefix(b"W/") {
            Some(quoted) => (true, quoted),
            None => (false, rest),
        };
        let Some((tag, after)) = split_opaque_tag(quoted) else { return false };
        if tag == current.as_bytes() && (comparison == Comparison::Weak || !weak) {
            return true;
        }
        rest = after;
    }
}

fn skip_separators(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|byte| !b", \t".contains(byte)).unwrap_or(bytes.len());
    &bytes[end..]
}

/// Splits off an `opaque-tag`, quotes included.
fn split_opaque_tag(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let opaque = bytes.strip_prefix(b"\"")?;
    let end = opaque.iter().position(|&byte| !is_etagc(byte))?;
    (opaque[end] == b'"').then(|| bytes.split_at(end + 2))
}

/// `etagc` of RFC 9110 section 8.8.3.
fn is_etagc(byte: u8) -> bool {
    matches!(byte, 0x21 | 0x23..=0x7e | 0x80..)
}

/// The moment that a date field names. A field that is repeated or not a valid date counts as
/// absent (RFC 9110 sections 13.1.3 and 13.1.4).
fn date(field: Single<'_>) -> Option<i64> {
    seconds(field.value()?)
}

/// Seconds since the epoch of an HTTP date in any of its three formats (RFC 9110 section 5.6.7).
fn seconds(value: &[u8]) -> Option<i64> {
    let moment = httpdate::parse_http_date(str::from_utf8(value).ok()?).ok()?;
    i64::try_from(moment.duration_since(UNIX_EPOCH).ok()?.as_secs()).ok()
}
