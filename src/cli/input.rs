//! The input of a user: arguments, assignments, confirmations, and names that are probably mistyped.

pub(super) mod args;
pub(super) mod assignment;
pub(super) mod change;
pub(super) mod confirm;
pub(super) mod credential;
pub(super) mod moment;
pub(super) mod place;
pub(super) mod reach;
pub(super) mod similar_names;
pub(super) mod state_backup;
pub(super) mod stop;
pub(super) mod tls;
pub(super) mod wait;
