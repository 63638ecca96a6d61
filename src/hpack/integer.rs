//! Integers with a prefix (RFC 7541 section 5.1).

use super::HpackError;

/// Octets behind the prefix that are read. With the prefix these are five, which is more than any
/// length or index of a block within its bounds needs; longer ones are only a way to overflow.
const MAX_CONTINUATION: usize = 4;

/// Octets that [`encode`] writes at most.
pub(super) const MAX_ENCODED: usize = 6;

/// Reads an integer with a prefix of `bits` bits (1 to 8) from the front of `bytes`. Returns it and
/// what follows.
pub(super) fn decode(bytes: &[u8], bits: u32) -> Result<(usize, &[u8]), HpackError> {
    let (&first, mut rest) = bytes.split_first().ok_or(HpackError::Integer)?;
    let mask = (0xff_u32 >> (8 - bits)) as u8;
    let prefix = first & mask;
    if prefix < mask {
        return Ok((usize::from(prefix), rest));
    }
    let mut value = usize::from(prefix);
    for shift in 0..MAX_CONTINUATION {
        let (&octet, tail) = rest.split_first().ok_or(HpackError::Integer)?;
        rest = tail;
        value += usize::from(octet & 0x7f) << (7 * shift);
        if octet & 0x80 == 0 {
            return Ok((value, rest));
        }
    }
    Err(HpackError::Integer)
}

/// Writes `value` with a prefix of `bits` bits, whose other bits are those of `first`. Returns the
/// octets and how many of them count.
pub(super) fn encode(value: u32, bits: u32, first: u8) -> ([u8; MAX_ENCODED], usize) {
    let mut octets = [0; MAX_ENCODED];
    let mask = 0xff_u32 >> (8 - bits);
    if value < mask {
        octets[0] = first | value as u8;
        return (octets, 1);
    }
    octets[0] = first | mask as u8;
    let mut rest = value - mask;
    let mut used = 1;
    // A `u32` has at most five groups of seven bits.
    for octet in octets.iter_mut().skip(1) {
        used += 1;
        if rest < 0x80 {
            *octet = rest as u8;
            break;
        }
        *octet = (rest & 0x7f) as u8 | 0x80;
        rest >>= 7;
    }
    (octets, used)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 7541 appendix C.1.
    #[test]
    fn the_examples_of_the_rfc() {
        for (value, bits, octets) in
            [(10, 5, &[0x0a][..]), (1337, 5, &[0x1f, 0x9a, 0x0a]), (42, 8, &[0x2a])]
        {
            let (encoded, used) = encode(value, bits, 0);
            assert_eq!(&encoded[..used], octets);
            assert_eq!(decode(octets, bits), Ok((value as usize, &[][..])));
        }
    }

    #[test]
    fn what_is_too_long_or_cut_off_is_refused() {
        assert_eq!(decode(&[], 7), Err(HpackError::Integer));
        assert_eq!(decode(&[0x7f], 7), Err(HpackError::Integer));
        assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80], 7), Err(HpackError::Integer));
        assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80, 0], 7), Ok((127, &[][..])));
        assert_eq!(decode(&[0x7f, 0x80, 0x80, 0x80, 0x80, 0], 7), Err(HpackError::Integer));
        let largest = 127 + (1 << 28) - 1;
        assert_eq!(decode(&[0x7f, 0xff, 0xff, 0xff, 0x7f], 7), Ok((largest, &[][..])));
    }

    #[test]
    fn every_integer_comes_back() {
        let values = (0..70_000).chain((17..28).map(|bit| (1_u32 << bit) + 5));
        for value in values {
            for bits in 1..=8 {
                let first = if bits == 8 { 0 } else { 0xff << bits };
                let (mut octets, used) = encode(value, bits, first);
                assert_eq!(octets[0] & first, first);
                octets[0] ^= first;
                assert_eq!(decode(&octets[..used], bits), Ok((value as usize, &[][..])));
            }
        }
        let (octets, used) = encode(u32::MAX, 1, 0);
        assert_eq!((octets[5], used), (0x0f, 6));
    }
}
