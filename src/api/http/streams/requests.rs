//! Requests of streams by what a browser can send: a query, and the id of the last event that it got. Knows fields by name; no operation.

use bytes::Bytes;
use prost::Message;
use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use super::event_id::resume;
use crate::api::error::ApiError;
use crate::api::http::errors::invalid;
use crate::api::http::parameters::{Source, parameters, set};
use crate::api::http::transcode::{POOL, method};
use crate::api::rpc::Rpc;
use crate::proto::v1;

const WATCH_REQUEST: &str = "confwatch.v1.WatchRequest";
const TARGET: &str = "target";
const LABEL: &str = "label";
/// What a stream goes on after.
const RESUME_TOKEN: &str = "resume_token";
/// Fields that say where a stream begins. A stream that is resumed does not.
const BEGINNINGS: [&str; 3] = ["from_revision", "from_sequence", "from_time"];

/// Reads the request of a watch from a query: `target=NAMESPACE/CONFIG[@SCOPE]` for each target, `view`, `format` and `apply_defaults` of all targets,
/// `label=NAME=VALUE` for each label, and the fields of `WatchRequest` that are texts.
pub fn watch(query: &str) -> Result<v1::WatchRequest, ApiError> {
    let message =
        |name| DynamicMessage::new(POOL.get_message_by_name(name).expect("a message of the contract"));
    let (mut request, mut of_all) = (message(WATCH_REQUEST), message("confwatch.v1.WatchTarget"));
    let (mut targets, mut labels) = (vec![], vec![]);
    for parameter in parameters(query) {
        let (name, value) = parameter?;
        match name.as_str() {
            TARGET => targets.push(target(&value)?),
            LABEL => labels.push(label(&value)?),
            "view" | "format" | "apply_defaults" => set(&mut of_all, &name, &value, Source::Query)?,
            _ => set(&mut request, &name, &value, Source::Query)?,
        }
    }
    let of_all = decode::<v1::WatchTarget>(&of_all);
    let mut request = decode::<v1::WatchRequest>(&request);
    if targets.is_empty() {
        return Err(invalid(TARGET, "must be given: `target=NAMESPACE/CONFIG@SCOPE`"));
    }
    request.targets = targets
        .into_iter()
        .map(|(namespace, config, scope)| v1::WatchTarget { namespace, config, scope, ..of_all.clone() })
        .collect();
    for (name, value) in labels {
        if request.labels.insert(name.clone(), value).is_some() {
            return Err(invalid(LABEL, &format!("has `{name}` twice")));
        }
    }
    Ok(request)
}

/// The request of a stream of any RPC that goes on after the event with this id, if the RPC can. `message` is encoded, and so is the request.
pub fn resumed(rpc: Rpc, message: Bytes, id: &str) -> Bytes {
    let input = method(rpc).input();
    if input.full_name() == WATCH_REQUEST {
        let Ok(mut request) = v1::WatchRequest::decode(message.clone()) else { return message };
        resume(&mut request, id);
        return request.encode_to_vec().into();
    }
    let Ok(mut request) = DynamicMessage::decode(input, message.clone()) else { return message };
    resume_after(&mut request, id);
    request.encode_to_vec().into()
}

/// The request of a watch, of whose client the ids of events say what it holds. `None`: the stream is no watch.
pub fn watch_of(rpc: Rpc, message: &Bytes) -> Option<v1::WatchRequest> {
    let is_watch = method(rpc).input().full_name() == WATCH_REQUEST;
    is_watch.then(|| v1::WatchRequest::decode(message.clone()).ok()).flatten()
}

fn resume_after(request: &mut DynamicMessage, id: &str) {
    let token = id.split(';').next().unwrap_or_default();
    let descriptor = request.descriptor();
    if token.is_empty() || descriptor.get_field_by_name(RESUME_TOKEN).is_none() {
        return;
    }
    request.set_field_by_name(RESUME_TOKEN, Value::String(token.to_owned()));
    for name in BEGINNINGS {
        request.clear_field_by_name(name);
    }
}

fn decode<M: Message + Default>(message: &DynamicMessage) -> M {
    M::decode(&*message.encode_to_vec()).expect("a message of the same form")
}

/// `shop/checkout@/production`: namespace, config and scope.
fn target(text: &str) -> Result<(String, String, String), ApiError> {
    let (name, scope) = text.split_once('@').unwrap_or((text, ""));
    match name.split_once('/') {
        Some((namespace, config)) if !namespace.is_empty() && !config.is_empty() => {
            Ok((namespace.to_owned(), config.to_owned(), scope.to_owned()))
        }
        Some(_) | None => Err(invalid(TARGET, &format!("{text:?} is no NAMESPACE/CONFIG@SCOPE"))),
    }
}

fn label(text: &str) -> Result<(String, String), ApiError> {
    let (name, value) =
        text.split_once('=').ok_or_else(|| invalid(LABEL, &format!("{text:?} is no NAME=VALUE")))?;
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_names_targets() {
        let query =
            "target=shop/checkout@/production&target=shop/*&view=VIEW_BASE&label=zone=eu&client_id=pod+1";
        let request = watch(query).expect("a request");
        let target = |config: &str, scope: &str| v1::WatchTarget {
            namespace: "shop".into(),
            config: config.into(),
            scope: scope.into(),
            view: v1::View::Base.into(),
            ..Default::default()
        };
        assert_eq!(request.targets, [target("checkout", "/production"), target("*", "")]);
        assert_eq!(request.labels, [("zone".to_owned(), "eu".to_owned())].into());
        assert_eq!(request.client_id, "pod 1");
    }

    #[test]
    fn a_query_that_is_not_understood_names_its_parameter() {
        for (query, expected) in [
            ("", "target: must be given"),
            ("target=shop", "target: \"shop\" is no NAMESPACE/CONFIG@SCOPE"),
            ("target=/a", "is no NAMESPACE/CONFIG@SCOPE"),
            ("target=a/b&label=x", "label: \"x\" is no NAME=VALUE"),
            ("target=a/b&label=x=1&label=x=2", "label: has `x` twice"),
            ("target=a/b&view=BASE", "view: "),
            ("target=a/b&tarket=a/c", "tarket: there is no field `tarket`"),
            ("target=a/b&progress_interval=x", "progress_interval: "),
        ] {
            let refused = watch(query).expect_err(query);
            assert!(refused.message.contains(expected), "{query}: {}", refused.message);
        }
    }

    #[test]
    fn a_stream_that_is_resumed_does_not_begin_at_a_revision() {
        let descriptor = POOL.get_message_by_name("confwatch.v1.StreamChangesRequest").expect("a message");
        let mut request = DynamicMessage::new(descriptor);
        set(&mut request, "from_revision", "7", Source::Query).expect("a revision");
        set(&mut request, "namespace", "shop", Source::Query).expect("a namespace");
        resume_after(&mut request, "1.feed.2a");
        let request: v1::StreamChangesRequest = decode(&request);
        assert_eq!((request.resume_token.as_str(), request.from_revision), ("1.feed.2a", 0));
        assert_eq!(request.namespace, "shop");
    }
}
