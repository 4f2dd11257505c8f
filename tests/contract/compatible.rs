//! The contract only grows: what earlier versions had is there, with the same numbers and types. Knows descriptors.
//!
//! `tests/contract/contract-VERSION.txt` has the contract of a version, one line for each RPC, field and enum value.
//! `CONFWATCH_MAKE_SAMPLE=1 cargo test --test contract compatible` writes that of this version. `docs/upgrades.md` has the policy.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use prost_types::field_descriptor_proto::Label;
use prost_types::{DescriptorProto, EnumDescriptorProto, FieldDescriptorProto};

use super::names::files;

/// The contract, as lines that are the same if programs of both versions understand each other.
fn lines() -> BTreeSet<String> {
    let mut lines = BTreeSet::new();
    for file in files() {
        let package = file.package();
        for service in &file.service {
            for method in &service.method {
                let stream = |is_stream| if is_stream { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {package}.{}/{} ({}{}) returns ({}{})",
                    service.name(),
                    method.name(),
                    stream(method.client_streaming()),
                    method.input_type(),
                    stream(method.server_streaming()),
                    method.output_type(),
                ));
            }
        }
        file.message_type.iter().for_each(|message| add_message(&mut lines, package, message));
        file.enum_type.iter().for_each(|enumeration| add_enum(&mut lines, package, enumeration));
    }
    lines
}

fn add_message(lines: &mut BTreeSet<String>, within: &str, message: &DescriptorProto) {
    let name = format!("{within}.{}", message.name());
    for field in &message.field {
        lines.insert(format!("field {name}.{}", described(message, field)));
    }
    message.nested_type.iter().for_each(|nested| add_message(lines, &name, nested));
    message.enum_type.iter().for_each(|nested| add_enum(lines, &name, nested));
}

fn described(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let repeated = if field.label() == Label::Repeated { "repeated " } else { "" };
    let kind = match field.type_name() {
        "" => field.r#type().as_str_name().trim_start_matches("TYPE_").to_lowercase(),
        name => name.to_owned(),
    };
    let oneof = match field.oneof_index {
        Some(_) if field.proto3_optional() => " optional".to_owned(),
        Some(index) => format!(" of {}", message.oneof_decl[index as usize].name()),
        None => String::new(),
    };
    format!("{} = {}: {repeated}{kind}{oneof}", field.name(), field.number())
}

fn add_enum(lines: &mut BTreeSet<String>, within: &str, enumeration: &EnumDescriptorProto) {
    for value in &enumeration.value {
        lines.insert(format!("value {within}.{}.{} = {}", enumeration.name(), value.name(), value.number()));
    }
}

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/contract")
}

#[test]
fn everything_that_an_earlier_version_had_is_there_as_it_was() {
    let now = lines();
    if std::env::var_os("CONFWATCH_MAKE_SAMPLE").is_some() {
        let version = concat!(env!("CARGO_PKG_VERSION_MAJOR"), ".", env!("CARGO_PKG_VERSION_MINOR"));
        let text: String = now.iter().map(|line| line.clone() + "\n").collect();
        fs::write(directory().join(format!("contract-{version}.txt")), text).expect("written");
    }
    let mut versions = 0;
    for entry in fs::read_dir(directory()).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_none_or(|extension| extension != "txt") {
            continue;
        }
        versions += 1;
        let text = fs::read_to_string(&path).expect("read");
        let missing: Vec<&str> = text.lines().filter(|line| !now.contains(*line)).collect();
        assert!(
            missing.is_empty(),
            "{}: clients of that version use what is missing now; add to the contract, and change nothing:\n{}",
            path.display(),
            missing.join("\n")
        );
    }
    assert!(versions > 0, "the contract of 0.1 is kept");
}
