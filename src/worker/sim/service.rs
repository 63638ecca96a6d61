//! The application and the native handler of simulated sites: they answer at once, late, in pieces, after
//! they were woken for nothing, or not at all, and panic wherever they can.

use std::{
    cell::RefCell,
    convert::Infallible,
    future::Future,
    panic::resume_unwind,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use http::{Request, Response};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::site;
use crate::{
    config::{Action, Config, Route, ServiceId},
    service::{
        Applications, Body,
        native::{Head, Outcome, Reply},
    },
};

thread_local! {
    /// The wakers of handlers and contents that wait for the script.
    static LATE: RefCell<Vec<Waker>> = const { RefCell::new(Vec::new()) };
}

/// Wakes all that wait for the script; says whether there was one.
pub(super) fn wake_late() -> bool {
    let late = LATE.with(RefCell::take);
    late.iter().for_each(Waker::wake_by_ref);
    !late.is_empty()
}

/// Adds the application to the site, below `/app`, and the handler below `/native`.
pub(super) fn mount(config: &mut Config) -> Applications {
    // What an earlier play of this thread has left.
    LATE.take();
    let mut applications = Applications::default();
    applications.add("/app", Scripted);
    applications.add_handler("/native", Arc::new(handle));
    let path = "/app".parse().expect("a path");
    let route = Route::new(path, Action::Service(ServiceId(0)));
    config.sites = vec![config.sites_in_force()[0].clone().with_route(route)];
    applications
}

/// The application.
#[derive(Clone, Debug)]
pub(super) struct Scripted;

/// The native handler.
fn handle(head: &Head<'_>, reply: &mut Reply) -> Outcome {
    let whole = |name| {
        let mut reply = Reply::new();
        reply.body(site::file(name));
        reply
    };
    match head.path() {
        b"/native/done" => _ = reply.body(site::file("small.txt")),
        b"/native/bytes" => _ = reply.bytes(site::file("large.bin")),
        b"/native/site" => _ = reply.field("X-By", "handler").site("/page.html"),
        b"/native/later" => {
            return Outcome::Later(Box::pin(async move {
                late().await;
                whole("page.html")
            }));
        }
        b"/native/later/site" => {
            return Outcome::Later(Box::pin(async move {
                woken_twice().await;
                let mut reply = Reply::new();
                reply.site("/small.txt");
                reply
            }));
        }
        b"/native/unfit" => _ = reply.field("X-By", "a\r\nb"),
        b"/native/panic/call" => panic_quietly(),
        b"/native/panic/poll" => {
            return Outcome::Later(Box::pin(async move {
                woken_twice().await;
                panic_quietly()
            }));
        }
        b"/native/panic/drop" => {
            let guard = PanicsInDrop;
            return Outcome::Later(Box::pin(std::future::poll_fn(move |_| {
                let _ = &guard;
                Poll::Ready(whole("small.txt"))
            })));
        }
        _ => return Outcome::Pass,
    }
    Outcome::Done
}

/// A panic that says nothing on standard error.
fn panic_quietly() -> ! {
    resume_unwind(Box::new("on purpose"))
}

impl tower_service::Service<Request<Body>> for Scripted {
    type Response = Response<Pieces>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        if request.uri().path() == "/app/panic/call" {
            panic_quietly();
        }
        Box::pin(answer(request))
    }
}

async fn answer(request: Request<Body>) -> Result<Response<Pieces>, Infallible> {
    let (parts, mut body) = request.into_parts();
    let whole = |name| Pieces::new(name, usize::MAX, false);
    let pieces = match parts.uri.path() {
        "/app/ready" | "/app/ignore" => whole("small.txt"),
        "/app/late" => {
            late().await;
            whole("page.html")
        }
        "/app/late/pieces" => {
            late().await;
            Pieces { known: false, ..Pieces::new("page.html", 700, true) }
        }
        "/app/nothing" => {
            // It is woken by itself again and again, twice each time.
            for _ in 0..3 {
                woken_twice().await;
            }
            whole("small.txt")
        }
        "/app/large" => Pieces { known: false, ..Pieces::new("large.bin", 50_000, false) },
        "/app/echo" => {
            let mut all = Vec::new();
            while let Some(piece) = next(&mut body).await {
                all.extend_from_slice(&piece);
            }
            Pieces { rest: all.into(), ..whole("") }
        }
        "/app/panic/poll" => {
            woken_twice().await;
            panic_quietly()
        }
        "/app/panic/frame" => Pieces { panics: true, ..Pieces::new("page.html", 1000, false) },
        "/app/panic/drop" => {
            let guard = PanicsInDrop;
            late().await;
            std::mem::forget(guard);
            Pieces { _drop: Some(PanicsInDrop), ..whole("small.txt") }
        }
        _ => {
            let mut response = Response::new(whole(""));
            *response.status_mut() = http::StatusCode::NOT_FOUND;
            return Ok(response);
        }
    };
    Ok(Response::new(pieces))
}

/// The next content of a request; None at its end, or if it fails.
async fn next(body: &mut Body) -> Option<Bytes> {
    let frame = std::future::poll_fn(|cx| Pin::new(&mut *body).poll_frame(cx)).await?;
    frame.ok().and_then(|frame| frame.into_data().ok())
}

/// Waits until the script goes on.
async fn late() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        LATE.with(|late| late.borrow_mut().push(cx.waker().clone()));
        Poll::Pending
    })
    .await;
}

async fn woken_twice() {
    let mut waited = false;
    std::future::poll_fn(|cx| {
        for _ in 0..2 {
            cx.waker().wake_by_ref();
        }
        if std::mem::replace(&mut waited, true) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
}

#[derive(Debug)]
struct PanicsInDrop;

impl Drop for PanicsInDrop {
    fn drop(&mut self) {
        panic_quietly();
    }
}

/// The content of a file, in pieces.
#[derive(Debug)]
pub(super) struct Pieces {
    rest: Bytes,
    each: usize,
    /// Each piece comes late.
    late: bool,
    waited: bool,
    /// Its length is known before.
    known: bool,
    /// Behind the first piece.
    panics: bool,
    _drop: Option<PanicsInDrop>,
}

impl Pieces {
    fn new(name: &str, each: usize, late: bool) -> Self {
        let rest = Bytes::from_static(site::file(name));
        Self { rest, each, late, waited: false, known: true, panics: false, _drop: None }
    }
}

impl HttpBody for Pieces {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.panics && self.waited {
            panic_quietly();
        }
        if self.late && !self.waited {
            self.waited = true;
            LATE.with(|late| late.borrow_mut().push(cx.waker().clone()));
            return Poll::Pending;
        }
        self.waited = !self.late;
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let each = self.each.min(self.rest.len());
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(each)))))
    }

    fn size_hint(&self) -> SizeHint {
        if self.known { SizeHint::with_exact(self.rest.len() as u64) } else { SizeHint::new() }
    }
}
