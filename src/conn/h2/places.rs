//! A set of places of streams: a bit for each. What concerns few streams of many is found without a
//! look at the others.

use super::streams::Slot;

const BITS: usize = u64::BITS as usize;

/// Some of the places.
#[derive(Debug, Default)]
pub(super) struct Places {
    /// A bit for each place, as far as there ever were members.
    words: Vec<u64>,
    /// No word before this has a member.
    first: usize,
}

impl Places {
    /// Adds a place, unless it is a member.
    pub(super) fn insert(&mut self, slot: Slot) {
        let at = usize::from(slot) / BITS;
        if at >= self.words.len() {
            self.words.resize(at + 1, 0);
        }
        if let Some(word) = self.words.get_mut(at) {
            *word |= 1 << (usize::from(slot) % BITS);
            self.first = self.first.min(at);
        }
    }

    /// Takes the member with the lowest number.
    pub(super) fn take(&mut self) -> Option<Slot> {
        while let Some(word) = self.words.get_mut(self.first) {
            if *word != 0 {
                let bit = word.trailing_zeros() as usize;
                *word &= *word - 1;
                return Some((self.first * BITS + bit) as Slot);
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
            steps in prop::collection::vec(prop::option::weighted(0.7, 0..1000_u16), 0..200),
        ) {
            let (mut places, mut expected) = (Places::default(), BTreeSet::new());
            for step in steps {
                if let Some(slot) = step {
                    places.insert(slot);
                    expected.insert(slot);
                } else {
                    prop_assert_eq!(places.take(), expected.pop_first());
                }
            }
            while let Some(slot) = places.take() {
                prop_assert_eq!(Some(slot), expected.pop_first());
            }
            prop_assert!(expected.is_empty());
        }
    }
}
