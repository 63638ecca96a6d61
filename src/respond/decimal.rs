//! Numbers as decimal digits, two digits a step, on the stack.

/// Digits of `u64::MAX`.
const MAX_DIGITS: usize = 20;

/// The two digits of each number below 100.
const PAIRS: [[u8; 2]; 100] = {
    let mut pairs = [[b'0'; 2]; 100];
    let mut number = 0;
    while number < 100 {
        pairs[number] = [b'0' + (number / 10) as u8, b'0' + (number % 10) as u8];
        number += 1;
    }
    pairs
};

/// The two digits of `number`, which is taken modulo 100.
pub(super) const fn pair(number: u64) -> [u8; 2] {
    PAIRS[(number % 100) as usize]
}

/// A number rendered in decimal, without sign or leading zeros.
pub(super) struct Decimal {
    digits: [u8; MAX_DIGITS],
    start: usize,
}

impl Decimal {
    /// Renders `number`.
    pub(super) fn new(mut number: u64) -> Self {
        let mut digits = [b'0'; MAX_DIGITS];
        let mut start = MAX_DIGITS;
        // Ten rounds at most, each two digits: `start` cannot pass zero.
        for two in digits.rchunks_exact_mut(2) {
            two.copy_from_slice(&pair(number));
            start -= 2;
            number /= 100;
            if number == 0 {
                break;
            }
        }
        if digits.get(start) == Some(&b'0') && start < MAX_DIGITS - 1 {
            start += 1;
        }
        Self { digits, start }
    }

    /// The digits.
    pub(super) fn as_bytes(&self) -> &[u8] {
        // `start` stands before the last digit.
        &self.digits[self.start..]
    }
}
