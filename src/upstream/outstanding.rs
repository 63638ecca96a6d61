//! An exchange that a server has not ended, as the choice of a server and the line count it.

use std::rc::Rc;

use super::pool::Pool;

/// An exchange with a server; it is over when this is dropped.
pub(super) struct Outstanding {
    pool: Rc<Pool>,
    server: usize,
    /// The turn in which it began, in nanoseconds on the worker's clock.
    began: u64,
}

impl Outstanding {
    /// An exchange with this server of the pool begins.
    pub(super) fn new(pool: &Rc<Pool>, server: usize) -> Self {
        pool.shared.exchange_begins(server);
        Self { pool: Rc::clone(pool), server, began: pool.ring().turn_began() }
    }
}

impl Drop for Outstanding {
    fn drop(&mut self) {
        let took = self.pool.ring().turn_began().saturating_sub(self.began);
        self.pool.shared.exchange_ends(self.server, took / 1_000);
    }
}
