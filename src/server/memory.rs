//! The limits of the configuration, lowered to the memory that a control group allows.
//!
//! The kernel kills a process that goes beyond it without a word, so the pools that are there from
//! the start, or that any load fills, must fit. What connections may take at worst is logged, and left
//! to the operator: an idle one takes a hundredth of it.

use crate::{
    config::{Config, DISK_THREADS_BYTES, IoMode, Limits, MemoryCeiling},
    ring::POLL_THREADS_BYTES,
};

const _: () = assert!(POLL_THREADS_BYTES <= DISK_THREADS_BYTES, "the memory ceiling counts them");

/// What the process takes beside its workers: the program, its libraries, certificates.
const PROCESS_BYTES: u64 = 16 << 20;

/// What a worker takes beside its pools: its stack, ring and tables.
const WORKER_BYTES: u64 = 1 << 20;

/// The least send memory and the fewest receive buffers and handshakes that a worker serves with.
const LEAST_SEND: u64 = 1 << 20;
const LEAST_BUFFERS: usize = 32;
const LEAST_HANDSHAKES: usize = 16;

/// What a handshake may take (see `config/memory.rs`).
const HANDSHAKE_BYTES: u64 = 96 << 10;

/// Lowers `config.limits` so that the pools of `workers` fit into `memory` bytes. The answer is what
/// there is to say about it, if anything.
///
/// # Errors
/// Not even the least pools fit; the text says what would help.
pub(crate) fn fit(
    config: &mut Config,
    workers: usize,
    memory: Option<u64>,
) -> Result<Option<String>, String> {
    let Some(memory) = memory else { return Ok(None) };
    let count = workers.max(1) as u64;
    let least = WORKER_BYTES
        + LEAST_SEND
        + 2 * LEAST_BUFFERS as u64 * config.limits.receive_buffer_bytes as u64
        + LEAST_HANDSHAKES as u64 * HANDSHAKE_BYTES;
    let share = memory.saturating_sub(PROCESS_BYTES) / count;
    if share < least {
        let most = memory.saturating_sub(PROCESS_BYTES) / least;
        let wanted = (least * count + PROCESS_BYTES).div_ceil(1 << 20);
        let fewer = match most {
            0 => String::new(),
            most => format!(", or use --workers {most}"),
        };
        return Err(format!(
            "the control group's limit of {} MiB of memory is too small for {workers} workers; \
             raise it to {wanted} MiB (memory.max, MemoryMax=, docker run --memory){fewer}",
            memory >> 20
        ));
    }
    let fitted = lowered(&config.limits, share - WORKER_BYTES);
    let mut said = Vec::new();
    if fitted != config.limits {
        let changes = changes(&config.limits, &fitted).join(", ");
        config.limits = fitted;
        said.push(format!("{changes} for each worker"));
    }
    let (ceiling, most) = (ceiling(config, workers), most_connections(config, workers, memory));
    if ceiling.total() > memory {
        said.push(match most {
            Some(most) => format!(
                "the memory ceiling of {} MiB is above it, which --max-connections {most} prevents",
                ceiling.total() >> 20
            ),
            None => format!("the memory ceiling of {} MiB is above it", ceiling.total() >> 20),
        });
    }
    let limit = format!("the control group's limit of {} MiB of memory", memory >> 20);
    Ok((!said.is_empty()).then(|| format!("{limit}: {}", said.join("; "))))
}

/// The limits of a worker whose pools may take `share` bytes, a quarter for each of four.
fn lowered(limits: &Limits, share: u64) -> Limits {
    let quarter = share / 4;
    let buffer = limits.receive_buffer_bytes.max(1) as u64;
    // What has arrived may be moved out of the buffers, and content may be on its way when it has
    // left the cache: both count twice, as in the memory ceiling.
    let buffers = as_usize(quarter / 2 / buffer).max(LEAST_BUFFERS);
    let power_of_two = 1_usize << buffers.ilog2();
    let receive_buffers = limits.receive_buffers.min(power_of_two);
    let file_cache_bytes = limits.file_cache_bytes.min(as_usize(quarter / 2));
    Limits {
        send_memory_bytes: limits.send_memory_bytes.min(as_usize(quarter.max(LEAST_SEND))),
        receive_buffers,
        leases_per_connection: limits.leases_per_connection.min((receive_buffers / 2).max(1)),
        handshakes: limits
            .handshakes
            .min(as_usize(quarter / HANDSHAKE_BYTES).max(LEAST_HANDSHAKES)),
        file_cache_bytes,
        file_cache_max_file: limits.file_cache_max_file.min(file_cache_bytes),
        ..limits.clone()
    }
}

fn as_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// What is lower than it was.
fn changes(before: &Limits, now: &Limits) -> Vec<String> {
    [
        (before.send_memory_bytes, now.send_memory_bytes, 1 << 10, "KiB of send memory"),
        (before.receive_buffers, now.receive_buffers, 1, "receive buffers"),
        (before.file_cache_bytes, now.file_cache_bytes, 1 << 10, "KiB of file cache"),
        (before.handshakes, now.handshakes, 1, "handshakes at a time"),
    ]
    .into_iter()
    .filter(|(before, now, ..)| now < before)
    .map(|(_, now, unit, what)| format!("{} {what}", now / unit))
    .collect()
}

/// The memory ceiling before it is known what the workers run on: that of polling, which is the higher
/// one, if they may.
fn ceiling(config: &Config, workers: usize) -> MemoryCeiling {
    config.memory_ceiling_where(workers, config.io != IoMode::Ring)
}

/// The connections in all with which the memory ceiling is not above `memory`, if there are any.
fn most_connections(config: &Config, workers: usize, memory: u64) -> Option<usize> {
    let total = |in_all: usize| {
        let limits = Limits { connections_in_all: in_all, ..config.limits.clone() };
        ceiling(&Config { limits, ..config.clone() }, workers).total()
    };
    // The ceiling grows with the number: halve what lies between.
    let (mut fits, mut exceeds) = (0, config.limits.connections_of(workers).max(1));
    while exceeds - fits > 1 {
        let middle = fits + (exceeds - fits) / 2;
        if total(middle) <= memory { fits = middle } else { exceeds = middle }
    }
    (fits > 0).then_some(fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn fitted(memory: u64, workers: usize) -> (Config, Result<Option<String>, String>) {
        let mut config = Config::default();
        let said = fit(&mut config, workers, Some(memory));
        (config, said)
    }

    #[test]
    fn plenty_needs_no_words() {
        let mut config = Config::default();
        assert_eq!(fit(&mut config, 8, None), Ok(None));
        let (config, said) = fitted(64 << 30, 8);
        assert_eq!((config, said), (Config::default(), Ok(None)));
    }

    /// The kernel killed this one before it said a word: eight workers, 64 MiB.
    #[test]
    fn pools_fit_into_what_the_control_group_allows() {
        for (memory, workers) in [(64, 8), (64, 1), (128, 8), (256, 2), (512, 2), (1024, 4)] {
            let (config, said) = fitted(memory * MIB, workers);
            let said = said.unwrap().unwrap();
            assert!(said.contains(&format!("limit of {memory} MiB")), "{said}");
            let limits = &config.limits;
            assert_eq!(config.check(), Ok(()), "{memory} {workers}");
            let each = limits.send_memory_bytes
                + 2 * limits.receive_buffers * limits.receive_buffer_bytes
                + 2 * limits.file_cache_bytes
                + limits.handshakes * (96 << 10);
            let pools = (each as u64 + MIB) * workers as u64 + 16 * MIB;
            assert!(pools <= memory * MIB, "{pools} in {memory} MiB, {workers} workers: {said}");
        }
    }

    #[test]
    fn the_advice_holds() {
        let (mut config, said) = fitted(512 * MIB, 2);
        let said = said.unwrap().unwrap();
        let (_, number) = said.split_once("--max-connections ").unwrap();
        config.limits.connections_in_all = number.split(' ').next().unwrap().parse().unwrap();
        assert!(config.memory_ceiling(2).total() <= 512 * MIB);
        let (_, number) = fitted(40 * MIB, 64)
            .1
            .unwrap_err()
            .split_once("raise it to ")
            .map(|(a, b)| (a.to_owned(), b.to_owned()))
            .unwrap();
        let wanted: u64 = number.split(' ').next().unwrap().parse().unwrap();
        assert!(fitted(wanted * MIB, 64).1.is_ok());
    }

    #[test]
    fn too_little_is_an_error_that_says_how_many_workers_fit() {
        let error = fitted(40 * MIB, 64).1.unwrap_err();
        let (_, number) = error.split_once("--workers ").unwrap();
        assert!(fitted(40 * MIB, number.parse().unwrap()).1.is_ok(), "{error}");
        assert!(!fitted(MIB, 1).1.unwrap_err().contains("--workers"));
    }
}
