//! Calls that keep much in memory: of one actor few run at once, and the others wait before they read anything.

use std::sync::Arc;

use futures_util::FutureExt;

use super::*;
use crate::api::context::CallContext;
use crate::api::guard::Guard;
use crate::api::rpc::Rpc;
use crate::auth::Access;
use crate::engine::{LargeCall, Options};
use crate::model::Epoch;
use crate::proto::v1;
use crate::store::MemoryStore;

fn operations() -> Operations {
    let engine = Engine::open(Arc::new(MemoryStore::new(Epoch(5))), Options::default()).expect("it opens");
    Operations::new(engine, Guard::off(), Recorder::none(), Arc::new(crate::api::ServerReport::default))
}

fn context(actor: &str) -> CallContext {
    CallContext::within(Rpc::ConfigServiceRevert, Access::unrestricted(actor).expect("a name"))
}

/// As many large calls as the actor may have at once.
async fn begin_all(operations: &Operations, actor: &str) -> Vec<LargeCall> {
    let mut begun = vec![];
    while let Some(large) = operations.engine.begin_large(actor).now_or_never() {
        begun.push(large);
    }
    begun
}

#[tokio::test]
async fn a_call_that_keeps_much_in_memory_waits_for_those_of_its_actor_before_it_reads() {
    let operations = operations();
    let (namespace, config, scope) = ("test".to_owned(), "app".to_owned(), "/".to_owned());
    let change = v1::Change {
        namespace: namespace.clone(),
        config: config.clone(),
        scope: scope.clone(),
        action: Some(v1::change::Action::Replace(v1::Text { content: "{\"a\":1}".into(), format: 1 })),
        ..v1::Change::default()
    };
    let set = v1::SetRequest { change: Some(change), ..v1::SetRequest::default() };
    let revision = operations.set(&context("busy"), set).await.expect("it is set").store_revision;

    let begun = begin_all(&operations, "busy").await;
    assert!((2..=3).contains(&begun.len()), "{}", begun.len());
    let (busy, other) = (context("busy"), context("other"));
    let get = v1::GetRequest { namespace, config, scope, ..v1::GetRequest::default() };
    let explain = || v1::ExplainRequest {
        namespace: get.namespace.clone(),
        config: get.config.clone(),
        scope: get.scope.clone(),
        ..v1::ExplainRequest::default()
    };
    let blame = v1::BlameRequest {
        namespace: get.namespace.clone(),
        config: get.config.clone(),
        scope: get.scope.clone(),
        ..v1::BlameRequest::default()
    };
    let versions = v1::ListVersionsRequest {
        namespace: get.namespace.clone(),
        config: get.config.clone(),
        ..v1::ListVersionsRequest::default()
    };
    let rollback = v1::RollbackRequest {
        namespace: get.namespace.clone(),
        config: get.config.clone(),
        to: Some(v1::rollback_request::To::Version(1)),
        ..v1::RollbackRequest::default()
    };
    let restore = v1::RestoreRequest {
        namespace: get.namespace.clone(),
        config: get.config.clone(),
        to: Some(v1::restore_request::To::Revision(revision)),
        ..v1::RestoreRequest::default()
    };
    let clients = v1::ListClientsRequest {
        namespace: get.namespace.clone(),
        scope: get.scope.clone(),
        ..v1::ListClientsRequest::default()
    };
    let diff =
        v1::DiffRequest { older: Some(get.clone()), newer: Some(get.clone()), ..v1::DiffRequest::default() };
    let revert = v1::RevertRequest { revisions: vec![revision], options: None };
    let commit = v1::GetCommitRequest { revision, ..v1::GetCommitRequest::default() };
    let mut waiting = [
        operations.explain(&busy, explain()).map(|answer| answer.map(drop)).boxed(),
        operations.blame(&busy, blame).map(|answer| answer.map(drop)).boxed(),
        operations.list_versions(&busy, versions).map(|answer| answer.map(drop)).boxed(),
        operations
            .list_changes(&busy, v1::ListChangesRequest::default())
            .map(|answer| answer.map(drop))
            .boxed(),
        operations.get_commit(&busy, commit).map(|answer| answer.map(drop)).boxed(),
        operations.diff(&busy, diff).map(|answer| answer.map(drop)).boxed(),
        operations.list_clients(&busy, clients).map(|answer| answer.map(drop)).boxed(),
        operations.restore(&busy, restore).map(|answer| answer.map(drop)).boxed(),
        operations.rollback(&busy, rollback).map(|answer| answer.map(drop)).boxed(),
        operations.revert(&busy, revert).map(|answer| answer.map(drop)).boxed(),
    ];
    // Long enough for all that a call does before it waits.
    for _ in 0..100 {
        for (at, call) in waiting.iter_mut().enumerate() {
            assert!(call.now_or_never().is_none(), "call {at} does not wait");
        }
        tokio::task::yield_now().await;
    }
    operations.explain(&other, explain()).await.expect("another actor does not wait");
    drop(begun);
    for (at, call) in waiting.into_iter().enumerate() {
        call.await.unwrap_or_else(|error| panic!("call {at}: {}", error.message));
    }
}

/// A change of a value of a config at `/`.
fn assign(config: &str, value: u64) -> v1::Change {
    let values = [("n".to_owned(), value.to_string())].into_iter().collect();
    v1::Change {
        namespace: "test".into(),
        config: config.into(),
        scope: "/".into(),
        action: Some(v1::change::Action::Assign(v1::Assignments { values })),
        ..v1::Change::default()
    }
}

#[tokio::test]
async fn a_small_request_for_large_layers_waits_for_the_large_calls_of_its_actor() {
    let operations = operations();
    let busy = context("busy");
    let text = "x".repeat(600 << 10);
    for config in ["a", "b"] {
        let content = format!(r#"{{"n":0,"text":"{text}"}}"#);
        let replace = v1::change::Action::Replace(v1::Text { content, format: 1 });
        let change = v1::Change { action: Some(replace), ..assign(config, 0) };
        let set = v1::SetRequest { change: Some(change), ..v1::SetRequest::default() };
        operations.set(&busy, set).await.expect("it is set");
    }
    let begun = begin_all(&operations, "busy").await;
    let both = || vec![assign("a", 1), assign("b", 1)];
    let validate = v1::ValidateRequest { changes: both(), ..v1::ValidateRequest::default() };
    let dry_run = v1::WriteOptions { validate_only: true, ..v1::WriteOptions::default() };
    let apply = v1::ApplyRequest { changes: both(), options: Some(dry_run) };
    let past = v1::GetRequest {
        namespace: "test".into(),
        config: "a".into(),
        scope: "/".into(),
        at: Some(v1::get_request::At::Revision(1)),
        ..v1::GetRequest::default()
    };
    let batch = v1::BatchGetRequest { requests: vec![past], ..Default::default() };
    let mut waiting = [
        operations.validate(&busy, validate).map(|answer| answer.map(drop)).boxed(),
        operations.apply(&busy, apply).map(|answer| answer.map(drop)).boxed(),
        operations.batch_get(&busy, batch).map(|answer| answer.map(drop)).boxed(),
    ];
    // Another write of the same actor is small, and passes them.
    let small = v1::SetRequest { change: Some(assign("small", 1)), ..v1::SetRequest::default() };
    for (at, call) in waiting.iter_mut().enumerate() {
        assert!(call.now_or_never().is_none(), "call {at} does not wait");
    }
    operations.set(&busy, small).await.expect("it is set");
    for (at, call) in waiting.iter_mut().enumerate() {
        assert!(call.now_or_never().is_none(), "call {at} does not wait");
    }
    drop(begun);
    // All at once: they take their turns in the order in which they began to wait.
    for (at, ended) in futures_util::future::join_all(waiting).await.into_iter().enumerate() {
        ended.unwrap_or_else(|error| panic!("call {at}: {}", error.message));
    }
}

#[tokio::test]
async fn a_large_answer_is_encoded_as_a_small_one_is_and_refused_beyond_the_limit() {
    let operations = operations();
    let answer = |bytes| v1::Document { content: "x".repeat(bytes), ..v1::Document::default() };
    for bytes in [1, ENCODED_INLINE_BYTES_MAX, 1 << 20] {
        let encoded = operations.encoded("someone", answer(bytes)).await.expect("it fits");
        assert_eq!(encoded.into_frame(), Encoded::of(&answer(bytes)).into_frame());
    }
    let refused = operations.encoded("someone", answer(super::super::codec::MESSAGE_BYTES_MAX)).await;
    assert_eq!(refused.map(drop).expect_err("too large").reason, "MESSAGE_TOO_LARGE");
}
