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
pub(crate) fn give_back(account: &Cell<usize>, count: usize) {
    account.set(account.get().checked_sub(count).unwrap_or_else(|| {
        defect("more was given back to an account than was taken from it");
        0
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_that_falls_below_zero_is_a_defect() {
        let (account, before) = (Cell::new(3), defects());
        give_back(&account, 2);
        assert_eq!((account.get(), defects() - before), (1, 0));
        give_back(&account, 2);
        assert_eq!((account.get(), defects() - before), (0, 1));
    }
}
