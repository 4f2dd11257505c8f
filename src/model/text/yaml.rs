//! YAML 1.2 in and out, as far as it is JSON. Knows no other format.

mod read;
mod scalar;
#[cfg(test)]
mod tests;
mod write;

pub use read::parse;
pub use write::render;
