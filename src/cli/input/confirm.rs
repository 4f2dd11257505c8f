//! Asks before something that cannot be meant by chance. Knows the terminal; no command.

use std::io::{self, BufRead, IsTerminal};

use clap::Args;

use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::streams::Output;

/// Of commands that may ask.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ConfirmArgs {
    /// Do not ask; without a terminal, where nobody can be asked, what would be asked is refused unless this is given
    #[arg(short, long)]
    pub yes: bool,
}

/// What is to be decided.
pub struct Question<'a> {
    /// Why someone should decide, one line each.
    pub reasons: &'a [String],
    /// A sentence that ends with a question mark.
    pub text: &'a str,
    /// What happened where nobody can be asked.
    pub refusal: &'a str,
}

impl ConfirmArgs {
    /// Asks, unless the answer was given. `Ok(false)`: the answer is no.
    pub fn confirm(self, question: &Question<'_>, output: &Output) -> Result<bool, Failure> {
        if self.yes {
            return Ok(true);
        }
        if !io::stdin().is_terminal() || !io::stderr().is_terminal() {
            let mut failure = Failure::new(Exit::Conflict, question.refusal);
            failure.details.extend_from_slice(question.reasons);
            return Err(failure.with("--yes does it without asking"));
        }
        question.reasons.iter().for_each(|reason| output.note(reason));
        output.note(&format!("{} [y/N]", question.text));
        let mut answer = String::new();
        io::stdin()
            .lock()
            .read_line(&mut answer)
            .map_err(|error| Failure::io("cannot read the answer", &error))?;
        Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
    }
}
