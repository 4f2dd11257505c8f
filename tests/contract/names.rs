//! Names and comments that the generators of other languages can take. Knows descriptors.

use confwatch::proto::v1::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost_types::{DescriptorProto, FileDescriptorProto, FileDescriptorSet};

/// Names that a generated class or the language has itself, so that a field of that name cannot be read, or only by another name.
/// Keywords that the generator of the language escapes in a way that users know (`delete_` in C++, `@namespace` in C#) are not here.
const TAKEN: [(&str, &[&str]); 9] = [
    // Keywords: such a field is read with getattr only.
    (
        "Python",
        &[
            "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
            "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
            "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
        ],
    ),
    // Public methods of every object and of messages: they are called instead of the accessor of the field.
    (
        "Ruby",
        &[
            "class",
            "clone",
            "define_singleton_method",
            "display",
            "dup",
            "enum_for",
            "extend",
            "freeze",
            "hash",
            "inspect",
            "instance_of",
            "instance_variables",
            "itself",
            "method",
            "methods",
            "object_id",
            "public_method",
            "public_send",
            "send",
            "singleton_class",
            "singleton_method",
            "tap",
            "then",
            "to_enum",
            "to_h",
            "to_json",
            "to_proto",
            "to_s",
            "instance_eval",
            "instance_exec",
            "initialize",
            "end",
            "self",
            "nil",
            "begin",
            "module",
            "undef",
            "alias",
            "unless",
            "until",
            "rescue",
            "ensure",
            "redo",
            "retry",
        ],
    ),
    // Methods of messages: the field gets an underscore.
    (
        "Go",
        &[
            "reset",
            "string",
            "proto_message",
            "proto_reflect",
            "descriptor",
            "marshal",
            "unmarshal",
            "extension_range_array",
            "extension_map",
        ],
    ),
    // The getter is that of every object or message.
    (
        "Java",
        &[
            "class",
            "descriptor",
            "descriptor_for_type",
            "all_fields",
            "unknown_fields",
            "default_instance",
            "default_instance_for_type",
            "parser_for_type",
            "serialized_size",
            "initialization_error_string",
            "cached_size",
        ],
    ),
    (
        "C#",
        &[
            "descriptor",
            "parser",
            "types",
            "equals",
            "to_string",
            "get_hash_code",
            "get_type",
            "clone",
            "calculate_size",
            "merge_from",
            "write_to",
        ],
    ),
    // Members of NSObject and GPBMessage.
    (
        "Objective-C",
        &[
            "hash",
            "description",
            "debug_description",
            "superclass",
            "self",
            "zone",
            "data",
            "descriptor",
            "delimited_data",
            "serialized_size",
            "unknown_fields",
            "extension_registry",
            "initialized",
            "is_equal",
            "copy",
            "mutable_copy",
            "init",
            "retain",
            "release",
            "autorelease",
            "retain_count",
        ],
    ),
    ("PHP", &["this"]),
    (
        "TypeScript",
        &[
            "constructor",
            "to_json",
            "to_string",
            "value_of",
            "has_own_property",
            "prototype",
            "is_prototype_of",
            "from_json",
            "to_object",
            "from_object",
        ],
    ),
    // Members of messages, and macros of common headers.
    (
        "C++",
        &[
            "swap",
            "copy_from",
            "merge_from",
            "clear",
            "is_initialized",
            "byte_size_long",
            "get_cached_size",
            "descriptor",
            "default_instance",
            "get_metadata",
            "get_arena",
            "unknown_fields",
            "major",
            "minor",
            "unix",
            "linux",
            "errno",
            "stdin",
            "stdout",
            "stderr",
            "assert",
            "null",
            "eof",
        ],
    ),
];

/// Method names that clients of RPCs have themselves: they would hide the RPC, or be hidden by it.
const CLIENT_METHODS: [&str; 14] = [
    "Close",
    "GetChannel",
    "WaitForReady",
    "GetTarget",
    "GetConnectivityState",
    "Channel",
    "Build",
    "NewStub",
    "Clone",
    "ToString",
    "Equals",
    "Class",
    "Send",
    "Hash",
];

/// The options that give each language a name for the package which is not made up from the path.
type FileOption = fn(&prost_types::FileOptions) -> Option<&str>;
const FILE_OPTIONS: [(&str, FileOption, &str); 7] = [
    (
        "go_package",
        |options| options.go_package.as_deref(),
        "github.com/confwatch/confwatch/proto/confwatch/v1;confwatchv1",
    ),
    ("java_package", |options| options.java_package.as_deref(), "io.confwatch.v1"),
    ("csharp_namespace", |options| options.csharp_namespace.as_deref(), "Confwatch.V1"),
    ("objc_class_prefix", |options| options.objc_class_prefix.as_deref(), "CFW"),
    ("php_namespace", |options| options.php_namespace.as_deref(), "Confwatch\\V1"),
    (
        "php_metadata_namespace",
        |options| options.php_metadata_namespace.as_deref(),
        "Confwatch\\V1\\Metadata",
    ),
    ("ruby_package", |options| options.ruby_package.as_deref(), "Confwatch::V1"),
];

#[test]
fn no_field_has_a_name_that_a_language_keeps_for_itself() {
    let mut wrong = Vec::new();
    for file in files() {
        for message in &file.message_type {
            wrong.extend(collisions(message));
        }
    }
    assert!(wrong.is_empty(), "rename these fields:\n{}", wrong.join("\n"));
}

fn collisions(message: &DescriptorProto) -> Vec<String> {
    let mut wrong = Vec::new();
    let oneofs = message.oneof_decl.iter().map(|oneof| oneof.name());
    let names: Vec<&str> = message.field.iter().map(|field| field.name()).chain(oneofs).collect();
    for &name in &names {
        for (language, taken) in TAKEN {
            if taken.contains(&name) {
                wrong.push(format!("{}.{name}: {language} has that name itself", message.name()));
            }
        }
        if pascal(name) == message.name() {
            wrong.push(format!("{}.{name}: C# has no member with the name of its class", message.name()));
        }
        // Getters that other fields bring along, in Java and Go.
        for suffix in ["_count", "_list", "_bytes", "_map", "_or_builder", "_builder", "_value", "_case"] {
            let base = name.strip_suffix(suffix);
            // `layer_count` beside `layers` is no collision: the getters are getLayerCount and getLayersCount.
            if base.is_some_and(|base| names.contains(&base)) {
                wrong.push(format!("{}.{name}: Java has that getter for another field", message.name()));
            }
        }
        if name.strip_prefix("get_").or(name.strip_prefix("has_")).is_some_and(|base| names.contains(&base)) {
            wrong.push(format!("{}.{name}: Go has that getter for another field", message.name()));
        }
    }
    wrong.extend(message.nested_type.iter().flat_map(collisions));
    wrong
}

#[test]
fn no_enum_value_is_a_word_without_the_prefix_of_its_enum() {
    for file in files() {
        for enumeration in &file.enum_type {
            let prefix = format!("{}_", upper_snake(enumeration.name()));
            for value in &enumeration.value {
                assert!(value.name().starts_with(&prefix), "{} does not start with {prefix}", value.name());
            }
        }
    }
}

#[test]
fn no_rpc_has_a_name_that_clients_have_themselves() {
    for file in files() {
        for method in file.service.iter().flat_map(|service| &service.method) {
            assert!(!CLIENT_METHODS.contains(&method.name()), "rename {} in {}", method.name(), file.name());
        }
    }
}

/// gRPC 1.51 (Debian 12) prints the comments of files, services and RPCs through a template in which `$` begins a variable: the
/// generators of C++, Ruby and PHP crash.
#[test]
fn no_comment_of_a_file_a_service_or_an_rpc_has_a_dollar_sign() {
    const SERVICE: i32 = 6;
    const SYNTAX: i32 = 12;
    const PACKAGE: i32 = 2;
    let mut comments = 0;
    for file in files() {
        for location in file.source_code_info.iter().flat_map(|info| &info.location) {
            if !matches!(location.path.first(), Some(&SERVICE | &SYNTAX | &PACKAGE)) {
                continue;
            }
            let detached = location.leading_detached_comments.iter().map(String::as_str);
            for comment in detached.chain([location.leading_comments(), location.trailing_comments()]) {
                comments += usize::from(!comment.is_empty());
                assert!(!comment.contains('$'), "{}: take the $ out of: {comment}", file.name());
            }
        }
    }
    assert!(comments > 40, "{comments}: the descriptors have their comments");
}

#[test]
fn every_file_names_the_package_for_each_language() {
    for file in files() {
        let options = file.options.as_ref().expect("options");
        for (name, option, expected) in FILE_OPTIONS {
            assert_eq!(option(options), Some(expected), "{name} of {}", file.name());
        }
        assert_eq!(options.java_multiple_files, Some(true), "{}", file.name());
        let stem = file.name().trim_start_matches("confwatch/v1/").trim_end_matches(".proto");
        assert_eq!(options.java_outer_classname, Some(format!("{}Proto", pascal(stem))), "{}", file.name());
    }
}

/// The files of the contract.
pub fn files() -> Vec<FileDescriptorProto> {
    let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("the build wrote it");
    set.file.into_iter().filter(|file| file.package() == "confwatch.v1").collect()
}

fn pascal(name: &str) -> String {
    let parts = name.split('_').map(|part| {
        let mut letters = part.chars();
        letters
            .next()
            .map(|first| first.to_ascii_uppercase().to_string() + letters.as_str())
            .unwrap_or_default()
    });
    parts.collect()
}

fn upper_snake(name: &str) -> String {
    let mut snake = String::new();
    for (at, letter) in name.chars().enumerate() {
        if at > 0 && letter.is_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_uppercase());
    }
    snake
}
