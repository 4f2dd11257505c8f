use std::collections::BTreeSet;

use super::*;

/// All operations: path, method and operation.
fn operations(document: &Value) -> Vec<(&str, &str, &Value)> {
    let paths = document["paths"].as_object().expect("paths");
    let items = paths.iter().flat_map(|(path, item)| {
        let methods = item.as_object().expect("methods").iter();
        methods.map(move |(method, operation)| (path.as_str(), method.as_str(), operation))
    });
    items.collect()
}

/// Every value of the document.
fn visit<'a>(value: &'a Value, seen: &mut impl FnMut(&'a Value)) {
    seen(value);
    match value {
        Value::Object(members) => members.values().for_each(|member| visit(member, seen)),
        Value::Array(items) => items.iter().for_each(|item| visit(item, seen)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn every_rpc_has_an_operation_and_no_two_have_one_name() {
    let document = whole();
    let mut ids = BTreeSet::new();
    for (path, method, operation) in operations(&document) {
        let id = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has no name"));
        assert!(ids.insert(id), "{id} is there twice");
        assert!(operation["summary"].as_str().is_some_and(|text| !text.is_empty()), "{id} says nothing");
        assert!(operation["responses"].get("200").is_some(), "{id} has no response");
    }
    for service in POOL.services().filter(|service| service.package_name() == "confwatch.v1") {
        for rpc in service.methods() {
            let id = format!("{}_{}", service.name(), rpc.name());
            assert!(ids.contains(id.as_str()), "{id}");
        }
    }
    for id in [
        "GetDocument",
        "GetLayer",
        "PutLayer",
        "PatchLayer",
        "DeleteLayer",
        "DeleteConfig",
        "GetBundle",
        "Watch",
        "OpenApi",
    ] {
        assert!(ids.contains(id), "{id}");
    }
}

#[test]
fn every_reference_leads_somewhere() {
    let document = whole();
    let mut references = 0;
    visit(&document, &mut |value| {
        if let Some(reference) = value.get("$ref").and_then(Value::as_str) {
            references += 1;
            let pointer = reference.strip_prefix('#').expect("within the document");
            assert!(document.pointer(pointer).is_some_and(|there| !there.is_null()), "{reference}");
        }
    });
    assert!(references > 300, "{references}");
}

#[test]
fn the_fields_of_a_path_are_its_parameters() {
    let document = whole();
    for (path, method, operation) in operations(&document) {
        let in_path: BTreeSet<&str> =
            path.split('/').filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}')).collect();
        let parameters = operation["parameters"].as_array().map(Vec::as_slice).unwrap_or_default();
        let of = |place: &str| -> Vec<&str> {
            let of_place = parameters.iter().filter(|parameter| parameter["in"] == place);
            of_place.map(|parameter| parameter["name"].as_str().expect("a name")).collect()
        };
        assert_eq!(BTreeSet::from_iter(of("path")), in_path, "{method} {path}");
        let query = of("query");
        assert_eq!(BTreeSet::from_iter(&query).len(), query.len(), "{method} {path}");
        let described =
            |parameter: &Value| parameter["description"].is_string() || parameter["$ref"].is_string();
        assert!(parameters.iter().all(described), "{method} {path}");
    }
}

#[test]
fn every_field_of_a_message_is_described_with_its_comment() {
    let document = whole();
    let schemas = document["components"]["schemas"].as_object().expect("schemas");
    assert!(schemas.len() > 120, "{}", schemas.len());
    for (name, schema) in schemas {
        assert!(schema["description"].is_string(), "{name}");
        for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
            let of_problem = name == "Problem" && field == "violations";
            assert!(schema["description"].is_string() || of_problem, "{name}.{field}");
        }
    }
    // By the JSON of protobuf, with the names of the proto files.
    let get = &schemas["GetRequest"];
    assert_eq!(get["additionalProperties"], false);
    assert_eq!(get["properties"]["min_revision"]["type"], json!(["integer", "string"]));
    assert_eq!(get["properties"]["view"]["$ref"], "#/components/schemas/View");
    assert_eq!(get["properties"]["time"]["format"], "date-time");
    let answer = &schemas["GetResponse"];
    assert_eq!(answer["required"], json!(["not_modified", "store_revision"]));
    assert_eq!(schemas["View"]["enum"][1], "VIEW_EFFECTIVE");
    assert!(schemas["View"]["description"].as_str().is_some_and(|text| text.contains("- `VIEW_BASE`: ")));
}

#[test]
fn a_field_that_is_in_the_path_is_not_in_the_body() {
    let document = whole();
    let path = "/v1/namespaces/{namespace}/configs/{config}/layers:rollback";
    let content = &document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"];
    assert_eq!(content["$ref"], "#/components/schemas/RollbackBody");
    let body = document["components"]["schemas"]["RollbackBody"]["properties"].as_object().expect("fields");
    assert!(body.contains_key("version") && !body.contains_key("config"), "{body:?}");
    // A field of a message within stays, since the message is there with the rest of it.
    let set = &document["paths"]["/v1/namespaces/{namespace}/configs/{config}/layers:set"]["post"];
    assert_eq!(set["parameters"][0]["name"], "namespace");
    let audit = &document["paths"]["/v1/audit"]["get"]["parameters"];
    assert!(
        audit.as_array().expect("parameters").iter().any(|parameter| parameter["name"] == "filter.kinds")
    );
}

#[test]
fn the_document_is_sent_packed_and_once() {
    let headers = |name, value: HeaderValue| HeaderMap::from_iter([(name, value)]);
    let plain = response(&HeaderMap::new()).expect("a response");
    assert_eq!(plain.status(), StatusCode::OK);
    let packed = response(&headers(http::header::ACCEPT_ENCODING, HeaderValue::from_static("br, gzip")))
        .expect("a response");
    assert_eq!(packed.headers()[CONTENT_ENCODING], "gzip");
    assert_ne!(packed.headers()[ETAG], plain.headers()[ETAG], "other bytes have another tag");
    for made in [&plain, &packed] {
        let tag = &made.headers()[ETAG];
        let weak = format!("W/{}", tag.to_str().expect("ASCII")).try_into().expect("a tag");
        for held in [tag.clone(), weak] {
            let again = response(&headers(IF_NONE_MATCH, held.clone())).expect("a response");
            assert_eq!((again.status(), &again.headers()[ETAG]), (StatusCode::NOT_MODIFIED, tag));
        }
    }
    let refused = response(&headers(http::header::ACCEPT, HeaderValue::from_static("text/html")));
    assert_eq!(refused.err().expect("refused").reason, "NOT_ACCEPTABLE");
}
