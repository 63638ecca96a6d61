//! Another configuration for a running server: everything that can fail first, then one step in which
//! nothing does.
//!
//! The invariant: either every worker serves the new configuration, or all serve the old one; and a request
//! is answered by the configuration that its head met.

use std::{
    fmt,
    os::fd::AsFd,
    path::Path,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use rustix::fs::{Access, Mode, OFlags};

use super::{
    Handle, StartError,
    listeners::Listening,
    live::{State, hand_out, https_port},
    patience::within,
    start::trust,
};
use crate::{
    config::Config,
    conn::SitePlan,
    upstream::{self, Resolver},
    worker::{Change, Command},
};

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
    /// Serves another configuration from here on: its sites, pools, certificates, authorities of
    /// clients, ticket keys, addresses, times, and limits that made no memory at the start. `before` is
    /// the one that the server was started with or that replaced it. Connections go on; requests that have
    /// begun are finished under the old one.
    ///
    /// # Errors
    /// What keeps the server from it; nothing has changed then.
    pub fn replace(&self, before: &Config, new: &Config) -> Result<(), ReplaceError> {
        let _one_at_a_time = self.replacing();
        let live = self.live();
        let mut refusals = before.needs_restart(new);
        refusals.extend(live.lacks(before, new));
        refusals.extend(new.check_all().iter().map(ToString::to_string));
        if !refusals.is_empty() {
            return Err(ReplaceError { refusals });
        }
        let new = live.fitted(new)?;
        let plan = within("a folder of the new configuration", {
            let new = new.clone();
            move || SitePlan::open(&new)
        })?;
        let plan = plan.map_err(ReplaceError::of)?;
        let refusals: Vec<_> =
            plan.folders().filter_map(|(path, folder)| unreadable(path, folder)).collect();
        if !refusals.is_empty() {
            return Err(ReplaceError { refusals });
        }
        let known = live.state().upstreams.clone();
        let upstreams = within("a server name of the new configuration", {
            let (new, trust) = (new.clone(), trust(&new)?);
            move || upstream::shared(&new, &trust, &known)
        })?;
        let resolver = Resolver::start(&upstreams).map_err(StartError::Thread)?;
        let tls = self.tls().prepare(&new)?;
        let bound = live.state().bound.clone();
        let listening = Listening::bind(&new, &bound, live.workers)
            .map_err(|error| ReplaceError::of(live.cannot_bind(&error)))?;
        let plan = plan.with_https_port(https_port(&new, &listening.bound));
        let plan = Arc::new(plan.with_upstreams(upstreams.clone()));
        let now = listening.bound.clone();
        let gone = bound.iter().filter(|one| !now.contains(one));
        let closes: Vec<_> = gone.map(|one| (one.via, one.address)).collect();
        let (listeners, watched) = hand_out(listening);
        let changes = listeners.into_iter().map(|opens| Change { opens, closes: closes.clone() });
        self.prepare(&plan, changes.collect())?;
        // From here on nothing fails. Handshakes of both configurations find theirs meanwhile.
        self.tls().put_to_use(tls);
        for inbox in self.inboxes() {
            inbox.send(Command::Switch);
        }
        live.take_rates(&plan);
        self.root().watch(plan);
        let (drain, drain_delay) = (new.timeouts.drain, new.timeouts.drain_delay);
        live.switched(&new, State { bound: now, upstreams, resolver, drain, drain_delay });
        live.watch(watched);
        Ok(())
    }

    /// Has every worker make what is its own of a plan, and keep its change of listeners.
    fn prepare(&self, plan: &Arc<SitePlan>, changes: Vec<Change>) -> Result<(), ReplaceError> {
        let (ready, prepared) = mpsc::sync_channel(self.inboxes().len());
        for (inbox, change) in self.inboxes().iter().zip(changes) {
            inbox.send(Command::Prepare(Arc::clone(plan), change, ready.clone()));
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
