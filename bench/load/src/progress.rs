//! A bar on standard error while a run lasts, if that is a terminal.

use std::io::{IsTerminal, stderr};
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plan::Plan;
use crate::run::Stage;

/// The bar. Its length is the time of warm-up and measurement.
pub(crate) struct Progress {
    bar: ProgressBar,
    warm_up: u64,
    began: std::cell::Cell<Option<(Stage, Instant)>>,
}

impl Progress {
    pub(crate) fn new(plan: &Plan, quiet: bool) -> Self {
        let warm_up = plan.warm_up.as_millis() as u64;
        let bar = ProgressBar::new(warm_up + plan.duration.as_millis() as u64);
        let visible = !quiet && stderr().is_terminal();
        bar.set_draw_target(if visible {
            ProgressDrawTarget::stderr_with_hz(5)
        } else {
            ProgressDrawTarget::hidden()
        });
        let style = ProgressStyle::with_template("{bar:30} {percent:>3} %  {msg}");
        bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
        Self { bar, warm_up, began: std::cell::Cell::new(None) }
    }

    /// What has been done so far in this stage.
    pub(crate) fn tell(&self, stage: Stage, requests: u64, failed: u64) {
        if self.bar.is_hidden() {
            return;
        }
        let began = match self.began.get() {
            Some((shown, began)) if shown == stage => began,
            _ => Instant::now(),
        };
        self.began.set(Some((stage, began)));
        let passed = began.elapsed().as_millis() as u64;
        let (name, before) = match stage {
            Stage::Idle => ("opening idle connections", None),
            Stage::WarmUp => ("warming up", Some(0)),
            Stage::Measure | Stage::Stop => ("measuring", Some(self.warm_up)),
        };
        self.bar.set_position(before.map_or(0, |before| before + passed));
        self.bar.set_message(format!("{name}: {requests} requests, {failed} failed"));
    }

    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
