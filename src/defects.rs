//! Broken invariants that are found where no error can be returned: when something is dropped, or
//! given back. Everything else returns an error, which ends its connection and is counted there.

use std::cell::Cell;

thread_local! {
    /// How many this thread has found.
    static FOUND: Cell<u64> = const { Cell::new(0) };
}

/// Counts a broken invariant among the worker's defects. The first of a thread is logged.
#[cold]
pub(crate) fn defect(what: &str) {
    let before = FOUND.replace(defects().saturating_add(1));
    if before == 0 {
        log::error!("a defect of this server, please report it: {what}");
    }
}

/// How many broken invariants this thread has counted by [`defect`].
pub(crate) fn defects() -> u64 {
    FOUND.get()
}

/// Takes `count` off an account. More than it holds is a defect, and leaves it empty.
#[inline]
pub(crate) fn give_back<N: Number>(account: &Cell<N>, count: N) {
    account.set(account.get().without(count).unwrap_or_else(overdrawn));
}

/// What an account is kept in.
pub(crate) trait Number: Copy + Default {
    /// What is left of it; None if that is less than nothing.
    fn without(self, count: Self) -> Option<Self>;
}

macro_rules! numbers {
    ($($number:ty),*) => {$(
        impl Number for $number {
            #[inline]
            fn without(self, count: Self) -> Option<Self> {
                self.checked_sub(count)
            }
        }
    )*};
}

numbers!(u16, u32, usize);

#[cold]
fn overdrawn<N: Number>() -> N {
    defect("more was given back to an account than was taken from it");
    N::default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_falls_below_zero_is_a_defect() {
        let (account, before) = (Cell::new(3_usize), defects());
        give_back(&account, 2);
        assert_eq!((account.get(), defects() - before), (1, 0));
        give_back(&account, 2);
        assert_eq!((account.get(), defects() - before), (0, 1));
        let account = Cell::new(1_u32);
        give_back(&account, 1);
        give_back(&account, 1);
        assert_eq!((account.get(), defects() - before), (0, 2));
    }
}
