//! Writes the reference of the contract from the comments in `proto/`. Knows descriptors and Markdown only.

use std::collections::HashMap;
use std::fmt::Write;

use confwatch::proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{
    DescriptorProto, EnumDescriptorProto, FieldDescriptorProto, FileDescriptorProto, FileDescriptorSet,
    ServiceDescriptorProto,
};

const HEAD: &str = "\
# The contract

<!-- Written from the comments in proto/ by tests/docs.rs. Change those, then run:
     CONFWATCH_UPDATE_DOCS=1 cargo test --test docs -->

Every RPC, message and field of `proto/confwatch/v1/`, with what is said of it there. [clients.md](clients.md) tells how to
use it, [concepts.md](concepts.md) what the words mean.
";

// Numbers of the fields of descriptors, of which source locations are made.
const MESSAGE: i32 = 4;
const ENUM: i32 = 5;
const SERVICE: i32 = 6;
const SYNTAX: i32 = 12;
const MEMBER: i32 = 2;

pub fn reference() -> String {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build wrote it");
    let mut files: Vec<File> =
        set.file.iter().filter(|file| file.package() == "confwatch.v1").map(File::new).collect();
    // The service first; what it needs after it, in the order of the names.
    files.sort_by_key(|file| (file.descriptor.service.is_empty(), file.descriptor.name().to_owned()));

    let mut page = HEAD.to_owned();
    for file in &files {
        file.write(&mut page).expect("a string takes everything");
    }
    page
}

/// A proto file and its comments by location.
struct File<'a> {
    descriptor: &'a FileDescriptorProto,
    comments: HashMap<&'a [i32], String>,
}

impl<'a> File<'a> {
    fn new(descriptor: &'a FileDescriptorProto) -> File<'a> {
        let locations = descriptor.source_code_info.iter().flat_map(|info| &info.location);
        let comments = locations
            .map(|location| (location.path.as_slice(), unindent(location.leading_comments())))
            .filter(|(_, comment)| !comment.is_empty())
            .collect();
        File { descriptor, comments }
    }

    /// What is said of a part. Everything has a comment, or the reference has a hole.
    fn comment(&self, path: &[i32], name: &str) -> &str {
        let comment = self.comments.get(path);
        comment.unwrap_or_else(|| panic!("{name} in {} has no comment", self.descriptor.name()))
    }

    fn write(&self, page: &mut String) -> std::fmt::Result {
        let name = self.descriptor.name().trim_start_matches("confwatch/v1/");
        writeln!(page, "\n## {name}\n\n{}", self.comment(&[SYNTAX], name))?;
        for (service, n) in self.descriptor.service.iter().zip(0..) {
            self.write_service(page, service, n)?;
        }
        for (message, n) in self.descriptor.message_type.iter().zip(0..) {
            self.write_message(page, message, n)?;
        }
        for (enumeration, n) in self.descriptor.enum_type.iter().zip(0..) {
            self.write_enum(page, enumeration, n)?;
        }
        Ok(())
    }

    fn write_service(&self, page: &mut String, service: &ServiceDescriptorProto, n: i32) -> std::fmt::Result {
        writeln!(page, "\n### {}\n\n{}\n", service.name(), self.comment(&[SERVICE, n], service.name()))?;
        writeln!(page, "| RPC | request | answer | |\n| --- | --- | --- | --- |")?;
        for (method, m) in service.method.iter().zip(0..) {
            let stream = if method.server_streaming() { "stream of " } else { "" };
            let (request, answer) = (link(method.input_type()), link(method.output_type()));
            let comment = cell(self.comment(&[SERVICE, n, MEMBER, m], method.name()));
            writeln!(page, "| `{}` | {request} | {stream}{answer} | {comment} |", method.name())?;
        }
        Ok(())
    }

    fn write_message(&self, page: &mut String, message: &DescriptorProto, n: i32) -> std::fmt::Result {
        writeln!(page, "\n### {}\n\n{}", message.name(), self.comment(&[MESSAGE, n], message.name()))?;
        if message.field.is_empty() {
            return Ok(());
        }
        writeln!(page, "\n| # | field | type | |\n| --- | --- | --- | --- |")?;
        for (field, f) in message.field.iter().zip(0..) {
            let name = format!("{}.{}", message.name(), field.name());
            let comment = cell(self.comment(&[MESSAGE, n, MEMBER, f], &name));
            let kind = kind(message, field);
            writeln!(page, "| {} | `{}` | {kind} | {comment} |", field.number(), field.name())?;
        }
        Ok(())
    }

    fn write_enum(&self, page: &mut String, enumeration: &EnumDescriptorProto, n: i32) -> std::fmt::Result {
        writeln!(page, "\n### {}\n\n{}", enumeration.name(), self.comment(&[ENUM, n], enumeration.name()))?;
        writeln!(page, "\n| # | value | |\n| --- | --- | --- |")?;
        for (value, v) in enumeration.value.iter().zip(0..) {
            let comment = cell(self.comment(&[ENUM, n, MEMBER, v], value.name()));
            writeln!(page, "| {} | `{}` | {comment} |", value.number(), value.name())?;
        }
        Ok(())
    }
}

/// The type of a field as one would write it, and the oneof it is part of.
fn kind(message: &DescriptorProto, field: &FieldDescriptorProto) -> String {
    let entry =
        message.nested_type.iter().find(|nested| field.type_name().ends_with(&format!(".{}", nested.name())));
    if let Some(entry) = entry {
        return format!("map of {} to {}", plain(&entry.field[0]), plain(&entry.field[1]));
    }
    let plain = plain(field);
    match (field.label(), field.oneof_index) {
        (Label::Repeated, _) => format!("repeated {plain}"),
        _ if field.proto3_optional() => format!("optional {plain}"),
        (_, Some(oneof)) => {
            let name = usize::try_from(oneof).ok().and_then(|oneof| message.oneof_decl.get(oneof));
            format!("{plain}, one of `{}`", name.map_or("", |oneof| oneof.name()))
        }
        (_, None) => plain,
    }
}

fn plain(field: &FieldDescriptorProto) -> String {
    match field.r#type() {
        Type::Message | Type::Enum => link(field.type_name()),
        scalar => scalar.as_str_name().trim_start_matches("TYPE_").to_lowercase(),
    }
}

fn link(type_name: &str) -> String {
    match type_name.strip_prefix(".confwatch.v1.") {
        Some(own) => format!("[{own}](#{})", own.to_lowercase()),
        None => type_name.trim_start_matches('.').to_owned(),
    }
}

fn cell(comment: &str) -> String {
    comment.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn unindent(comment: &str) -> String {
    let lines = comment.trim_end().lines().map(|line| line.strip_prefix(' ').unwrap_or(line));
    lines.collect::<Vec<_>>().join("\n")
}
