//! Configs with more layers and tags than a message holds: each list, and each answer about them, arrives at a client with default limits.

use std::collections::{BTreeMap, BTreeSet};

use confwatch::client::{Client as TokenClient, ConnectOptions};
use confwatch::model::{
    Author, Commit, ConfigChange, ConfigId, ConfigName, Content, LayerChange, LayerKey, Namespace, Revision,
    Scope, Source, TagChange, TagName, Timestamp, Version,
};
use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::stream_changes_response::Event;
use confwatch::proto::v1::{
    AuditFilter, AuditKind, AuditServiceListRequest, ConfigInfo, Format, ListRequest, MigrateRequest,
    SchemaServiceListRequest, SchemaServicePutRequest, StreamChangesRequest, Text, rollback_request,
};
use confwatch::store::{Journal, SledOptions, SledStore};
use tempfile::TempDir;

use super::support::*;

const LAYERS: usize = 40_000;
const TAGS: usize = 70_000;
const TAGS_OF_COMMIT: usize = 1000;

fn id(config: &str) -> ConfigId {
    ConfigId {
        namespace: Namespace::parse("test").expect("a name"),
        config: ConfigName::parse(config).expect("a name"),
    }
}

fn layers(count: usize) -> Vec<LayerChange> {
    let layer = |scope: String| LayerChange {
        key: LayerKey::base(Scope::parse(&scope).expect("a scope")),
        content: Some(Content::of(&serde_json::json!({}))),
        expires: None,
        format: None,
    };
    (0..count).map(|at| layer(format!("/{0}/{0}/{at:05}", "s".repeat(60)))).collect()
}

fn commit(revision: u64, source: Source, changes: Vec<ConfigChange>) -> Commit {
    Commit {
        revision: Revision(revision),
        time: Timestamp(1_700_000_000_000_000 + revision as i64),
        author: Author::named("tester"),
        source,
        reason: String::new(),
        request: None,
        annotations: BTreeMap::new(),
        changes,
        forgotten: vec![],
    }
}

/// As stores may be that were written before there were limits: `app` has all the layers and tags, and there is a config on either side.
fn fill(directory: &TempDir, layer_count: usize) {
    let store = SledStore::open(&directory.path().join("data"), SledOptions::default()).expect("it opens");
    let config = |name: &str, layers: Vec<LayerChange>| ConfigChange {
        id: id(name),
        version: Version(1),
        layers,
        tags: vec![],
        restored: None,
    };
    let configs =
        vec![config("aaa", layers(1)), config("app", layers(layer_count)), config("zzz", layers(1))];
    store.append(&[commit(1, Source::Apply, configs)]).expect("it is stored");
    for part in 0..TAGS / TAGS_OF_COMMIT {
        let numbers = part * TAGS_OF_COMMIT..(part + 1) * TAGS_OF_COMMIT;
        let tags = numbers.map(|at| TagChange {
            tag: TagName::parse(&format!("{at:05}-{}", "t".repeat(57))).expect("a tag"),
            version: Some(Version(1)),
            previous: None,
        });
        let change = ConfigChange { tags: tags.collect(), ..config("app", vec![]) };
        store.append(&[commit(2 + part as u64, Source::Tag, vec![change])]).expect("it is stored");
    }
}

async fn crowded(layer_count: usize) -> TestServer {
    let directory = TempDir::new().expect("a directory");
    fill(&directory, layer_count);
    TestServer::start_in(directory, |_| {}).await
}

/// Each page, whose configs are never more than asked for.
async fn pages(server: &TestServer, page_size: u32) -> Vec<Vec<ConfigInfo>> {
    let mut client = server.client().await;
    let (mut pages, mut page_token) = (vec![], String::new());
    loop {
        let request = ListRequest { namespace: "test".into(), page_size, page_token, ..Default::default() };
        let page = client.list(request).await.expect("a page arrives").into_inner();
        assert!(page.configs.len() <= page_size as usize && pages.len() < 20);
        pages.push(page.configs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            return pages;
        }
    }
}

#[tokio::test]
async fn a_config_with_more_layers_and_tags_than_fit_a_message_is_listed_on_several_pages() {
    let server = crowded(LAYERS).await;
    for page_size in [1, 2, 1000] {
        let pages = pages(&server, page_size).await;
        let names: Vec<&str> = pages.iter().flatten().map(|info| info.config.as_str()).collect();
        let mut distinct = names.clone();
        distinct.dedup();
        assert_eq!(distinct, ["aaa", "app", "zzz"], "page_size {page_size}");
        assert!(names.len() > 4, "it is in parts: {names:?}");
        let parts: Vec<&ConfigInfo> = pages.iter().flatten().filter(|info| info.config == "app").collect();
        for part in &parts {
            assert_eq!((part.layer_count, part.tag_count), (LAYERS as u64, TAGS as u64));
            assert!(part.layers.len() + part.tags.len() > 0);
        }
        let scopes: Vec<&str> =
            parts.iter().flat_map(|part| &part.layers).map(|layer| layer.scope.as_str()).collect();
        assert_eq!(scopes.len(), LAYERS);
        assert!(scopes.is_sorted(), "in order, and none twice");
        let tags: Vec<&str> = parts.iter().flat_map(|part| part.tags.keys()).map(String::as_str).collect();
        assert_eq!((tags.len(), tags.iter().collect::<BTreeSet<_>>().len()), (TAGS, TAGS));
    }
}

#[tokio::test]
async fn answers_about_a_commit_that_changed_more_layers_than_fit_a_message_count_the_rest() {
    let server = crowded(LAYERS / 2).await;
    let mut client = server.client().await;
    let all = LAYERS as u64 / 2;
    let first = history(&mut client).await.pop().expect("a version");
    let change = &first.commit.expect("a commit").changes[0];
    assert_eq!(change.layers.len() as u64 + change.layers_omitted, all);
    assert!(change.layers.len() > 1000 && change.layers_omitted > 0);
    assert_eq!((first.tags.len(), first.tags_omitted), (1000, TAGS as u64 - 1000));

    let deleted = client.delete(delete(None)).await.expect("the answer arrives").into_inner();
    assert_eq!(deleted.deleted.len() as u64 + deleted.deleted_omitted, all);
    assert!(deleted.deleted.len() > 1000 && deleted.deleted_omitted > 0);
    let restored = client.rollback(rollback(rollback_request::To::Version(1))).await;
    let restored = restored.expect("the answer arrives").into_inner();
    assert_eq!(restored.layers.len() as u64 + restored.layers_omitted, all);
    assert!(restored.layers.len() > 1000 && restored.layers_omitted > 0);

    // All versions are on pages that arrive, with whole ones of their own.
    let versions: Vec<u64> = history(&mut client).await.iter().map(|version| version.version).collect();
    assert_eq!(versions.first(), Some(&3));

    // The stream of changes has each layer.
    let request = StreamChangesRequest { from_revision: deleted.store_revision, ..Default::default() };
    let mut stream = client.stream_changes(request).await.expect("it opens").into_inner();
    let mut told = 0;
    loop {
        let message = stream.message().await.expect("a part arrives").expect("there is more");
        if let Some(Event::Commit(part)) = &message.event {
            assert!(part.changes.iter().all(|change| change.layers_omitted == 0));
            told += part.changes.iter().map(|change| change.layers.len()).sum::<usize>();
            if !message.more {
                break;
            }
        }
    }
    assert_eq!(told, LAYERS / 2);
}

#[tokio::test]
async fn the_audit_trail_tells_of_commits_with_more_layers_than_fit_a_message() {
    let server = crowded(LAYERS).await;
    server.client().await.delete(delete(None)).await.expect("deleted");
    let client = TokenClient::connect(ConnectOptions {
        address: format!("http://{}", server.running.address()),
        token: server.bearer.token(),
        ..ConnectOptions::default()
    });
    let client = client.expect("an address");
    let filter = AuditFilter {
        kinds: vec![AuditKind::Change.into()],
        namespace: "test".into(),
        config: "app".into(),
        ..Default::default()
    };
    let (mut entries, mut page_token) = (vec![], String::new());
    loop {
        let request = AuditServiceListRequest { filter: Some(filter.clone()), page_size: 1000, page_token };
        let page = client.audit().list(request).await.expect("a page arrives").into_inner();
        entries.extend(page.entries);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    let changes = entries.iter().flat_map(|entry| &entry.changes);
    let large = changes.filter(|change| change.layers_omitted > 0);
    let counts: Vec<u64> = large.map(|change| change.layers.len() as u64 + change.layers_omitted).collect();
    assert_eq!(counts, [LAYERS as u64; 2], "the first commit, and the one that deletes");
}

#[tokio::test]
async fn pages_of_schemas_end_by_what_is_read_for_them() {
    const SCHEMAS: usize = 14;
    let server = TestServer::start().await;
    let mut schemas = SchemaServiceClient::new(server.channel().await);
    for at in 0..SCHEMAS {
        let schema = Some(Text {
            content: format!(r#"{{"description":"{}"}}"#, "x".repeat(400 << 10)),
            format: Format::Json.into(),
        });
        let put = SchemaServicePutRequest {
            namespace: "test".into(),
            config: format!("c{at:02}"),
            schema,
            ..Default::default()
        };
        schemas.put(put).await.expect("put");
    }
    let (mut sizes, mut names, mut page_token) = (vec![], vec![], String::new());
    loop {
        let request = SchemaServiceListRequest { namespace: "test".into(), page_size: 1000, page_token };
        let page = schemas.list(request).await.expect("a page").into_inner();
        assert!(page.schemas.iter().all(|schema| schema.content.is_empty()));
        sizes.push(page.schemas.len());
        names.extend(page.schemas.into_iter().map(|schema| schema.config));
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    // 4 MiB and the one that exceeds it.
    assert_eq!(sizes, [11, 3]);
    assert_eq!(names, (0..SCHEMAS).map(|at| format!("c{at:02}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_migration_of_more_layers_than_fit_a_message_counts_the_rest() {
    let directory = TempDir::new().expect("a directory");
    {
        let store =
            SledStore::open(&directory.path().join("data"), SledOptions::default()).expect("it opens");
        let content = Content::of(&serde_json::json!({"a": 1}));
        let layers = layers(LAYERS / 2).into_iter();
        let layers = layers.map(|layer| LayerChange { content: Some(content.clone()), ..layer }).collect();
        let (version, tags) = (Version(1), vec![]);
        let change = ConfigChange { id: id("app"), version, layers, tags, restored: None };
        store.append(&[commit(1, Source::Apply, vec![change])]).expect("it is stored");
    }
    let server = TestServer::start_in(directory, |_| {}).await;
    let mut schemas = SchemaServiceClient::new(server.channel().await);
    let put = |content: &str, up: &str| SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(Text { content: content.into(), format: Format::Json.into() }),
        up: up.into(),
        ..Default::default()
    };
    schemas.put(put(r#"{"properties":{"a":{"type":"integer"}}}"#, "")).await.expect("the first");
    let up = r#"[{"rename":{"at":"/a","to":"b"}}]"#;
    schemas.put(put(r#"{"properties":{"b":{"type":"integer"}}}"#, up)).await.expect("the second");
    let request = MigrateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    let migrated = schemas.migrate(request).await.expect("the answer arrives").into_inner();
    assert_eq!(migrated.layers.len() as u64 + migrated.layers_omitted, LAYERS as u64 / 2);
    assert!(migrated.layers.len() > 1000 && migrated.layers_omitted > 0);
}
