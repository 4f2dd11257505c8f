//! The machine: what it is, what this process used of it, and what it lets a process have. Knows no server.

use std::fs;
use std::path::Path;
use std::time::Duration;

/// Clients and servers have a connection each for every one of ten thousand watchers, of up to four servers at once.
const FILES_WANTED: u64 = 100_000;

/// The processor time that this process has used.
pub fn own_cpu() -> Duration {
    clock(libc::CLOCK_PROCESS_CPUTIME_ID)
}

/// What a clock of the system says.
pub fn clock(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: it writes to `time` alone.
    let result = unsafe { libc::clock_gettime(clock, &raw mut time) };
    assert_eq!(result, 0, "the process runs");
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("less than a second"))
}

/// Lets this process, and those it starts, have as many files open as may be. Returns how many.
pub fn raise_file_limit() -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: it writes to `limit` alone, as the others read from theirs.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        let wanted = libc::rlimit { rlim_cur: FILES_WANTED, rlim_max: FILES_WANTED.max(limit.rlim_max) };
        if libc::setrlimit(libc::RLIMIT_NOFILE, &raw const wanted) == 0 {
            return FILES_WANTED;
        }
        // More than the administrator allows.
        limit.rlim_cur = limit.rlim_max;
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
    limit.rlim_cur
}

/// In one line each.
pub fn describe() -> Vec<String> {
    let cpu = read("/proc/cpuinfo");
    let model = cpu.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or(": unknown");
    let memory = read("/proc/meminfo");
    let kilobytes = memory.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    vec![
        format!(
            "{} cores, {}, {} GiB",
            std::thread::available_parallelism().map_or(0, usize::from),
            model.trim_start_matches(['\t', ' ', ':']),
            kilobytes.unwrap_or(0) >> 20
        ),
        format!(
            "Linux {}, data on {}",
            read("/proc/sys/kernel/osrelease"),
            file_system(Path::new(env!("CARGO_TARGET_TMPDIR")))
        ),
    ]
}

pub fn load_average() -> String {
    let load = read("/proc/loadavg");
    load.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// Of the mount that is nearest above.
fn file_system(path: &Path) -> String {
    let mounts = read("/proc/self/mounts");
    let mounts = mounts.lines().filter_map(|line| {
        let mut fields = line.split(' ');
        Some((fields.next()?, fields.next()?, fields.next()?))
    });
    let nearest = mounts.filter(|(_, at, _)| path.starts_with(at)).max_by_key(|(_, at, _)| at.len());
    nearest.map_or("an unknown file system".into(), |(device, _, kind)| format!("{kind} ({device})"))
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}
