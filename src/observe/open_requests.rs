//! The requests of a worker that are not done.
//!
//! The invariant: a bounded store. What a request takes is used again for the next one, the warmest
//! first, so that a connection without a request holds none and a request allocates nothing.

use super::request::OpenRequest;

/// Memory of a request that is not done, without the head that is to be logged.
pub const OPEN_REQUEST_BYTES: usize = 320;

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

/// The requests of one connection that are not done: the youngest, and through it those before.
#[derive(Debug, Default)]
pub(super) struct Pending(Option<Box<OpenRequest>>);

impl Pending {
    #[inline]
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// The youngest.
    #[inline]
    pub(super) fn youngest(&self) -> Option<&OpenRequest> {
        self.0.as_deref()
    }

    /// The youngest, unless its answer is known.
    #[inline]
    pub(super) fn unanswered(&mut self) -> Option<&mut OpenRequest> {
        self.0.as_deref_mut().filter(|request| !request.answered)
    }

    /// Appends one.
    #[inline]
    pub(super) fn push(&mut self, mut request: Box<OpenRequest>) {
        request.before = self.0.take();
        self.0 = Some(request);
    }

    /// Takes all; the oldest comes first, and the others hang on it in their order.
    #[inline]
    pub(super) fn take_in_order(&mut self) -> Option<Box<OpenRequest>> {
        let mut request = self.0.take()?;
        if request.before.is_some() {
            request = in_order(request);
        }
        Some(request)
    }
}

/// Turns a chain round.
fn in_order(youngest: Box<OpenRequest>) -> Box<OpenRequest> {
    let mut oldest = youngest;
    let mut before = oldest.before.take();
    while let Some(mut request) = before {
        before = request.before.replace(oldest);
        oldest = request;
    }
    oldest
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_place_is_as_large_as_it_is_said_to_be() {
        assert!(size_of::<OpenRequest>() <= OPEN_REQUEST_BYTES);
    }

    proptest! {
        #[test]
        fn connections_do_not_mix(pushes in proptest::collection::vec((0_usize..3, any::<bool>()), 0..80)) {
            let mut store = OpenRequests::new(16);
            let mut pending: [Pending; 3] = Default::default();
            let mut expected: [Vec<u64>; 3] = Default::default();
            for (number, (which, push)) in pushes.into_iter().enumerate() {
                if push {
                    let full = store.open() == 16;
                    match store.take() {
                        Some(mut request) => {
                            prop_assert!(!full);
                            request.number = number as u64;
                            pending[which].push(request);
                            expected[which].push(number as u64);
                        }
                        None => prop_assert!(full),
                    }
                    let youngest = pending[which].youngest().map(|request| request.number);
                    prop_assert_eq!(youngest, expected[which].last().copied());
                } else {
                    let mut next = pending[which].take_in_order();
                    let mut numbers = Vec::new();
                    while let Some(mut request) = next {
                        numbers.push(request.number);
                        next = request.before.take();
                        store.put_back(request);
                    }
                    prop_assert_eq!(&numbers, &std::mem::take(&mut expected[which]));
                }
                prop_assert_eq!(pending[which].is_empty(), expected[which].is_empty());
                let open: usize = expected.iter().map(Vec::len).sum();
                prop_assert_eq!(store.open(), open);
            }
        }
    }
}
