//! The Huffman code of HPACK (RFC 7541 appendix B).
//!
//! The code is canonical: codes of one length are consecutive, in the order of their symbols, so
//! the lengths say all of it.

/// The length of each symbol's code in bits; the last is the end of string.
#[rustfmt::skip]
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];
/// The longest code.
const LONGEST: usize = 30;
/// Bits that the first table looks at: all common symbols are shorter.
const FAST: u32 = 10;

struct Tables {
    /// Each symbol's code.
    codes: [u32; 257],
    /// Symbols in the order of their codes.
    order: [u16; 257],
    /// For each length: the first code, and the place of its symbol in `order`.
    first: [(u32, u16); LONGEST + 2],
    /// By the next ten bits: a symbol and the length of its code; length 0 if it is longer.
    fast: [(u8, u8); 1 << FAST],
}

static TABLES: Tables = tables();

const fn tables() -> Tables {
    let mut codes = [0; 257];
    let mut order = [0; 257];
    let mut first = [(0, 0); LONGEST + 2];
    let mut fast = [(0, 0); 1 << FAST];
    let (mut code, mut place, mut length) = (0u32, 0usize, 1usize);
    while length <= LONGEST {
        first[length] = (code, place as u16);
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                codes[symbol] = code;
                order[place] = symbol as u16;
                if length <= FAST as usize {
                    let shift = FAST as usize - length;
                    let mut low = 0;
                    while low < 1 << shift {
                        fast[((code as usize) << shift) | low] = (symbol as u8, length as u8);
                        low += 1;
                    }
                }
                place += 1;
                code += 1;
            }
            symbol += 1;
        }
        code <<= 1;
        length += 1;
    }
    first[LONGEST + 1] = (code, place as u16);
    Tables { codes, order, first, fast }
}

/// Bytes that `text` takes when coded.
pub fn encoded_len(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&byte| usize::from(LENGTHS[usize::from(byte)])).sum();
    bits.div_ceil(8)
}

/// Appends `text`, coded and padded with ones.
pub fn encode(text: &[u8], out: &mut Vec<u8>) {
    let (mut window, mut held) = (0u64, 0u32);
    for &byte in text {
        let length = u32::from(LENGTHS[usize::from(byte)]);
        window = window << length | u64::from(TABLES.codes[usize::from(byte)]);
        held += length;
        while held >= 8 {
            held -= 8;
            out.push((window >> held) as u8);
        }
    }
    if held > 0 {
        out.push((window << (8 - held)) as u8 | 0xff >> held);
    }
}

/// Appends what `coded` stands for; nothing if it is no Huffman code, names the end of string, or
/// ends with padding of eight bits or of anything but ones.
pub fn decode(coded: &[u8], out: &mut Vec<u8>) -> Option<()> {
    let mut bytes = coded.iter();
    // The bits that are held stand at the top of the window.
    let (mut window, mut held) = (0u64, 0u32);
    loop {
        while held <= 56
            && let Some(&byte) = bytes.next()
        {
            window |= u64::from(byte) << (56 - held);
            held += 8;
        }
        if held == 0 {
            return Some(());
        }
        let (symbol, length) = TABLES.fast[(window >> (64 - FAST)) as usize];
        let (symbol, length) = match length {
            0 => long(window)?,
            length => (symbol, u32::from(length)),
        };
        if length > held {
            let padding = held < 8 && window >> (64 - held) == (1 << held) - 1;
            return padding.then_some(());
        }
        out.push(symbol);
        window <<= length;
        held -= length;
    }
}

/// The symbol at the top of the window whose code is longer than [`FAST`] bits.
fn long(window: u64) -> Option<(u8, u32)> {
    const END: u16 = 256;
    for length in FAST as usize + 1..=LONGEST {
        let code = (window >> (64 - length)) as u32;
        let (first, place) = TABLES.first[length];
        let count = u32::from(TABLES.first[length + 1].1 - place);
        if code.wrapping_sub(first) < count {
            let symbol = TABLES.order[usize::from(place) + (code - first) as usize];
            // More ones than padding may have are the end of string.
            return (symbol != END).then_some((symbol as u8, length as u32));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::{decode, encode, encoded_len};

    fn coded(text: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(text, &mut out);
        assert_eq!(out.len(), encoded_len(text));
        out
    }

    fn decoded(coded: &[u8]) -> Option<Vec<u8>> {
        let mut out = Vec::new();
        decode(coded, &mut out).map(|()| out)
    }

    #[test]
    fn strings_are_those_of_the_rfc() {
        // RFC 7541 appendix C.4.
        let code = [0xf1, 0xe3, 0xc2, 0xe5, 0xf2, 0x3a, 0x6b, 0xa0, 0xab, 0x90, 0xf4, 0xff];
        assert_eq!(coded(b"www.example.com"), code);
        assert_eq!(coded(b"no-cache"), [0xa8, 0xeb, 0x10, 0x64, 0x9c, 0xbf]);
    }

    #[test]
    fn every_symbol_and_pair_comes_back() {
        for first in 0..=255u8 {
            assert_eq!(decoded(&coded(&[first])).as_deref(), Some(&[first][..]));
            for second in 0..=255 {
                assert_eq!(
                    decoded(&coded(&[first, second])).as_deref(),
                    Some(&[first, second][..])
                );
            }
        }
    }

    #[test]
    fn padding_is_short_and_of_ones() {
        assert_eq!(decoded(&[0x1f]).as_deref(), Some(&b"a"[..]));
        assert_eq!(decoded(&[0x1e]), None);
        assert_eq!(decoded(&[0x1f, 0xff]), None);
        assert_eq!(decoded(&[0xff]), None);
        // The end of string itself.
        assert_eq!(decoded(&[0xff, 0xff, 0xff, 0xff]), None);
    }

    proptest! {
        #[test]
        fn what_was_coded_comes_back(text: Vec<u8>) {
            prop_assert_eq!(decoded(&coded(&text)), Some(text));
        }

        #[test]
        fn what_is_decoded_was_coded_so(code: Vec<u8>) {
            if let Some(text) = decoded(&code) {
                prop_assert_eq!(coded(&text), code);
            }
        }
    }
}
