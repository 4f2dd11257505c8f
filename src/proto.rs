//! The messages of the wire and the generated client, from `proto/`. The generated server is in `api`.

/// Package `confwatch.v1`.
#[allow(
    clippy::doc_lazy_continuation,
    clippy::doc_overindented_list_items,
    clippy::large_enum_variant,
    rustdoc::all
)]
pub mod v1 {
    tonic::include_proto!("confwatch.v1");

    /// The files of `proto/` with their comments, for reflection.
    pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/confwatch.bin"));
}
