//! The writes: what is asked, what the journal must say once it was done. Knows the wire; not who writes when.

use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::*;
use fastrand::Rng;
use tonic::{Code, Status};
use tonic_types::StatusExt;

use super::server::Client;
use super::writers::{Acknowledged, Answer};

pub const NAMESPACE: &str = "kill";
/// Written one at a time, by everybody.
pub const SOLOS: [&str; 4] = ["solo-0", "solo-1", "solo-2", "solo-3"];
/// Written together, by Apply alone, with the same counter in each.
pub const PAIRS: [&str; 3] = ["pair-a", "pair-b", "pair-c"];
pub const SCOPES: [&str; 3] = ["/", "/production", "/production/checkout"];
const TAGS: [&str; 2] = ["stable", "baseline"];

/// One write, ready to be sent, and to be sent again.
#[derive(Clone, Debug)]
pub enum Write {
    Set(SetRequest),
    Apply(ApplyRequest),
    Delete(DeleteRequest),
    Rollback(RollbackRequest),
    SetTag(SetTagRequest),
    DeleteTag(DeleteTagRequest),
}

impl Write {
    pub fn random(id: String, rng: &mut Rng) -> Write {
        let options = Some(WriteOptions { request_id: id.clone(), ..Default::default() });
        let namespace = NAMESPACE.to_owned();
        let config = rng.choice(SOLOS).expect("there are some").to_owned();
        let scope = rng.choice(SCOPES).expect("there are some").to_owned();
        let tag = rng.choice(TAGS).expect("there are some").to_owned();
        match rng.u8(..100) {
            0..45 => Write::Set(SetRequest { change: Some(change(config, scope, &id, rng)), options }),
            45..70 => {
                let bytes = size(rng);
                let changes = PAIRS.map(|pair| Change {
                    namespace: namespace.clone(),
                    config: pair.into(),
                    action: Some(Action::Replace(document(&id, bytes))),
                    ..Default::default()
                });
                Write::Apply(ApplyRequest { changes: changes.into(), options })
            }
            70..78 => {
                // Without a scope: the whole config.
                let scope = rng.bool().then_some(scope);
                Write::Delete(DeleteRequest { namespace, config, scope, options, ..Default::default() })
            }
            78..88 => {
                let to = Some(rollback_request::To::Version(rng.u64(1..=40)));
                let scope = rng.bool().then_some(scope);
                Write::Rollback(RollbackRequest {
                    namespace,
                    config,
                    to,
                    scope,
                    options,
                    ..Default::default()
                })
            }
            88..97 => Write::SetTag(SetTagRequest {
                namespace,
                config,
                tag,
                version: rng.u64(0..=20),
                options,
                ..Default::default()
            }),
            _ => Write::DeleteTag(DeleteTagRequest { namespace, config, tag, options }),
        }
    }

    /// The request id.
    pub fn id(&self) -> &str {
        let options = match self {
            Write::Set(request) => &request.options,
            Write::Apply(request) => &request.options,
            Write::Delete(request) => &request.options,
            Write::Rollback(request) => &request.options,
            Write::SetTag(request) => &request.options,
            Write::DeleteTag(request) => &request.options,
        };
        &options.as_ref().expect("every write has options").request_id
    }

    pub async fn send(self, client: Client) -> Answer {
        match self.attempt(client).await {
            Ok((changed, revision)) => Answer::Acknowledged(Acknowledged { write: self, changed, revision }),
            // What the server itself says has details; what the broken connection says has none.
            Err(status) if status.get_details_error_info().is_none() => Answer::None(self, status),
            Err(status) => self.refused(status),
        }
    }

    /// Whether it changed something, and the revision.
    pub async fn attempt(&self, mut client: Client) -> Result<(bool, u64), Status> {
        match self.clone() {
            Write::Set(request) => client.set(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
            Write::Apply(request) => client.apply(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
            Write::Delete(request) => client.delete(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
            Write::Rollback(request) => client.rollback(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
            Write::SetTag(request) => client.set_tag(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
            Write::DeleteTag(request) => client.delete_tag(request).await.map(|response| {
                let response = response.into_inner();
                (response.changed, response.store_revision)
            }),
        }
    }

    /// Rolling back to or tagging what is not there is all that may be refused.
    fn refused(self, status: Status) -> Answer {
        let may_miss =
            matches!(self, Write::Rollback(_) | Write::SetTag(_) | Write::DeleteTag(_) | Write::Delete(_));
        assert!(may_miss && status.code() == Code::NotFound, "{self:?}: {status:?}");
        Answer::Refused
    }

    /// `commit` is what this write made.
    pub fn check_made(&self, commit: &Commit) {
        assert_eq!(commit.request_id, self.id(), "revision {}", commit.revision);
        let source = match self {
            Write::Set(request) => {
                let asked = request.change.as_ref().expect("a change");
                let [changed] = layers(commit, &asked.config);
                assert_eq!(changed.scope, asked.scope);
                match asked.action.as_ref().expect("an action") {
                    Action::Replace(text) => assert_eq!(changed.content, text.content),
                    _ => assert!(changed.content.contains(&format!(r#""patched":"{}""#, self.id()))),
                }
                CommitSource::Set
            }
            Write::Apply(request) => {
                assert_eq!(commit.changes.len(), request.changes.len(), "{commit:?}");
                for asked in &request.changes {
                    let Some(Action::Replace(text)) = &asked.action else { panic!("Apply replaces") };
                    let [changed] = layers(commit, &asked.config);
                    assert_eq!((changed.scope.as_str(), &changed.content), ("/", &text.content));
                }
                CommitSource::Apply
            }
            Write::Delete(request) => {
                let [config] = &*commit.changes else { panic!("{commit:?}") };
                assert_eq!(config.config, request.config);
                let gone = |layer: &LayerChange| layer.action() == LayerAction::Delete;
                assert!(!config.layers.is_empty() && config.layers.iter().all(gone), "{commit:?}");
                CommitSource::Delete
            }
            Write::Rollback(request) => {
                let [config] = &*commit.changes else { panic!("{commit:?}") };
                let restored = Some(rollback_request::To::Version(config.restored_version));
                assert_eq!((&config.config, restored), (&request.config, request.to.clone()));
                CommitSource::Rollback
            }
            Write::SetTag(request) => {
                let [config] = &*commit.changes else { panic!("{commit:?}") };
                let version = if request.version == 0 { config.version } else { request.version };
                assert_eq!(config.tags, [TagChange { tag: request.tag.clone(), version }]);
                CommitSource::Tag
            }
            Write::DeleteTag(request) => {
                let [config] = &*commit.changes else { panic!("{commit:?}") };
                assert_eq!(config.tags, [TagChange { tag: request.tag.clone(), version: 0 }]);
                CommitSource::Tag
            }
        };
        assert_eq!(commit.source(), source, "revision {}", commit.revision);
    }
}

/// The one layer that a commit changed of a config.
fn layers<'a>(commit: &'a Commit, config: &str) -> &'a [LayerChange; 1] {
    let change = commit.changes.iter().find(|change| change.config == config);
    let layers = change.map(|change| change.layers.as_slice()).unwrap_or_default();
    layers.try_into().unwrap_or_else(|_| panic!("one layer of {config} in {commit:?}"))
}

/// To a layer: base or override, whole or in part.
fn change(config: String, scope: String, id: &str, rng: &mut Rng) -> Change {
    let is_override = rng.u8(..4) == 0;
    let (kind, ttl) = match is_override {
        // Some expire while the server is down, or just as it is killed.
        true => (LayerKind::Override, rng.bool().then(|| milliseconds(rng.i64(1..500)))),
        false => (LayerKind::Base, None),
    };
    let patch = || Text { content: format!(r#"{{"patched":"{id}"}}"#), format: Format::Json.into() };
    let values = [("patched".to_owned(), format!(r#""{id}""#))];
    let action = match rng.u8(..4) {
        0 => Action::MergePatch(patch()),
        1 => Action::Assign(Assignments { values: values.into() }),
        _ => Action::Replace(document(id, size(rng))),
    };
    Change {
        namespace: NAMESPACE.into(),
        config,
        scope,
        kind: kind.into(),
        ttl,
        action: Some(action),
        ..Default::default()
    }
}

fn milliseconds(count: i64) -> prost_types::Duration {
    prost_types::Duration {
        seconds: count / 1000,
        nanos: i32::try_from(count % 1000).expect("it is small") * 1_000_000,
    }
}

/// 100 B to 1 MiB, small ones most of the time.
fn size(rng: &mut Rng) -> usize {
    match rng.u8(..100) {
        0..85 => rng.usize(100..2_000),
        85..96 => rng.usize(2_000..20_000),
        96..99 => rng.usize(20_000..200_000),
        // A patch of such a document must not make it too large.
        _ => rng.usize(200_000..(1 << 20) - 1_000),
    }
}

/// In canonical form, so that it comes back as it is. `counter` tells documents of one Apply from those of another.
fn document(id: &str, bytes: usize) -> Text {
    let content = format!(r#"{{"counter":"{id}","padding":"{}"}}"#, "x".repeat(bytes));
    Text { content, format: Format::Json.into() }
}

/// The counter in a document that `document` made.
pub fn counter(content: &str) -> String {
    let value: serde_json::Value = serde_json::from_str(content).expect("it is JSON");
    value["counter"].as_str().expect("it has a counter").to_owned()
}
