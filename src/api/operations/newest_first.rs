//! The order of tokens and sessions in lists: the newest first. Knows how a position is written in a page token.

use std::cmp::Reverse;
use std::fmt;

use crate::api::convert::request;
use crate::auth::token::TokenId;
use crate::engine::Error;
use crate::model::Timestamp;

/// The position of a token or a session in its list. Later ones are greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Position(Reverse<Timestamp>, TokenId);

impl Position {
    pub fn new(created: Timestamp, id: TokenId) -> Position {
        Position(Reverse(created), id)
    }

    /// Reads what `Display` writes.
    pub fn parse(text: &str) -> Result<Position, Error> {
        let read = || {
            let (created, id) = text.split_once(':')?;
            Some(Position::new(Timestamp(created.parse().ok()?), TokenId::parse(id)?))
        };
        read().ok_or_else(|| request::invalid("page_token", "is damaged"))
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.0.0.0, self.1)
    }
}
