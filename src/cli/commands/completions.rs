//! `confwatch completions`: what shells need to complete command lines. Knows the command line only.

use clap::{Args, Command};
use clap_complete::Shell;

use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::Output;

/// Print completions for a shell
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch completions bash > /etc/bash_completion.d/confwatch
  confwatch completions zsh > ~/.zfunc/_confwatch
  confwatch completions fish > ~/.config/fish/completions/confwatch.fish")]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub fn run(args: &CompletionsArgs, mut command: Command, output: &Output) -> Outcome {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut command, "confwatch", &mut script);
    output.document(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Done)
}
