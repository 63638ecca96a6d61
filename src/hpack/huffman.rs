//! The Huffman code of RFC 7541 appendix B.
//!
//! The code is canonical: codes of one length are consecutive and in the order of their symbols. So
//! the lengths alone define it, and all tables come from them at compile time. The decoder looks
//! ten bits up at once, in which two short symbols may fit; longer codes, which hardly occur in
//! fields, are found by their length.

use super::HpackError;

/// Bits of the code of each octet, and of EOS.
const LENGTHS: [u8; 257] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28, //
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28, //
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6, //
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10, //
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, //
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6, //
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5, //
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28, //
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23, //
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24, //
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23, //
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23, //
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25, //
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27, //
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23, //
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26, //
    30,
];

/// Bits of the longest code.
const LONGEST: usize = 30;

/// The symbol that must not occur (RFC 7541 section 5.2).
const EOS: u16 = 256;

/// Bits that are looked up at once.
const LOOKUP: u32 = 10;

/// All that follows from the lengths.
struct Code {
    /// The code of each symbol, in its low bits.
    codes: [u32; 257],
    /// The symbols by length of code, then by code.
    order: [u16; 257],
    /// The place in `order` of the first symbol whose code has this length.
    place: [u16; LONGEST + 1],
    /// The first code of each length.
    first: [u32; LONGEST + 1],
    /// For each length, the first value of thirty bits that no code of up to this length begins.
    limit: [u32; LONGEST + 1],
}

static CODE: Code = {
    let mut code = Code {
        codes: [0; 257],
        order: [0; 257],
        place: [0; LONGEST + 1],
        first: [0; LONGEST + 1],
        limit: [0; LONGEST + 1],
    };
    let mut next = 0_u32;
    let mut placed = 0;
    let mut length = 1;
    while length <= LONGEST {
        next <<= 1;
        code.first[length] = next;
        code.place[length] = placed;
        let mut symbol = 0;
        while symbol < 257 {
            if LENGTHS[symbol] as usize == length {
                code.codes[symbol] = next;
                code.order[placed as usize] = symbol as u16;
                next += 1;
                placed += 1;
            }
            symbol += 1;
        }
        code.limit[length] = next << (LONGEST - length);
        length += 1;
    }
    code
};

/// What ten bits begin with: one symbol or two, or a longer code.
#[derive(Clone, Copy)]
struct Looked {
    symbols: [u8; 2],
    /// Bits of the first symbol; 0 for a longer code.
    first: u8,
    /// Bits of both; those of the first if there is one only.
    both: u8,
}

static LOOKED: [Looked; 1 << LOOKUP] = {
    let none = Looked { symbols: [0; 2], first: 0, both: 0 };
    let mut single = [none; 1 << LOOKUP];
    let mut symbol = 0;
    while symbol < 256 {
        let length = LENGTHS[symbol];
        if length as u32 <= LOOKUP {
            let free = LOOKUP - length as u32;
            let mut at = (CODE.codes[symbol] << free) as usize;
            let end = at + (1 << free);
            while at < end {
                single[at] = Looked { symbols: [symbol as u8, 0], first: length, both: length };
                at += 1;
            }
        }
        symbol += 1;
    }
    let mut table = single;
    let mut at = 0;
    while at < table.len() {
        let first = single[at].first;
        let second = single[(at << first) % table.len()];
        if first != 0 && second.first != 0 && first + second.first <= LOOKUP as u8 {
            table[at].symbols[1] = second.symbols[0];
            table[at].both = first + second.first;
        }
        at += 1;
    }
    table
};

/// Decodes all of `input` to the front of `out`. Returns the length of the text, which may be
/// larger than `out`: what does not fit is checked and not kept.
pub(super) fn decode(input: &[u8], out: &mut [u8]) -> Result<usize, HpackError> {
    let mut text = Text { out, length: 0 };
    let mut rest = input;
    // The bits that come next, from the highest on, and how many of them count.
    let (mut window, mut count) = (0_u64, 0_u32);
    loop {
        if let Some(word) = rest.first_chunk() {
            // Bits beyond those that are counted are the input's too: they come again.
            window |= u64::from_be_bytes(*word) >> count;
            let octets = (63 - count) >> 3;
            (_, rest) = rest.split_at_checked(octets as usize).ok_or(HpackError::Defect)?;
            count += 8 * octets;
        } else {
            while count <= 56
                && let Some((&octet, tail)) = rest.split_first()
            {
                window |= u64::from(octet) << (56 - count);
                count += 8;
                rest = tail;
            }
        }
        if count < LONGEST as u32 {
            return finish(window, count, text);
        }
        while count >= LONGEST as u32 {
            let looked = LOOKED[(window >> (64 - LOOKUP)) as usize];
            let taken = if looked.first == 0 {
                let (octet, length) = long(window).ok_or(HpackError::Huffman)?;
                text.push(octet);
                length
            } else {
                text.push_some(looked);
                u32::from(looked.both)
            };
            window <<= taken;
            count -= taken;
        }
    }
}

/// Decodes the last bits, of which there are less than the longest code has.
fn finish(mut window: u64, mut count: u32, mut text: Text<'_>) -> Result<usize, HpackError> {
    loop {
        // Up to seven ones are padding (RFC 7541 section 5.2). No code is a run of ones but EOS.
        if count < 8 && window.leading_ones() >= count {
            return Ok(text.length);
        }
        let looked = LOOKED[(window >> (64 - LOOKUP)) as usize];
        let (octet, length) = if looked.first == 0 {
            long(window).ok_or(HpackError::Huffman)?
        } else {
            (looked.symbols[0], u32::from(looked.first))
        };
        if length > count {
            return Err(HpackError::Huffman);
        }
        text.push(octet);
        window <<= length;
        count -= length;
    }
}

/// The octet whose code, of more than [`LOOKUP`] bits, `window` begins with. None for EOS.
fn long(window: u64) -> Option<(u8, u32)> {
    let bits = (window >> (64 - LONGEST)) as u32;
    for length in LOOKUP as usize + 1..=LONGEST {
        if bits < CODE.limit[length] {
            let code = bits >> (LONGEST - length);
            let place = usize::from(CODE.place[length]) + (code - CODE.first[length]) as usize;
            let symbol = *CODE.order.get(place)?;
            return (symbol != EOS).then_some((symbol as u8, length as u32));
        }
    }
    None
}

/// The text that comes out; its length counts on where its memory ends.
struct Text<'o> {
    out: &'o mut [u8],
    length: usize,
}

impl Text<'_> {
    #[inline]
    fn push(&mut self, octet: u8) {
        if let Some(place) = self.out.get_mut(self.length) {
            *place = octet;
        }
        self.length += 1;
    }

    /// One symbol or two. Both are written where there is room: the next one overwrites the second.
    #[inline]
    fn push_some(&mut self, looked: Looked) {
        let symbols = 1 + usize::from(looked.both != looked.first);
        if let Some(places) = self.out.get_mut(self.length..self.length + 2) {
            places.copy_from_slice(&looked.symbols);
            self.length += symbols;
            return;
        }
        for octet in looked.symbols.iter().take(symbols) {
            self.push(*octet);
        }
    }
}

/// Octets that `text` takes when it is encoded.
pub(super) fn encoded_length(text: &[u8]) -> usize {
    let bits: usize = text.iter().map(|&octet| usize::from(LENGTHS[usize::from(octet)])).sum();
    bits.div_ceil(8)
}

/// Encodes `text` to the front of `out`. Returns the octets written, or None if `out` has less than
/// [`encoded_length`].
pub(super) fn encode(text: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut rest = out;
    let room = rest.len();
    // The low `count` bits of the window are still to be written: less than a word before each symbol, and
    // no code is longer than a word.
    let (mut window, mut count) = (0_u64, 0_u32);
    for &octet in text {
        let length = u32::from(LENGTHS[usize::from(octet)]);
        window = window << length | u64::from(CODE.codes[usize::from(octet)]);
        count += length;
        if count >= u32::BITS {
            count -= u32::BITS;
            let (word, behind) = rest.split_first_chunk_mut()?;
            *word = ((window >> count) as u32).to_be_bytes();
            rest = behind;
        }
    }
    // Ones fill the last octet (RFC 7541 section 5.2).
    let octets = count.div_ceil(8);
    let padding = 8 * octets - count;
    let last = (window << padding | ((1 << padding) - 1)).to_be_bytes();
    let last = last.get(last.len() - octets as usize..)?;
    rest.get_mut(..last.len())?.copy_from_slice(last);
    Some(room - rest.len() + last.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(input: &[u8]) -> Result<Vec<u8>, HpackError> {
        let mut out = [0; 512];
        decode(input, &mut out).map(|length| out[..length].to_vec())
    }

    fn encoded(text: &[u8]) -> Vec<u8> {
        let mut out = vec![0; encoded_length(text)];
        let used = encode(text, &mut out);
        assert_eq!(used, Some(out.len()));
        out
    }

    /// Some codes as appendix B writes them.
    #[test]
    fn the_code_is_that_of_the_rfc() {
        for (symbol, code) in [
            (b'0' as usize, 0x0),
            (b'a' as usize, 0x3),
            (b'%' as usize, 0x15),
            (b'B' as usize, 0x5d),
            (b'&' as usize, 0xf8),
            (0, 0x1ff8),
            (1, 0x007f_ffd8),
            (b'\\' as usize, 0x7_fff0),
            (199, 0x01ff_ffec),
            (255, 0x03ff_ffee),
            (249, 0x0fff_fffe),
            (22, 0x3fff_fffe),
            (256, 0x3fff_ffff),
        ] {
            assert_eq!(CODE.codes[symbol], code, "symbol {symbol}");
        }
    }

    #[test]
    fn all_short_strings_come_back() {
        for first in 0..=255_u8 {
            assert_eq!(decoded(&encoded(&[first])), Ok(vec![first]));
            for second in 0..=255_u8 {
                assert_eq!(decoded(&encoded(&[first, second])), Ok(vec![first, second]));
            }
        }
        assert_eq!(decoded(&[]), Ok(vec![]));
    }

    #[test]
    fn padding_is_up_to_seven_ones() {
        // 'a' is 00011.
        assert_eq!(decoded(&[0b0001_1111]), Ok(b"a".to_vec()));
        for padding in 0..7 {
            assert_eq!(decoded(&[0b0001_1000 | padding]), Err(HpackError::Huffman), "{padding}");
        }
        assert_eq!(decoded(&[0b0001_1111, 0xff]), Err(HpackError::Huffman), "a whole octet");
        assert_eq!(decoded(&[0xff]), Err(HpackError::Huffman));
        for octets in 2..12 {
            assert_eq!(decoded(&vec![0xff; octets]), Err(HpackError::Huffman), "EOS");
        }
        // EOS among symbols, far from the end.
        let mut text = encoded(b"00000000");
        text.extend([0xff; 4]);
        text.extend(encoded(b"aaaaaaaaaaaaaaaa"));
        assert_eq!(decoded(&text), Err(HpackError::Huffman));
    }

    #[test]
    fn what_does_not_fit_is_counted_and_checked() {
        let text = b"www.example.com/\x01\xffand more";
        let input = encoded(text);
        for room in 0..=text.len() {
            let mut out = vec![0; room];
            assert_eq!(decode(&input, &mut out), Ok(text.len()));
            assert_eq!(out, text[..room]);
            let mut short = vec![0; input.len() - 1];
            assert_eq!(encode(text, &mut short), None);
        }
        let mut wrong = input.clone();
        wrong.extend([0xff; 4]);
        assert_eq!(decode(&wrong, &mut []), Err(HpackError::Huffman));
    }
}
