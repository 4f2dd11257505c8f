//! JSON schemas of the messages and enums of the contract, as proto3 JSON writes them. Knows descriptors; no route.

use std::collections::{BTreeMap, HashSet};

use prost_reflect::{Cardinality, EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::comments::Comments;

/// The largest integer that every reader of JSON keeps.
pub const SAFE_INTEGER_MAX: u64 = (1 << 53) - 1;

/// The schemas of a document, which refers to them by name.
pub struct Schemas<'a> {
    comments: &'a Comments,
    /// The names of messages that a request can have.
    requested: HashSet<String>,
    components: BTreeMap<String, Value>,
}

impl<'a> Schemas<'a> {
    /// Of these requests, and of whatever is asked for.
    pub fn new(comments: &'a Comments, requests: impl Iterator<Item = MessageDescriptor>) -> Schemas<'a> {
        let mut requested = HashSet::new();
        requests.for_each(|request| collect(&request, &mut requested));
        Schemas { comments, requested, components: BTreeMap::new() }
    }

    /// All that were referred to, by name.
    pub fn into_components(self) -> Map<String, Value> {
        self.components.into_iter().collect()
    }

    /// Adds a schema that no message has.
    pub fn add(&mut self, name: &str, schema: Value) {
        self.components.insert(name.to_owned(), schema);
    }

    /// The schema of a message, without some of its fields if they are elsewhere in the request.
    pub fn message(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        if without.is_empty() {
            return self.reference(message.name(), |schemas| schemas.object(message, &[]));
        }
        let name = format!("{}Body", message.name().trim_end_matches("Request"));
        self.reference(&name, |schemas| schemas.object(message, without))
    }

    /// The value of a field: of a list, all of it.
    pub fn field(&mut self, field: &FieldDescriptor) -> Value {
        let mut schema = if field.is_map() {
            let Kind::Message(entry) = field.kind() else { unreachable!("a map is a list of entries") };
            let value = self.kind(&entry.map_entry_value_field().kind());
            json!({"type": "object", "additionalProperties": value})
        } else {
            let one = self.kind(&field.kind());
            match field.cardinality() {
                Cardinality::Repeated => json!({"type": "array", "items": one}),
                Cardinality::Optional | Cardinality::Required => one,
            }
        };
        describe(&mut schema, self.comments.at(&field.parent_message().parent_file(), field.path()));
        schema
    }

    fn kind(&mut self, kind: &Kind) -> Value {
        match kind {
            Kind::Double | Kind::Float => json!({"type": "number"}),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                json!({"type": "integer", "format": "int32", "minimum": i32::MIN, "maximum": i32::MAX})
            }
            Kind::Uint32 | Kind::Fixed32 => {
                json!({"type": "integer", "format": "uint32", "minimum": 0, "maximum": u32::MAX})
            }
            Kind::Uint64 | Kind::Fixed64 => wide(json!(0), "^[0-9]{1,20}$", "uint64"),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                wide(json!(-(SAFE_INTEGER_MAX.cast_signed())), "^-?[0-9]{1,19}$", "int64")
            }
            Kind::Bool => json!({"type": "boolean"}),
            Kind::String => json!({"type": "string"}),
            Kind::Bytes => json!({"type": "string", "contentEncoding": "base64"}),
            Kind::Message(message) => match message.full_name() {
                "google.protobuf.Empty" => json!({"type": "object", "maxProperties": 0}),
                "google.protobuf.Timestamp" => json!({"type": "string", "format": "date-time"}),
                "google.protobuf.Duration" => {
                    json!({"type": "string", "pattern": r"^-?[0-9]{1,12}(\.[0-9]{1,9})?s$", "examples": ["10s", "0.5s"]})
                }
                _ => self.message(message, &[]),
            },
            Kind::Enum(of) => self.reference(of.name(), |schemas| schemas.enumeration(of)),
        }
    }

    /// A reference to a schema that is made if it is not there yet.
    fn reference(&mut self, name: &str, make: impl FnOnce(&mut Self) -> Value) -> Value {
        if !self.components.contains_key(name) {
            // A message that has itself within refers to this.
            self.components.insert(name.to_owned(), Value::Null);
            let made = make(self);
            self.components.insert(name.to_owned(), made);
        }
        json!({"$ref": format!("#/components/schemas/{name}")})
    }

    fn object(&mut self, message: &MessageDescriptor, without: &[&str]) -> Value {
        let mut properties = Map::new();
        for field in message.fields().filter(|field| !without.contains(&field.name())) {
            properties.insert(field.name().to_owned(), self.field(&field));
        }
        let mut schema = json!({"type": "object", "properties": properties});
        match self.requested.contains(message.full_name()) {
            true => schema["additionalProperties"] = false.into(),
            // Fields are left out only where their absence means something.
            false => {
                let always = message.fields().filter(|field| !field.supports_presence());
                schema["required"] = always.map(|field| field.name().to_owned()).collect();
            }
        }
        let mut description = self.comments.at(&message.parent_file(), message.path()).to_owned();
        for oneof in message.oneofs().filter(|oneof| !oneof.is_synthetic()) {
            let names: Vec<String> = oneof.fields().map(|field| format!("`{}`", field.name())).collect();
            description.push_str(&format!("\n\nAt most one of {} is set.", names.join(", ")));
        }
        describe(&mut schema, &description);
        schema
    }

    fn enumeration(&self, of: &EnumDescriptor) -> Value {
        let names: Vec<String> = of.values().map(|value| value.name().to_owned()).collect();
        let file = of.parent_file();
        let mut description = self.comments.at(&file, of.path()).to_owned();
        description.push('\n');
        for value in of.values() {
            let comment = self.comments.at(&file, value.path()).replace('\n', " ");
            description.push_str(&format!("\n- `{}`: {comment}", value.name()));
        }
        let mut schema = json!({"type": "string", "enum": names});
        describe(&mut schema, &description);
        schema
    }
}

fn collect(message: &MessageDescriptor, names: &mut HashSet<String>) {
    if names.insert(message.full_name().to_owned()) {
        for field in message.fields() {
            if let Kind::Message(within) = field.kind() {
                collect(&within, names);
            }
        }
    }
}

/// A 64-bit integer: a number as far as every reader of JSON keeps it, and a text beyond.
fn wide(minimum: Value, pattern: &str, format: &str) -> Value {
    json!({
        "type": ["integer", "string"],
        "format": format,
        "minimum": minimum,
        "maximum": SAFE_INTEGER_MAX,
        "pattern": pattern,
    })
}

/// Adds a description. What stands beside a reference is taken by OpenAPI 3.1.
pub fn describe(schema: &mut Value, description: &str) {
    if !description.is_empty() {
        schema["description"] = Value::from(description);
    }
}
