//! Something that happens once, to be awaited on any thread: the drain of a worker.

use std::{
    future::Future,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    task::{Context, Poll, Waker},
};

/// Something that happens once. A clone is the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<State>);

#[derive(Debug, Default)]
struct State {
    happened: AtomicBool,
    waiting: Mutex<Waiting>,
}

/// Who waits, each with a number: as many as there are futures.
#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    wakers: Vec<(u64, Waker)>,
}

impl State {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Signal {
    /// It happens.
    pub(crate) fn set(&self) {
        self.0.happened.store(true, SeqCst);
        let wakers = std::mem::take(&mut self.0.waiting().wakers);
        for (_, waker) in wakers {
            waker.wake();
        }
    }

    /// Waits until it has happened.
    pub(crate) fn wait(&self) -> Wait {
        Wait { state: Arc::clone(&self.0), number: None }
    }
}

/// A wait for a [`Signal`].
#[derive(Debug)]
pub(crate) struct Wait {
    state: Arc<State>,
    /// Our place among those who wait.
    number: Option<u64>,
}

impl Future for Wait {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let number = self.number;
        let state = Arc::clone(&self.state);
        let waiting = &mut *state.waiting();
        // Looked at behind the lock: `set` takes it after it has stored.
        if state.happened.load(SeqCst) {
            return Poll::Ready(());
        }
        let mut wakers = waiting.wakers.iter_mut();
        if let Some((_, waker)) = wakers.find(|(other, _)| Some(*other) == number) {
            waker.clone_from(cx.waker());
        } else {
            self.number = Some(waiting.next);
            waiting.wakers.push((waiting.next, cx.waker().clone()));
            waiting.next += 1;
        }
        Poll::Pending
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if let Some(number) = self.number {
            self.state.waiting().wakers.retain(|(other, _)| *other != number);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{pin::pin, task::Wake};

    use super::*;

    struct Note(AtomicBool);

    impl Wake for Note {
        fn wake(self: Arc<Self>) {
            self.0.store(true, SeqCst);
        }
    }

    #[test]
    fn who_waits_is_woken_and_who_has_left_is_forgotten() {
        let signal = Signal::default();
        let note = Arc::new(Note(AtomicBool::new(false)));
        let waker = Waker::from(Arc::clone(&note));
        let mut cx = Context::from_waker(&waker);
        let mut wait = pin!(signal.wait());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        assert!(wait.as_mut().poll(&mut cx).is_pending());
        let mut other = Box::pin(signal.wait());
        assert!(other.as_mut().poll(&mut cx).is_pending());
        drop(other);
        assert_eq!(signal.0.waiting().wakers.len(), 1);
        signal.set();
        assert!(note.0.load(SeqCst));
        assert!(wait.poll(&mut cx).is_ready());
        assert!(pin!(signal.wait()).poll(&mut cx).is_ready());
    }
}
