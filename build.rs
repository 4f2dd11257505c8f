//! Generates the protobuf code from `proto/`, without a protoc on the machine.

use std::path::PathBuf;

use prost::Message;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let files = protox::compile(
        [
            "confwatch/v1/config_service.proto",
            "confwatch/v1/schema_service.proto",
            "confwatch/v1/secret.proto",
            "confwatch/v1/auth.proto",
            "confwatch/v1/audit.proto",
        ],
        ["proto"],
    )?;
    // With comments, for reflection.
    std::fs::write(out.join("confwatch.bin"), files.encode_to_vec())?;

    tonic_prost_build::configure()
        .build_server(false)
        .btree_map(".confwatch.v1")
        .compile_fds(files.clone())?;

    // A program that only uses the client needs no more.
    if std::env::var_os("CARGO_FEATURE_SERVER").is_none() {
        return Ok(());
    }
    // The server once more, over the same messages, but answering with responses that may be encoded already
    // (src/api/codec.rs): a document is encoded once, however many streams it goes to.
    let server = out.join("server");
    std::fs::create_dir_all(&server)?;
    tonic_prost_build::configure()
        .build_client(false)
        .out_dir(server)
        .extern_path(".confwatch.v1.GetResponse", "crate::api::codec::Encoded")
        .extern_path(".confwatch.v1.WatchResponse", "crate::api::codec::Encoded")
        .extern_path(".confwatch.v1", "crate::proto::v1")
        .compile_fds(files)?;
    Ok(())
}
