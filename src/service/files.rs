//! Files as answers of applications, which leave by the server's own way: from the cache or straight
//! from the file, without a copy through the application.

use std::{
    fmt,
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    pin::Pin,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body::{Frame, SizeHint};

use super::{Body, Offload, OffloadError, offload};

/// Bytes that are read at once where the file does not leave by Ringway's own way.
const PIECE: usize = 64 * 1024;

/// An answer with a file of the site: what its files have at `path`, an absolute path, percent-encoded
/// as in a target. Ringway serves it as if the client had asked for it, with codings, ranges and
/// conditions, from its cache; fields of the response are added, and its status counts only if it is
/// not 200.
///
/// The path need not be one that clients can ask for: with a service at `/reports` and the folder at
/// `/`, files of the folder `reports` leave through the service alone.
///
/// ```
/// use axum::{extract::Path, response::IntoResponse};
///
/// async fn report(Path(id): Path<u32>) -> impl IntoResponse {
///     ringway::site(format!("/reports/{id}.pdf"))
/// }
/// ```
///
/// A server other than Ringway sends it without content.
pub fn site(path: impl Into<String>) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    response.extensions_mut().insert(OfSite(path.into()));
    response
}

/// Says that a file of the site is the answer: an extension of a response.
#[derive(Clone, Debug)]
pub(crate) struct OfSite(pub(crate) String);

/// A range of a file as the content of a response. Any server can send it; Ringway does by its own way,
/// uncopied, if no layer has taken anything of it.
///
/// ```
/// use axum::{extract::Path, http::{StatusCode, header}, response::IntoResponse};
/// use ringway::FileBody;
///
/// async fn report(Path(id): Path<u32>) -> Result<impl IntoResponse, StatusCode> {
///     let file = FileBody::open(format!("/srv/reports/{id}.pdf")).map_err(|_| StatusCode::NOT_FOUND)?;
///     Ok(([(header::CONTENT_TYPE, "application/pdf")], file.into_response()))
/// }
/// ```
pub struct FileBody {
    shared: Arc<Shared>,
    /// What has not been given.
    rest: Range<u64>,
    reading: Option<Offload<io::Result<Bytes>>>,
}

/// What the body holds, and the token of its response knows.
struct Shared {
    file: File,
    range: Range<u64>,
    polled: AtomicBool,
}

/// Says which file a content is: an extension of a response.
#[derive(Clone)]
pub(crate) struct Token(Weak<Shared>);

impl FileBody {
    /// All of a file, as long as it is now.
    ///
    /// # Errors
    /// The file cannot be opened, or is none. Opening may wait for the disk.
    pub fn open(path: impl AsRef<Path>) -> io::Result<Self> {
        Self::from_file(File::open(path)?)
    }

    /// All of an open file, as long as it is now.
    ///
    /// # Errors
    /// It is no regular file.
    pub fn from_file(file: File) -> io::Result<Self> {
        let stat = file.metadata()?;
        if !stat.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
        }
        let range = 0..stat.len();
        Ok(Self::new(file, range))
    }

    fn new(file: File, range: Range<u64>) -> Self {
        let rest = range.clone();
        let shared = Shared { file, range, polled: AtomicBool::new(false) };
        Self { shared: Arc::new(shared), rest, reading: None }
    }

    /// The bytes of the file from `range.start` to `range.end`, as far as there are so many.
    ///
    /// # Errors
    /// There is no second descriptor to be had, where the body is in use already.
    pub fn range(self, range: Range<u64>) -> io::Result<Self> {
        let end = range.end.min(self.rest.end);
        let range = range.start.min(end)..end;
        let file = match Arc::try_unwrap(self.shared) {
            Ok(shared) => shared.file,
            Err(shared) => shared.file.try_clone()?,
        };
        Ok(Self::new(file, range))
    }

    /// Bytes that are to be sent.
    pub fn len(&self) -> u64 {
        self.rest.end - self.rest.start
    }

    /// Whether these are none.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// A response with this content, 200, which Ringway sends by its own way. A status and fields can be
    /// set; a layer that reads the content gets it.
    #[must_use]
    pub fn into_response(self) -> Response<Self> {
        let token = Token(Arc::downgrade(&self.shared));
        let length = self.len();
        let mut response = Response::new(self);
        response.headers_mut().insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        response.extensions_mut().insert(token);
        response
    }
}

impl fmt::Debug for FileBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileBody").field("rest", &self.rest).finish_non_exhaustive()
    }
}

impl Token {
    /// The file and its range, if the content of a response that knows `length` is this body and
    /// nothing was taken of it. Called while the content lives.
    pub(crate) fn untouched(self, length: Option<u64>) -> Option<(File, Range<u64>)> {
        // The body holds it: it may have been dropped for another content.
        let shared = self.0.upgrade()?;
        let range = shared.range.clone();
        if shared.polled.load(Relaxed) || length != Some(range.end - range.start) {
            return None;
        }
        Some((shared.file.try_clone().ok()?, range))
    }
}

/// Why a file was not read to its end.
#[derive(Debug)]
#[non_exhaustive]
pub enum FileBodyError {
    /// It cannot be read, or has become shorter.
    Read(io::Error),
    /// There is no thread to read it on.
    Offload(OffloadError),
}

impl fmt::Display for FileBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read(error) => write!(f, "a file cannot be read: {error}"),
            Self::Offload(error) => write!(f, "a file cannot be read: {error}"),
        }
    }
}

impl std::error::Error for FileBodyError {}

impl http_body::Body for FileBody {
    type Data = Bytes;
    type Error = FileBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, FileBodyError>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let Self { shared, rest, reading } = &mut *self;
        let read = reading.get_or_insert_with(|| {
            shared.polled.store(true, Relaxed);
            let (shared, at) = (Arc::clone(shared), rest.start);
            let length = (rest.end - rest.start).min(PIECE as u64) as usize;
            offload(move || {
                let mut piece = vec![0; length];
                shared.file.read_exact_at(&mut piece, at)?;
                Ok(Bytes::from(piece))
            })
        });
        let read = ready!(Pin::new(read).poll(cx));
        *reading = None;
        let piece = match read {
            Ok(Ok(piece)) => piece,
            Ok(Err(error)) => return Poll::Ready(Some(Err(FileBodyError::Read(error)))),
            Err(error) => return Poll::Ready(Some(Err(FileBodyError::Offload(error)))),
        };
        rest.start += piece.len() as u64;
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.len())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use http_body::Body as _;

    use super::*;
    use crate::service::RuntimeHandle;

    fn file(bytes: &[u8]) -> File {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(bytes).unwrap();
        file
    }

    #[test]
    fn any_server_can_read_it() {
        let bytes: Vec<u8> = (0..200_000_u32).map(|at| (at % 251) as u8).collect();
        let body = FileBody::from_file(file(&bytes)).unwrap().range(10..150_010).unwrap();
        let (parts, mut body) = body.into_response().into_parts();
        assert_eq!(parts.headers["content-length"], "150000");
        assert_eq!(body.size_hint().exact(), Some(150_000));
        let read = RuntimeHandle::default().finish(async move {
            let mut read = Vec::new();
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await
            {
                read.extend_from_slice(&frame.unwrap().into_data().unwrap());
            }
            read
        });
        assert!(read == bytes[10..150_010]);
    }

    #[test]
    fn a_file_that_was_touched_or_lost_is_not_sent_in_place_of_its_content() {
        let whole = || {
            let response = FileBody::from_file(file(b"0123456789")).unwrap().into_response();
            let (parts, body) = response.into_parts();
            (parts.extensions.get::<Token>().unwrap().clone(), parts, body)
        };
        let (token, parts, body) = whole();
        let (_, range) = token.untouched(Some(10)).unwrap();
        assert_eq!(range, 0..10);
        drop((parts, body));
        let (token, parts, body) = whole();
        drop((parts, body));
        assert!(token.untouched(Some(10)).is_none(), "another content took its place");
        let (token, _parts, _body) = whole();
        assert!(token.untouched(None).is_none(), "a layer compresses it");
        let (token, _parts, mut body) = whole();
        let _ = Pin::new(&mut body).poll_frame(&mut Context::from_waker(std::task::Waker::noop()));
        assert!(token.untouched(Some(10)).is_none(), "a layer has begun to read it");
    }
}
