//! Request content and trailers as an application gets them.

use std::{cell::OnceCell, rc::Rc, sync::Arc};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::streamed::Fields;
use crate::{
    conn::Context,
    ring::{Chunk, Content},
};

/// Receive buffers that one exchange has lent to its application, at most: what it reads, and what comes
/// next. Further content is copied, so that an upload that is kept in memory pins no more of them.
const LENT: usize = 2;

/// The application of one exchange, as a borrower of receive buffers.
#[derive(Debug, Default)]
pub(super) struct Borrower(
    /// Cloned for each buffer that it has. Most requests have no content, and need none.
    OnceCell<Arc<()>>,
);

impl Borrower {
    /// Content in memory that may go to any thread: that in which it lies, else a copy.
    pub(super) fn take(&self, context: &Context, piece: Chunk) -> Bytes {
        let taken = |lent: usize, copied: usize| {
            context.observer.handed_over(lent as u64, copied as u64);
        };
        let copy = |bytes: &[u8]| {
            taken(0, bytes.len());
            Bytes::copy_from_slice(bytes)
        };
        let length = piece.len();
        let lent_to = self.0.get_or_init(Arc::default);
        match piece.into_parts() {
            (Content::Bytes(bytes), range) => {
                taken(length, 0);
                bytes.slice(range)
            }
            (Content::Gathered(memory), range) => match Rc::try_unwrap(memory) {
                Ok(memory) => {
                    taken(length, 0);
                    Bytes::from(memory).slice(range)
                }
                Err(shared) => copy(&Chunk::new(Content::Gathered(shared), range)),
            },
            (Content::Lease(lease), range) if Arc::strong_count(lent_to) <= LENT => {
                match Rc::try_unwrap(lease).map(|lease| lease.lend(lent_to)) {
                    Ok(Ok(lease)) => {
                        taken(length, 0);
                        Bytes::from_owner(lease).slice(range)
                    }
                    Ok(Err(lease)) => copy(&Chunk::new(Content::Lease(Rc::new(lease)), range)),
                    Err(shared) => copy(&Chunk::new(Content::Lease(shared), range)),
                }
            }
            (content, range) => copy(&Chunk::new(content, range)),
        }
    }
}

/// Trailers of a request as applications get them.
pub(super) fn map_of(trailers: &Fields) -> Result<Option<HeaderMap>, &'static str> {
    if let Fields::None = trailers {
        return Ok(None);
    }
    let (mut map, mut refused) = (HeaderMap::new(), false);
    trailers.each(|name, value| {
        match (HeaderName::from_bytes(name.as_bytes()), HeaderValue::from_bytes(value)) {
            (Ok(name), Ok(value)) => refused |= map.try_append(name, value).is_err(),
            _ => refused = true,
        }
    });
    if refused { Err("trailers that were checked are none") } else { Ok(Some(map)) }
}
