//! Files and directories that commands read and write: the directory form, and places in a text.

pub(super) mod locate;
pub(super) mod source;
pub(super) mod tree;
pub(super) mod tree_changes;
