//! The routes of HTTP: each RPC has one, in one style, and no request has two. Knows descriptors.

use prost_reflect::{FieldDescriptor, Kind, MessageDescriptor};

use crate::routes::{Route, routes, routes_of, rpcs, variable};

/// The routes that no RPC has alone: documents as documents, a watch by its query, and the description of all routes.
const BY_HAND: [(&str, &str); 7] = [
    ("GET", "/v1/namespaces/{namespace}/configs/{config}"),
    ("GET", "/v1/namespaces/{namespace}/configs/{config}/layers/**"),
    ("PUT", "/v1/namespaces/{namespace}/configs/{config}/layers/**"),
    ("PATCH", "/v1/namespaces/{namespace}/configs/{config}/layers/**"),
    ("DELETE", "/v1/namespaces/{namespace}/configs/{config}/layers/**"),
    ("GET", "/v1/watch"),
    ("GET", "/openapi.json"),
];

#[test]
fn every_rpc_has_one_route() {
    for rpc in rpcs() {
        let routes = routes_of(rpc.clone());
        let first = routes.iter().filter(|route| !route.is_additional).count();
        assert_eq!(first, 1, "{}", rpc.full_name());
        // Another way to the same: a field of the query becomes a part of the path.
        for route in routes.iter().filter(|route| route.is_additional) {
            let first = routes[0].variables();
            assert!(first.len() < route.variables().len(), "{} binds no further field", route.path);
            assert_eq!((&route.method, &route.body), (&routes[0].method, &routes[0].body));
        }
    }
}

#[test]
fn no_request_has_two_routes() {
    let mut all: Vec<(String, String, String)> =
        routes().iter().map(|route| (route.method.clone(), route.path.clone(), route.rpc_name())).collect();
    all.extend(BY_HAND.map(|(method, path)| (method.into(), path.into(), "by hand".into())));
    for (n, (method, path, name)) in all.iter().enumerate() {
        for (other_method, other, other_name) in &all[n + 1..] {
            assert!(
                method != other_method || !overlap(path, other),
                "{method} {path} ({name}) and {other} ({other_name}) match the same request"
            );
        }
    }
}

/// Whether a path matches both templates.
fn overlap(a: &str, b: &str) -> bool {
    let (mut a, mut b) = (a.split('/'), b.split('/'));
    loop {
        match (a.next(), b.next()) {
            (None, None) => return true,
            // The rest, which may be empty.
            (Some("**"), _) | (_, Some("**")) => return true,
            (Some(a), Some(b)) if a == b || variable(a).is_some() || variable(b).is_some() => {}
            _ => return false,
        }
    }
}

#[test]
fn overlapping_templates_are_found() {
    for (a, b, expected) in [
        ("/v1/a/{b}", "/v1/a/{c}", true),
        ("/v1/a/{b}", "/v1/a/c", true),
        ("/v1/a/{b}", "/v1/a", false),
        ("/v1/a/**", "/v1/a/b/c", true),
        ("/v1/a:b", "/v1/a", false),
    ] {
        assert_eq!(overlap(a, b), expected, "{a} {b}");
    }
}

/// Reads that fit a query are GET, everything else is a POST to `COLLECTION:verb` with the whole request. A verb never follows a name: names of
/// system configs have a colon, such as `schema:checkout`.
#[test]
fn routes_have_one_style() {
    for route in routes() {
        let Route { path, .. } = &route;
        assert!(path.starts_with("/v1/"), "{path}");
        let segments = route.segments();
        for (n, segment) in segments.iter().enumerate() {
            let (noun, verb) =
                segment.split_once(':').map_or((*segment, None), |(noun, verb)| (noun, Some(verb)));
            let is_last = n + 1 == segments.len();
            assert!(verb.is_none() || is_last && variable(noun).is_none(), "{path}: where the verb is");
            if variable(noun).is_none() {
                let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
                assert!(noun.chars().all(is_plain), "{path}: {noun}");
            }
            if let Some(verb) = verb {
                assert!(verb.starts_with(|c: char| c.is_ascii_lowercase()), "{path}: {verb}");
                assert!(verb.chars().all(|c| c.is_ascii_alphabetic()), "{path}: {verb}");
            }
        }
        let has_verb = path.contains(':');
        match route.method.as_str() {
            "GET" => assert!(route.body.is_empty() && !has_verb, "GET {path}"),
            // `/v1/watch` is a POST for who sends what it holds, and a GET for browsers.
            "POST" => {
                assert!(route.body == "*" && (has_verb || route.rpc.is_server_streaming()), "POST {path}")
            }
            other => panic!("{other} {path}: routes of RPCs are GET or POST"),
        }
    }
}

#[test]
fn what_is_in_a_path_or_a_query_can_be_written_there() {
    for route in routes() {
        let input = route.rpc.input();
        for variable in route.variables() {
            let field = field(&input, variable);
            let field = field.unwrap_or_else(|| panic!("{}: {} has no {variable}", route.path, input.name()));
            assert!(is_value(&field) && !field.is_list(), "{}: {variable}", route.path);
        }
        if route.method == "GET" {
            for field in input.fields() {
                let within = match field.kind() {
                    Kind::Message(message) if !is_value(&field) => message.fields().collect(),
                    _ => vec![field.clone()],
                };
                let said = route.rpc_name();
                assert!(
                    !field.is_map() && (!field.is_list() || is_value(&field)),
                    "{said}: {}",
                    field.name()
                );
                assert!(within.iter().all(is_value), "{said}: {} has messages within", field.name());
            }
        }
    }
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

/// Whether proto3 JSON writes it as one text, number or boolean.
fn is_value(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => {
            matches!(message.full_name(), "google.protobuf.Timestamp" | "google.protobuf.Duration")
        }
        _ => true,
    }
}
