//! Answers by status code.

/// How many answers had each status.
#[derive(Clone, Debug)]
pub struct Statuses(Box<[u64]>);

impl Default for Statuses {
    fn default() -> Self {
        Self(vec![0; Self::LEN].into_boxed_slice())
    }
}

impl Statuses {
    /// Final status codes have three digits, the first from 2 to 5 (RFC 9110 section 15).
    const FIRST: u16 = 200;
    pub(super) const LEN: usize = 400;

    /// Memory of one worker's.
    pub(super) const BYTES: usize = Self::LEN * size_of::<u64>();

    /// Of such counts.
    pub(super) fn of(counts: &[u64]) -> Self {
        Self(counts.into())
    }

    /// All counts.
    pub(super) fn counts(&self) -> &[u64] {
        &self.0
    }

    /// Counts one.
    #[inline]
    pub(super) fn count(&mut self, status: u16) {
        let place = status.checked_sub(Self::FIRST);
        if let Some(count) = place.and_then(|place| self.0.get_mut(usize::from(place))) {
            *count += 1;
        }
    }

    /// Those that were sent at least once.
    pub fn iter(&self) -> impl Iterator<Item = (u16, u64)> {
        let all = (Self::FIRST..).zip(self.0.iter().copied());
        all.filter(|(_, count)| *count > 0)
    }

    /// Adds another worker's.
    pub fn add(&mut self, other: &Self) {
        for (sum, more) in self.0.iter_mut().zip(&other.0) {
            *sum += more;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_its_count() {
        let mut statuses = Statuses::default();
        for status in [0, 199, 200, 404, 404, 599, 600, u16::MAX] {
            statuses.count(status);
        }
        let mut sum = statuses.clone();
        sum.add(&statuses);
        assert_eq!(sum.iter().collect::<Vec<_>>(), [(200, 2), (404, 4), (599, 2)]);
    }
}
