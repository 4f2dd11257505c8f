//! Generates the protobuf code and the list of RPCs from `proto/`, without a protoc on the machine, and the list of the files of the web console.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::PathBuf;

use prost_types::field_descriptor_proto::Type;
use prost_types::{DescriptorProto, FileDescriptorSet};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo:rerun-if-changed=proto");
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler.include_imports(true).include_source_info(true).open_files([
        "confwatch/v1/config_service.proto",
        "confwatch/v1/schema_service.proto",
        "confwatch/v1/secret.proto",
        "confwatch/v1/auth.proto",
        "confwatch/v1/audit.proto",
        "confwatch/v1/fleet.proto",
        "confwatch/v1/server_status.proto",
        "confwatch/v1/backup.proto",
    ])?;
    // With comments, for reflection, and with the routes of HTTP, which the types of prost cannot hold.
    std::fs::write(out.join("confwatch.bin"), compiler.encode_file_descriptor_set())?;
    let files = compiler.file_descriptor_set();
    // A program that only uses the client needs no dispatch.
    if std::env::var_os("CARGO_FEATURE_SERVER").is_some() {
        std::fs::write(out.join("rpcs.rs"), rpcs(&files)?)?;
        std::fs::write(out.join("console.rs"), console()?)?;
    }

    tonic_prost_build::configure().build_server(false).btree_map(".confwatch.v1").compile_fds(files)?;
    Ok(())
}

/// The table of the files in `console/dist`, each with its brotli copy: included by `src/api/http/console.rs`. They are committed: no Node is needed.
fn console() -> Result<String, Box<dyn std::error::Error>> {
    let dist = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?).join("console/dist");
    println!("cargo:rerun-if-changed={}", dist.display());
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(&dist)? {
        names.insert(
            entry?.file_name().into_string().map_err(|name| format!("{} is not text", name.display()))?,
        );
    }
    assert!(names.contains("index.html"), "console/dist has no page: run `node build.mjs` in console/");
    let files: Vec<&String> = names.iter().filter(|name| !name.ends_with(".br")).collect();
    let mut out = String::new();
    writeln!(out, "static FILES: [ConsoleFile; {}] = [", files.len())?;
    for name in files {
        let path = dist.join(name);
        let packed = dist.join(format!("{name}.br"));
        writeln!(out, "ConsoleFile::new({name:?}, include_bytes!({path:?}), include_bytes!({packed:?})),")?;
    }
    writeln!(out, "];")?;
    Ok(out)
}

/// The enum of all RPCs, what the descriptors say of each, and the types of their messages: included by `src/api/rpc.rs`.
fn rpcs(files: &FileDescriptorSet) -> Result<String, std::fmt::Error> {
    let (mut services, mut variants, mut facts) = (vec![], vec![], vec![]);
    let (mut signatures, mut requests) = (vec![], vec![]);
    let (mut request_types, mut shapes) = (vec![], vec![]);
    let mut by_length: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for file in &files.file {
        for service in &file.service {
            let full = format!("{}.{}", file.package(), service.name());
            for method in &service.method {
                let variant = format!("{}{}", service.name(), method.name());
                let (name, path) = (method.name(), format!("/{full}/{}", method.name()));
                let is_stream = method.server_streaming();
                assert!(!method.client_streaming(), "{path}: streams of requests have no dispatch");
                let place = services.len();
                facts.push(format!(
                    "Descriptor {{ service: SERVICES[{place}], name: {name:?}, path: {path:?}, is_stream: {is_stream} }}"
                ));
                by_length.entry(path.len()).or_default().push(variant.clone());
                let [request, response] = [method.input_type(), method.output_type()].map(rust_type);
                requests.push(format!("Rpc::{variant} => {request}::decode(message).is_ok()"));
                shapes.push(format!("Rpc::{variant} => &{}", shape_name(method.input_type())));
                request_types.push(method.input_type());
                signatures.push(format!(
                    "pub struct {variant};\n\
                     impl Signature for {variant} {{ type Request = {request}; type Response = {response}; \
                     const RPC: super::Rpc = super::Rpc::{variant}; }}"
                ));
                variants.push(variant);
            }
            services.push(full);
        }
    }
    let mut out = String::new();
    let (services_count, count) = (services.len(), variants.len());
    writeln!(
        out,
        "/// The full names of the services.\npub const SERVICES: [&str; {services_count}] = {services:?};"
    )?;
    writeln!(out, "/// An RPC of the contract.\n#[derive(Clone, Copy, Debug, PartialEq, Eq)]")?;
    writeln!(out, "pub enum Rpc {{ {} }}", variants.join(", "))?;
    let all: Vec<String> = variants.iter().map(|variant| format!("Rpc::{variant}")).collect();
    writeln!(out, "const ALL: [Rpc; {count}] = [{}];", all.join(", "))?;
    writeln!(out, "const FACTS: [Descriptor; {count}] = [{}];", facts.join(", "))?;
    writeln!(out, "/// The RPCs whose paths have this length: few have the same.")?;
    writeln!(out, "fn with_path_of(length: usize) -> &'static [Rpc] {{ match length {{")?;
    for (length, variants) in by_length {
        let variants: Vec<String> = variants.iter().map(|variant| format!("Rpc::{variant}")).collect();
        writeln!(out, "{length} => &[{}],", variants.join(", "))?;
    }
    writeln!(out, "_ => &[] }} }}")?;
    writeln!(out, "/// Whether a message is a request of this RPC.")?;
    writeln!(
        out,
        "fn is_request(rpc: Rpc, message: &[u8]) -> bool {{ match rpc {{ {} }} }}",
        requests.join(", ")
    )?;
    writeln!(out, "/// Where a request of this RPC has messages within it.")?;
    writeln!(
        out,
        "fn request_shape(rpc: Rpc) -> &'static Shape {{ match rpc {{ {} }} }}",
        shapes.join(", ")
    )?;
    let mut messages = BTreeMap::new();
    for file in &files.file {
        let package = format!(".{}", file.package());
        file.message_type.iter().for_each(|message| collect_messages(&mut messages, &package, message));
    }
    let mut written = BTreeSet::new();
    for request in &request_types {
        write_shapes(&mut out, request, &messages, &mut written)?;
    }
    writeln!(out, "/// A type for each RPC, from which the compiler knows the types of its messages.")?;
    writeln!(out, "pub mod signature {{ use super::Signature;\n{} }}", signatures.join("\n"))?;
    Ok(out)
}

/// The numbers of the fields of each message that are messages, each with its message.
type Messages<'a> = BTreeMap<String, Vec<(i32, &'a str)>>;

fn collect_messages<'a>(messages: &mut Messages<'a>, parent: &str, message: &'a DescriptorProto) {
    let name = format!("{parent}.{}", message.name());
    message.nested_type.iter().for_each(|nested| collect_messages(messages, &name, nested));
    let within = message.field.iter().filter(|field| field.r#type() == Type::Message);
    messages.insert(name, within.map(|field| (field.number(), field.type_name())).collect());
}

/// A static for a message and for those within it.
fn write_shapes<'a>(
    out: &mut String,
    name: &'a str,
    messages: &Messages<'a>,
    written: &mut BTreeSet<&'a str>,
) -> std::fmt::Result {
    if !written.insert(name) {
        return Ok(());
    }
    let within = &messages[name];
    let fields: Vec<String> =
        within.iter().map(|(number, of)| format!("({number}, &{})", shape_name(of))).collect();
    writeln!(out, "static {}: Shape = Shape {{ messages: &[{}] }};", shape_name(name), fields.join(", "))?;
    within.iter().try_for_each(|(_, of)| write_shapes(out, of, messages, written))
}

/// `.confwatch.v1.GetRequest` as `SHAPE_CONFWATCH_V1_GETREQUEST`.
fn shape_name(name: &str) -> String {
    format!("SHAPE{}", name.replace('.', "_").to_uppercase())
}

/// `.confwatch.v1.GetRequest` as `crate::proto::v1::GetRequest`.
fn rust_type(name: &str) -> String {
    let message = name.strip_prefix(".confwatch.v1.").expect("messages of RPCs are of the package");
    format!("crate::proto::v1::{message}")
}
