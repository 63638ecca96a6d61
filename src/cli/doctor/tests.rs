use std::fs;
use std::path::Path;

use super::facts::Facts;
use super::report::Mark;
use super::*;
use crate::privilege::Absence;
use crate::record::{Suite, TlsVersion};
use crate::tls::kernel::{Attempt, Cost, Direction, Obstacle};

fn modern() -> RingFeatures {
    RingFeatures {
        defer_taskrun: true,
        coop_taskrun: true,
        submit_all: true,
        no_sqarray: true,
        registered_ring_fd: true,
        buffer_ring: true,
        incremental_buffers: true,
        multishot_accept: true,
        multishot_receive: true,
        wait_deadline: true,
        minimum_wait: true,
        missing_operations: Vec::new(),
    }
}

fn healthy() -> Facts {
    Facts {
        release: Some("6.12.95".to_owned()),
        machine: Some("x86_64".to_owned()),
        cpus: 2,
        processor: Some("A Processor".to_owned()),
        flags: Some(["aes", "vaes", "pclmulqdq"].map(str::to_owned).to_vec()),
        io_uring_disabled: Some(0),
        seccomp: Some(0),
        landlock: Some(Ok(6)),
        locks_freely: false,
        container: None,
        gcm_driver: Some("generic-gcm-vaes-avx512".to_owned()),
        locked_memory: None,
        open_files: Some(1_024),
        open_files_hard: Some(1_048_576),
        somaxconn: Some(4_096),
        syn_backlog: Some(4_096),
        tcp_rmem: Some("4096 131072 6291456".to_owned()),
        tcp_wmem: Some("4096 16384 4194304".to_owned()),
        cgroup_memory: None,
        cgroup_cpu_percent: None,
    }
}

/// A kernel that takes everything but new keys, or that has no kernel TLS.
fn kernel_tls(there: bool) -> KtlsSupport {
    let outcome = if there { Ok(()) } else { Err(Obstacle::Ulp(libc::ENOENT)) };
    let attempt = |direction| Attempt {
        version: TlsVersion::Tls13,
        suite: Suite::Aes128Gcm,
        direction,
        outcome,
    };
    KtlsSupport {
        attempts: [Direction::Transmit, Direction::Receive].map(attempt).to_vec(),
        no_padding: outcome,
        rekey: outcome,
    }
}

/// What a message costs where it costs us a microsecond.
fn trial(kernel: u64) -> Trial {
    let directions = [Direction::Transmit, Direction::Transmit, Direction::Receive];
    let cost = |(direction, length)| Cost { direction, length, user: 1_000, kernel };
    let lengths = [1024, 65_536, 512];
    Trial { costs: [0, 1, 2].map(|at| cost((directions[at], lengths[at]))) }
}

/// A host that has all that polling uses.
const POLLING: PollFeatures = PollFeatures { openat2: true, resolve_cached: true, cachestat: true };

fn examined(
    facts: &Facts,
    ring: &Result<RingFeatures, RingUnavailable>,
    ktls: &KtlsSupport,
    trial: Option<&Trial>,
) -> Report {
    let start = ring.is_ok().then(|| Ok(Config::default()));
    examine(&Host { facts, ring, polling: POLLING, ktls, trial, start })
}

fn report(facts: &Facts, ring: &Result<RingFeatures, RingUnavailable>) -> Report {
    examined(facts, ring, &kernel_tls(true), Some(&trial(900)))
}

#[test]
fn a_host_on_which_no_worker_can_be_set_up_would_not_work() {
    let error = std::io::Error::from_raw_os_error(libc::ENOMEM);
    let report = examine(&Host {
        facts: &healthy(),
        ring: &Ok(modern()),
        polling: POLLING,
        ktls: &kernel_tls(false),
        trial: None,
        start: Some(Err(StartError::Worker(error))),
    });
    let text = report.to_string();
    assert!(!report.works(), "{text}");
    assert!(text.contains("FAIL  workers") && text.contains("memory"), "{text}");
}

#[test]
fn what_polling_does_without_is_named() {
    let text = |polling| {
        let (facts, ring, ktls) = (&healthy(), &Ok(modern()), &kernel_tls(false));
        examine(&Host { facts, ring, polling, ktls, trial: None, start: None }).to_string()
    };
    assert!(text(POLLING).contains("  yes   system calls "), "{}", text(POLLING));
    let old = text(PollFeatures { openat2: false, resolve_cached: false, cachestat: false });
    assert!(old.contains("  no    openat2(2) ") && old.contains("name by name"), "{old}");
    assert!(old.contains("  no    cachestat(2) "), "{old}");
}

#[test]
fn kernel_tls_is_told_item_by_item_or_not_at_all() {
    let there = report(&healthy(), &Ok(modern())).to_string();
    assert!(there.contains("  yes   TLS 1.3 AES-128-GCM, send "), "{there}");
    assert!(there.contains("kernel TLS for the ciphers that the kernel takes"), "{there}");
    assert!(there.contains("send 64 KiB: 0.9 us by the kernel, 1.0 by Ringway"), "{there}");
    let dear = trial(1_100);
    let dear = examined(&healthy(), &Ok(modern()), &kernel_tls(true), Some(&dear));
    assert!(dear.to_string().contains("user-space TLS, which costs less here"), "{dear}");

    let mut old = kernel_tls(true);
    old.rekey = Err(Obstacle::Rekey(libc::EBUSY));
    let text = examined(&healthy(), &Ok(modern()), &old, None).to_string();
    assert!(text.contains("  no    rekey ") && text.contains("6.14"), "{text}");

    let none = examined(&healthy(), &Ok(modern()), &kernel_tls(false), None);
    let text = none.to_string();
    assert!(none.works(), "user-space TLS serves too");
    assert_eq!(text.matches("modprobe tls (and").count(), 1, "{text}");
    assert!(text.contains("user-space TLS: the kernel has no tls ULP"), "{text}");
}

#[test]
fn a_healthy_host_needs_no_change() {
    let report = report(&healthy(), &Ok(modern()));
    let text = report.to_string();
    assert!(report.works());
    assert!(!text.contains("To change it") && !text.contains("FAIL"), "{text}");
    for part in [
        "Linux 6.12.95; io_uring is used from 6.1 on, epoll from 4.18 on",
        "2, each with one DEFER_TASKRUN ring",
        "at most 10000 per worker",
        "`ringway serve` would work on this host.",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn each_shortfall_comes_with_its_command() {
    let facts = Facts {
        gcm_driver: Some("gcm_base(ctr(aes-generic),ghash-generic)".to_owned()),
        locked_memory: Some(8 << 20),
        open_files_hard: Some(4_096),
        somaxconn: Some(128),
        cgroup_memory: Some(64 << 20),
        ..healthy()
    };
    let report = report(&facts, &Ok(RingFeatures { minimum_wait: false, ..modern() }));
    let text = report.to_string();
    assert!(report.works(), "{text}");
    for part in [
        "sudo modprobe aesni_intel",
        "LimitMEMLOCK=infinity",
        "LimitNOFILE=48348",
        "sudo sysctl net.core.somaxconn=4096",
        "memory.max",
        "  no    minimum wait ",
    ] {
        assert!(text.contains(part), "{part}\n{text}");
    }
}

#[test]
fn a_host_without_io_uring_would_be_polled_on_and_is_shown_the_way_out() {
    for (error, command) in [
        (RingUnavailable::Refused { disabled: Some(2) }, "sysctl kernel.io_uring_disabled=0"),
        (RingUnavailable::Refused { disabled: Some(0) }, "seccomp-io_uring.json"),
        (RingUnavailable::NotThere, "Linux 6.1"),
    ] {
        let report = report(&healthy(), &Err(error));
        let text = report.to_string();
        assert!(report.works() && !text.contains("FAIL"), "{text}");
        assert!(text.contains(command) && text.contains("on epoll"), "{text}");
    }
}

#[test]
fn a_limit_that_the_operator_can_raise_is_no_reason_to_poll() {
    for (error, command) in
        [(RingUnavailable::Memory, "ulimit -l"), (RingUnavailable::Descriptors, "ulimit -n")]
    {
        let report = report(&healthy(), &Err(error));
        let text = report.to_string();
        assert!(!report.works());
        assert!(text.contains("FAIL") && text.contains(command), "{text}");
        assert!(!text.contains("on epoll"), "{text}");
        assert!(text.ends_with("`ringway serve` would NOT work on this host.\n"), "{text}");
    }
}

#[test]
fn an_old_ring_is_not_used() {
    let old =
        RingFeatures { multishot_receive: false, missing_operations: vec!["READV"], ..modern() };
    let report = report(&healthy(), &Ok(old));
    let failed: Vec<_> = report.sections[1]
        .lines
        .iter()
        .filter(|line| line.mark == Mark::No)
        .map(|line| line.what.as_str())
        .collect();
    assert_eq!(failed, ["multishot receive", "operations"]);
    assert!(report.works() && report.to_string().contains("on epoll"));
}

#[test]
fn an_empty_host_is_reported_as_unknown() {
    let empty = tempfile::tempdir().unwrap();
    let facts = Facts::gather(empty.path());
    assert_eq!(facts.somaxconn, None);
    assert_eq!(facts.flags, None);
    let text = report(&facts, &Ok(modern())).to_string();
    assert!(text.contains("unknown"), "{text}");
}

#[test]
fn facts_are_read_from_the_hosts_files() {
    let host = tempfile::tempdir().unwrap();
    let put = |path: &str, text: &str| {
        let path = host.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    put("proc/cpuinfo", "processor\t: 0\nmodel name\t: A Processor\nflags\t\t: fpu aes vaes\n");
    put(
        "proc/self/status",
        "Name:\tx\nCapEff:\t0000000000004000\nNoNewPrivs:\t1\nSeccomp:\t2\nSeccomp_filters:\t1\n",
    );
    put("proc/self/cgroup", "0::/system.slice/ringway.service\n");
    put("sys/fs/cgroup/system.slice/memory.max", "1048576\n");
    put("sys/fs/cgroup/system.slice/ringway.service/memory.max", "max\n");
    put("sys/fs/cgroup/system.slice/ringway.service/cpu.max", "150000 100000\n");
    put("proc/sys/net/ipv4/tcp_rmem", "4096\t131072\t6291456\n");
    put("proc/sys/kernel/io_uring_disabled", "not a number\n");
    put(
        "proc/crypto",
        "name : gcm(aes)\ndriver : slow\npriority : 100\n\nname : gcm(aes)\ndriver : hidden\n\
         priority : 900\ninternal : yes\n\nname : gcm(aes)\ndriver : fast\npriority : 400\n",
    );
    put(".dockerenv", "");
    let facts = Facts::gather(host.path());
    assert_eq!(facts.processor.as_deref(), Some("A Processor"));
    assert_eq!((facts.has_flag("vaes"), facts.has_flag("pclmulqdq")), (Some(true), Some(false)));
    assert_eq!(facts.seccomp, Some(2));
    assert!(facts.locks_freely);
    assert_eq!(facts.cgroup_memory, Some(1 << 20));
    assert_eq!(facts.cgroup_cpu_percent, Some(150));
    assert_eq!(facts.tcp_rmem.as_deref(), Some("4096 131072 6291456"));
    assert_eq!(facts.io_uring_disabled, None);
    assert_eq!(facts.gcm_driver.as_deref(), Some("fast"));
    assert_eq!(facts.container, Some("Docker"));
}

#[test]
fn a_control_group_cannot_lead_outside() {
    let host = tempfile::tempdir().unwrap();
    fs::create_dir_all(host.path().join("proc/self")).unwrap();
    fs::write(host.path().join("proc/self/cgroup"), "0::/../../../memory\n").unwrap();
    fs::write(host.path().join("memory.max"), "5\n").unwrap();
    assert_eq!(Facts::gather(host.path()).cgroup_memory, None);
}

#[test]
fn one_remedy_for_several_lines_is_told_once() {
    let old = RingFeatures { multishot_accept: false, multishot_receive: false, ..modern() };
    let text = report(&healthy(), &Ok(old)).to_string();
    assert!(text.contains("  multishot accept, multishot receive\n      run Linux 6.1"), "{text}");
}

#[test]
fn the_json_has_every_line() {
    let error = RingUnavailable::Refused { disabled: Some(2) };
    let report = report(&healthy(), &Err(error));
    let json = report.to_json();
    assert!(json.starts_with("{\"works\":true,\"sections\":[{\"title\":\"Kernel\""), "{json}");
    assert!(json.ends_with("]}\n") && json.lines().count() == 1, "{json}");
    let lines: usize = report.sections.iter().map(|section| section.lines.len()).sum();
    assert_eq!(json.matches("{\"mark\":").count(), lines);
    assert!(json.contains("\"remedy\":\"sudo sysctl kernel.io_uring_disabled=0\""), "{json}");
}

#[test]
fn this_host_is_examined_without_a_hitch() {
    let facts = Facts::gather(Path::new("/"));
    let report = examined(&facts, &RingFeatures::probe(), &ktls::probe(), None);
    assert_eq!(report.sections.len(), 7);
}

#[test]
fn landlock_is_told_with_its_version_or_its_lack() {
    let line = |landlock| {
        let facts = Facts { landlock, ..Facts::default() };
        let lines = sections::kernel(&facts).lines;
        lines.into_iter().find(|line| line.what == "Landlock").unwrap()
    };
    let there = line(Some(Ok(4)));
    assert!(there.mark == Mark::Yes && there.says.contains("ABI 4"), "{there:?}");
    let not_chosen = line(Some(Err(Absence::NotChosen)));
    assert!(not_chosen.mark == Mark::No && not_chosen.remedy.unwrap().contains("lsm="));
    assert_eq!(line(Some(Err(Absence::NotBuilt))).remedy, None);
}
