//! Another configuration for a running server: everything that can fail first, then one step in which
//! nothing does.
//!
//! The invariant: either every worker serves the new sites, or all serve the old ones; and a request
//! is answered by the configuration that its head met.

use std::{
    fmt,
    os::fd::AsFd,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rustix::fs::{Access, Mode, OFlags};

use super::{Handle, StartError, patience::within};
use crate::{config::Config, conn::SitePlan, worker::Command};

/// How long all workers together may take to make what is theirs of a configuration.
const PATIENCE: Duration = Duration::from_secs(30);

/// A configuration that a running server did not take; the one before is in force.
#[derive(Debug)]
pub struct ReplaceError {
    refusals: Vec<String>,
}

impl ReplaceError {
    /// Why, one text for each thing.
    pub fn refusals(&self) -> &[String] {
        &self.refusals
    }

    fn of(error: impl fmt::Display) -> Self {
        Self { refusals: vec![error.to_string()] }
    }
}

impl fmt::Display for ReplaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.refusals.join("\n"))
    }
}

impl std::error::Error for ReplaceError {}

impl From<StartError> for ReplaceError {
    fn from(error: StartError) -> Self {
        Self::of(error)
    }
}

impl Handle {
    /// Serves another configuration from here on: its sites, certificates, authorities of clients and
    /// ticket keys. `before` is the one that the server was started with or that replaced it.
    /// Connections go on; requests that have begun are finished under the old one.
    ///
    /// # Errors
    /// What keeps the server from it; nothing has changed then.
    pub fn replace(&self, before: &Config, new: &Config) -> Result<(), ReplaceError> {
        let _one_at_a_time = self.replacing();
        let changed = before.needs_restart(new);
        if !changed.is_empty() {
            let refusals = changed
                .iter()
                .map(|what| format!("{what}: only a start brings it into force; restart ringway"));
            return Err(ReplaceError { refusals: refusals.collect() });
        }
        let errors = new.check_all();
        if !errors.is_empty() {
            let refusals = errors.iter().map(ToString::to_string).collect();
            return Err(ReplaceError { refusals });
        }
        let config = new.clone();
        let plan = within("a folder of the new configuration", move || SitePlan::open(&config))?;
        let plan = Arc::new(plan.map_err(ReplaceError::of)?);
        let refusals: Vec<_> =
            plan.folders().filter_map(|(path, folder)| unreadable(path, folder)).collect();
        if !refusals.is_empty() {
            return Err(ReplaceError { refusals });
        }
        let tls = self.tls().prepare(new)?;
        self.prepare(&plan)?;
        // From here on nothing fails.
        for inbox in self.inboxes() {
            inbox.send(Command::Switch);
        }
        self.tls().put_to_use(tls);
        self.root().watch(Arc::clone(&plan));
        Ok(())
    }

    /// Has every worker make what is its own of a plan.
    fn prepare(&self, plan: &Arc<SitePlan>) -> Result<(), ReplaceError> {
        let (ready, prepared) = mpsc::sync_channel(self.inboxes().len());
        for inbox in self.inboxes() {
            inbox.send(Command::Prepare(Arc::clone(plan), ready.clone()));
        }
        drop(ready);
        let until = Instant::now() + PATIENCE;
        for _ in self.inboxes() {
            let left = until.saturating_duration_since(Instant::now());
            if prepared.recv_timeout(left).is_err() {
                for inbox in self.inboxes() {
                    inbox.send(Command::Forget);
                }
                return Err(ReplaceError::of(format_args!(
                    "a worker did not take the new configuration within {PATIENCE:?}, or has ended"
                )));
            }
        }
        Ok(())
    }
}

/// Why this process may not read a folder, if Landlock keeps it from that.
fn unreadable(path: &Path, folder: &impl AsFd) -> Option<String> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let error = rustix::fs::openat(folder, ".", flags, Mode::empty()).err()?;
    // What permissions deny would be denied at a start too, and files in it may be readable.
    if error == rustix::io::Errno::ACCESS && rustix::fs::access(path, Access::READ_OK).is_err() {
        return None;
    }
    Some(format!(
        "{}: {error}: Landlock leaves to ringway what the configuration of its start names; restart \
         ringway, or name a folder above it there by allow_read in [process]",
        path.display()
    ))
}
