//! The description of the HTTP door as an OpenAPI 3.1 document, made once from the descriptors of the contract and the comments in them. Knows
//! descriptors and JSON; no call.

mod by_hand;
mod comments;
mod documents;
mod operations;
mod paths;
mod schemas;

use std::io::Write;
use std::sync::LazyLock;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{CACHE_CONTROL, CONTENT_ENCODING, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use prost_reflect::{DescriptorPool, ServiceDescriptor};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

use super::content::{self, add_headers};
use super::encoding::{self, Encoding};
use super::etag::{self, EntityTag, Tags};
use super::headers::accepted;
use super::routes;
use super::transcode::{POOL, method};
use crate::api::body::ResponseBody;
use crate::api::error::ApiError;

use comments::Comments;
use operations::{Route, operation};
use paths::add;
use schemas::Schemas;

const JSON: &str = "application/json";

/// The document as it is sent.
struct Made {
    plain: Bytes,
    packed: Bytes,
    tag: EntityTag,
}

static MADE: LazyLock<Made> = LazyLock::new(|| {
    let plain: Bytes = whole().to_string().into();
    let mut packer = GzEncoder::new(vec![], Compression::default());
    let packed = packer.write_all(&plain).and_then(|()| packer.finish()).expect("memory takes everything");
    let tag = EntityTag::of_digest(&hex::encode(Sha256::digest(&plain))[..16], "json");
    Made { plain, packed: packed.into(), tag }
});

/// The response with the document. It is made for the first of them.
pub fn response(headers: &HeaderMap) -> Result<Response<ResponseBody>, ApiError> {
    accepted(headers, &[JSON])?;
    let Made { plain, packed, tag } = &*MADE;
    let held = Tags::of(headers, IF_NONE_MATCH)?.and_then(|tags| tags.held(tag));
    let json = HeaderValue::from_static(JSON);
    let tag = held.clone().unwrap_or_else(|| tag.to_string());
    let mut tag = HeaderValue::try_from(tag).expect("a tag is a header value");
    let mut response = match (held, encoding::accepted(headers)) {
        (Some(_), _) => content::empty(StatusCode::NOT_MODIFIED),
        (None, Encoding::Identity) => content::response(StatusCode::OK, json, plain.clone(), None),
        (None, Encoding::Gzip) => {
            let mut response = content::response(StatusCode::OK, json, packed.clone(), None);
            response.headers_mut().insert(CONTENT_ENCODING, encoding::gzip());
            tag = etag::of_packed(&tag).unwrap_or(tag);
            response
        }
    };
    response.headers_mut().insert(ETAG, tag);
    response.headers_mut().insert(VARY, HeaderValue::from_static("accept-encoding"));
    // It is no secret, and the same for everybody.
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    add_headers(response.headers_mut());
    Ok(response)
}

/// The document of all routes.
fn whole() -> Value {
    let annotated = routes::annotated();
    let methods: Vec<_> = annotated.iter().map(|route| (method(route.rpc), route)).collect();
    let mut described: Vec<Route<'_>> = vec![];
    for (rpc, route) in &methods {
        let number = described.iter().filter(|before| before.rpc == rpc).count();
        let path = route.path();
        described.push(Route { rpc, method: route.method(), path, has_body: route.has_content(), number });
    }
    document(&POOL, &described)
}

fn document(pool: &DescriptorPool, routes: &[Route<'_>]) -> Value {
    let comments = Comments::of(pool);
    let services: Vec<ServiceDescriptor> =
        pool.services().filter(|service| service.package_name() == "confwatch.v1").collect();
    let rpcs = services.iter().flat_map(ServiceDescriptor::methods);
    let mut schemas = Schemas::new(&comments, rpcs.map(|rpc| rpc.input()));
    let mut paths = Map::new();
    for route in routes {
        let (path, described) = operation(route, &mut schemas, &comments);
        add(&mut paths, path, route.method, described);
    }
    documents::add_all(&mut paths, &mut schemas, pool);
    by_hand::add_all(&mut paths, &mut schemas, pool);
    let tags: Vec<Value> = services
        .iter()
        .map(|service| {
            let comment = comments.at(&service.parent_file(), service.path());
            json!({"name": service.name(), "description": comment})
        })
        .chain([json!({"name": "Documents", "description": "Documents and layers as JSON, YAML or TOML."})])
        .collect();
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "confwatch",
            "version": env!("CARGO_PKG_VERSION"),
            "description": by_hand::ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": tags,
        "security": [{"bearer": []}, {"certificate": []}],
        "paths": paths,
        "components": {
            "schemas": schemas.into_components(),
            "parameters": by_hand::parameters(),
            "headers": by_hand::headers(),
            "responses": by_hand::responses(),
            "securitySchemes": by_hand::security_schemes(),
        },
    })
}

#[cfg(test)]
mod tests;
