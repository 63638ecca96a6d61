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
    /// How many kinds are counted by turn: all but [`Self::Processor`] and
    /// [`Self::Stopped`], which are asked of the kernel.
    pub(super) const COUNT: usize = Stage::COUNT + 4;

    pub(super) const ALL: [Self; Self::COUNT] = {
        let mut all = [Self::Sendfile; Self::COUNT];
        let mut at = 0;
        while at < Stage::COUNT {
            all[at] = Self::Stage(Stage::ALL[at]);
            at += 1;
        }
        all[at + 1] = Self::Enter;
        all[at + 2] = Self::Snapshot;
        all[at + 3] = Self::Application;
        all
    };

    /// Its place in [`Self::ALL`].
    pub(super) fn index(self) -> usize {
        match self {
            Self::Stage(stage) => stage.index(),
            Self::Sendfile => Stage::COUNT,
            Self::Enter => Stage::COUNT + 1,
            Self::Snapshot | Self::Processor | Self::Stopped => Stage::COUNT + 2,
            Self::Application => Stage::COUNT + 3,
        }
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
    fn each_kind_stands_at_its_index_under_a_name_of_its_own() {
        for (index, work) in Work::ALL.into_iter().enumerate() {
            assert_eq!(work.index(), index);
        }
        let names: BTreeSet<_> =
            Work::ALL.into_iter().chain([Work::Processor, Work::Stopped]).map(Work::name).collect();
        assert_eq!(names.len(), Work::COUNT + 2);
    }
}
