//! Who is let in when the server starts, and where its keys are.

pub(super) mod first_admin;
pub(super) mod keys_dir;
pub(super) mod session_file;
pub(super) mod token_uses;
