//! The output of a command: documents, findings, refusals, exit codes, and text made safe for a terminal.

pub(super) mod excerpt;
pub mod exit;
pub(super) mod lacking;
pub(super) mod layers;
pub(super) mod masks;
pub(super) mod quantities;
pub(super) mod refusal;
pub(super) mod streams;
pub(super) mod terminal;
pub(super) mod views;
