//! The binary: parse the command line, run a subcommand.

use std::process::ExitCode;

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    keep_pages_small();
    confwatch::cli::main()
}

/// Memory that the allocator gives back for a moment comes again in pages of 4 KiB, which are cleared one by one, rather than of 2 MiB:
/// clearing those was a tenth of the work of small writes, and a thirtieth of the memory was pages of which little was used.
#[cfg(target_os = "linux")]
fn keep_pages_small() {
    // SAFETY: it only sets a flag of this process.
    unsafe { libc::prctl(libc::PR_SET_THP_DISABLE, 1, 0, 0, 0) };
}

#[cfg(not(target_os = "linux"))]
fn keep_pages_small() {}
