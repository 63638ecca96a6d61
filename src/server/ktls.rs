//! Who seals and opens records on this host, and the sentence that says so. What the kernel can do
//! is tried, and under `--ktls auto` so is whether it pays.

use std::sync::Arc;

use super::StartError;
use crate::{
    config::KtlsMode,
    conn::KtlsPlan,
    tls::{
        kernel::{self as ktls, Direction, KtlsSupport, Trial},
        preferred_suite,
    },
};

/// Decides for all connections.
///
/// # Errors
/// The kernel's TLS is demanded and not there.
pub(super) fn plan(mode: KtlsMode) -> Result<(KtlsPlan, String), StartError> {
    if mode == KtlsMode::Off {
        return Ok(user_space("it is switched off (--ktls off)"));
    }
    let support = ktls::probe();
    if !support.is_available() {
        let obstacle = support.unavailable();
        let why = obstacle.map_or_else(|| "the kernel refuses it".to_owned(), |o| o.to_string());
        if mode != KtlsMode::Auto {
            let remedy = obstacle.and_then(crate::tls::kernel::Obstacle::remedy);
            let remedy = remedy.map_or_else(String::new, |remedy| format!("; {remedy}"));
            return Err(StartError::KernelTls(why + &remedy));
        }
        return Ok(user_space(&why));
    }
    let chosen = match mode {
        KtlsMode::Auto => match ktls::compare(preferred_suite()) {
            Ok(trial) => Chosen::by(&trial),
            Err(error) => return Ok(user_space(&format!("trying what it costs failed: {error}"))),
        },
        KtlsMode::Send => Chosen { receives: false, ..Chosen::EVERYTHING },
        KtlsMode::On | KtlsMode::Off => Chosen::EVERYTHING,
    };
    if !chosen.sends {
        return Ok(user_space(&format!("it costs more here ({})", chosen.why)));
    }
    let directions = if chosen.receives { "both directions" } else { "for sending" };
    let why = if chosen.why.is_empty() { String::new() } else { format!(" ({})", chosen.why) };
    let path = format!("kernel TLS: yes, {directions}, {}{why}", describe(&support));
    Ok((KtlsPlan { support: Some(Arc::new(support)), receives: chosen.receives }, path))
}

fn user_space(why: &str) -> (KtlsPlan, String) {
    (KtlsPlan::default(), format!("kernel TLS: no, {why}; user-space TLS"))
}

/// What the kernel is to do, and the figures behind that.
struct Chosen {
    sends: bool,
    receives: bool,
    why: String,
}

impl Chosen {
    const EVERYTHING: Self = Self { sends: true, receives: true, why: String::new() };

    /// What pays. The kernel only receives where it sends as well: an idle connection would have
    /// keys in two places for little.
    fn by(trial: &Trial) -> Self {
        let sends = trial.kernel_sends();
        let receives = sends && trial.kernel_receives();
        let told = trial.costs.iter().filter(|cost| sends || cost.direction == Direction::Transmit);
        let why = told.map(ToString::to_string).collect::<Vec<_>>().join("; ");
        Self { sends, receives, why }
    }
}

fn describe(support: &KtlsSupport) -> String {
    let all = support.attempts.iter().all(|attempt| attempt.outcome.is_ok());
    let ciphers = if all { "every cipher" } else { "some ciphers (doctor)" };
    let rekey = if support.rekey.is_ok() { "key updates" } else { "no key updates" };
    format!("{ciphers}, {rekey}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tls::kernel::Cost;

    fn trial(kernel: [u64; 3]) -> Trial {
        let directions = [Direction::Transmit, Direction::Transmit, Direction::Receive];
        let lengths = [1024, 65_536, 512];
        Trial {
            costs: [0, 1, 2].map(|at| Cost {
                direction: directions[at],
                length: lengths[at],
                user: 1_000,
                kernel: kernel[at],
            }),
        }
    }

    #[test]
    fn the_kernel_does_what_it_does_at_less_cost() {
        for (kernel, sends, receives) in [
            ([900, 900, 900], true, true),
            ([900, 900, 1_100], true, false),
            ([900, 1_100, 900], false, false),
            ([1_100, 900, 900], false, false),
            ([980, 980, 980], false, false),
        ] {
            let chosen = Chosen::by(&trial(kernel));
            assert_eq!((chosen.sends, chosen.receives), (sends, receives), "{kernel:?}");
        }
    }

    #[test]
    fn the_figures_are_told() {
        assert_eq!(
            Chosen::by(&trial([4_210, 900, 900])).why,
            "send 1 KiB: 4.2 us by the kernel, 1.0 by Ringway; \
             send 64 KiB: 0.9 us by the kernel, 1.0 by Ringway"
        );
    }

    #[test]
    fn what_is_switched_off_is_not_tried() {
        let (plan, path) = plan(KtlsMode::Off).unwrap();
        assert!(plan.support.is_none());
        assert_eq!(path, "kernel TLS: no, it is switched off (--ktls off); user-space TLS");
    }
}
