//! What a turn of the loop can be spent in.

use super::Stage;

/// What a turn of the loop can be spent in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Work {
    /// What belongs to a stage of some connection or request.
    Stage(Stage),
    /// sendfile(2): the kernel seals a file.
    Sendfile,
    /// io_uring_enter(2) that was not to wait: the kernel submits, sends and receives.
    Enter,
    /// A copy for a report.
    Snapshot,
    /// An application on the worker, whose handlers compute or block its thread.
    Application,
    /// Nothing: the worker was ready to run, and others had its processor.
    Processor,
    /// Nothing: the worker neither ran nor was ready to run. It was stopped, or out of its share of
    /// the processor (a CPU limit), or its virtual machine was; or the kernel waited for a disk on
    /// its behalf.
    Stopped,
}

impl Work {
    /// What the time of a turn is booked to: few kinds, since they are set to nothing in each turn.
    /// Other stages are waits, or parts of these; [`Self::Processor`] and [`Self::Stopped`] are asked of
    /// the kernel.
    pub(super) const ALL: [Self; 10] = [
        Self::Stage(Stage::HandshakeCpu),
        Self::Stage(Stage::HandOver),
        Self::Stage(Stage::Parse),
        Self::Stage(Stage::Decode),
        Self::Stage(Stage::Compress),
        Self::Stage(Stage::Respond),
        Self::Sendfile,
        Self::Enter,
        Self::Snapshot,
        Self::Application,
    ];

    /// How many kinds a turn's time is booked to.
    pub(super) const COUNT: usize = Self::ALL.len();

    /// Its place in [`Self::ALL`]; None if no time is booked to it.
    #[inline]
    pub(super) const fn place(self) -> Option<usize> {
        Some(match self {
            Self::Stage(Stage::HandshakeCpu) => 0,
            Self::Stage(Stage::HandOver) => 1,
            Self::Stage(Stage::Parse) => 2,
            Self::Stage(Stage::Decode) => 3,
            Self::Stage(Stage::Compress) => 4,
            Self::Stage(Stage::Respond) => 5,
            Self::Sendfile => 6,
            Self::Enter => 7,
            Self::Snapshot => 8,
            Self::Application => 9,
            Self::Stage(_) | Self::Processor | Self::Stopped => return None,
        })
    }

    /// Its name in reports: that of a stage, or one of its own.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stage(stage) => stage.name(),
            Self::Sendfile => "sendfile",
            Self::Enter => "enter",
            Self::Snapshot => "snapshot",
            Self::Application => "application",
            Self::Processor => "processor",
            Self::Stopped => "stopped",
        }
    }
}

/// A turn of the loop that has ended, and the next one's beginning. Times are in nanoseconds.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Turn {
    /// When the next one begins, on the worker's clock.
    pub next: u64,
    /// From its completions to its io_uring_enter(2).
    pub busy: u64,
    /// Of this: in sendfile(2).
    pub sendfile: u64,
    /// In io_uring_enter(2), if that was not to wait, and else 0.
    pub entered: u64,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn each_kind_stands_at_its_place_under_a_name_of_its_own() {
        for (place, work) in Work::ALL.into_iter().enumerate() {
            assert_eq!(work.place(), Some(place));
        }
        let stages = Stage::ALL.map(Work::Stage).into_iter();
        assert_eq!(stages.filter(|work| work.place().is_some()).count(), 6);
        let asked = [Work::Processor, Work::Stopped];
        assert_eq!(asked.map(Work::place), [None; 2]);
        let names: BTreeSet<_> = Work::ALL.into_iter().chain(asked).map(Work::name).collect();
        assert_eq!(names.len(), Work::COUNT + 2);
    }
}
