//! Resume tokens: the position of a stream, opaque to clients.

use std::fmt;

use crate::model::{Epoch, Revision};

use super::super::error::Error;

/// The history and the revision up to which the client has its changes. Written as `1.<epoch>.<revision>` in hex: 1 is the format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResumeToken {
    pub epoch: Epoch,
    pub revision: Revision,
}

impl ResumeToken {
    /// Reads a token. `None`: the text is no resume token, and the client gets a snapshot marked `is_reset`.
    pub fn parse(text: &str) -> Option<ResumeToken> {
        let (epoch, revision) = text.strip_prefix("1.")?.split_once('.')?;
        Some(ResumeToken {
            epoch: Epoch(u64::from_str_radix(epoch, 16).ok()?),
            revision: Revision(u64::from_str_radix(revision, 16).ok()?),
        })
    }
}

impl ResumeToken {
    /// The revision of a token of this history. `Error::OtherEpoch` if the token is of another one.
    pub fn revision_in(self, epoch: Epoch) -> Result<Revision, Error> {
        match self.epoch == epoch {
            true => Ok(self.revision),
            false => Err(Error::OtherEpoch { asked: self.epoch, store: epoch }),
        }
    }
}

impl fmt::Display for ResumeToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "1.{}.{:x}", self.epoch, self.revision.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_written_and_read() {
        let token = ResumeToken { epoch: Epoch(0xfeed), revision: Revision(4711) };
        assert_eq!(ResumeToken::parse(&token.to_string()), Some(token));
        for other in ["", "1", "1..", "2.1.1", "1.x.1", "1.1", "garbage"] {
            assert_eq!(ResumeToken::parse(other), None, "{other}");
        }
    }
}
