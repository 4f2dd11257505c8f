//! How commands end: exit codes that scripts can rely on, and the failure that carries one. Knows no command.

use std::fmt;
use std::io;
use std::process::ExitCode;

/// What the help says about exit codes; `Exit` is the same table in code.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  done
  1  a failure of another kind; `diff --exit-code`: there are differences; `fsck`, `audit verify`, `status`: something is not
     as it should be
  2  the command line or a setting is wrong: a value that is not allowed, or a file of settings, a token, a key or a certificate that
     cannot be used
  3  not found: no such config, version, tag or value, or a revision that is no longer kept; `drift`: there is drift
  4  refused: invalid input, or a document that validation does not accept
  5  conflict: --expected-version or --expected-revision is stale, --request-id was used for something else, what a revert would restore was changed since, or someone
     should be asked and --yes is missing
  6  the server cannot be reached, is overloaded, cannot use its disk or its master key, or did not answer in time
  7  not allowed
  8  `--wait`: the change is stored, and some watchers were not sent it in time, or it is not known whether they were

A reader that goes away early (`confwatch history ... | head`) is no failure. `watch` and `changes` end with 0 on Ctrl-C and SIGTERM.";

/// Why the process ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    Conflict = 5,
    Unavailable = 6,
    NotAllowed = 7,
    NotConverged = 8,
}

/// What every command answers with.
pub type Outcome = Result<Exit, Failure>;

/// Why a command could not do what it was asked, for a person, and the exit code for a script.
#[derive(Debug)]
pub struct Failure {
    pub exit: Exit,
    /// The end of the sentence that begins with `error: `. Empty: there is nothing to say.
    pub message: String,
    /// One line each, below the message: findings, hints, what to do.
    pub details: Vec<String>,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Failure {
        Failure { exit, message: message.into(), details: vec![] }
    }

    pub fn usage(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Usage, message)
    }

    pub fn refused(message: impl Into<String>) -> Failure {
        Failure::new(Exit::Refused, message)
    }

    /// A file or program that does not do what it should. `what` names it.
    pub fn io(what: impl fmt::Display, source: &io::Error) -> Failure {
        Failure::new(Exit::Failed, format!("{what}: {source}"))
    }

    /// Standard output takes no more. A reader that went away has what it wanted: that ends quietly.
    pub fn output(source: &io::Error) -> Failure {
        match source.kind() {
            io::ErrorKind::BrokenPipe => Failure::new(Exit::Done, ""),
            _ => Failure::io("cannot write to standard output", source),
        }
    }

    /// The same failure with one more line below it.
    pub fn with(mut self, detail: impl Into<String>) -> Failure {
        self.details.push(detail.into());
        self
    }

    /// The same failure, with a field of the request called what the one who typed the command calls it.
    pub fn naming(mut self, field: &str, name: &str) -> Failure {
        let (field, name) = (format!("{field}: "), format!("{name}: "));
        for text in std::iter::once(&mut self.message).chain(&mut self.details) {
            *text = text.replace(&field, &name);
        }
        self
    }

    /// Whether another document could have been accepted, so that there is a point in correcting it.
    pub fn is_refusal(&self) -> bool {
        self.exit == Exit::Refused
    }
}

/// As it appears on standard error, without a newline at the end.
impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        self.details.iter().try_for_each(|detail| write!(f, "\n  {detail}"))
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_help_lists_every_exit_code_once() {
        let all = [
            Exit::Done,
            Exit::Failed,
            Exit::Usage,
            Exit::NotFound,
            Exit::Refused,
            Exit::Conflict,
            Exit::Unavailable,
            Exit::NotAllowed,
            Exit::NotConverged,
        ];
        for exit in all {
            let line = format!("\n  {}  ", exit as u8);
            assert_eq!(EXIT_CODES.matches(&line).count(), 1, "{exit:?}");
        }
    }

    #[test]
    fn a_reader_that_goes_away_is_no_failure() {
        let failure = Failure::output(&io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((failure.exit, failure.message.as_str()), (Exit::Done, ""));
        assert_eq!(Failure::output(&io::Error::from(io::ErrorKind::StorageFull)).exit, Exit::Failed);
    }

    #[test]
    fn failures_are_one_line_and_then_their_details() {
        let failure = Failure::refused("no").with("first").with("second");
        assert_eq!(failure.to_string(), "error: no\n  first\n  second");
    }
}
