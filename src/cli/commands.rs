//! One file for each subcommand.

pub(super) mod apply;
pub(super) mod audit;
pub(super) mod can_i;
pub(super) mod certs;
pub(super) mod changes;
pub(super) mod completions;
pub(super) mod delete;
pub(super) mod diff;
pub(super) mod edit;
pub(super) mod explain;
pub(super) mod export;
pub(super) mod fsck;
pub(super) mod get;
pub(super) mod history;
pub(super) mod list;
pub(super) mod migrate;
pub(super) mod rollback;
pub(super) mod schema;
pub(super) mod secrets;
pub(super) mod serve;
pub(super) mod set;
pub(super) mod tag;
pub(super) mod token;
pub(super) mod validate;
pub(super) mod watch;
pub(super) mod whoami;
