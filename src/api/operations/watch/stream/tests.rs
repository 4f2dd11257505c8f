//! What the encoders write by hand is what the generated messages say.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::api::context::CallContext;
use crate::api::operations::Operations;
use crate::api::rpc::Rpc;
use crate::auth::Access;
use crate::engine::{Engine, Intent, Options, Origin, Resolved, Secrets, Target, View, Write};
use crate::model::text::Format;
use crate::model::{Author, ConfigId, ConfigName, LayerKey, Namespace, Scope, Source};
use crate::store::MemoryStore;

fn api() -> Operations {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(5))), Options::default()).expect("it opens");
    Operations::new(
        engine,
        crate::api::guard::Guard::off(),
        crate::audit::Recorder::none(),
        Arc::new(crate::api::ServerReport::default),
    )
}

fn target() -> Target {
    let namespace = Namespace::parse("test").expect("a name");
    let id = ConfigId { namespace, config: ConfigName::parse("app").expect("a name") };
    Target {
        id,
        scope: Scope::parse("/production").expect("a scope"),
        view: View::Base,
        secrets: Secrets::Revealed,
    }
}

async fn replace(engine: &Engine, content: &str) -> Arc<Resolved> {
    let origin = Origin {
        author: Author::named("someone"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
    };
    let change = crate::engine::Change {
        id: target().id,
        key: LayerKey::base(Scope::global()),
        ttl: None,
        action: crate::engine::Action::Replace(crate::engine::Text {
            content: content.into(),
            format: Format::Json,
        }),
        expected: None,
        field: "change".into(),
    };
    let intent = Intent::Changes(vec![change]);
    engine
        .write(Write {
            origin,
            intent,
            validate_only: false,
            without_backup: false,
            viewer: crate::engine::Viewer::new(
                crate::auth::Access::unrestricted("someone").expect("a name").visibility(),
            ),
        })
        .await
        .expect("it is written");
    let at = crate::engine::At::Latest;
    engine.document(&engine.state(), &target(), &at, "test").await.expect("it was just written")
}

async fn open(api: &Operations, targets: &[v1::WatchTarget]) -> WatchStream {
    let progress_interval = Some(Duration::from_secs(60).try_into().expect("a minute"));
    let request =
        v1::WatchRequest { targets: targets.to_vec(), progress_interval, ..v1::WatchRequest::default() };
    let context =
        CallContext::within(Rpc::ConfigServiceWatch, Access::unrestricted("someone").expect("a name"));
    api.watch(&context, request).await.expect("it opens")
}

fn wire_target(format: v1::Format) -> v1::WatchTarget {
    v1::WatchTarget {
        namespace: "test".into(),
        config: "app".into(),
        scope: "/production".into(),
        view: v1::View::Base.into(),
        format: format.into(),
        ..v1::WatchTarget::default()
    }
}

fn decoded(encoded: &Encoded) -> v1::WatchResponse {
    let bytes = encoded.encode_to_vec();
    let message = v1::WatchResponse::decode(&*bytes).expect("a message");
    assert_eq!(message.encoded_len(), bytes.len(), "there are no fields that the message does not have");
    message
}

fn state(status: TargetStatus, format: Format) -> TargetState {
    TargetState { format, status }
}

#[tokio::test]
async fn every_event_is_encoded_as_the_generated_message() {
    let api = api();
    let resolved = replace(&api.engine, r#"{"a":1}"#).await;
    let both = [wire_target(v1::Format::Json), wire_target(v1::Format::Yaml)];
    let mut stream = open(&api, &both).await;
    let watch_id = stream.subscription.watch_id();
    let states = || {
        vec![
            state(TargetStatus::Present(resolved.clone()), Format::Yaml),
            state(TargetStatus::Current(target().into()), Format::Json),
            state(TargetStatus::Absent(target().into()), Format::Json),
        ]
    };
    let document = crate::api::convert::response::document_message(&resolved, Format::Yaml, "a: 1\n");
    let expected = |state: v1::State, format, document| v1::TargetState {
        target: Some(wire_target(format)),
        state: state.into(),
        document,
    };
    let expected = vec![
        expected(v1::State::Present, v1::Format::Yaml, Some(document)),
        expected(v1::State::Current, v1::Format::Json, None),
        expected(v1::State::Absent, v1::Format::Json, None),
    ];
    let token = resume_token(Epoch(5), Revision(9));

    let event = Event::Snapshot { revision: Revision(9), states: states(), more: true, reset: true };
    let snapshot = v1::Snapshot { states: expected.clone(), more: true, is_reset: true };
    let response = v1::WatchResponse {
        revision: 9,
        resume_token: String::new(),
        watch_id,
        event: Some(v1::watch_response::Event::Snapshot(snapshot)),
    };
    assert_eq!(decoded(&stream.encode(event)), response);

    let event = Event::Update { revision: Revision(9), states: states(), more: false };
    let update = v1::Update { states: expected, more: false };
    let response = v1::WatchResponse {
        revision: 9,
        resume_token: token.clone(),
        watch_id: String::new(),
        event: Some(v1::watch_response::Event::Update(update)),
    };
    assert_eq!(decoded(&stream.encode(event)), response);

    let progress = v1::watch_response::Event::Progress(v1::Progress {});
    let response = v1::WatchResponse { event: Some(progress), ..response };
    assert_eq!(decoded(&stream.encode(Event::Progress { revision: Revision(9) })), response);
}

#[tokio::test]
async fn the_shared_update_of_one_target_says_what_one_of_its_own_would() {
    let api = api();
    let resolved = replace(&api.engine, r#"{"a":1}"#).await;
    for format in [(v1::Format::Json, Format::Json), (v1::Format::Yaml, Format::Yaml)] {
        let mut alone = open(&api, &[wire_target(format.0)]).await;
        let mut among = open(&api, &[wire_target(format.0), wire_target(v1::Format::Toml)]).await;
        among.id_is_told = true;
        let state = || state(TargetStatus::Present(resolved.clone()), format.1);
        let revision = resolved.at.revision;
        let shared = Event::Changed { revision, state: state(), shared: Arc::default() };
        let own = Event::Update { revision, states: vec![state()], more: false };
        assert_eq!(decoded(&alone.encode(shared)), decoded(&among.encode(own)));
    }
}

/// The store may be ahead of what the stream was told: a newer revision would promise what was not sent.
#[tokio::test]
async fn a_target_that_is_gone_is_told_with_the_revision_at_which_the_stream_looked() {
    let api = api();
    let mut stream = open(&api, &[wire_target(v1::Format::Json)]).await;
    for content in ["{}", r#"{"a":1}"#, r#"{"a":2}"#] {
        replace(&api.engine, content).await;
    }
    let state = state(TargetStatus::Absent(target().into()), Format::Json);
    let message =
        decoded(&stream.encode(Event::Changed { revision: Revision(2), state, shared: Arc::default() }));
    assert_eq!(message.revision, 2);
    assert_eq!(message.resume_token, resume_token(Epoch(5), Revision(2)));
}
