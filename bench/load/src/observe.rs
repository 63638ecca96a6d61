//! What the kernel says of the server's processes and of the machine, from `/proc` (proc(5)).
//!
//! The invariant: figures are sums over the given processes and all their descendants, found at
//! every sample, so that a server's workers count, whichever process started them.

use std::collections::BTreeSet;
use std::fs;
use std::io;

/// One sample of some processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sample {
    /// CPU time in nanoseconds, in user and kernel mode together. What the kernel does in
    /// interrupts while a thread runs counts as the thread's, unless the kernel was built to
    /// account interrupts apart.
    pub cpu: u64,
    /// CPU time in user mode, in clock ticks; dead threads included.
    pub user_ticks: u64,
    /// CPU time in kernel mode, in clock ticks.
    pub system_ticks: u64,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// The highest that resident memory has been, in bytes.
    pub resident_peak: u64,
    /// Times that threads gave up the CPU to wait.
    pub voluntary_switches: u64,
    /// Times that they were made to.
    pub involuntary_switches: u64,
    /// Time in which threads could have run and did not, in nanoseconds.
    pub waited: u64,
    /// Threads.
    pub threads: u64,
}

/// What some CPUs did, in clock ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ticks {
    /// In user mode, in the kernel and in interrupts.
    pub busy: u64,
    /// Given to other machines by the hypervisor.
    pub stolen: u64,
    /// All of it, with what was idle.
    pub all: u64,
    /// How many CPUs they are.
    pub cpus: u64,
}

/// Memory of the kernel, of the whole machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMemory {
    /// Slabs, in bytes: sockets, file descriptors, timers.
    pub slab: u64,
    /// Memory of TCP's buffers, in bytes.
    pub tcp: u64,
}

/// Samples `processes` and their descendants.
///
/// # Errors
///
/// If one of `processes` is not there, or `/proc` is not mounted.
pub fn sample(processes: &[u32]) -> io::Result<Sample> {
    let mut sum = Sample::default();
    for pid in family(processes)? {
        match one(pid) {
            Ok(sample) => sum.add(&sample),
            // A descendant may have ended in between; what was named must be there.
            Err(error) if processes.contains(&pid) => {
                return Err(io::Error::new(error.kind(), format!("process {pid}: {error}")));
            }
            Err(_) => {}
        }
    }
    Ok(sum)
}

/// Samples the kernel's memory.
///
/// # Errors
///
/// If `/proc` is not mounted.
pub fn kernel_memory() -> io::Result<KernelMemory> {
    let slab = field(&fs::read_to_string("/proc/meminfo")?, "Slab:") * 1024;
    let sockets = fs::read_to_string("/proc/net/sockstat")?;
    let tcp = sockets.lines().find_map(|line| line.strip_prefix("TCP:")).unwrap_or_default();
    let page = rustix::param::page_size() as u64;
    Ok(KernelMemory { slab, tcp: field(&tcp.replace(' ', "\n"), "mem") * page })
}

impl Sample {
    fn add(&mut self, other: &Self) {
        self.cpu += other.cpu;
        self.user_ticks += other.user_ticks;
        self.system_ticks += other.system_ticks;
        self.resident += other.resident;
        self.resident_peak += other.resident_peak;
        self.voluntary_switches += other.voluntary_switches;
        self.involuntary_switches += other.involuntary_switches;
        self.waited += other.waited;
        self.threads += other.threads;
    }
}

impl Ticks {
    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        Self {
            busy: self.busy.saturating_sub(earlier.busy),
            stolen: self.stolen.saturating_sub(earlier.stolen),
            all: self.all.saturating_sub(earlier.all),
            cpus: self.cpus,
        }
    }
}

/// The CPUs on which `processes` may run, and `own`.
///
/// # Errors
///
/// If one of `processes` is not there.
pub fn cpus(processes: &[u32], own: &[usize]) -> io::Result<BTreeSet<usize>> {
    let mut cpus: BTreeSet<usize> = own.iter().copied().collect();
    for pid in processes {
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        cpus.extend(list.into_iter().flat_map(listed));
    }
    Ok(cpus)
}

/// The numbers in a list such as `0-2,5`.
fn listed(list: &str) -> impl Iterator<Item = usize> + '_ {
    list.trim()
        .split(',')
        .filter_map(|part| {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            Some(first.parse().ok()?..=last.parse().ok()?)
        })
        .flatten()
}

/// Samples what `cpus` have done since the machine began.
///
/// # Errors
///
/// If `/proc` is not mounted.
pub fn ticks(cpus: &BTreeSet<usize>) -> io::Result<Ticks> {
    Ok(ticks_in(&fs::read_to_string("/proc/stat")?, cpus))
}

fn ticks_in(stat: &str, cpus: &BTreeSet<usize>) -> Ticks {
    let mut sum = Ticks::default();
    for line in stat.lines() {
        let mut words = line.split_ascii_whitespace();
        let cpu = words.next().and_then(|word| word.strip_prefix("cpu")?.parse().ok());
        if cpu.is_none_or(|cpu: usize| !cpus.contains(&cpu)) {
            continue;
        }
        // user nice system idle iowait irq softirq steal; what guests use is in user.
        let values: Vec<u64> = words.map_while(|word| word.parse().ok()).take(8).collect();
        if let &[user, nice, system, idle, iowait, irq, softirq, steal] = values.as_slice() {
            let busy = user + nice + system + irq + softirq;
            sum.busy += busy;
            sum.stolen += steal;
            sum.all += busy + idle + iowait + steal;
            sum.cpus += 1;
        }
    }
    sum
}

/// This thread's time on a CPU and its time waiting for one, in nanoseconds; nothing where the
/// kernel does not report it.
pub(crate) fn own_times() -> (u64, u64) {
    fs::read_to_string("/proc/thread-self/schedstat").map_or((0, 0), |text| schedule(&text))
}

/// Time on a CPU and time waiting for one, in nanoseconds, from a file `schedstat`.
fn schedule(text: &str) -> (u64, u64) {
    let mut numbers = text.split_ascii_whitespace().map(|word| word.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0))
}

/// `roots` and their descendants.
///
/// # Errors
///
/// If `/proc` is not mounted.
pub fn family(roots: &[u32]) -> io::Result<BTreeSet<u32>> {
    let mut parents = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let name = entry?.file_name();
        let Some(pid) = name.to_str().and_then(|name| name.parse::<u32>().ok()) else { continue };
        if let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) {
            parents.push((pid, stat_field(&stat, 4) as u32));
        }
    }
    let mut family: BTreeSet<u32> = roots.iter().copied().collect();
    loop {
        let before = family.len();
        for (pid, parent) in &parents {
            if family.contains(parent) {
                family.insert(*pid);
            }
        }
        if family.len() == before {
            return Ok(family);
        }
    }
}

fn one(pid: u32) -> io::Result<Sample> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let mut sample = Sample {
        user_ticks: stat_field(&stat, 14),
        system_ticks: stat_field(&stat, 15),
        resident: field(&status, "VmRSS:") * 1024,
        resident_peak: field(&status, "VmHWM:") * 1024,
        ..Sample::default()
    };
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let task = task?.path();
        // A thread may end in between.
        let Ok(times) = fs::read_to_string(task.join("schedstat")) else { continue };
        let Ok(status) = fs::read_to_string(task.join("status")) else { continue };
        let (ran, waited) = schedule(&times);
        sample.cpu += ran;
        sample.waited += waited;
        sample.voluntary_switches += field(&status, "voluntary_ctxt_switches:");
        sample.involuntary_switches += field(&status, "nonvoluntary_ctxt_switches:");
        sample.threads += 1;
    }
    Ok(sample)
}

/// Field `number`, from 1, of a line of `/proc/PID/stat`. The second, the program's name, may
/// hold spaces and brackets.
fn stat_field(stat: &str, number: usize) -> u64 {
    let rest = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let value = rest.split_ascii_whitespace().nth(number - 3);
    value.and_then(|value| value.parse().ok()).unwrap_or(0)
}

/// The first number after `name` at the start of a line; for `a b` pairs, the line after it.
fn field(text: &str, name: &str) -> u64 {
    let mut words = text.split_ascii_whitespace();
    words.find(|word| *word == name);
    words.next().and_then(|value| value.parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::process::{Command, Stdio};

    use super::{
        Ticks, cpus, field, kernel_memory, listed, sample, schedule, stat_field, ticks, ticks_in,
    };

    #[test]
    fn this_process_has_run_and_has_memory() {
        let spent: u64 = (0..20_000_000u64).fold(0, |sum, n| sum ^ n.wrapping_mul(n));
        assert_ne!(spent, 1);
        let sample = sample(&[std::process::id()]).unwrap();
        assert!(sample.cpu > 0 && sample.threads > 0);
        assert!(sample.resident > 0 && sample.resident_peak >= sample.resident / 2);
    }

    #[test]
    fn children_count_as_well() {
        let alone = sample(&[std::process::id()]).unwrap().threads;
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let child_alone = sample(&[child.id()]).unwrap();
        let both = sample(&[std::process::id()]).unwrap().threads;
        drop(child.stdin.take());
        child.wait().unwrap();
        assert_eq!(child_alone.threads, 1);
        assert!(both > 1 && alone > 0);
    }

    #[test]
    fn a_process_that_is_not_there_is_an_error() {
        assert!(sample(&[u32::MAX]).unwrap_err().to_string().contains("4294967295"));
    }

    #[test]
    fn what_cpus_did_is_read() {
        let stat = "cpu  9 9 9 9 9 9 9 9 9 9\ncpu0 1 2 3 10 5 6 7 8 0 0\ncpu1 1 0 0 1 0 0 0 1 0 0\n\
            cpu10 100 0 0 0 0 0 0 0 0 0\nintr 5 cpu0\n";
        let zero = ticks_in(stat, &BTreeSet::from([0]));
        assert_eq!(zero, Ticks { busy: 19, stolen: 8, all: 42, cpus: 1 });
        let both = ticks_in(stat, &BTreeSet::from([0, 1]));
        assert_eq!(both.since(&zero), Ticks { busy: 1, stolen: 1, all: 3, cpus: 2 });
        assert_eq!(listed("0-2,5\n").collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(schedule("12 34 5\n"), (12, 34));
        let own = cpus(&[std::process::id()], &[4000]).unwrap();
        assert!(own.len() > 1 && own.contains(&4000));
        assert!(ticks(&own).unwrap().all > 0);
    }

    #[test]
    fn the_kernel_has_slabs() {
        assert!(kernel_memory().unwrap().slab > 0);
    }

    #[test]
    fn fields_are_found_behind_odd_names() {
        assert_eq!(stat_field("7 (a) b) S 3 7 7", 4), 3);
        assert_eq!(field("VmHWM:\t  12 kB\nVmRSS:\t 9 kB\n", "VmRSS:"), 9);
        assert_eq!(field("x 1", "y"), 0);
    }
}
