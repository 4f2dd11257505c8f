//! The operations of a description: one for each route of an RPC. Knows descriptors; no route by hand.

use http::Method;
use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor, MethodDescriptor};
use serde_json::{Value, json};

use super::by_hand::{EVENTS, header_parameters, stream_responses};
use super::comments::{Comments, summary};
use super::schemas::{Schemas, describe};

/// A route of an RPC, as `google.api.http` has it.
pub struct Route<'a> {
    pub rpc: &'a MethodDescriptor,
    pub method: &'a Method,
    /// The template, such as `/v1/backups/{id}`.
    pub path: &'a str,
    pub has_body: bool,
    /// Its place among the routes of the RPC, from 0.
    pub number: usize,
}

/// The path of the route in the description, and what its method does there.
pub fn operation(route: &Route<'_>, schemas: &mut Schemas<'_>, comments: &Comments) -> (String, Value) {
    let rpc = route.rpc;
    let (service, input) = (rpc.parent_service(), rpc.input());
    let comment = comments.at(&rpc.parent_file(), rpc.path());
    let bound: Vec<&str> = variables(route.path).collect();
    let response = schemas.message(&rpc.output(), &[]);
    let (about, responses) = match rpc.is_server_streaming() {
        true => (EVENTS, stream_responses(response)),
        false => ("", message_responses(response)),
    };
    let mut operation = json!({
        "operationId": operation_id(rpc, route.number),
        "tags": [service.name()],
        "summary": summary(comment),
        "description": format!("{comment}\n\nThe RPC `{}/{}`.{about}", service.full_name(), rpc.name()),
        "responses": responses,
    });
    let mut parameters: Vec<Value> = bound.iter().map(|path| path_parameter(&input, path, schemas)).collect();
    if route.has_body {
        let without: Vec<&str> = bound.iter().copied().filter(|path| !path.contains('.')).collect();
        operation["requestBody"] = json!({
            "required": true,
            "content": {"application/json": {"schema": schemas.message(&input, &without)}},
        });
    } else {
        query_parameters(&input, "", &bound, schemas, &mut parameters);
    }
    parameters.extend(header_parameters());
    if rpc.is_server_streaming() && !route.has_body {
        parameters.push(json!({"$ref": "#/components/parameters/LastEventId"}));
    }
    operation["parameters"] = parameters.into();
    (described_path(route.path), operation)
}

/// The responses of an RPC that is answered with one message.
fn message_responses(message: Value) -> Value {
    json!({
        "200": {
            "description": "The response of the RPC.",
            "headers": {"confwatch-epoch": {"$ref": "#/components/headers/Epoch"}},
            "content": {"application/json": {"schema": message}},
        },
        "default": {"$ref": "#/components/responses/Problem"},
    })
}

/// The name of an operation, unique in the document.
fn operation_id(rpc: &MethodDescriptor, number: usize) -> String {
    let name = format!("{}_{}", rpc.parent_service().name(), rpc.name());
    match number {
        0 => name,
        number => format!("{name}_{}", number + 1),
    }
}

/// The fields in a template.
fn variables(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
}

/// The template with names that have no dots: `{change.namespace}` is `{namespace}`.
fn described_path(path: &str) -> String {
    let segments = path.split('/').map(|segment| match segment.strip_prefix('{') {
        Some(variable) => format!("{{{}", last_of(variable)),
        None => segment.to_owned(),
    });
    segments.collect::<Vec<_>>().join("/")
}

fn last_of(path: &str) -> &str {
    path.rsplit_once('.').map_or(path, |(_, last)| last)
}

/// A parameter of the path for the field at `path`.
pub fn path_parameter(input: &MessageDescriptor, path: &str, schemas: &mut Schemas<'_>) -> Value {
    let field = field(input, path).expect("a test holds that templates name fields of the request");
    let mut parameter = parameter("path", last_of(path), schemas.field(&field));
    parameter["required"] = true.into();
    // An empty segment is another path.
    if matches!(field.kind(), Kind::String) {
        parameter["schema"]["minLength"] = 1.into();
    }
    parameter
}

fn field(message: &MessageDescriptor, path: &str) -> Option<FieldDescriptor> {
    match path.split_once('.') {
        None => message.get_field_by_name(path),
        Some((first, rest)) => match message.get_field_by_name(first)?.kind() {
            Kind::Message(within) => field(&within, rest),
            _ => None,
        },
    }
}

/// The fields that are not in the path, those of messages within with the name of the message before theirs.
fn query_parameters(
    message: &MessageDescriptor,
    prefix: &str,
    bound: &[&str],
    schemas: &mut Schemas<'_>,
    parameters: &mut Vec<Value>,
) {
    for field in message.fields() {
        if prefix.is_empty() && bound.contains(&field.name()) {
            continue;
        }
        let name = format!("{prefix}{}", field.name());
        match field.kind() {
            Kind::Message(within) if within.package_name() != "google.protobuf" => {
                query_parameters(&within, &format!("{name}."), bound, schemas, parameters);
            }
            _ => parameters.push(parameter("query", &name, schemas.field(&field))),
        }
    }
}

/// A parameter with this schema.
pub fn parameter(place: &str, name: &str, schema: Value) -> Value {
    let mut schema = schema;
    // Once, and not within the schema as well.
    let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
    let mut parameter = json!({"name": name, "in": place, "schema": schema});
    describe(&mut parameter, description.as_ref().and_then(Value::as_str).unwrap_or_default());
    parameter
}
