//! A set of small numbers: a bit for each. What concerns few streams of many is found without a look at
//! the others.

const BITS: usize = u64::BITS as usize;

/// Some of the numbers.
#[derive(Debug, Default)]
pub(crate) struct NumberSet {
    /// A bit for each number, as far as there ever were members.
    words: Vec<u64>,
    /// No word before this has a member.
    first: usize,
}

impl NumberSet {
    /// Adds a number, unless it is a member.
    pub(crate) fn insert(&mut self, number: u16) {
        let at = usize::from(number) / BITS;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (usize::from(number) % BITS);
            self.first = self.first.min(at);
        }
    }

    /// Removes a number, if it is a member.
    pub(crate) fn remove(&mut self, number: u16) {
        if let Some(word) = self.words.get_mut(usize::from(number) / BITS) {
            *word &= !(1 << (usize::from(number) % BITS));
        }
    }

    /// Takes the lowest member.
    pub(crate) fn take(&mut self) -> Option<u16> {
        while let Some(word) = self.words.get_mut(self.first) {
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some((self.first * BITS + bit) as u16);
            }
            self.first += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn each_member_is_taken_once_and_nothing_else(
            steps in prop::collection::vec((0..4_u8, 0..1000_u16), 0..200),
        ) {
            let (mut set, mut expected) = (NumberSet::default(), BTreeSet::new());
            for (step, number) in steps {
                match step {
                    0 => prop_assert_eq!(set.take(), expected.pop_first()),
                    1 => {
                        set.remove(number);
                        expected.remove(&number);
                    }
                    _ => {
                        set.insert(number);
                        expected.insert(number);
                    }
                }
            }
            while let Some(number) = set.take() {
                prop_assert_eq!(Some(number), expected.pop_first());
            }
            prop_assert!(expected.is_empty());
        }
    }
}
