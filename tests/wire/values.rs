//! Values arrive as they were sent, or are refused.

use confwatch::proto::v1::*;
use tonic::Code;

use super::schemas::{schema as put_schema, schemas};
use super::support::*;

fn text(content: &str, format: Format) -> Change {
    change("/", change::Action::Replace(Text { content: content.into(), format: format.into() }))
}

async fn get_as(client: &mut Client, format: Format) -> Document {
    let request = GetRequest { format: format.into(), ..get("/") };
    client.get(request).await.expect("get").into_inner().document.expect("a document")
}

#[tokio::test]
async fn one_number_has_one_digest_however_it_is_written() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let exact = r#"{"a":[4374094629981061120,9007199254740992,-9223372036854775808,1]}"#;
    let first = put(&mut client, "/", exact).await.document.expect("the layer");
    for (content, format) in [
        (r#"{"a":[4.37409462998106112e18,9007199254740992.0,-9223372036854775808.0,1e0]}"#, Format::Json),
        ("a: [4.37409462998106112e+18, 9007199254740992., -9223372036854775808, 0x1]", Format::Yaml),
        ("a = [4.37409462998106112e18, 9007199254740992, -9223372036854775808.0, 1.0]", Format::Toml),
    ] {
        let again = client.set(set(text(content, format))).await.expect(content).into_inner();
        assert_eq!(again.document.expect("the layer").digest, first.digest, "{content}");
        assert_eq!(content_of(&mut client).await, exact, "{content}");
    }
    // Beyond 64 bits a number is a double, and what is answered can be sent again.
    put(&mut client, "/", r#"{"a":[1e20,-18446744073709551616.0]}"#).await;
    let document = get_as(&mut client, Format::Json).await;
    assert_eq!(document.content, r#"{"a":[1e+20,-1.8446744073709552e+19]}"#);
    let again = put(&mut client, "/", &document.content).await;
    assert!(!again.changed);
}

async fn content_of(client: &mut Client) -> String {
    content(client, get("/")).await
}

#[tokio::test]
async fn an_integer_beyond_64_bits_is_refused_wherever_it_comes_in() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let put = put(&mut client, "/", r#"{"a":1}"#).await;
    for integer in ["18446744073709551616", "-9223372036854775809", "100000000000000000000000"] {
        for (change, field, pointer) in [
            (text(&format!(r#"{{"b":[1,{{"c":{integer}}}]}}"#), Format::Json), "change.replace", "/b/1/c"),
            (text(&format!("b:\n- c: {integer}"), Format::Yaml), "change.replace", "/b/0/c"),
            (text(&format!("b = [1, {{c = {integer}}}]"), Format::Toml), "change.replace", "/b/1/c"),
            (merge_patch("/", &format!(r#"{{"b":{integer}}}"#)), "change.merge_patch", "/b"),
            (
                json_patch("/", &format!(r#"[{{"op":"add","path":"/b","value":{integer}}}]"#)),
                "change.json_patch",
                "/0/value",
            ),
            (assign("/", &[("b.c", integer)]), "change.assign", "/b/c"),
            (assign("/", &[("b", &format!("[{integer}]"))]), "change.assign", "/b/0"),
        ] {
            let status = client.set(set(change)).await;
            let status = refused_for(status, "NUMBER_OUT_OF_RANGE", field);
            let (_, _, about) = told(&status);
            assert_eq!(about["pointer"], pointer, "{status:?}");
        }
        let schema = format!(r#"{{"properties":{{"a":{{"maximum":{integer}}}}}}}"#);
        let status = schemas.put(put_schema(&schema)).await.expect_err("refused");
        assert_eq!(told(&status).1, "NUMBER_OUT_OF_RANGE", "{status:?}");
    }
    assert_eq!(content_of(&mut client).await, r#"{"a":1}"#);
    assert_eq!(store_revision(&mut client).await, put.store_revision);
}

#[tokio::test]
async fn yaml_is_read_by_the_core_schema() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let yaml = "date: 2026_8_6\nbits: 0b11\nhex: [0x1F, -0x1F, 0X1F]\ntruth: [true, True, tRue, yes]\nnothing: [nULL]\n";
    client.set(set(text(yaml, Format::Yaml))).await.expect("set");
    assert_eq!(
        content_of(&mut client).await,
        r#"{"bits":"0b11","date":"2026_8_6","hex":[31,"-0x1F","0X1F"],"nothing":["nULL"],"truth":[true,true,"tRue","yes"]}"#
    );
    let strings = r#"{"a":["\tx\ny\n","00:00","1,000","0b11","12e5"]}"#;
    put(&mut client, "/", strings).await;
    let document = get_as(&mut client, Format::Yaml).await;
    assert_eq!(document.content, "a:\n- \"\\tx\\ny\\n\"\n- \"00:00\"\n- \"1,000\"\n- \"0b11\"\n- \"12e5\"\n");
}

#[tokio::test]
async fn a_text_with_comments_only_is_an_empty_layer_and_a_byte_order_mark_is_skipped() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    for format in [Format::Yaml, Format::Toml] {
        for nothing in ["", "# a = 1\n", "\u{feff}# a\n"] {
            put(&mut client, "/", r#"{"a":1}"#).await;
            client.set(set(text(nothing, format))).await.expect(nothing);
            assert_eq!(content_of(&mut client).await, "{}", "{format:?} {nothing:?}");
        }
        let set = client.set(set(text("null", format))).await;
        assert_eq!(set.expect_err("null is no object").code(), Code::InvalidArgument);
    }
    for (content, format) in
        [("\u{feff}{\"a\":2}", Format::Json), ("\u{feff}a: 2", Format::Yaml), ("\u{feff}a = 2", Format::Toml)]
    {
        put(&mut client, "/", "{}").await;
        client.set(set(text(content, format))).await.expect(content);
        assert_eq!(content_of(&mut client).await, r#"{"a":2}"#, "{format:?}");
    }
}

/// A version with steps from the one before.
fn with_steps(schema: &str, up: &str) -> SchemaServicePutRequest {
    SchemaServicePutRequest { up: up.into(), ..put_schema(schema) }
}

fn migrate() -> MigrateRequest {
    MigrateRequest { namespace: "test".into(), config: "app".into(), ..Default::default() }
}

#[tokio::test]
async fn a_migration_of_layers_is_that_of_the_documents_or_is_refused() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    schemas.put(put_schema("{}")).await.expect("put");
    put(&mut client, "/", r#"{"a":{"c":1}}"#).await;
    put(&mut client, "/production", r#"{"a":2}"#).await;
    put(&mut client, "/staging", r#"{"a":null}"#).await;
    put(&mut client, "/production/shop", r#"{"b":1}"#).await;
    schemas.put(with_steps("{}", r#"[{"move":{"from":"/a/c","to":"/c/a"}}]"#)).await.expect("put");
    schemas.migrate(migrate()).await.expect("migrate");
    for (scope, expected) in [
        ("/", r#"{"a":{},"c":{"a":1}}"#),
        ("/production", r#"{"a":2}"#),
        ("/staging", "{}"),
        ("/production/shop", r#"{"a":2,"b":1}"#),
    ] {
        assert_eq!(content(&mut client, get(scope)).await, expected, "{scope}");
    }
    // A default without a layer at /.
    client.delete(delete(Some("/"))).await.expect("delete");
    schemas.put(with_steps("{}", r#"[{"set_default":{"at":"/d","value":5}}]"#)).await.expect("put");
    schemas.migrate(migrate()).await.expect("migrate");
    for (scope, expected) in [
        ("/production", r#"{"a":2,"d":5}"#),
        ("/staging", r#"{"d":5}"#),
        ("/production/shop", r#"{"a":2,"b":1,"d":5}"#),
    ] {
        assert_eq!(content(&mut client, get(scope)).await, expected, "{scope}");
    }
    schemas.put(with_steps("{}", r#"[{"set_default":{"at":"/a/e","value":5}}]"#)).await.expect("put");
    let status = refused(schemas.migrate(migrate()).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let found = &findings(&status)[0];
    assert_eq!(
        (found.code.as_str(), found.scope.as_str(), found.pointer.as_str()),
        ("MIGRATION_FAILED", "/production", "/a")
    );
}

#[tokio::test]
async fn what_is_delivered_with_defaults_was_validated() {
    let server = TestServer::start().await;
    let (mut client, mut schemas) = (server.client().await, schemas(&server).await);
    let bad = r#"{"properties":{"port":{"type":"integer","default":"80a"}}}"#;
    let status = refused(schemas.put(put_schema(bad)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    let found = &findings(&status)[0];
    assert_eq!(found.code, "SCHEMA_DEFAULT", "{found:?}");
    // By a schema: what the default makes of the document is too much.
    let schema =
        r#"{"maxProperties":2,"properties":{"port":{"type":"integer","default":80},"max":{"default":10}}}"#;
    schemas.put(put_schema(schema)).await.expect("put");
    put(&mut client, "/", r#"{"max":1}"#).await;
    let status = client.set(set(replace("/", r#"{"max":1,"name":"x"}"#))).await;
    let status = refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(findings(&status)[0].message.contains("with the defaults"), "{status:?}");
    // By a rule that sees the default.
    let rule = r#"{"rules":{"order":{"expression":"!has(config.min) || !has(config.max) || config.min <= config.max"}}}"#;
    client.set(set(Change { config: "rules:app".into(), ..replace("/", rule) })).await.expect("rules");
    let status = client.set(set(replace("/", r#"{"min":20}"#))).await;
    let status = refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(findings(&status).iter().any(|found| found.code == "order"), "{status:?}");
    client.set(set(replace("/", r#"{"min":20,"max":30}"#))).await.expect_err("three with the port");
    // And the schema itself is refused where it would make one that is stored invalid.
    let status =
        schemas.put(put_schema(&schema.replace(r#""default":10"#, r#""default":10,"minimum":5"#))).await;
    assert!(status.is_err(), "max is 1");
    let stricter = r#"{"properties":{"a":{"default":1},"b":{"default":1}},"maxProperties":2}"#;
    let status =
        refused(schemas.put(put_schema(stricter)).await, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert!(findings(&status)[0].message.contains("with the defaults"), "{status:?}");
}

#[tokio::test]
async fn assignments_into_an_inherited_array_are_refused_and_others_are_not() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    put(&mut client, "/", r#"{"h":["a","b"],"o":{"l":[1]},"s":"x"}"#).await;
    for (path, place) in [("h.-", "/h"), ("h.0", "/h"), ("o.l.0", "/o/l"), ("s.a", "/s")] {
        for change in [
            assign("/production", &[(path, "\"c\"")]),
            Change { kind: LayerKind::Override.into(), ..assign("/", &[(path, "\"c\"")]) },
        ] {
            let status = refused_for(client.set(set(change)).await, "INVALID_ASSIGNMENT", "change.assign");
            assert_eq!(told(&status).2["pointer"], place, "{path}");
            assert!(status.message().contains("inherited"), "{status:?}");
        }
    }
    let fine = [("h", "[\"c\"]"), ("o.m.n", "1"), ("new.a", "1")];
    client.set(set(assign("/production", &fine))).await.expect("set");
    // The layer has an array of its own now; and that of / is its own, too.
    client.set(set(assign("/production", &[("h.-", "\"d\"")]))).await.expect("set");
    client.set(set(assign("/", &[("h.0", "\"z\"")]))).await.expect("set");
    let expected = r#"{"h":["c","d"],"new":{"a":1},"o":{"l":[1],"m":{"n":1}},"s":"x"}"#;
    assert_eq!(content(&mut client, get("/production")).await, expected);
    let validated =
        ValidateRequest { changes: vec![assign("/staging", &[("h.-", "1")])], ..Default::default() };
    let report = client.validate(validated).await.expect("validate").into_inner().report.expect("a report");
    assert!(!report.valid);
    assert_eq!(
        (report.findings[0].code.as_str(), report.findings[0].pointer.as_str()),
        ("INVALID_ASSIGNMENT", "/h")
    );
}

#[tokio::test]
async fn a_rule_calculates_with_a_number_whatever_its_kind() {
    let server = TestServer::start().await;
    let mut client = server.client().await;
    let rule = r#"{"rules":{"rate":{"expression":"config.rate * 100.0 <= 100.0"}}}"#;
    client.set(set(Change { config: "rules:app".into(), ..replace("/", rule) })).await.expect("rules");
    for rate in ["0.5", "1", "1.0"] {
        put(&mut client, "/", &format!(r#"{{"rate":{rate}}}"#)).await;
    }
    let status = client.set(set(replace("/", r#"{"rate":2}"#))).await;
    let status = refused(status, Code::FailedPrecondition, "VALIDATION_FAILED");
    assert_eq!(findings(&status)[0].code, "rate");
}

#[tokio::test]
async fn what_has_no_effect_in_a_schema_is_told_and_metaschemas_can_be_referred_to() {
    let server = TestServer::start().await;
    let mut schemas = schemas(&server).await;
    let source = r#"{"properties":{"a":{"minimun":1,"format":"datetime"}}}"#;
    let report = schemas.put(put_schema(source)).await.expect("put").into_inner().report.expect("a report");
    let told: Vec<_> =
        report.findings.iter().map(|found| (found.code.as_str(), found.pointer.as_str())).collect();
    let place = "/properties/a";
    assert_eq!(
        told,
        [
            ("SCHEMA_NO_EFFECT", format!("{place}/format").as_str()),
            ("SCHEMA_NO_EFFECT", &format!("{place}/minimun"))
        ]
    );
    for uri in [
        "http://json-schema.org/draft-04/schema#",
        "http://json-schema.org/draft-06/schema#",
        "http://json-schema.org/draft-07/schema#",
        "https://json-schema.org/draft/2019-09/schema",
        "https://json-schema.org/draft/2020-12/schema",
    ] {
        let source = format!(r#"{{"properties":{{"schema":{{"$ref":"{uri}"}}}}}}"#);
        schemas.put(put_schema(&source)).await.unwrap_or_else(|status| panic!("{uri}: {status:?}"));
    }
}
