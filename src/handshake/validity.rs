//! Reading the outline of a certificate: who issued it to whom, and for how long.
//!
//! Only for messages to the operator, about the operator's own files: whether a certificate is to
//! be trusted is for the client to decide. What cannot be read yields `None`, never a panic.

#![forbid(unsafe_code)]

pub(super) const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
pub(super) const EXPLICIT_0: u8 = 0xa0;

/// The parts of a certificate that we look at (RFC 5280 section 4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outline<'a> {
    /// The issuer's name, as DER.
    pub(super) issuer: &'a [u8],
    /// The subject's name, as DER.
    pub(super) subject: &'a [u8],
    /// First second of validity since 1970.
    pub(super) not_before: i64,
    /// Last second of validity since 1970.
    pub(super) not_after: i64,
}

/// Reads a DER certificate.
pub(super) fn outline(certificate: &[u8]) -> Option<Outline<'_>> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if fields.first() == Some(&EXPLICIT_0) {
        fields = skip(fields)?; // version
    }
    fields = skip(fields)?; // serialNumber
    fields = skip(fields)?; // signature
    let (issuer, fields) = expect(SEQUENCE, fields)?;
    let (validity, fields) = expect(SEQUENCE, fields)?;
    let (subject, _) = expect(SEQUENCE, fields)?;
    let (not_before, validity) = time(validity)?;
    let (not_after, _) = time(validity)?;
    Some(Outline { issuer, subject, not_before, not_after })
}

/// One value of DER: its tag, its content, and what follows it.
pub(super) fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
        if digits.is_empty() || digits.len() > 3 {
            return None;
        }
        (digits.iter().fold(0, |length, &digit| length << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

pub(super) fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = value(bytes)?;
    (found == tag).then_some((content, rest))
}

pub(super) fn skip(bytes: &[u8]) -> Option<&[u8]> {
    value(bytes).map(|(_, _, rest)| rest)
}

/// RFC 5280 section 4.1.2.5: `YYMMDDHHMMSSZ`, where YY from 50 means 19YY, or `YYYYMMDDHHMMSSZ`.
fn time(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (tag, text, rest) = value(bytes)?;
    let (year, text) = match tag {
        UTC_TIME => {
            let (year, text) = number(text, 2)?;
            (if year >= 50 { 1900 + year } else { 2000 + year }, text)
        }
        GENERALIZED_TIME => number(text, 4)?,
        _ => return None,
    };
    let (month, text) = number(text, 2)?;
    let (day, text) = number(text, 2)?;
    let (hour, text) = number(text, 2)?;
    let (minute, text) = number(text, 2)?;
    let (second, text) = number(text, 2)?;
    if text != b"Z" || !(1..=12).contains(&month) {
        return None;
    }
    let days = days_since_1970(year, month, day);
    Some((((days * 24 + hour) * 60 + minute) * 60 + second, rest))
}

fn number(text: &[u8], digits: usize) -> Option<(i64, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let mut value = 0;
    for digit in number {
        if !digit.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(digit - b'0');
    }
    Some((value, rest))
}

/// Days of the Gregorian calendar, counting years from March so that the leap day comes last.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let month_from_march = (month + 9) % 12;
    let leap_days = year.div_euclid(4) - year.div_euclid(100) + year.div_euclid(400);
    let day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
    year * 365 + leap_days + day_of_year - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn days_are_counted_from_1970() {
        assert_eq!(days_since_1970(1970, 1, 1), 0);
        assert_eq!(days_since_1970(1969, 12, 31), -1);
        assert_eq!(days_since_1970(2000, 2, 29), 11_016);
        assert_eq!(days_since_1970(2000, 3, 1), 11_017);
        assert_eq!(days_since_1970(2100, 3, 1), 47_541);
    }

    #[test]
    fn both_forms_of_time_are_read() {
        let utc = b"\x17\x0d700101000001Z rest";
        assert_eq!(time(utc), Some((1, &b" rest"[..])));
        let generalized = b"\x18\x0f20500101000000Z";
        assert_eq!(time(generalized), Some((2_524_608_000, &b""[..])));
        assert_eq!(time(b"\x17\x0d700101000001+"), None);
        assert_eq!(time(b"\x17\x0d701301000001Z"), None);
    }

    #[test]
    fn own_certificate_is_read() {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let outline = outline(made.cert.der()).unwrap();
        assert_eq!(outline.issuer, outline.subject);
        // rcgen's defaults: 1975-01-01 to 4096-01-01.
        assert_eq!(outline.not_before, 157_766_400);
        assert_eq!(outline.not_after, 67_090_118_400);
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = outline(&bytes);
        }

        #[test]
        fn damaged_certificates_never_panic(position in 0usize..400, byte: u8) {
            let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
            let mut bytes = made.cert.der().to_vec();
            let position = position % bytes.len();
            bytes[position] = byte;
            let _ = outline(&bytes);
        }
    }
}
