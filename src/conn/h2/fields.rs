//! All fields of a request, for what another server or an application answers: they want each, where
//! a file's answer depends on few.

use crate::{
    conn::exchange::EachField,
    hpack::{Field, FieldName, FieldVisitor},
    parse::h2::Draft,
};

/// Gives a block's fields to a draft, and keeps a copy of each if there is memory for that.
pub(super) struct Keeping<'d, 's> {
    pub(super) draft: &'d mut Draft<'s>,
    pub(super) all: Option<&'d mut Vec<u8>>,
}

impl FieldVisitor for Keeping<'_, '_> {
    fn field(&mut self, field: Field<'_>) -> bool {
        let checked = self.draft.field(field);
        let Some(all) = &mut self.all else { return checked };
        // What is beyond the bounds is refused, and what belongs to the target is no field.
        if !self.draft.is_too_large() && field.name.first() != Some(&b':') {
            all.extend_from_slice(&(field.name.len() as u32).to_ne_bytes());
            all.extend_from_slice(&(field.value.len() as u32).to_ne_bytes());
            all.extend_from_slice(field.name);
            all.extend_from_slice(field.value);
        }
        checked
    }

    fn oversized(&mut self, bytes: usize) {
        self.draft.oversized(bytes);
    }
}

/// What [`Keeping`] has kept.
pub(super) struct KeptFields<'f>(pub(super) &'f [u8]);

impl<'f> Iterator for KeptFields<'f> {
    type Item = (&'f [u8], &'f [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, rest) = self.0.split_first_chunk()?;
        let (value, rest) = rest.split_first_chunk()?;
        let (name, rest) = rest.split_at_checked(u32::from_ne_bytes(*name) as usize)?;
        let (value, rest) = rest.split_at_checked(u32::from_ne_bytes(*value) as usize)?;
        self.0 = rest;
        Some((name, value))
    }
}

impl EachField for KeptFields<'_> {
    fn field_at<'f>(&'f self, place: &mut usize) -> Option<(&'f str, &'f [u8])> {
        let mut rest = KeptFields(self.0.get(*place..)?);
        loop {
            let (name, value) = rest.next()?;
            *place = self.0.len() - rest.0.len();
            // What belongs to the target is no field, and a name that is checked is ASCII.
            if name.first() != Some(&b':')
                && let Ok(name) = str::from_utf8(name)
            {
                return Some((name, value));
            }
        }
    }

    fn count(&self) -> usize {
        KeptFields(self.0).count()
    }
}

/// Makes one cookie field of several, behind all other fields: pieces are those of HTTP/2 alone (RFC 9113
/// section 8.2.3).
pub(super) fn join_cookies(all: &mut Vec<u8>) {
    let cookie = FieldName::Cookie.text().as_bytes();
    let is_cookie = |name: &[u8]| name == cookie;
    let pieces = || KeptFields(all).filter(|(name, _)| is_cookie(name));
    let (count, bytes) =
        pieces().fold((0, 0), |(count, bytes), (_, value)| (count + 1, bytes + value.len()));
    if count < 2 {
        return;
    }
    let (end, length) = (all.len(), bytes + 2 * (count - 1));
    all.extend_from_slice(&(cookie.len() as u32).to_ne_bytes());
    all.extend_from_slice(&(length as u32).to_ne_bytes());
    all.extend_from_slice(cookie);
    let (mut at, mut first) = (0, true);
    while at < end {
        let Some((name, value)) = KeptFields(&all[at..end]).next() else { return };
        let (names_at, named) = (at + 8, is_cookie(name));
        let value_at = names_at + name.len();
        let values = value_at..value_at + value.len();
        at = values.end;
        if named {
            if !std::mem::take(&mut first) {
                all.extend_from_slice(b"; ");
            }
            all.extend_from_within(values);
            // What belongs to the target is no field, and neither is this any more.
            all[names_at] = b':';
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse::HeadLimits;

    #[test]
    fn every_field_comes_in_order_and_cookies_as_one() {
        let limits = HeadLimits::default();
        let (mut room, mut all) = (vec![0; limits.max_head_bytes], Vec::new());
        let mut draft = Draft::new(&mut room, limits);
        let mut keeping = Keeping { draft: &mut draft, all: Some(&mut all) };
        let fields: [(&[u8], &[u8]); 7] = [
            (b":method", b"GET"),
            (b"x-one", b"1"),
            (b"cookie", b"a=b"),
            (b"x-one", b""),
            (b"cookie", b"c=d"),
            (b"host", b"example.org"),
            (b"cookie", b"e=f"),
        ];
        for (name, value) in fields {
            let token = FieldName::of(name);
            assert!(keeping.field(Field {
                token,
                name,
                value,
                checked: false,
                never_indexed: false
            }));
        }
        join_cookies(&mut all);
        let mut seen = Vec::new();
        KeptFields(&all).each(&mut |name, value| seen.push((name.to_owned(), value.to_vec())));
        let expected: [(&str, &[u8]); 4] = [
            ("x-one", b"1"),
            ("x-one", b""),
            ("host", b"example.org"),
            ("cookie", b"a=b; c=d; e=f"),
        ];
        assert_eq!(seen, expected.map(|(name, value)| (name.to_owned(), value.to_vec())));
    }
}
