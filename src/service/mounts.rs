//! Which application answers what, and how a worker gets its own.

use std::{
    cell::RefCell,
    fmt,
    future::Future,
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use super::{
    Application, IntoApplication, Runtime, RuntimeHandle, Watched,
    native::{Handler, Handlers, Memory, Native},
    signal::Signal,
};
use crate::observe::Endpoint;

/// What an application can know of the worker that it is made for.
#[derive(Clone, Copy, Debug, Default)]
#[non_exhaustive]
pub struct WorkerInfo {
    /// Its number, from 0.
    pub number: usize,
    /// How many there are.
    pub count: usize,
}

type Made = Pin<Box<dyn Future<Output = Box<dyn Application>>>>;

/// Makes an application on the thread of a worker.
type Make = Arc<dyn Fn(WorkerInfo) -> Made + Send + Sync>;

/// An application and the path below which it answers.
#[derive(Clone)]
struct Mount {
    path: String,
    make: Make,
}

/// All that an embedding program has registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Applications {
    mounts: Vec<Mount>,
    handlers: Vec<Native>,
    /// How long a handler may take for the head of its answer; None: as long as it likes.
    pub(crate) handler_timeout: Option<Duration>,
    /// The runtime that they find; None: the one that the server is started in, or one of its own.
    #[cfg(feature = "tokio")]
    pub(crate) runtime: Option<tokio::runtime::Handle>,
}

impl Applications {
    /// The runtime that they need; none if there are none.
    ///
    /// # Errors
    /// There are no threads to be had.
    #[cfg_attr(
        not(feature = "tokio"),
        allow(
            clippy::unused_self,
            clippy::unnecessary_wraps,
            reason = "there is a runtime with `tokio` alone"
        )
    )]
    pub(crate) fn runtime(&self) -> std::io::Result<Runtime> {
        #[cfg(feature = "tokio")]
        if !self.is_empty() {
            return Runtime::choose(self.runtime.clone());
        }
        Ok(Runtime::default())
    }

    /// Registers an application of which every worker gets a clone.
    pub(crate) fn add<A: IntoApplication + Send>(&mut self, path: &str, app: A) {
        // Behind a lock, since it need not be `Sync`; it is cloned once for each worker.
        let app = Mutex::new(app);
        self.add_made(path, move |_| {
            let app = app.lock().unwrap_or_else(PoisonError::into_inner).clone();
            std::future::ready(app)
        });
    }

    /// Registers an application that every worker makes for itself.
    pub(crate) fn add_made<A, F>(
        &mut self,
        path: &str,
        make: impl Fn(WorkerInfo) -> F + Send + Sync + 'static,
    ) where
        A: IntoApplication,
        F: Future<Output = A> + 'static,
    {
        let make: Make = Arc::new(move |worker| {
            let made = make(worker);
            Box::pin(async move { made.await.into_application() })
        });
        self.mounts.push(Mount { path: path.to_owned(), make });
    }

    /// Registers a native handler, which is asked before anything else at its path.
    pub(crate) fn add_handler(&mut self, path: &str, handler: Arc<dyn Handler>) {
        self.handlers.push(Native { path: path.to_owned(), handler });
    }

    /// Whether nothing was registered.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_empty(&self) -> bool {
        self.mounts.is_empty() && self.handlers.is_empty()
    }

    /// The path of each native handler, in the order in which they were registered.
    pub(crate) fn handler_paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.handlers.iter().map(|native| native.path.as_str())
    }

    /// The path of each, in the order in which they were registered.
    pub(crate) fn paths(&self) -> impl ExactSizeIterator<Item = &str> {
        self.mounts.iter().map(|mount| mount.path.as_str())
    }

    /// Makes the applications of a worker, on its thread.
    pub(crate) fn make(&self, worker: WorkerInfo, runtime: &RuntimeHandle) -> Mounted {
        let made = self
            .mounts
            .iter()
            .map(|mount| (runtime.finish((mount.make)(worker)), Endpoint::named(&mount.path)));
        let drain = Signal::default();
        let made = made.collect();
        let handlers = self
            .handlers
            .iter()
            .map(|native| (Arc::clone(&native.handler), Endpoint::named(&native.path)));
        Mounted {
            made,
            handlers: handlers.collect(),
            handler_paths: self.handler_paths().map(str::to_owned).collect(),
            memory: RefCell::default(),
            handler_timeout: self.handler_timeout,
            worker,
            drain,
            watched: Arc::default(),
        }
    }
}

impl fmt::Debug for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mount").field("path", &self.path).finish_non_exhaustive()
    }
}

/// The applications of one worker.
#[derive(Default)]
pub(crate) struct Mounted {
    /// Each with the path below which it answers.
    made: Vec<(Box<dyn Application>, Endpoint)>,
    handlers: Handlers,
    /// Where each of the handlers is.
    pub(crate) handler_paths: Vec<String>,
    /// What native handlers write into.
    pub(crate) memory: RefCell<Memory>,
    pub(crate) handler_timeout: Option<Duration>,
    pub(crate) worker: WorkerInfo,
    /// The worker begins to stop.
    pub(crate) drain: Signal,
    /// What the watchdog sees of it.
    pub(crate) watched: Arc<Watched>,
}

impl Mounted {
    /// The same, seen by the watchdog.
    #[must_use]
    pub(crate) fn watched_by(mut self, watched: Arc<Watched>) -> Self {
        self.watched = watched;
        self
    }

    /// Whether there is none.
    #[cfg(feature = "tokio")]
    pub(crate) fn is_empty(&self) -> bool {
        self.made.is_empty() && self.handlers.is_empty()
    }

    /// The native handler with this number.
    pub(crate) fn handler(&self, number: usize) -> Option<(&dyn Handler, Endpoint)> {
        self.handlers.get(number).map(|(handler, endpoint)| (&**handler, *endpoint))
    }

    /// The application with this number, in the order in which they were registered.
    pub(crate) fn get(&self, number: usize) -> Option<(&dyn Application, Endpoint)> {
        self.made.get(number).map(|(made, endpoint)| (&**made, *endpoint))
    }
}

impl fmt::Debug for Mounted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mounted").field("made", &self.made.len()).finish_non_exhaustive()
    }
}
