//! What governs access, in a store whose history is older than the checks of it.

use super::*;
use crate::auth::{Policy, Subject};
use crate::model::{Author, Commit, Content, LayerChange, SystemConfig, Timestamp, Version};

fn policy_id() -> ConfigId {
    SystemConfig::Policy.id().clone()
}

/// A commit as an engine without checks would have made it.
fn unchecked(revision: u64, document: &Value) -> Commit {
    let layer = LayerChange {
        key: LayerKey::base(Scope::global()),
        content: Some(Content::of(document)),
        expires: None,
        format: None,
    };
    let change = crate::model::ConfigChange {
        id: policy_id(),
        version: Version(revision),
        layers: vec![layer],
        tags: vec![],
        restored: None,
    };
    Commit {
        revision: Revision(revision),
        time: Timestamp(1),
        author: Author::named("test"),
        source: Source::Set,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
        changes: vec![change],
        forgotten: vec![],
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_rollback_to_a_policy_that_cannot_be_used_is_refused() {
    let store = MemoryStore::new(Epoch(1));
    let good = Policy::first(&Subject::parse("user:admin").expect("a name"));
    let unreadable = json!({"bindings": "everybody"});
    let nobody = json!({"roles": {}, "bindings": []});
    store.append(&[unchecked(1, &unreadable), unchecked(2, &nobody), unchecked(3, &good)]).expect("appended");
    let engine = open(&(Arc::new(store) as Arc<dyn Store>), |_| {});
    for version in [1, 2] {
        let to = RollbackTo::Version(Version(version));
        let intent = Intent::Rollback { id: policy_id(), to, scope: None, expected: None };
        let refused = engine.write(write(Source::Rollback, intent)).await;
        let Err(Error::Refused(_)) = &refused else { panic!("{refused:?}") };
    }
    assert_eq!(engine.state().revision, Revision(3));
}
