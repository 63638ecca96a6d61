//! The judgement: what each fact means for Ringway.

use super::facts::Facts;
use super::report::{Line, Mark, Section};
use crate::config::Config;
use crate::privilege::Absence;
use crate::ring::PollFeatures;
use crate::ring::probe::{RingFeatures, RingUnavailable};
use crate::tls::kernel::{Attempt, KtlsSupport, Obstacle, Trial};

/// The backlog that Ringway asks for; the kernel cuts it to `somaxconn`.
const WANTED_BACKLOG: u64 = 4_096;

/// What a sysctl file says, or that nobody knows.
fn known<T: ToString>(value: Option<T>) -> String {
    value.map_or_else(|| "unknown".to_owned(), |value| value.to_string())
}

fn verdict(holds: bool, otherwise: Mark) -> Mark {
    if holds { Mark::Yes } else { otherwise }
}

pub(super) fn kernel(facts: &Facts) -> Section {
    let release = known(facts.release.as_ref());
    let machine = known(facts.machine.as_ref());
    let container = facts.container.unwrap_or("none found");
    let filter = match facts.seccomp {
        Some(0) => "none",
        Some(1) => "strict",
        Some(2) => "a filter is active; it may refuse io_uring",
        _ => "unknown",
    };
    Section {
        title: "Kernel",
        lines: vec![
            Line::note(
                "release",
                format!("Linux {release}; io_uring is used from 6.1 on, epoll from 4.18 on"),
            ),
            Line::note("machine", machine),
            Line::note("container", container),
            Line::note("seccomp", filter),
            landlock(facts),
        ],
    }
}

fn landlock(facts: &Facts) -> Line {
    match facts.landlock {
        None => Line::note("Landlock", "unknown"),
        Some(Ok(abi)) => {
            let tcp = if abi >= 4 { "and opens no TCP sockets" } else { "from 6.7 on no sockets" };
            let says = format!("ABI {abi}: the server reaches its own files alone, {tcp}");
            Line::new(Mark::Yes, "Landlock", says)
        }
        Some(Err(absence)) => {
            let line = Line::new(Mark::No, "Landlock", absence.to_string());
            match absence {
                Absence::NotChosen => {
                    line.remedy("add landlock to lsm= on the kernel's command line")
                }
                Absence::NotBuilt => line,
            }
        }
    }
}

pub(super) fn ring(ring: &Result<RingFeatures, RingUnavailable>) -> Section {
    let lines = match ring {
        Ok(features) => ring_lines(features),
        Err(error) => {
            let text = error.to_string();
            let problem = text.split("; to change it: ").next().unwrap_or(&text);
            // The server then polls.
            let mark = if error.is_of_the_host() { Mark::No } else { Mark::Fail };
            vec![Line::new(mark, "a ring", problem).remedy(error.remedy())]
        }
    };
    Section { title: "io_uring", lines }
}

/// What the workers have where they poll.
pub(super) fn polling(features: PollFeatures) -> Section {
    let missing = features.missing().map(|(name, since, instead)| {
        let says = format!("Linux {since} has it; without, {instead}");
        Line::new(Mark::No, name, says)
    });
    let mut lines: Vec<_> = missing.collect();
    if lines.is_empty() {
        lines.push(Line::new(Mark::Yes, "system calls", "all that polling uses"));
    }
    Section { title: "epoll, where io_uring is refused or --io poll asks for it", lines }
}

fn ring_lines(features: &RingFeatures) -> Vec<Line> {
    let optional = |what, there, gives: &str, without: &str| {
        Line::new(verdict(there, Mark::No), what, if there { gives } else { without })
    };
    let needed = |what, there, gives: &str| {
        let line = Line::new(verdict(there, Mark::No), what, gives);
        if there { line } else { line.remedy("run Linux 6.1 or newer") }
    };
    let operations = if features.missing_operations.is_empty() {
        Line::new(Mark::Yes, "operations", "all that Ringway submits")
    } else {
        let names = features.missing_operations.join(", ");
        Line::new(Mark::No, "operations", format!("missing: {names}"))
            .remedy("run Linux 6.1 or newer")
    };
    vec![
        needed("buffer rings", features.buffer_ring, "the kernel picks receive buffers"),
        needed("multishot accept", features.multishot_accept, "one submission, many connections"),
        needed("multishot receive", features.multishot_receive, "one submission, many receives"),
        needed("wait deadline", features.wait_deadline, "timers without a system call each"),
        operations,
        optional(
            "DEFER_TASKRUN",
            features.defer_taskrun,
            "completions run when the worker asks for them",
            "Linux 6.1 has it; without, completions interrupt the worker",
        ),
        optional(
            "COOP_TASKRUN",
            features.coop_taskrun,
            "the lesser form of DEFER_TASKRUN",
            "Linux 5.19 has it; without, completions interrupt the worker",
        ),
        optional(
            "SUBMIT_ALL",
            features.submit_all,
            "one refused operation does not stop a batch",
            "Linux 5.18 has it; without, such a batch takes another call",
        ),
        optional(
            "registered ring",
            features.registered_ring_fd,
            "no descriptor look-up on each call",
            "Linux 5.18 has it; without, each call looks the ring up",
        ),
        optional(
            "NO_SQARRAY",
            features.no_sqarray,
            "one cache line less for each submission",
            "Linux 6.6 has it; without, submissions go through an index array",
        ),
        optional(
            "incremental buffers",
            features.incremental_buffers,
            "large receive buffers could be used piece by piece",
            "Linux 6.12 has it; without, each receive takes a whole buffer",
        ),
        optional(
            "minimum wait",
            features.minimum_wait,
            "a wait can gather completions for a moment",
            "Linux 6.12 has it; without, each wait ends with its first completion",
        ),
    ]
}

pub(super) fn kernel_tls(facts: &Facts, ktls: &KtlsSupport, trial: Option<&Trial>) -> Section {
    let mut lines = match ktls.unavailable() {
        // The same obstacle twelve times over would help nobody.
        Some(obstacle) => vec![refused("tls ULP", obstacle)],
        None => ktls_lines(ktls),
    };
    let costs = trial.iter().flat_map(|trial| &trial.costs);
    lines.extend(costs.map(|cost| Line::note("cost", cost.to_string())));
    lines.push(match facts.gcm_driver.as_deref() {
        // The AES-NI driver may call itself `generic-gcm-aesni`; this one is AES without AES-NI.
        Some(name) if name.contains("aes-generic") => {
            Line::new(Mark::No, "AES-GCM driver", format!("{name}, which is slow"))
                .remedy("sudo modprobe aesni_intel")
        }
        Some(name) => Line::note("AES-GCM driver", name),
        None => Line::note("AES-GCM driver", "none loaded yet; the kernel loads one on first use"),
    });
    Section { title: "Kernel TLS", lines }
}

fn ktls_lines(ktls: &KtlsSupport) -> Vec<Line> {
    let mut lines: Vec<_> = ktls
        .attempts
        .iter()
        .map(|Attempt { version, suite, direction, outcome }| {
            let what = format!("{version} {suite}, {direction}");
            match outcome {
                Ok(()) => Line::new(Mark::Yes, what, "sealed or opened by the kernel"),
                Err(obstacle) => refused(what, *obstacle),
            }
        })
        .collect();
    lines.push(match ktls.no_padding {
        Ok(()) => Line::new(Mark::Yes, "NO_PAD", "decrypts straight into receive buffers"),
        Err(obstacle) => refused("NO_PAD", obstacle),
    });
    lines.push(match ktls.rekey {
        Ok(()) => Line::new(Mark::Yes, "rekey", "a KeyUpdate can be answered"),
        Err(obstacle) => refused("rekey", obstacle),
    });
    lines
}

fn refused(what: impl Into<String>, obstacle: Obstacle) -> Line {
    let line = Line::new(Mark::No, what, obstacle.to_string());
    match obstacle.remedy() {
        Some(remedy) => line.remedy(remedy),
        None => line,
    }
}

pub(super) fn limits(facts: &Facts, config: &Config) -> Section {
    let limit =
        |value: Option<u64>| value.map_or("unlimited".to_owned(), |value| value.to_string());
    let wanted = config.limits.open_files_wanted(facts.cpus, config.listen.len());
    let enough = facts.open_files_hard.is_none_or(|hard| hard >= wanted);
    let files = Line::new(
        verdict(enough, Mark::No),
        "open files",
        format!(
            "{}, which Ringway raises to {}; all connections of {} workers want {wanted}",
            limit(facts.open_files),
            limit(facts.open_files_hard),
            facts.cpus
        ),
    );
    let files = if enough {
        files
    } else {
        files.remedy(format!(
            "LimitNOFILE={wanted} in the systemd unit, or ulimit -Hn {wanted} as root"
        ))
    };
    let send_memory = (config.limits.send_memory_bytes as u64).saturating_mul(facts.cpus as u64);
    let locked = if facts.locks_freely { None } else { facts.locked_memory };
    let lockable = locked.is_none_or(|locked| locked >= send_memory);
    let locked = Line::new(
        verdict(lockable, Mark::No),
        "locked memory",
        format!("{} bytes; registered send memory wants {send_memory}", limit(locked)),
    );
    let locked = if lockable {
        locked
    } else {
        locked.remedy("LimitMEMLOCK=infinity in the systemd unit, or ulimit -l unlimited as root")
    };
    let disabled = match facts.io_uring_disabled {
        Some(0) => Line::new(Mark::Yes, "io_uring_disabled", "0, io_uring is for everyone"),
        Some(1) => Line::note("io_uring_disabled", "1, only for kernel.io_uring_group and root"),
        Some(value) => Line::note("io_uring_disabled", format!("{value}, for nobody")),
        None => Line::note("io_uring_disabled", "unknown; Linux before 6.6 does not have it"),
    };
    let bound = |value: Option<String>| value.unwrap_or_else(|| "none found".to_owned());
    let group_memory = facts.cgroup_memory.map(|bytes| format!("{bytes} bytes"));
    let group_cpus = facts.cgroup_cpu_percent.map(|p| format!("{}.{:02} CPUs", p / 100, p % 100));
    Section {
        title: "Limits",
        lines: vec![
            files,
            locked,
            backlog("somaxconn", "net.core.somaxconn", facts.somaxconn),
            backlog("syn backlog", "net.ipv4.tcp_max_syn_backlog", facts.syn_backlog),
            Line::note("tcp_rmem", known(facts.tcp_rmem.as_ref())),
            Line::note("tcp_wmem", known(facts.tcp_wmem.as_ref())),
            disabled,
            Line::note("cgroup memory", bound(group_memory)),
            Line::note("cgroup CPUs", bound(group_cpus)),
        ],
    }
}

fn backlog(what: &str, sysctl: &str, value: Option<u64>) -> Line {
    match value {
        None => Line::note(what, "unknown"),
        Some(value) if value >= WANTED_BACKLOG => {
            Line::new(Mark::Yes, what, format!("{value} connections may wait to be accepted"))
        }
        Some(value) => Line::new(
            Mark::No,
            what,
            format!("{value}; a burst of more connections at once is dropped"),
        )
        .remedy(format!("sudo sysctl {sysctl}={WANTED_BACKLOG}")),
    }
}

pub(super) fn processor(facts: &Facts) -> Section {
    let mut lines = vec![
        Line::note("name", known(facts.processor.as_ref())),
        Line::note("usable CPUs", facts.cpus.to_string()),
    ];
    for (flag, other, gives) in [
        ("aes", "aes", "AES in hardware"),
        ("pclmulqdq", "pmull", "carry-less multiplication, for GCM"),
        ("vaes", "sveaes", "AES on wide vectors"),
    ] {
        let has = facts.has_flag(flag).zip(facts.has_flag(other)).map(|(one, two)| one || two);
        lines.push(match has {
            Some(there) => Line::new(verdict(there, Mark::No), flag, gives),
            None => Line::note(flag, "unknown"),
        });
    }
    Section { title: "CPU", lines }
}
