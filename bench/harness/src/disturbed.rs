//! Whether something else disturbed a round.
//!
//! The invariant: what a server does to itself is no disturbance. Where it has threads that wait
//! for each other's CPU, only what others had of that CPU counts.

use ringway_load::report::Report;

use crate::results::WorkloadResult;
use crate::table::about;
use crate::workloads::About;

/// Shares of a round's time above which it was disturbed: what hypervisors and interrupts take on
/// a quiet machine lies below.
const STOLEN: f64 = 0.01;
const CLIENT_WAITED: f64 = 0.02;
const SERVER_WAITED: f64 = 0.03;

/// What disturbed a round: the worst of it, as a share of the round's time by the share that is
/// still no matter; above 1 the round was disturbed.
pub(crate) fn degree(about: About, report: &Report) -> f64 {
    let interference = &report.interference;
    let stolen = interference.stolen / STOLEN;
    if about == About::Workers {
        // Two workers and a load generator share two CPUs, and so wait for each other.
        return stolen;
    }
    let server = interference.server_waited.min(interference.others) / SERVER_WAITED;
    stolen.max(interference.client_waited / CLIENT_WAITED).max(server)
}

/// Whether a round was disturbed.
fn disturbed(about: About, report: &Report) -> bool {
    degree(about, report) > 1.0
}

/// What is called disturbed, and what is done about it.
pub(crate) fn method() -> String {
    format!(
        "A round is disturbed if a hypervisor took more than {:.0} % of the CPUs' time, if the load \
         generator could have run and did not for more than {:.0} %, or the server for more than \
         {:.0} % while its CPU worked for others. Such rounds are measured again while there is time, \
         and the less disturbed one counts; what stayed disturbed is said below each table.",
        STOLEN * 100.0,
        CLIENT_WAITED * 100.0,
        SERVER_WAITED * 100.0
    )
}

/// The remark on a workload's disturbed rounds; nothing if there were none.
pub(crate) fn remark(workload: &WorkloadResult) -> Option<String> {
    let about = about(workload);
    let repeated: usize = workload.entries.iter().map(|entry| entry.repeated).sum();
    let rounds: usize = workload.entries.iter().map(|entry| entry.rounds.len()).sum();
    let left: Vec<String> = workload
        .entries
        .iter()
        .filter_map(|entry| {
            let left = entry.rounds.iter().filter(|report| disturbed(about, report)).count();
            (left > 0).then(|| format!("{} {left}", entry.peer))
        })
        .collect();
    let again = match repeated {
        0 => String::new(),
        1 => " One was measured again because of that.".into(),
        _ => format!(" {repeated} times one was measured again because of that."),
    };
    match left.is_empty() {
        true if repeated == 0 => None,
        true => Some(format!("None of the {rounds} rounds is disturbed.{again}")),
        false => Some(format!(
            "Disturbed by something else on the machine, of {rounds} rounds: {}.{again}",
            left.join(", ")
        )),
    }
}

/// Seconds that may still be spent on repeating disturbed rounds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Spare(f64);

impl Spare {
    /// So many, or none.
    pub(crate) fn new(seconds: f64) -> Self {
        Self(seconds.max(0.0))
    }

    /// Takes `seconds`, if they are left.
    pub(crate) fn take(&mut self, seconds: f64) -> bool {
        let left = self.0 >= seconds;
        if left {
            self.0 -= seconds;
        }
        left
    }
}

#[cfg(test)]
mod tests {
    use ringway_load::report::Interference;

    use super::{Spare, disturbed, remark};
    use crate::tests::{report, results};
    use crate::workloads::About;

    fn judged(about: About, interference: Interference) -> bool {
        let mut report = report(1.0);
        report.interference = interference;
        disturbed(about, &report)
    }

    #[test]
    fn a_servers_own_threads_disturb_nobody() {
        let judged = |interference| judged(About::Requests, interference);
        assert!(!judged(Interference::default()));
        let own = Interference { server_waited: 0.5, ..Interference::default() };
        assert!(!judged(own));
        assert!(judged(Interference { others: 0.2, ..own }));
        assert!(!judged(Interference { others: 0.2, ..Interference::default() }));
        assert!(judged(Interference { stolen: 0.02, ..Interference::default() }));
        assert!(judged(Interference { client_waited: 0.1, ..Interference::default() }));
    }

    #[test]
    fn what_stayed_disturbed_is_told() {
        let mut workload = results(&[1.0, 1.0], &[1.0, 1.0]).workloads.remove(0);
        assert_eq!(remark(&workload), None);
        workload.entries[1].repeated = 3;
        let text = remark(&workload).unwrap();
        assert!(text.contains("None of the 4") && text.contains("3 times one"), "{text}");
        workload.entries[1].rounds[0].interference.stolen = 0.5;
        let text = remark(&workload).unwrap();
        assert!(text.contains("of 4 rounds: nginx 1."), "{text}");
    }

    #[test]
    fn two_workers_share_their_cpus_with_the_load() {
        let interference = Interference {
            server_waited: 0.5,
            client_waited: 0.5,
            others: 0.5,
            ..Interference::default()
        };
        assert!(!judged(About::Workers, interference));
        assert!(judged(About::Workers, Interference { stolen: 0.1, ..interference }));
    }

    #[test]
    fn spare_time_ends() {
        let mut spare = Spare::new(10.0);
        assert!(spare.take(6.0) && !spare.take(6.0) && spare.take(4.0) && !spare.take(0.1));
        assert!(!Spare::new(-1.0).take(0.1));
    }
}
