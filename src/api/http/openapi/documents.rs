//! Documents and layers as such, in the description. Knows the forms of `documents` by name; no request.

use http::Method;
use prost_reflect::{DescriptorPool, MessageDescriptor};
use serde_json::{Map, Value, json};

use super::by_hand::header_parameters;
use super::operations::{parameter, path_parameter};
use super::paths::add;
use super::schemas::Schemas;

const CONFIG: &str = "/v1/namespaces/{namespace}/configs/{config}";
const LAYER: &str = "/v1/namespaces/{namespace}/configs/{config}/layers/{scope}";
/// Headers of every response with a document or a layer.
const FACTS: [(&str, &str); 6] = [
    ("etag", "Names this content: of a document `\"DIGEST-FORMAT\"`, of a layer `\"vVERSION\"`."),
    ("confwatch-version", "The version of the config."),
    ("confwatch-revision", "The revision that made the version."),
    ("confwatch-store-revision", "The newest revision of the store when it was read."),
    ("confwatch-digest", "The digest of the document."),
    ("confwatch-scope", "The scope, in normal form."),
];

/// Adds the operations of documents and layers.
pub fn add_all(paths: &mut Map<String, Value>, schemas: &mut Schemas<'_>, pool: &DescriptorPool) {
    let message = |name: &str| {
        pool.get_message_by_name(&format!("confwatch.v1.{name}")).expect("a message of the contract")
    };
    let (get, set, delete) = (message("GetRequest"), message("Change"), message("DeleteRequest"));
    let options = message("WriteOptions");
    let mut operation = |method: &Method,
                         path: &str,
                         id: &str,
                         about: &str,
                         of: &MessageDescriptor,
                         query: &[&str]| {
        let mut parameters: Vec<Value> =
            ["namespace", "config"].iter().map(|name| path_parameter(of, name, schemas)).collect();
        if path == LAYER {
            parameters.push(json!({
                "name": "scope",
                "in": "path",
                "required": true,
                "description": "The scope without its first `/`: `production/eu`. Nothing for the scope `/`. A `/` within may stand for itself.",
                "schema": {"type": "string"},
            }));
        }
        for name in query {
            let of = if of.get_field_by_name(name).is_some() { of } else { &options };
            let field = of.get_field_by_name(name).expect("a field of the request");
            parameters.push(parameter("query", name, schemas.field(&field)));
        }
        parameters.extend(header_parameters());
        let described = json!({
            "operationId": id,
            "tags": ["Documents"],
            "summary": about.split_once(". ").map_or(about.trim_end_matches('.'), |(first, _)| first),
            "description": about,
            "parameters": parameters,
        });
        add(paths, path.to_owned(), method, described);
    };
    let at = ["version", "tag", "revision", "time", "pointer", "min_revision"];
    let of_document = [&["scope", "view", "apply_defaults"][..], &at].concat();
    let write = ["kind", "ttl", "reason", "validate_only", "without_backup"];
    let remove = ["kind", "reason", "validate_only", "without_backup"];
    operation(
        &Method::GET,
        CONFIG,
        "GetDocument",
        "Reads a document as it is. `Accept` chooses JSON, YAML or TOML, and `If-None-Match` with the ETag saves the content. A gateway can \
         give the scope as the header `confwatch-scope`.",
        &get,
        &of_document,
    );
    operation(&Method::GET, LAYER, "GetLayer", "Reads a layer as it is, not merged with others.", &get, &at);
    operation(
        &Method::PUT,
        LAYER,
        "PutLayer",
        "Replaces a layer by the content. `If-Match` with the ETag of the layer: only if the layer is as it was, and with `*`: only if there is one. \
         `If-None-Match: *`: only if there is none.",
        &set,
        &write,
    );
    operation(
        &Method::PATCH,
        LAYER,
        "PatchLayer",
        "Changes a layer by a JSON merge patch or a JSON patch. `If-Match` and `If-None-Match` as for a PUT.",
        &set,
        &write,
    );
    operation(
        &Method::DELETE,
        LAYER,
        "DeleteLayer",
        "Deletes a layer. History stays. `If-Match` as for a PUT.",
        &delete,
        &remove,
    );
    operation(
        &Method::DELETE,
        CONFIG,
        "DeleteConfig",
        "Deletes all layers of a config, of both kinds. History stays. `If-Match` is required: `\"vN\"` for version N of the config, which `confwatch-version` \
         of a read has, or `*` for any. Without it the response is 428. With `validate_only=true` it is not required, nothing is deleted, and the \
         response says what would be, and whom it reaches.",
        &delete,
        &remove[1..],
    );
    complete(paths, schemas, &message);
}

/// Adds contents and responses.
fn complete(
    paths: &mut Map<String, Value>,
    schemas: &mut Schemas<'_>,
    message: &dyn Fn(&str) -> MessageDescriptor,
) {
    let mut headers: Map<String, Value> = FACTS
        .iter()
        .map(|(name, about)| {
            ((*name).to_owned(), json!({"description": about, "schema": {"type": "string"}}))
        })
        .collect();
    headers.insert("confwatch-epoch".to_owned(), json!({"$ref": "#/components/headers/Epoch"}));
    let text = || json!({"schema": {"type": "string"}});
    let documents = json!({
        "application/json": {"schema": {}},
        "application/yaml": text(),
        "application/toml": text(),
    });
    let problem = || json!({"$ref": "#/components/responses/Problem"});
    let read = json!({
        "200": {"description": "The content.", "headers": headers, "content": documents},
        "304": {"description": "The client has it.", "headers": headers},
        "412": problem(),
        "default": problem(),
    });
    paths[CONFIG]["get"]["responses"] = read.clone();
    paths[LAYER]["get"]["responses"] = read;
    let mut written = |about: &str, name: &str| {
        let schema = schemas.message(&message(name), &[]);
        json!({"description": about, "headers": headers, "content": {"application/json": {"schema": schema}}})
    };
    let set = json!({
        "200": written("The outcome.", "SetResponse"),
        "201": written("The outcome: with `If-None-Match: *`, the layer is new.", "SetResponse"),
        "412": problem(),
        "default": problem(),
    });
    paths[LAYER]["delete"]["responses"] = json!({
        "200": written("The outcome.", "DeleteResponse"),
        "412": problem(),
        "default": problem(),
    });
    paths[CONFIG]["delete"]["responses"] = json!({
        "200": written("The outcome.", "DeleteResponse"),
        "412": problem(),
        "428": problem(),
        "default": problem(),
    });
    paths[LAYER]["put"]["responses"] = set.clone();
    paths[LAYER]["patch"]["responses"] = set;
    let object = || json!({"schema": {"type": "object"}});
    paths[LAYER]["put"]["requestBody"] = json!({
        "required": true,
        "content": {"application/json": object(), "application/yaml": text(), "application/toml": text()},
    });
    paths[LAYER]["patch"]["requestBody"] = json!({
        "required": true,
        "content": {
            "application/merge-patch+json": object(),
            "application/json-patch+json": {"schema": {"type": "array", "items": {"type": "object"}}},
        },
    });
}
