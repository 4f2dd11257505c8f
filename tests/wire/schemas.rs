//! Schemas, rules and settings: what they refuse, whom they name, and what watchers never see.

use confwatch::proto::v1::schema_service_client::SchemaServiceClient;
use confwatch::proto::v1::*;
use tonic::Code;

use super::support::*;
use super::watching::*;

pub type Schemas = SchemaServiceClient<Wire>;

pub async fn schemas(server: &TestServer) -> Schemas {
    Schemas::new(server.channel().await)
}

pub fn schema(content: &str) -> SchemaServicePutRequest {
    SchemaServicePutRequest {
        namespace: "test".into(),
        config: "app".into(),
        schema: Some(json(content)),
        ..Default::default()
    }
}

fn get_schema(number: u64) -> SchemaServiceGetRequest {
    SchemaServiceGetRequest { namespace: "test".into(), config: "app".into(), number, ..Default::default() }
}

fn migrate(to_number: u64, validate_only: bool) -> MigrateRequest {
    let options = Some(WriteOptions { validate_only, ..Default::default() });
    MigrateRequest { namespace: "test".into(), config: "app".into(), to_number, options }
}

/// Severity is error.
fn places(findings: &[Finding]) -> Vec<(&str, &str, &str)> {
    let errors = findings.iter().filter(|finding| finding.severity() == Severity::Error);
    errors
        .map(|finding| (finding.config.as_str(), finding.scope.as_str(), finding.pointer.as_str()))
        .collect()
}

#[tokio::test]
async fn a_change_that_breaks_one_scope_far_below_is_refused_for_that_one_and_nobody_sees_it() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let limits =
        r#"{"properties":{"pool":{"type":"object","properties":{"max":{"type":"integer","maximum":100}}}}}"#;
    schemas.put(schema(limits)).await.expect("put");
    put(&mut client, "/", r#"{"pool":{"max":10}}"#).await;
    put(&mut client, "/production", r#"{"pool":{"max":50}}"#).await;
    let status = client.set(set(replace("/production/checkout/alice", r#"{"pool":{"max":"x"}}"#))).await;
    refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    // Its layer is right only as long as what it inherits is.
    let rule = r#"{"rules":{"fits":{"expression":"!has(config.used) || config.used <= config.pool.max"}}}"#;
    client.set(set(Change { config: "rules:app".into(), ..replace("/", rule) })).await.expect("rules");
    client.set(set(replace("/production/checkout/alice", r#"{"used":40}"#))).await.expect("within the pool");
    let (mut watcher, _) = Watcher::open(&client, watch([target("app", "/production/checkout/alice")])).await;
    let patch = set(merge_patch("/production", r#"{"pool":{"max":20}}"#));
    let status = refused(client.set(patch).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let found = findings(&status);
    assert_eq!(
        places(&found).iter().map(|place| place.1).collect::<Vec<_>>(),
        ["/production/checkout/alice"]
    );
    assert!(watcher.until_progress().await.is_empty(), "nothing was pushed");
    assert_eq!(
        watcher.content("app", "/production/checkout/alice"),
        Some(r#"{"pool":{"max":50},"used":40}"#)
    );
}

#[tokio::test]
async fn a_schema_that_what_is_there_violates_is_refused_unless_that_is_accepted() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    put(&mut client, "/", r#"{"port":"x"}"#).await;
    put(&mut client, "/production", r#"{"port":80}"#).await;
    let wants_number = r#"{"properties":{"port":{"type":"integer"}}}"#;
    let status =
        refused(schemas.put(schema(wants_number)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(places(&findings(&status)), [("app", "/", "/port")]);
    let accepting = SchemaServicePutRequest { accept_existing: true, ..schema(wants_number) };
    let response = schemas.put(accepting).await.expect("put").into_inner();
    let report = response.report.expect("a report");
    assert!(report.valid && response.active && response.number == 1, "{report:?}");
    let warning = report.findings.iter().find(|finding| finding.pointer == "/port").expect("it is told");
    assert_eq!(warning.severity(), Severity::Warning);
    // As it is it may stay, and other things may change beside it.
    put(&mut client, "/", r#"{"port":"x","a":1}"#).await;
    // Once mended it cannot come back.
    put(&mut client, "/", r#"{"port":1}"#).await;
    refused(
        client.set(set(replace("/", r#"{"port":"x"}"#))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
}

#[tokio::test]
async fn schemas_have_versions_a_history_and_a_way_back() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let (first, second) = (r#"{"required":["a"]}"#, r#"{"required":["b"]}"#);
    put(&mut client, "/", r#"{"a":1,"b":1}"#).await;
    assert_eq!(schemas.put(schema(first)).await.expect("put").into_inner().number, 1);
    let again = schemas.put(schema(first)).await.expect("put").into_inner();
    assert!(!again.changed && again.number == 1);
    let dry = SchemaServicePutRequest {
        options: Some(WriteOptions { validate_only: true, ..Default::default() }),
        ..schema(second)
    };
    assert!(schemas.put(dry).await.expect("dry run").into_inner().changed);
    let stale = SchemaServicePutRequest { expected_number: Some(0), ..schema(second) };
    refused(schemas.put(stale).await, Code::Aborted, "VERSION_MISMATCH");
    assert_eq!(schemas.put(schema(second)).await.expect("put").into_inner().number, 2);
    let read = |response: SchemaServiceGetResponse| response.schema.expect("a schema");
    assert_eq!(read(schemas.get(get_schema(0)).await.expect("get").into_inner()).content, second);
    assert_eq!(read(schemas.get(get_schema(1)).await.expect("get").into_inner()).content, first);
    refused(schemas.get(get_schema(7)).await, Code::NotFound, "VERSION_NOT_FOUND");
    let page = SchemaServiceListRequest { namespace: "test".into(), ..Default::default() };
    let page = schemas.list(page).await.expect("list").into_inner();
    assert_eq!(page.schemas.iter().map(|schema| schema.config.as_str()).collect::<Vec<_>>(), ["app"]);
    // Rolled back as any config is.
    let back = RollbackRequest { config: "schema:app".into(), ..rollback(rollback_request::To::Version(1)) };
    client.rollback(back).await.expect("rolled back");
    assert_eq!(read(schemas.get(get_schema(0)).await.expect("get").into_inner()).content, first);
    refused(client.set(set(replace("/", r#"{"b":1}"#))).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let delete =
        SchemaServiceDeleteRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    assert!(schemas.delete(delete).await.expect("deleted").into_inner().changed);
    put(&mut client, "/", r#"{"b":1}"#).await;
    refused(schemas.get(get_schema(0)).await, Code::NotFound, "CONFIG_NOT_FOUND");
    // A list of configs does not show what governs them unless asked.
    let configs =
        client.list(ListRequest { namespace: "test".into(), ..Default::default() }).await.expect("list");
    assert_eq!(configs.into_inner().configs.len(), 1);
}

#[tokio::test]
async fn a_schema_that_is_none_is_refused_with_the_place() {
    let server = TestServer::start().await;
    let mut schemas = schemas(&server).await;
    for (content, pointer) in [
        (r#"{"properties":{"a":{"type":"nothing"}}}"#, "/properties/a/type"),
        (r#"{"properties":{"a":{"$ref":"https://example.com/schema"}}}"#, "/properties/a"),
        (r#"{"properties":{"a":{"$ref":"schema:missing"}}}"#, "/properties/a"),
        (r#"{"properties":{"a":{"pattern":"(?=x)"}}}"#, "/properties/a/pattern"),
    ] {
        let status =
            refused(schemas.put(schema(content)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        let found = findings(&status);
        let places = places(&found);
        assert!(places.iter().any(|place| place.2.starts_with(pointer)), "{content}: {found:?}");
    }
}

#[tokio::test]
async fn a_schema_may_refer_to_others_and_cannot_lose_them() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let port =
        SchemaServicePutRequest { config: "port".into(), ..schema(r#"{"type":"integer","maximum":65535}"#) };
    schemas.put(port.clone()).await.expect("put");
    schemas.put(schema(r#"{"properties":{"port":{"$ref":"schema:port"}}}"#)).await.expect("put");
    put(&mut client, "/", r#"{"port":8080}"#).await;
    refused(
        client.set(set(replace("/", r#"{"port":70000}"#))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
    // What is governed through a reference is checked as well.
    let narrower =
        SchemaServicePutRequest { schema: Some(json(r#"{"type":"integer","maximum":80}"#)), ..port };
    let status = refused(schemas.put(narrower).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(places(&findings(&status)), [("app", "/", "/port")]);
    let delete =
        SchemaServiceDeleteRequest { namespace: "test".into(), config: "port".into(), ..Default::default() };
    refused(schemas.delete(delete).await, Code::FailedPrecondition, "VALIDATION_FAILED");
}

#[tokio::test]
async fn rules_see_the_scope_its_levels_and_what_was_there_before() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let rules = r#"{"rules":{
        "no-debug":{"expression":"levels.environment != 'production' || !config.debug","message":"no debug in production","scope":"/production/**"},
        "grows":{"expression":"old == null || config.size >= old.size","message_expression":"'from ' + string(old.size) + ' to ' + string(config.size)"},
        "small":{"expression":"config.size < 100","severity":"warning","suggestion":"less will do"}}}"#;
    client.set(set(Change { config: "namespace:rules".into(), ..replace("/", rules) })).await.expect("rules");
    put(&mut client, "/", r#"{"debug":true,"size":1}"#).await;
    let status = client.set(set(replace("/production", r#"{"x":1}"#))).await;
    let found = findings(&refused(status, Code::FailedPrecondition, "VALIDATION_FAILED"));
    assert_eq!((found[0].code.as_str(), found[0].message.as_str()), ("no-debug", "no debug in production"));
    let big = client.set(set(merge_patch("/", r#"{"size":200}"#))).await.expect("a warning").into_inner();
    let report = big.report.expect("a report");
    let small = report.findings.iter().find(|finding| finding.code == "small").expect("it is told");
    assert_eq!((small.severity(), small.suggestion.as_str()), (Severity::Warning, "less will do"));
    let status = client.set(set(merge_patch("/", r#"{"size":5}"#))).await;
    let found = findings(&refused(status, Code::FailedPrecondition, "VALIDATION_FAILED"));
    assert_eq!(found[0].message, "from 200 to 5");
    // Strict: a warning refuses as well.
    let strict = Change { config: "settings:app".into(), ..replace("/", r#"{"strict":true}"#) };
    let status = client.set(set(strict)).await;
    refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_namespace_names_the_levels_of_its_scopes() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let levels = r#"{"levels":["region","environment"]}"#;
    client
        .set(set(Change { config: "namespace:settings".into(), ..replace("/", levels) }))
        .await
        .expect("levels");
    let rules = r#"{"rules":{"home":{"expression":"levels.region != 'eu' || config.bank == 'eu'"}}}"#;
    client.set(set(Change { config: "rules:app".into(), ..replace("/", rules) })).await.expect("rules");
    put(&mut client, "/", r#"{"bank":"us","log_level":"debug"}"#).await;
    let found = findings(&refused(
        client.set(set(replace("/eu/production", r#"{"a":1}"#))).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    ));
    assert!(found.iter().any(|finding| finding.code == "home"), "{found:?}");
    assert!(found.iter().any(|finding| finding.code == "DEBUG_IN_PRODUCTION"), "{found:?}");
    put(&mut client, "/us/production", r#"{"a":1}"#).await;
}

#[tokio::test]
async fn rules_and_settings_that_cannot_be_used_are_refused_with_the_place() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    schemas.put(schema(r#"{"properties":{"a":{}},"additionalProperties":false}"#)).await.expect("put");
    for (config, content, pointer) in [
        ("rules:app", r#"{"rules":{"r":{"expression":"config.a +"}}}"#, "/rules/r/expression"),
        ("rules:app", r#"{"rules":{"r":{"expression":"config.b == 1"}}}"#, "/rules/r/expression"),
        ("rules:app", r#"{"rules":{"r":{"expresion":"true"}}}"#, "/rules/r"),
        ("settings:app", r#"{"strict":1}"#, "/strict"),
        ("settings:app", r#"{"lints":{"NO_SUCH_LINT":"off"}}"#, "/lints/NO_SUCH_LINT"),
        ("namespace:settings", r#"{"levels":"x"}"#, "/levels"),
        ("namespace:settings", r#"{"scopes":["/","production"]}"#, "/scopes/1"),
        ("settings:app", r#"{"scopes":["/"]}"#, "/scopes"),
        ("schema:app", r#"{"versions":[]}"#, "/versions"),
    ] {
        let change = Change { config: config.into(), ..replace("/", content) };
        let status = refused(client.set(set(change)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
        let found = findings(&status);
        assert!(
            places(&found).iter().any(|place| place.0 == config && place.2.starts_with(pointer)),
            "{content}: {found:?}"
        );
    }
    let elsewhere = Change { config: "rules:app".into(), ..replace("/production", r#"{"rules":{}}"#) };
    refused(client.set(set(elsewhere)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
}

#[tokio::test]
async fn a_migration_is_one_commit_there_and_back_and_one_that_fails_leaves_nothing() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    put(&mut client, "/", r#"{"timeout":2}"#).await;
    put(&mut client, "/production", r#"{"timeout":5}"#).await;
    schemas
        .put(schema(r#"{"properties":{"timeout":{"type":"integer"}},"additionalProperties":false}"#))
        .await
        .expect("put");
    let with_steps = SchemaServicePutRequest {
        up: r#"[{"rename":{"at":"/timeout","to":"timeout_ms"}},{"convert":{"at":"/timeout_ms","expression":"value * 1000"}}]"#.into(),
        down: r#"[{"convert":{"at":"/timeout_ms","expression":"value / 1000"}},{"rename":{"at":"/timeout_ms","to":"timeout"}}]"#.into(),
        ..schema(r#"{"properties":{"timeout_ms":{"type":"integer"}},"additionalProperties":false}"#)
    };
    let stored = schemas.put(with_steps).await.expect("put").into_inner();
    assert!(!stored.active && stored.changed);
    let before = store_revision(&mut client).await;
    let plan = schemas.migrate(migrate(0, true)).await.expect("the plan").into_inner();
    assert_eq!(
        (plan.layers.len(), plan.layer_count, plan.from_number, plan.to_number),
        (2, 2, 1, stored.number)
    );
    let (before_bytes, after_bytes) =
        (r#"{"timeout":5}"#.len() as u64, r#"{"timeout_ms":5000}"#.len() as u64);
    let sizes: Vec<_> = plan.layers.iter().map(|layer| (layer.bytes_before, layer.bytes_after)).collect();
    assert_eq!((sizes, plan.bytes), (vec![(before_bytes, after_bytes); 2], 2 * after_bytes));
    assert_eq!(store_revision(&mut client).await, before);
    let (mut watcher, _) =
        Watcher::open(&client, watch([target("app", "/"), target("app", "/production")])).await;
    schemas.migrate(migrate(0, false)).await.expect("migrated");
    assert_eq!(store_revision(&mut client).await, before + 1);
    let told = watcher.until_progress().await;
    assert_eq!(told.len(), 1, "both at once");
    assert_eq!(watcher.content("app", "/production"), Some(r#"{"timeout_ms":5000}"#));
    schemas.migrate(migrate(1, false)).await.expect("back");
    assert_eq!(content(&mut client, get("/production")).await, r#"{"timeout":5}"#);
    assert_eq!(
        history(&mut client).await[0]
            .commit
            .as_ref()
            .expect("a commit")
            .annotations
            .get("migration")
            .map(String::as_str),
        Some("schema:app 2 -> 1")
    );
    // A value that the step cannot convert.
    let broken = SchemaServicePutRequest {
        up: r#"[{"convert":{"at":"/timeout_ms","expression":"value.seconds"}}]"#.into(),
        ..schema(r#"{"properties":{"timeout_ms":{"type":"integer"}}}"#)
    };
    let number = schemas.put(broken).await.expect("put").into_inner().number;
    let revision = store_revision(&mut client).await;
    let status =
        refused(schemas.migrate(migrate(number, false)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(!findings(&status).is_empty());
    assert_eq!(store_revision(&mut client).await, revision);
}

#[tokio::test]
async fn defaults_fill_what_is_read_and_watched_and_change_with_the_schema() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    schemas.put(schema(r#"{"properties":{"a":{"default":1},"b":{"default":2}}}"#)).await.expect("put");
    put(&mut client, "/", r#"{"b":3}"#).await;
    let filled = GetRequest { apply_defaults: true, ..get("/production") };
    assert_eq!(content(&mut client, filled.clone()).await, r#"{"a":1,"b":3}"#);
    assert_eq!(content(&mut client, get("/production")).await, r#"{"b":3}"#);
    let filled_target = WatchTarget { apply_defaults: true, ..target("app", "/production") };
    let (mut watcher, _) = Watcher::open(&client, watch([filled_target])).await;
    assert_eq!(watcher.content("app", "/production"), Some(r#"{"a":1,"b":3}"#));
    let (mut plain, _) = Watcher::open(&client, watch([target("app", "/production")])).await;
    schemas.put(schema(r#"{"properties":{"a":{"default":5}}}"#)).await.expect("put");
    assert_eq!(watcher.until_progress().await.len(), 1);
    assert_eq!(watcher.content("app", "/production"), Some(r#"{"a":5,"b":3}"#));
    assert!(plain.until_progress().await.is_empty(), "for it nothing has changed");
    let past = GetRequest { at: Some(get_request::At::Version(1)), ..filled.clone() };
    refused_for(client.get(past).await, "INVALID_FIELD", "apply_defaults");
    let layer = GetRequest { view: View::Layer.into(), ..filled };
    refused_for(client.get(layer).await, "INVALID_FIELD", "apply_defaults");
}

/// A filled document changes with the schema, long after its config did.
#[tokio::test]
async fn an_update_of_one_filled_target_has_the_revision_of_the_schema() {
    let server = TestServer::start_believing().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    put(&mut client, "/", r#"{"b":3}"#).await;
    let filled_target = WatchTarget { apply_defaults: true, ..target("app", "/") };
    let (mut watcher, told) = Watcher::open(&client, watch([filled_target])).await;
    assert_eq!(told.revision, 1);
    // Of the config, but not of what is watched.
    put(&mut client, "/production", r#"{"b":4}"#).await;
    let put_schema = schemas.put(schema(r#"{"properties":{"a":{"default":1}}}"#)).await.expect("put");
    assert_eq!(put_schema.into_inner().store_revision, 3);
    let told = watcher.until_progress().await;
    assert_eq!(told.iter().map(|told| told.revision).collect::<Vec<_>>(), [3]);
    assert_eq!(watcher.content("app", "/"), Some(r#"{"a":1,"b":3}"#));
    // The schema goes: no default is left, and the revision grows.
    let gone =
        SchemaServiceDeleteRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
    schemas.delete(gone).await.expect("deleted");
    let told = watcher.until_progress().await;
    assert_eq!(told.iter().map(|told| told.revision).collect::<Vec<_>>(), [4]);
    assert_eq!(watcher.content("app", "/"), Some(r#"{"b":3}"#));
    // Back with the token of that update: nothing comes again.
    let (resumed, told) = watcher.resume(&client).await;
    assert_eq!((told.revision, told.summary()), (4, vec![("app", "/", State::Current)]));
    drop(resumed);
}

#[tokio::test]
async fn validate_tells_what_a_change_would_reach_and_what_is_wrong_with_what_is_stored() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    put(&mut client, "/", r#"{"a":1}"#).await;
    put(&mut client, "/production", r#"{"b":1}"#).await;
    put(&mut client, "/staging", r#"{"a":9}"#).await;
    let (_watcher, _) = Watcher::open(&client, watch([target("app", "/production/checkout")])).await;
    let (_other, _) = Watcher::open(&client, watch([target("app", "/production/checkout")])).await;
    let request = ValidateRequest { changes: vec![merge_patch("/", r#"{"a":2}"#)], ..Default::default() };
    let response = client.validate(request).await.expect("validate").into_inner();
    let affected: Vec<_> =
        response.affected.iter().map(|affected| (affected.scope.as_str(), affected.watchers)).collect();
    assert_eq!(affected, [("/", 0), ("/production", 0), ("/production/checkout", 2)]);
    let accepting = SchemaServicePutRequest {
        accept_existing: true,
        ..schema(r#"{"properties":{"a":{"maximum":5},"b":{"type":"string"}}}"#)
    };
    schemas.put(accepting).await.expect("put");
    let stored = ValidateRequest { namespace: "test".into(), ..Default::default() };
    let report =
        client.validate(stored.clone()).await.expect("validate").into_inner().report.expect("a report");
    let mut told: Vec<_> =
        report.findings.iter().map(|finding| (finding.scope.as_str(), finding.pointer.as_str())).collect();
    told.sort_unstable();
    assert_eq!(told, [("/production", "/b"), ("/staging", "/a")]);
    let narrow = ValidateRequest { config: "app".into(), pointer: "/b".into(), ..stored };
    let report = client.validate(narrow).await.expect("validate").into_inner().report.expect("a report");
    assert_eq!(report.findings.len(), 1);
}

#[tokio::test]
async fn a_document_is_validated_against_a_schema_that_is_not_stored() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for (schema, document, pointers) in [
        (r#"{"type":"array","items":{"type":"integer"}}"#, r#"[1,"x",3]"#, vec!["/1"]),
        (r#"{"const":null}"#, "null", vec![]),
        (r#"{"format":"ipv4"}"#, r#""nowhere""#, vec![""]),
    ] {
        let request = ValidateRequest {
            schema: Some(json(schema)),
            document: Some(json(document)),
            ..Default::default()
        };
        let report = client.validate(request).await.expect("validate").into_inner().report.expect("a report");
        let told: Vec<_> = report.findings.iter().map(|finding| finding.pointer.as_str()).collect();
        assert_eq!(told, pointers, "{schema} {document}");
        assert_eq!(report.valid, pointers.is_empty());
    }
}

#[tokio::test]
async fn the_end_of_an_override_was_checked_when_it_was_set() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    schemas.put(schema(r#"{"required":["a"]}"#)).await.expect("put");
    let only_override = put_override("app", "/production", r#"{"a":1}"#);
    client.set(set(only_override)).await.expect("there is no document without it");
    let base = replace("/production", r#"{"b":1}"#);
    let status = refused(client.set(set(base)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(findings(&status)[0].message.contains("without overrides"), "{:?}", findings(&status));
}

#[tokio::test]
async fn lints_are_told_by_validate_and_by_writes_where_something_governs() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let suspicious = replace("/", r#"{"db":{"port":99999}}"#);
    let codes = |report: Option<ValidationReport>| {
        let findings = report.expect("a report").findings.into_iter();
        findings.map(|finding| (finding.code, finding.pointer)).collect::<Vec<_>>()
    };
    let port = vec![("PORT_RANGE".to_owned(), "/db/port".to_owned())];
    let request = ValidateRequest { changes: vec![suspicious.clone()], ..Default::default() };
    let validated = client.validate(request).await.expect("validate").into_inner();
    assert_eq!(codes(validated.report), port);
    let ungoverned = client.set(set(suspicious)).await.expect("set").into_inner();
    assert_eq!(codes(ungoverned.report), []);
    let settings = |content| set(Change { config: "namespace:settings".into(), ..replace("/", content) });
    client.set(settings("{}")).await.expect("settings");
    let governed = client.set(set(merge_patch("/", r#"{"a":1}"#))).await.expect("set").into_inner();
    assert_eq!(codes(governed.report), port);
    // What a scope inherits is told where it comes from.
    let below = client.set(set(replace("/production", r#"{"a":2}"#))).await.expect("set").into_inner();
    assert_eq!(codes(below.report.clone()), port, "the scope above is not looked at");
    let status = refused(
        client.set(settings(r#"{"lints":{"PORT_RANGE":"error"}}"#)).await,
        Code::FailedPrecondition,
        "VALIDATION_FAILED",
    );
    assert_eq!(places(&findings(&status)), [("app", "/", "/db/port")]);
    client.set(settings(r#"{"lints":{"PORT_RANGE":"off"}}"#)).await.expect("settings");
    let off = client.set(set(merge_patch("/", r#"{"a":3}"#))).await.expect("set").into_inner();
    assert_eq!(codes(off.report), []);
}

#[tokio::test]
async fn a_hundred_thousand_findings_are_counted_and_the_first_are_told() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    schemas.put(schema(r#"{"properties":{"a":{"items":{"type":"string"}}}}"#)).await.expect("put");
    let numbers = format!(r#"{{"a":[{}]}}"#, vec!["1"; 100_000].join(","));
    let status = client.set(set(replace("/", &numbers))).await;
    let status = refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(!findings(&status).is_empty());
    let request = ValidateRequest { changes: vec![replace("/", &numbers)], ..Default::default() };
    let report = client.validate(request).await.expect("validate").into_inner().report.expect("a report");
    assert!(!report.valid && report.findings.len() == 1000, "{} findings", report.findings.len());
    put(&mut client, "/", r#"{"a":["x"]}"#).await;
    // Of one place all is told, however much there is elsewhere.
    let document = format!(r#"{{"a":[{}],"b":[1]}}"#, vec!["1"; 100_000].join(","));
    let both = r#"{"properties":{"a":{"items":{"type":"string"}},"b":{"items":{"type":"string"}}}}"#;
    schemas.put(schema(both)).await.expect("put");
    let of_place = |pointer: &str| {
        let changes = vec![replace("/", &document)];
        ValidateRequest { changes, pointer: pointer.into(), ..Default::default() }
    };
    let report =
        client.validate(of_place("/b")).await.expect("validate").into_inner().report.expect("a report");
    assert_eq!((places(&report.findings), report.omitted), (vec![("app", "/", "/b/0")], 0));
    let report =
        client.validate(of_place("/c")).await.expect("validate").into_inner().report.expect("a report");
    assert!(report.valid && report.findings.is_empty(), "{report:?}");
}
