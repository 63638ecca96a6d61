//! What is remembered of streams that are not open: those that were reset, since frames for them
//! may be on their way, and priorities that came before their requests.

use crate::parse::h2::Priority;

/// Streams that were reset and are remembered.
const RESETS: usize = 32;

/// Priorities that are remembered.
const PRIORITIES: usize = 16;

/// The newest of both. Most connections have neither, and no memory for them.
#[derive(Debug, Default)]
pub(super) struct Recent(Option<Box<Newest>>);

#[derive(Debug, Default)]
struct Newest {
    resets: [u32; RESETS],
    next_reset: usize,
    priorities: [(u32, Priority); PRIORITIES],
    next_priority: usize,
}

impl Recent {
    fn newest(&mut self) -> &mut Newest {
        self.0.get_or_insert_default()
    }

    /// A stream was reset by this server.
    pub(super) fn reset(&mut self, stream: u32) {
        self.newest().reset(stream);
    }

    /// Whether a stream is one of those that were reset last.
    pub(super) fn was_reset(&self, stream: u32) -> bool {
        self.0.as_ref().is_some_and(|newest| newest.resets.contains(&stream))
    }

    /// PRIORITY_UPDATE for a stream that is to come.
    pub(super) fn prioritize(&mut self, stream: u32, priority: Priority) {
        self.newest().prioritize(stream, priority);
    }

    /// The priority that came before this stream, which is forgotten with that.
    pub(super) fn take_priority(&mut self, stream: u32) -> Option<Priority> {
        self.0.as_mut()?.take_priority(stream)
    }
}

impl Newest {
    fn reset(&mut self, stream: u32) {
        if let Some(place) = self.resets.get_mut(self.next_reset % RESETS) {
            *place = stream;
        }
        self.next_reset = (self.next_reset + 1) % RESETS;
    }

    fn prioritize(&mut self, stream: u32, priority: Priority) {
        let known = self.priorities.iter_mut().find(|(known, _)| *known == stream);
        if let Some((_, known)) = known {
            *known = priority;
            return;
        }
        if let Some(place) = self.priorities.get_mut(self.next_priority % PRIORITIES) {
            *place = (stream, priority);
        }
        self.next_priority = (self.next_priority + 1) % PRIORITIES;
    }

    fn take_priority(&mut self, stream: u32) -> Option<Priority> {
        let known = self.priorities.iter_mut().find(|(known, _)| *known == stream)?;
        Some(std::mem::take(known).1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_remembered() {
        let mut recent = Recent::default();
        assert!(recent.take_priority(1).is_none() && !recent.was_reset(1) && recent.0.is_none());
        for stream in (1..200).step_by(2) {
            recent.reset(stream);
        }
        assert!(recent.was_reset(199) && recent.was_reset(137) && !recent.was_reset(135));
        let priority = |urgency| Priority { urgency, incremental: true };
        for stream in 1..=20 {
            recent.prioritize(stream, priority(1));
        }
        recent.prioritize(20, priority(7));
        assert_eq!(recent.take_priority(20), Some(priority(7)));
        assert_eq!(recent.take_priority(20), None);
        assert_eq!(recent.take_priority(5), Some(priority(1)));
        assert_eq!(recent.take_priority(4), None, "crowded out");
    }
}
