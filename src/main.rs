//! The binary: parse the command line, run a subcommand.

use std::process::ExitCode;

fn main() -> ExitCode {
    confwatch::cli::main()
}
