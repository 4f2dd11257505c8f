//! What no descriptor has: documents, streams, errors, headers and credentials. Knows the forms of the HTTP door by name; no descriptor of a route.

use http::Method;
use prost_reflect::DescriptorPool;
use serde_json::{Map, Value, json};

use super::paths::add;
use super::schemas::Schemas;

/// The description of the API.
pub const ABOUT: &str = "\
confwatch over HTTP: every RPC of the contract, documents as JSON, YAML or TOML, and streams as server-sent events. The same port serves gRPC.

JSON is that of protobuf. Requests may have the names of fields in `snake_case` or `lowerCamelCase`; responses have them in `snake_case`, with all fields but \
those that are not set and say so by their absence. 64-bit integers are numbers up to 2^53, and texts of digits beyond; requests may have both. Unknown fields \
are refused.

Contents of responses from 64 KiB on are in gzip for clients that send `Accept-Encoding: gzip`, unless they show secrets; their ETag ends with `-gzip`. \
Contents of requests may be in gzip.

Errors are `application/problem+json` (RFC 9457): see the schema `Problem`. A client that sends `Connect-Protocol-Version: 1` gets errors of Connect instead.";

/// Describes the events and lines of a stream: appended to the description of each.
pub const EVENTS: &str = "

With `Accept: text/event-stream`, server-sent events. The name of an event is that of the member which is set: `snapshot`, `update`, `progress`, `commit` and \
so on; `message` if there is none. Its data are the message as one line of JSON. A stream that fails ends with the event `error`, and one that the server ends \
because it stops with `drain`: the data are a `Problem`. `retry` says when to come back. `id` is where a stream goes on with `Last-Event-ID`. A comment is sent \
every 15 seconds.

With `Accept: application/x-ndjson`, each line is a message as JSON. A stream that fails ends with the line `{\"error\": PROBLEM}`.";

/// Adds what no descriptor has.
pub fn add_all(paths: &mut Map<String, Value>, schemas: &mut Schemas<'_>, pool: &DescriptorPool) {
    let message = |name| pool.get_message_by_name(name).expect("a message of the contract");
    // What the schemas here refer to.
    schemas.message(&message("confwatch.v1.RevertConflict"), &[]);
    schemas.message(&message("confwatch.v1.Finding"), &[]);
    schemas.add("Problem", problem());
    let response = schemas.message(&message("confwatch.v1.WatchResponse"), &[]);
    add(paths, "/v1/watch".to_owned(), &Method::GET, watch(response));
    add(paths, "/v1/bundles/{namespace}".to_owned(), &Method::GET, bundle());
    add(
        paths,
        "/openapi.json".to_owned(),
        &Method::GET,
        json!({
            "operationId": "OpenApi",
            "tags": ["Documents"],
            "summary": "This description",
            "responses": {"200": {"description": "An OpenAPI document.", "content": {"application/json": {"schema": {"type": "object"}}}}},
            "security": [],
        }),
    );
}

/// All documents of a scope.
fn bundle() -> Value {
    let text = || json!({"type": "string"});
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let mut parameters = vec![
        json!({
            "name": "namespace",
            "in": "path",
            "required": true,
            "description": "The namespace.",
            "schema": {"type": "string", "minLength": 1},
        }),
        parameter(
            "scope",
            "The scope to resolve for. A gateway can give it as the header `confwatch-scope`.",
            text(),
        ),
        parameter("view", "Which layers are merged.", json!({"$ref": "#/components/schemas/View"})),
        parameter("apply_defaults", "Fill in defaults of the schemas.", json!({"type": "boolean"})),
        parameter(
            "min_revision",
            "Wait until the server has this revision.",
            json!({"type": ["integer", "string"], "minimum": 0}),
        ),
    ];
    parameters.extend(header_parameters());
    let headers = json!({
        "etag": {"description": "Names the contents of all documents together.", "schema": text()},
        "confwatch-store-revision": {"description": "The revision at which all were read.", "schema": text()},
        "confwatch-epoch": {"$ref": "#/components/headers/Epoch"},
    });
    json!({
        "operationId": "GetBundle",
        "tags": ["Documents"],
        "summary": "Reads the documents of all configs of a namespace for a scope",
        "description": "The documents of all configs that have one for the scope and that the caller may read there, as of one revision: as an object with the names \
            of the configs, or a line of JSON for each. What the caller may not read is left out. At most 1000 documents, which fit 4 MiB. `If-None-Match` with the \
            ETag saves the content.",
        "parameters": parameters,
        "responses": {
            "200": {
                "description": "The documents.",
                "headers": headers,
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "application/x-ndjson": {"schema": {"type": "object"}},
                },
            },
            "304": {"description": "The client has them.", "headers": headers},
            "default": {"$ref": "#/components/responses/Problem"},
        },
    })
}

/// A watch by its query, for browsers.
fn watch(message: Value) -> Value {
    let parameter = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "query", "description": description, "schema": schema});
    let text = || json!({"type": "string"});
    let mut target = parameter(
        "target",
        "A config to follow, and for which scope: `NAMESPACE/CONFIG@SCOPE`, `NAMESPACE/CONFIG` for the scope `/`, `NAMESPACE/*@SCOPE` for all configs.",
        json!({"type": "array", "minItems": 1, "items": {"type": "string", "pattern": "^[^/]+/[^@]+(@/.*)?$"}}),
    );
    target["required"] = true.into();
    let mut parameters = vec![
        target,
        parameter(
            "view",
            "Which layers are merged, of all targets.",
            json!({"$ref": "#/components/schemas/View"}),
        ),
        parameter(
            "format",
            "How documents are written, of all targets.",
            json!({"$ref": "#/components/schemas/Format"}),
        ),
        parameter(
            "apply_defaults",
            "Fill in defaults of the schema, of all targets.",
            json!({"type": "boolean"}),
        ),
        parameter("client_id", "A name of the client.", text()),
        parameter(
            "label",
            "A fact about the client, as `NAME=VALUE`.",
            json!({"type": "array", "items": {"type": "string", "pattern": "="}}),
        ),
        parameter("resume_token", "Go on after the message that had this token.", text()),
        parameter("progress_interval", "The interval of progress messages, such as `10s`.", text()),
        json!({"$ref": "#/components/parameters/LastEventId"}),
    ];
    parameters.extend(header_parameters());
    json!({
        "operationId": "Watch",
        "tags": ["ConfigService"],
        "summary": "Streams the documents of targets: the current ones, then each change",
        "description": format!(
            "What ConfigService_Watch streams, for clients that can only name a URL. The id of an event has the digests of up to 32 documents: a client that \
             comes back with `Last-Event-ID` is sent what has changed since.{EVENTS}"
        ),
        "parameters": parameters,
        "responses": stream_responses(message),
    })
}

/// The responses of an RPC that is answered with a stream of these messages.
pub fn stream_responses(message: Value) -> Value {
    json!({
        "200": {
            "description": "The stream. It lasts until the client or the server ends it.",
            "headers": {"confwatch-epoch": {"$ref": "#/components/headers/Epoch"}},
            "content": {
                "application/x-ndjson": {"schema": message},
                "text/event-stream": {"schema": {"type": "string"}},
            },
        },
        "default": {"$ref": "#/components/responses/Problem"},
    })
}

/// The headers that every request may have.
pub fn header_parameters() -> impl Iterator<Item = Value> {
    ["Epoch", "MaskSecrets", "RequestId"]
        .into_iter()
        .map(|name| json!({"$ref": format!("#/components/parameters/{name}")}))
}

/// Headers of requests.
pub fn parameters() -> Value {
    let header = |name: &str, description: &str, schema: Value| json!({"name": name, "in": "header", "description": description, "schema": schema});
    json!({
        "Epoch": header(
            "confwatch-epoch",
            "The epoch of the response that the revisions and versions of the request are from. If it is not that of the store, the call fails with \
             EPOCH_MISMATCH.",
            json!({"type": "string", "pattern": "^[0-9a-f]{16}$"}),
        ),
        "MaskSecrets": header(
            "confwatch-mask-secrets",
            "Mask every secret, also those that the caller may reveal. Any value.",
            json!({"type": "string", "enum": ["true"]}),
        ),
        "RequestId": header(
            "x-request-id",
            "A name for the call, in history, logs and the audit trail. The response has it as well.",
            json!({"type": "string", "pattern": "^[!-~]{1,128}$"}),
        ),
        "LastEventId": header(
            "last-event-id",
            "The `id` of the last event that the client got: the stream goes on after that event.",
            json!({"type": "string", "pattern": "^[!-~]{1,8000}$"}),
        ),
    })
}

/// Headers of responses.
pub fn headers() -> Value {
    json!({
        "Epoch": {
            "description": "The epoch of the store: which history the revisions and versions of the response belong to.",
            "schema": {"type": "string", "pattern": "^[0-9a-f]{16}$"},
        },
        "RetryAfter": {
            "description": "Seconds after which the request may be repeated.",
            "schema": {"type": "integer", "minimum": 0},
        },
    })
}

pub fn responses() -> Value {
    json!({
        "Problem": {
            "description": "The call failed, or was refused.",
            "headers": {
                "confwatch-epoch": {"$ref": "#/components/headers/Epoch"},
                "retry-after": {"$ref": "#/components/headers/RetryAfter"},
            },
            "content": {"application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}},
        },
    })
}

pub fn security_schemes() -> Value {
    json!({
        "bearer": {
            "type": "http",
            "scheme": "bearer",
            "description": "An API token of confwatch, or a JSON web token of an issuer that the server accepts.",
        },
        "certificate": {"type": "mutualTLS", "description": "A client certificate of a CA that the server accepts."},
    })
}

fn problem() -> Value {
    json!({
        "type": "object",
        "description": "An error, as RFC 9457 has it.",
        "required": ["type", "title", "status", "detail", "code", "reason", "metadata"],
        "properties": {
            "type": {"type": "string", "format": "uri-reference", "description": "Where the reason is explained."},
            "title": {"type": "string", "description": "What kind of error it is."},
            "status": {"type": "integer", "minimum": 400, "maximum": 599, "description": "The status of HTTP."},
            "detail": {"type": "string", "description": "What happened, and what to do, for people."},
            "instance": {"type": "string", "description": "The call: its `x-request-id`."},
            "code": {"type": "string", "description": "The code of gRPC, such as `NOT_FOUND`."},
            "reason": {
                "type": "string",
                "pattern": "^[A-Z][A-Z0-9_]*$",
                "description": "Why, for programs. The tag ConfigService has the reasons; later versions add more.",
            },
            "metadata": {
                "type": "object",
                "additionalProperties": {"type": "string"},
                "description": "What belongs to the reason, such as `current_version`.",
            },
            "violations": {
                "type": "array",
                "description": "The fields of the request that are at fault.",
                "items": {
                    "type": "object",
                    "required": ["field", "description"],
                    "properties": {"field": {"type": "string"}, "description": {"type": "string"}},
                },
            },
            "findings": {
                "type": "array",
                "description": "Why validation refused a write.",
                "items": {"$ref": "#/components/schemas/Finding"},
            },
            "findings_omitted": {"type": ["integer", "string"], "description": "Findings that the response has no room for."},
            "conflicts": {
                "type": "array",
                "description": "The values that keep a Revert from being made.",
                "items": {"$ref": "#/components/schemas/RevertConflict"},
            },
            "conflicts_omitted": {"type": ["integer", "string"], "description": "Conflicts that the response has no room for."},
        },
    })
}
