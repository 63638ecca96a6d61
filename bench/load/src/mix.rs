//! Which path the next request asks for: drawn by weight, by a fixed sequence of pseudo-random
//! numbers, so that two runs ask for the same.

/// Draws paths by weight.
#[derive(Clone, Debug)]
pub(crate) struct Mix {
    /// The running sums of the weights.
    sums: Vec<u64>,
    state: u64,
}

impl Mix {
    /// From the weights, at least one of them and none zero; `seed` differs between threads.
    pub(crate) fn new(weights: impl IntoIterator<Item = u32>, seed: u64) -> Self {
        let sums: Vec<u64> = weights
            .into_iter()
            .scan(0, |sum, weight| {
                *sum += u64::from(weight);
                Some(*sum)
            })
            .collect();
        assert!(sums.last().is_some_and(|&sum| sum > 0), "a mix of something");
        Self { sums, state: seed }
    }

    /// The index of the next path.
    pub(crate) fn draw(&mut self) -> u16 {
        if let [_] = self.sums[..] {
            return 0;
        }
        // SplitMix64: a counter, scrambled.
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^= z >> 31;
        let total = self.sums[self.sums.len() - 1];
        let point = ((u128::from(z) * u128::from(total)) >> 64) as u64;
        self.sums.partition_point(|&sum| sum <= point) as u16
    }
}

#[cfg(test)]
mod tests {
    use super::Mix;

    #[test]
    fn paths_come_by_weight() {
        let mut mix = Mix::new([1, 7, 2], 1);
        let mut seen = [0; 3];
        for _ in 0..100_000 {
            seen[usize::from(mix.draw())] += 1;
        }
        for (seen, wanted) in seen.into_iter().zip([10_000, 70_000, 20_000i32]) {
            assert!((wanted - seen).abs() < 1_000, "{seen} for {wanted}");
        }
    }

    #[test]
    fn one_path_is_always_that() {
        let mut mix = Mix::new([5], 0);
        assert!((0..100).all(|_| mix.draw() == 0));
    }

    #[test]
    fn two_runs_ask_for_the_same() {
        let mut one = Mix::new([1, 1], 9);
        let mut other = one.clone();
        assert!((0..100).all(|_| one.draw() == other.draw()));
    }
}
