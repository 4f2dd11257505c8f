//! Reads a token that a person types, without showing it, or that a program writes. Knows a terminal; no token.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use crate::cli::output::exit::Failure;

/// Longer texts are no tokens.
const BYTES_MAX: u64 = 64 << 10;

/// Turns the echo of the terminal on again, however the reading ends.
struct Echo(Termios);

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = tcsetattr(io::stdin(), OptionalActions::Now, &self.0);
    }
}

/// The token: the line that is typed at a terminal, or all of the standard input.
pub fn token(prompt: &str) -> Result<Zeroizing<String>, Failure> {
    let failed = |error: io::Error| Failure::io("cannot read a token", &error);
    let mut text = Zeroizing::new(String::new());
    if io::stdin().is_terminal() {
        let _echo = hide().map_err(|error| failed(error.into()))?;
        let mut shown = io::stderr().lock();
        write!(shown, "{prompt}: ").and_then(|()| shown.flush()).map_err(failed)?;
        io::stdin().lock().take(BYTES_MAX).read_line(&mut text).map_err(failed)?;
        writeln!(shown).map_err(failed)?;
    } else {
        io::stdin().lock().take(BYTES_MAX).read_to_string(&mut text).map_err(failed)?;
    }
    match text.trim() {
        "" => Err(Failure::usage("there is no token in the standard input")),
        token => Ok(Zeroizing::new(token.to_owned())),
    }
}

fn hide() -> Result<Echo, rustix::io::Errno> {
    let before = tcgetattr(io::stdin())?;
    let mut hidden = before.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    tcsetattr(io::stdin(), OptionalActions::Flush, &hidden)?;
    Ok(Echo(before))
}
