//! The requests of a worker that are not done.
//!
//! The invariant: a bounded store. The place of a request is used again for the next one, the warmest
//! first, so that a connection without a request holds none and a request allocates nothing.

use super::request::OpenRequest;

/// Memory of a request that is not done, without the head that is logged.
pub(crate) const OPEN_REQUEST_BYTES: usize = 544;

const _: () = assert!(size_of::<OpenRequest>() <= OPEN_REQUEST_BYTES);

/// The places for requests that are not done.
#[derive(Debug)]
pub(super) struct OpenRequests {
    /// Boxed, so that a connection can hold one: taking it is a pointer's move.
    #[expect(clippy::vec_box)]
    rest: Vec<Box<OpenRequest>>,
    made: usize,
    limit: usize,
}

impl OpenRequests {
    /// At most `limit` at a time.
    pub(super) fn new(limit: usize) -> Self {
        Self { rest: Vec::new(), made: 0, limit }
    }

    /// How many are taken.
    pub(super) fn open(&self) -> usize {
        self.made - self.rest.len()
    }

    /// Takes one. None if there are too many.
    #[inline]
    pub(super) fn take(&mut self) -> Option<Box<OpenRequest>> {
        match self.rest.pop() {
            None => self.make(),
            resting => resting,
        }
    }

    #[cold]
    fn make(&mut self) -> Option<Box<OpenRequest>> {
        if self.made >= self.limit {
            return None;
        }
        self.made += 1;
        // So that none is ever moved to make room for one that is put back.
        self.rest.reserve(self.made);
        Some(Box::default())
    }

    /// Takes one back.
    #[inline]
    pub(super) fn put_back(&mut self, mut request: Box<OpenRequest>) {
        request.forget_head();
        self.rest.push(request);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_as_large_as_it_is_said_to_be() {
        assert!(size_of::<OpenRequest>() <= OPEN_REQUEST_BYTES);
    }

    #[test]
    fn the_store_is_bounded_and_places_are_used_again() {
        let mut store = OpenRequests::new(2);
        let (one, two) = (store.take().unwrap(), store.take().unwrap());
        assert!(store.take().is_none());
        assert_eq!(store.open(), 2);
        let place = std::ptr::from_ref(&*two);
        store.put_back(two);
        assert_eq!((store.open(), std::ptr::from_ref(&*store.take().unwrap())), (1, place));
        store.put_back(one);
    }
}
