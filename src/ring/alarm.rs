//! The one timer that ends waits.
//!
//! Every wait of the loop ends at the wheel's next deadline. Given to each io_uring_enter(2) as a
//! limit, that is a timer set up and taken down for each sleep; where a timer becomes the nearest of
//! its CPU it is programmed into the processor, which in a virtual machine is the host's work. So one
//! timeout stays armed on the ring instead, and is drawn forward for a nearer deadline,
//! which is seldom: deadlines that are pushed back leave their entries on the wheel. The invariant:
//! while [`Alarm::covers`] says so, a completion arrives no later than the time that was asked for.

use std::time::Duration;

use io_uring::{squeue, types::Timespec};

use super::{
    op::{Kind, OpId},
    operations::{timeout, update_timeout},
};

/// The name of the timeout, and of what draws it forward. No slot has them.
const ALARM: OpId = OpId::new(Kind::Forgotten, 1, 0);
const UPDATE: OpId = OpId::new(Kind::Forgotten, 2, 0);

/// Ringway's only timer in the kernel, for one ring.
#[derive(Debug)]
pub(super) struct Alarm {
    /// When it goes off at the latest, in milliseconds on the worker's clock; `None` if it is not
    /// armed.
    armed: Option<u64>,
    /// The kernel would not have it.
    refused: bool,
    /// What a submission points to until the kernel has taken it, which is before enter returns
    /// (`io_timeout_prep` in `io_uring/timeout.c`) unless that fails.
    rest: Box<Timespec>,
}

impl Alarm {
    pub(super) fn new() -> Self {
        Self { armed: None, refused: false, rest: Box::default() }
    }

    /// Whether a completion will come by `at`, milliseconds on the worker's clock and `rest` from
    /// now. `push` submits what that takes, if anything, and says whether there was room.
    ///
    /// What is pushed points into this value, which has to outlive the ring.
    pub(super) fn covers(
        &mut self,
        at: u64,
        rest: Duration,
        push: impl FnOnce(&squeue::Entry) -> bool,
    ) -> bool {
        if self.armed.is_some_and(|armed| armed <= at) {
            return true;
        }
        if self.refused {
            return false;
        }
        *self.rest = Timespec::from(rest);
        let rest = &raw const *self.rest;
        let (entry, id) = if self.armed.is_some() {
            (update_timeout(ALARM.to_user_data(), rest), UPDATE)
        } else {
            (timeout(rest), ALARM)
        };
        let pushed = push(&entry.user_data(id.to_user_data()));
        if pushed {
            self.armed = Some(at);
        }
        pushed
    }

    /// Takes a completion, and says whether it was the alarm's.
    pub(super) fn takes(&mut self, user_data: u64, result: i32) -> bool {
        match OpId::from_user_data(user_data) {
            ALARM => {
                self.armed = None;
                // It went off, or its ring is going away; else it was never armed.
                self.refused |= !matches!(-result, libc::ETIME | libc::ECANCELED);
            }
            UPDATE => {
                // One that has gone off meanwhile says so itself. Another failure leaves it armed
                // for later than was asked.
                if !matches!(-result, 0 | libc::ENOENT | libc::EALREADY) {
                    self.refused = true;
                    self.armed = None;
                }
            }
            _ => return false,
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    /// Whether it covers, and the operation that was submitted for it.
    fn cover(alarm: &mut Alarm, at: u64, room: bool) -> (bool, bool) {
        let mut submitted = false;
        let covers = alarm.covers(at, SECOND, |_| {
            submitted = true;
            room
        });
        (covers, submitted)
    }

    fn goes_off(alarm: &mut Alarm, result: i32) {
        assert!(alarm.takes(ALARM.to_user_data(), result));
    }

    #[test]
    fn it_is_armed_once_for_all_that_is_not_nearer() {
        let mut alarm = Alarm::new();
        assert_eq!(cover(&mut alarm, 1000, true), (true, true));
        assert_eq!(cover(&mut alarm, 1000, true), (true, false));
        assert_eq!(cover(&mut alarm, 9000, true), (true, false));
        assert_eq!(cover(&mut alarm, 500, true), (true, true), "drawn forward");
        assert_eq!(cover(&mut alarm, 600, true), (true, false));
        goes_off(&mut alarm, -libc::ETIME);
        assert_eq!(cover(&mut alarm, 9000, true), (true, true), "armed anew");
    }

    #[test]
    fn without_room_the_wait_needs_a_limit_of_its_own() {
        let mut alarm = Alarm::new();
        assert_eq!(cover(&mut alarm, 1000, false), (false, true));
        assert_eq!(cover(&mut alarm, 1000, true), (true, true));
        assert_eq!(cover(&mut alarm, 500, false), (false, true));
        assert_eq!(cover(&mut alarm, 1000, true), (true, false), "it is still armed for that");
    }

    #[test]
    fn a_refused_one_is_not_tried_again() {
        let mut alarm = Alarm::new();
        assert_eq!(cover(&mut alarm, 1000, true), (true, true));
        goes_off(&mut alarm, -libc::EACCES);
        assert_eq!(cover(&mut alarm, 1000, true), (false, false));

        let mut alarm = Alarm::new();
        assert_eq!(cover(&mut alarm, 1000, true), (true, true));
        assert_eq!(cover(&mut alarm, 500, true), (true, true));
        assert!(alarm.takes(UPDATE.to_user_data(), -libc::EINVAL));
        assert_eq!(cover(&mut alarm, 500, true), (false, false));
    }

    #[test]
    fn drawn_forward_too_late_it_has_gone_off() {
        let mut alarm = Alarm::new();
        assert_eq!(cover(&mut alarm, 1000, true), (true, true));
        assert_eq!(cover(&mut alarm, 500, true), (true, true));
        assert!(alarm.takes(UPDATE.to_user_data(), -libc::ENOENT));
        assert_eq!(cover(&mut alarm, 500, true), (true, false), "its completion is on the way");
        goes_off(&mut alarm, -libc::ETIME);
        assert_eq!(cover(&mut alarm, 500, true), (true, true));
    }

    #[test]
    fn completions_of_others_are_left_alone() {
        let mut alarm = Alarm::new();
        assert!(!alarm.takes(OpId::FORGOTTEN.to_user_data(), 0));
        let plain = OpId::new(Kind::Plain, 1, 0);
        assert!(!alarm.takes(plain.to_user_data(), 0));
    }
}
