//! What is kept of a run.

use serde::{Deserialize, Serialize};

use crate::against::Against;

/// A run.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Results {
    /// The server, by its own words.
    pub(crate) server: String,
    pub(crate) kernel_tls: String,
    pub(crate) machine: Machine,
    /// Seconds of each measurement.
    pub(crate) seconds: f64,
    pub(crate) rounds: u32,
    /// The honest client's requests a second, and its connections.
    pub(crate) rate: u32,
    pub(crate) connections: u32,
    /// What was attacked; by HTTP/2 if the honest client spoke it too.
    #[serde(default)]
    pub(crate) against: Against,
    /// Whether the server ran on epoll.
    #[serde(default)]
    pub(crate) polls: bool,
    /// Whether the honest client ran ahead of the attackers on their CPU.
    pub(crate) ahead: bool,
    /// The memory ceiling that the server printed, and the most that it held, in bytes.
    pub(crate) ceiling: u64,
    pub(crate) most_memory: u64,
    /// Open descriptors before the first connection and after the last.
    pub(crate) descriptors: (usize, usize),
    /// All undisturbed measurements.
    pub(crate) undisturbed: Vec<Seen>,
    pub(crate) attacks: Vec<Attacked>,
}

/// Where it ran.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Machine {
    pub(crate) cpu: String,
    pub(crate) cpus: usize,
    pub(crate) kernel: String,
    /// Descriptors that a process may have.
    pub(crate) open_files: u64,
    /// The load average at the start: above 0.5 the machine was not quiet.
    pub(crate) load_before: f64,
}

/// What the honest client saw in one measurement.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Seen {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) max_us: f64,
    pub(crate) requests: u64,
    /// Requests that failed, or were never sent.
    pub(crate) failed: u64,
    /// The share of its CPU that the server spent.
    pub(crate) server_cpu: f64,
    /// What the server held at its end, in bytes.
    pub(crate) memory: u64,
}

/// An attack.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Attacked {
    pub(crate) name: String,
    pub(crate) what: String,
    pub(crate) unit: String,
    pub(crate) rounds: Vec<Round>,
}

/// An attack between two undisturbed measurements.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Round {
    pub(crate) before: Seen,
    pub(crate) during: Seen,
    pub(crate) after: Seen,
    /// What the attacker did of its unit, and how often it was turned away, each a second.
    pub(crate) done: f64,
    pub(crate) turned_away: f64,
}

impl Round {
    /// How many times as long the slowest hundredth waited as without the attack.
    pub(crate) fn ratio(&self) -> f64 {
        let undisturbed = f64::midpoint(self.before.p99_us, self.after.p99_us);
        self.during.p99_us / undisturbed.max(1.0)
    }
}

impl Attacked {
    /// The median over the rounds of the figure `of`.
    pub(crate) fn median(&self, of: impl Fn(&Round) -> f64) -> f64 {
        median(self.rounds.iter().map(of).collect())
    }

    /// Failed requests of all rounds.
    pub(crate) fn failed(&self) -> u64 {
        self.rounds.iter().map(|round| round.during.failed).sum()
    }

    /// The most that the server held.
    pub(crate) fn memory(&self) -> u64 {
        self.rounds.iter().map(|round| round.during.memory).max().unwrap_or(0)
    }
}

impl Results {
    /// Whether the honest client was served throughout, and the server kept to its ceiling and gave
    /// everything back. Latency is reported, not judged: it depends on the machine.
    pub(crate) fn sound(&self) -> bool {
        self.failed() == 0 && self.most_memory <= self.ceiling
    }

    pub(crate) fn failed(&self) -> u64 {
        let undisturbed: u64 = self.undisturbed.iter().map(|seen| seen.failed).sum();
        undisturbed + self.attacks.iter().map(Attacked::failed).sum::<u64>()
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
pub(crate) fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => 0.0,
        even if even.is_multiple_of(2) => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    }
}

#[cfg(test)]
mod tests {
    use super::{Attacked, Results, Round, Seen, median};

    #[test]
    fn an_attack_is_compared_with_what_stands_around_it() {
        let seen = |p99_us| Seen { p99_us, ..Seen::default() };
        let round = Round {
            before: seen(80.0),
            during: seen(150.0),
            after: seen(120.0),
            ..Round::default()
        };
        assert!((round.ratio() - 1.5).abs() < 1e-9);
        assert!((median(vec![3.0, 1.0, 2.0]) - 2.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0]) - 2.5).abs() < 1e-9);
        assert!(median(Vec::new()).abs() < 1e-9);
    }

    #[test]
    fn a_failed_request_or_too_much_memory_is_not_sound() {
        let mut results = Results { ceiling: 100, most_memory: 100, ..Results::default() };
        assert!(results.sound());
        results.most_memory = 101;
        assert!(!results.sound());
        results.most_memory = 0;
        let during = Seen { failed: 1, ..Seen::default() };
        let rounds = vec![Round { during, ..Round::default() }];
        results.attacks.push(Attacked { rounds, ..Attacked::default() });
        assert!(!results.sound());
    }
}
