//! The fields of an application's answer. Their map has been written into a head when it is dropped, and
//! its memory then serves the next request of the same worker: an application that answers at once takes
//! no memory for a map of either.

use std::{
    cell::Cell,
    ops::{Deref, DerefMut},
};

use http::{HeaderMap, header::CONTENT_LENGTH};

/// Names that a map may have room for, and values that it may hold, to be kept. At most 10 KiB, which the
/// memory ceiling counts (`config/memory.rs`).
const KEPT_ROOM: usize = 48;

thread_local! {
    /// The map of this worker that is in no use.
    static SPARE: Cell<Option<HeaderMap>> = const { Cell::new(None) };
}

/// An empty map with room for so many fields.
pub(super) fn with_room(fields: usize) -> HeaderMap {
    match SPARE.take() {
        Some(spare) if spare.capacity() >= fields => spare,
        other => {
            SPARE.set(other);
            HeaderMap::with_capacity(fields)
        }
    }
}

/// Fields of an answer.
#[derive(Debug)]
pub(in crate::conn) struct FieldMap(HeaderMap);

impl FieldMap {
    /// Each field but `Content-Length`, which the head has once and from elsewhere.
    pub(super) fn each(&self, mut field: impl FnMut(&str, &[u8])) {
        for (name, value) in &self.0 {
            if *name != CONTENT_LENGTH {
                field(name.as_str(), value.as_bytes());
            }
        }
    }
}

impl From<HeaderMap> for FieldMap {
    fn from(map: HeaderMap) -> Self {
        Self(map)
    }
}

impl Deref for FieldMap {
    type Target = HeaderMap;

    fn deref(&self) -> &HeaderMap {
        &self.0
    }
}

impl DerefMut for FieldMap {
    fn deref_mut(&mut self) -> &mut HeaderMap {
        &mut self.0
    }
}

impl Drop for FieldMap {
    fn drop(&mut self) {
        let mut map = std::mem::take(&mut self.0);
        // The capacity counts names only: further values of a name lie in memory of their own.
        if (1..=KEPT_ROOM).contains(&map.capacity()) && map.len() <= KEPT_ROOM {
            map.clear();
            // While its thread ends there is no next request.
            let _ = SPARE.try_with(|spare| spare.set(Some(map)));
        }
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn the_memory_of_an_answer_serves_the_next_request() {
        let answer = |room: usize| {
            let mut map = HeaderMap::with_capacity(room);
            for value in ["a", "b"] {
                map.append("x-name", HeaderValue::from_static(value));
            }
            map
        };
        let room = answer(20).capacity();
        drop(FieldMap::from(answer(20)));
        // It has too little room, and stays.
        assert!(with_room(room + 1).capacity() > room);
        let map = with_room(3);
        assert_eq!((map.len(), map.capacity()), (0, room), "nothing is left of the answer");
        assert!(with_room(3).capacity() < room, "it is in use");
        assert_eq!(with_room(0).capacity(), 0);
        drop(FieldMap::from(answer(1_000)));
        let mut cookies = answer(1);
        for _ in 0..KEPT_ROOM {
            cookies.append("set-cookie", HeaderValue::from_static("a=b"));
        }
        drop(FieldMap::from(cookies));
        drop(FieldMap::from(HeaderMap::new()));
        assert_eq!(with_room(0).capacity(), 0, "what is too large or has no memory is not kept");
    }
}
