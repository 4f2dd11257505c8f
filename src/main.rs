//! The binary: parse the command line, run a subcommand.

fn main() {}
