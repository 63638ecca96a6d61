//! Something made of files: read again when they change, put back where nothing could be built with it.

use std::{sync::Arc, time::Instant};

use super::watch::Watch;

/// What came of reading files again.
#[derive(Default)]
pub(super) struct Outcome {
    /// A line for each thing that is new.
    pub(super) replaced: Vec<String>,
    /// What is wrong with others.
    pub(super) refusals: Vec<String>,
}

/// Something made of files.
pub(super) struct Watched<T> {
    /// What it is, for the log.
    pub(super) what: &'static str,
    pub(super) watch: Watch,
    pub(super) value: Arc<T>,
    /// What `value` has replaced, until a configuration was built with it.
    pub(super) previous: Option<Arc<T>>,
    /// Reads the files: what is new, and a line about it for the log; None if they hold what is in
    /// use already.
    pub(super) read: ReadAgain<T>,
}

/// Reads files, given what is made of them at present.
pub(super) type ReadAgain<T> = Box<dyn Fn(&T) -> Result<Option<(T, String)>, String> + Send>;

impl<T> Watched<T> {
    /// Keeps what was read, or puts back what was before if the configuration could not be built
    /// with it; the files are then read again later, as any that are refused.
    pub(super) fn settle(&mut self, built: Result<(), &rustls::Error>) {
        let Some(previous) = self.previous.take() else { return };
        if let Err(error) = built {
            self.value = previous;
            self.watch.refuse(Instant::now(), error.to_string());
        }
    }

    /// Reads the files if they are due, or in any case if `forced`.
    pub(super) fn refresh(&mut self, forced: bool, outcome: &mut Outcome) {
        let (now, look) = (Instant::now(), self.watch.look());
        if !self.watch.is_due(now, &look) && !forced {
            return;
        }
        let what = self.what;
        let read = self.watch.check(&look).and_then(|()| (self.read)(&self.value));
        let news = self.watch.note(now, look, read.as_ref().err());
        match read {
            Ok(Some((value, line))) => {
                self.previous = Some(std::mem::replace(&mut self.value, Arc::new(value)));
                outcome.replaced.push(format!("{what}: {line}"));
            }
            Ok(None) if news => log::info!("{what}: the files are again those that are in use"),
            Ok(None) => {}
            Err(why) => {
                if news || forced {
                    log::error!("{what}: not replaced, the old one stays in use: {why}");
                }
                outcome.refusals.push(why);
            }
        }
    }
}
