//! What the registry says of a system config is what the engine does, for every kind: checks, rollbacks, writers, and what is followed.

use super::*;
use crate::auth::token::{make, patch_to_add};
use crate::auth::{Policy, Principal, Subject};
use crate::engine::state::system::{Check, Follow, Recheck, entry};
use crate::model::SystemConfig;
use crate::model::quota::Quota;
use crate::model::system::{Home, Writer};

/// Documents of a kind: two good ones, the second of which follows the first, and a bad one with the place of what is wrong.
pub(super) struct Example {
    pub first: Value,
    pub second: Value,
    bad: (Value, String),
}

pub(super) fn example(system: SystemConfig) -> Example {
    let of = |first, second, bad, pointer: &str| Example { first, second, bad: (bad, pointer.to_owned()) };
    match system {
        SystemConfig::Policy => {
            let policy = |name| Policy::first(&Subject::parse(name).expect("a name"));
            of(policy("user:a"), policy("user:b"), json!({"bindings": []}), "/bindings")
        }
        SystemConfig::Tokens => {
            let principal =
                Principal::new(Subject::parse("token:a").expect("a name"), vec![]).expect("no groups");
            let random = crate::auth::token::random().expect("randomness");
            let new = make(&random, "a", principal, Timestamp(1_000_000), None).expect("a token");
            let first = patch_to_add(&new);
            let mut second = first.clone();
            second["tokens"][new.id.to_string()]["revoked"] = Timestamp(2_000_000).to_string().into();
            of(first, second, json!({"tokens": {"x": {}}}), "/tokens/x")
        }
        SystemConfig::Quotas => {
            let quotas = |configs| json!({"default": {"configs": configs}});
            of(quotas(7), quotas(8), quotas(-1), "/default/configs")
        }
        SystemConfig::Backups => {
            let schedule = |cron: &str| json!({"schedules": {"a": {"cron": cron}}});
            of(schedule("0 3 * * *"), schedule("0 4 * * *"), schedule("never"), "/schedules/a/cron")
        }
        SystemConfig::Retention => {
            let days = |days| json!({"default": {"age_max_days": days}});
            of(days(7), days(8), days(-1), "/default/age_max_days")
        }
        // Nobody writes them.
        SystemConfig::Keys | SystemConfig::Tags | SystemConfig::Origin => {
            of(json!({}), json!({"a": 1}), json!(1), "")
        }
        SystemConfig::Schema => {
            let schema = |schema| json!({"active": 1, "versions": [{"number": 1, "schema": schema}]});
            of(schema(json!({})), schema(json!({"type": "object"})), schema(json!(7)), "/versions/0/schema")
        }
        SystemConfig::Rules => {
            let rules =
                |expression: &str| json!({"rules": {"a": {"expression": expression, "message": "m"}}});
            of(rules("true"), rules("1 == 1"), rules("1 +"), "/rules/a/expression")
        }
        SystemConfig::Settings => {
            of(json!({"strict": false}), json!({"strict": true}), json!({"strict": 1}), "/strict")
        }
    }
}

/// Whether callers write it as they write any other config.
fn is_written_by_changes(system: SystemConfig) -> bool {
    match system.writer() {
        Writer::Server | Writer::Tagger => false,
        Writer::Caller | Writer::SchemaOwner | Writer::Administrator => true,
    }
}

/// Every place that a kind has.
pub(super) fn ids(system: SystemConfig) -> Vec<ConfigId> {
    let in_namespace = |governed: Option<&ConfigName>| {
        let config = ConfigName::of_system(system, governed)?;
        Some(ConfigId { namespace: id(0).namespace, config })
    };
    match system.home() {
        Home::Server(_) => vec![system.id().clone()],
        Home::Config { .. } | Home::ConfigAndNamespace { .. } | Home::Namespace { .. } => {
            [in_namespace(Some(&id(0).config)), in_namespace(None)].into_iter().flatten().collect()
        }
    }
}

pub(super) fn replacing(id: &ConfigId, document: &Value) -> Change {
    Change { id: id.clone(), field: "change".to_owned(), ..put(0, 0, LayerKind::Base, document) }
}

fn pointers(refused: Result<Outcome, Error>) -> Vec<String> {
    let Err(Error::Refused(report)) = refused else { panic!("{refused:?}") };
    report.findings.into_iter().map(|finding| finding.place.pointer).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn every_system_config_does_what_its_entry_says() {
    for (system, id) in
        SystemConfig::ALL.into_iter().flat_map(|system| ids(system).into_iter().map(move |id| (system, id)))
    {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
        let engine = open(&store, |options| options.clock = Arc::new(|| Timestamp(3_000_000)));
        let Example { first, second, bad: (bad, pointer) } = example(system);
        if !is_written_by_changes(system) {
            let refused =
                write_changes(&engine, vec![replacing(&id, &first)]).await.expect_err("the server writes it");
            let holds = entry(system).holds;
            assert!(refused.to_string().contains(holds), "{refused}");
            continue;
        }
        write_changes(&engine, vec![replacing(&id, &first)]).await.expect("the first document is good");
        write_changes(&engine, vec![replacing(&id, &second)]).await.expect("the second document is good");

        let found = pointers(write_changes(&engine, vec![replacing(&id, &bad)]).await);
        assert!(found.contains(&pointer), "{id}: {found:?}");
        let mut elsewhere = replacing(&id, &second);
        elsewhere.key.scope = scope(1);
        let found = pointers(write_changes(&engine, vec![elsewhere]).await);
        assert_eq!(found, [""], "{id} has one layer, at /");

        let to = RollbackTo::Version(Version(1));
        let rollback = Intent::Rollback { id: id.clone(), to, scope: None, expected: None };
        let rolled_back = engine.write(write(Source::Rollback, rollback)).await;
        match entry(system).check {
            Check::Document(_) | Check::Contracts { .. } => {
                rolled_back.expect("any good version can be brought back");
            }
            Check::Transition(_) => assert!(!pointers(rolled_back).is_empty(), "{id}"),
            Check::Trusted => unreachable!("the server writes it"),
        }
        engine.close().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_system_config_is_followed_where_its_entry_says() {
    for system in SystemConfig::ALL.into_iter().filter(|system| is_written_by_changes(*system)) {
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(Epoch(1)));
        let engine = open(&store, |_| {});
        let id = ids(system).remove(0);
        let before = engine.state();
        write_changes(&engine, vec![replacing(&id, &example(system).first)]).await.expect("it is good");
        let after = engine.state();
        let governs = |state: &State| state.governance(&id.namespace).is_some();
        let limit = |state: &State| state.quotas().of(&id.namespace).get(Quota::Configs);
        match entry(system).follow {
            Follow::State(_) => {
                assert_ne!(limit(&before), limit(&after));
                // A new process reads the same.
                engine.close().await;
                assert_eq!(limit(&open(&store, |_| {}).state()), limit(&after));
            }
            Follow::Governance => assert!(!governs(&before) && governs(&after)),
            Follow::Reader => assert_ne!(before.versions([system]), after.versions([system])),
        }
        let rechecks = matches!(entry(system).recheck, Recheck::Documents { .. });
        assert_eq!(rechecks, id.config.governs().is_some(), "{system:?}");
    }
}
