use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::model::Scope;
use crate::model::arbitrary;
use crate::validate::{Contract, Found};

fn lint(document: &Value, environment: Option<&str>) -> Vec<Found> {
    lint_with(document, environment, &LintSettings::default(), &|_| false)
}

fn lint_with(
    document: &Value,
    environment: Option<&str>,
    settings: &LintSettings,
    secret: &dyn Fn(&str) -> bool,
) -> Vec<Found> {
    let is_production = environment.is_some_and(is_production);
    let mut found = FoundList::default();
    check_document(&LintInput { document, is_production, change: None, secret, settings }, &mut found);
    found.into_kept()
}

/// The document has exactly one finding, at this place.
fn fires(code: &str, document: Value, pointer: &str) {
    let found = lint(&document, Some("production"));
    let places: Vec<_> = found.iter().map(|found| (found.code.as_ref(), found.pointer.as_str())).collect();
    assert_eq!(places, [(code, pointer)], "{document}");
    let lint = ALL.iter().find(|lint| lint.code == code).expect("a lint");
    assert_eq!(found[0].severity, lint.severity);
}

fn is_silent(document: Value) {
    assert_eq!(lint(&document, Some("production")), [], "{document}");
}

#[test]
fn a_mode_of_files_is_octal() {
    fires("OCTAL_MODE", json!({"file_mode": 644}), "/file_mode");
    fires("OCTAL_MODE", json!({"socket": {"mode": 755}}), "/socket/mode");
    is_silent(json!({"mode": 420, "fileMode": 493, "a_mode": 3, "mode_max": 644, "other": 644}));
    is_silent(json!({"mode": "0644"}));
}

#[test]
fn a_text_is_no_boolean() {
    fires("TEXT_FOR_BOOLEAN", json!({"enabled": "yes"}), "/enabled");
    fires("TEXT_FOR_BOOLEAN", json!({"tls": {"isOpen": "False"}}), "/tls/isOpen");
    fires("TEXT_FOR_BOOLEAN", json!({"use_cache": "off"}), "/use_cache");
    is_silent(
        json!({"enabled": true, "country": "no", "answer": "yes", "is": "on", "enabled_for": "no", "use_cache": "always"}),
    );
}

#[test]
fn a_null_that_removes_more_than_one_value_says_so() {
    let settings = LintSettings::default();
    let look = |layer: Value| {
        let inherited = json!({"db": {"url": "x", "a": 1, "b": 2, "c": 3}, "none": {}, "one": 1});
        let input = LayerInput {
            layer: &layer,
            kind: LayerKind::Base,
            inherited: Some(&inherited),
            settings: &settings,
        };
        let mut found = FoundList::default();
        check_layer(&input, &mut found);
        found.into_kept()
    };
    let found = look(json!({"db": null}));
    assert_eq!(
        (found[0].code.as_ref(), found[0].pointer.as_str(), found.len()),
        ("REMOVES_OBJECT", "/db", 1)
    );
    assert!(found[0].message.ends_with("\"a\", \"b\", \"c\" and 1 more"), "{found:?}");
    assert_eq!(look(json!({"one": null, "none": null})), []);
}

#[test]
fn lints_are_listed_in_the_order_of_their_positions() {
    assert_eq!(ALL.len(), Check::TextForBoolean as usize + 1);
    assert_eq!(Check::Credential.code(), "CREDENTIAL");
    assert_eq!(Check::Timeout.code(), "TIMEOUT");
    assert_eq!(Check::SimilarKeys.code(), "SIMILAR_KEYS");
    assert_eq!(Check::ShadowsNothing.code(), "SHADOWS_NOTHING");
}

#[test]
fn credentials_are_found_by_name_and_by_value() {
    for name in [
        "password",
        "db_password",
        "DB_PASSWORD",
        "dbPassword",
        "password2",
        "dbpassword",
        "client_secret",
        "passphrase",
    ] {
        fires("CREDENTIAL", json!({ (name): "hunter2" }), &format!("/{name}"));
    }
    for name in [
        "api_key",
        "apiKey",
        "token",
        "auth_token",
        "private_key",
        "access_key_base64",
        "apikey",
        "credentials",
    ] {
        fires("CREDENTIAL", json!({ (name): "a1b2c3d4e5f6" }), &format!("/{name}"));
    }
    let keys = [
        format!("ghp_{}", "Ab1".repeat(12)),
        "AKIAIOSFODNN7EXAMPLE".to_owned(),
        "xoxb-123456789012-abcdefghijkl".to_owned(),
        format!("sk_live_{}", "a1B2".repeat(6)),
        "-----BEGIN RSA PRIVATE KEY-----\nMIIE".to_owned(),
        format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", "a".repeat(30), "b".repeat(30)),
        "postgres://app:hunter2@db.example.com/app".to_owned(),
        "wJalrXUtnFEMI7K5MDENGbPxRfiCYEXAMPLEKEY9".to_owned(),
        "q7Xv2Lm9Rt4Zk8Wp3Ns6".to_owned(),
    ];
    for key in keys {
        fires("CREDENTIAL", json!({"nested": [{"whatever": key}]}), "/nested/0/whatever");
    }
    fires("CREDENTIAL", json!({"tokens": {"token": ["a1b2c3d4e5f6"]}}), "/tokens/token/0");
}

#[test]
fn what_only_sounds_like_a_credential_is_none() {
    for (name, value) in [
        ("token_ttl_seconds", json!(3600)),
        ("password_min_length", json!(8)),
        ("max_tokens", json!(4096)),
        ("password_policy", json!("strict-policy-2")),
        ("secret_name", json!("db-credentials-v2")),
        ("token_url", json!("https://auth.example.com/token")),
        ("key", json!("a1b2c3d4e5f6")),
        ("primary_key", json!("customer_id_2")),
        ("token_type", json!("bearer")),
        ("auth_token", json!("bearer")),
        ("password", json!("")),
        ("password", json!("${DB_PASSWORD}")),
        ("password", json!("{{ .Values.password }}")),
        ("password", json!("vault:secret/data/db#password")),
        ("password", json!("$DB_PASSWORD")),
        ("password", json!("/run/secrets/db")),
        ("password", json!("********")),
        ("password", json!("<password>")),
        ("password", json!("REDACTED")),
        ("password", json!(true)),
        ("password", json!("Enter your password")),
        ("request_id", json!("123e4567-e89b-12d3-a456-426614174000")),
        ("id", json!("q7Xv2Lm9Rt4Zk8Wp3Ns6")),
        ("public_key", json!("q7Xv2Lm9Rt4Zk8Wp3Ns6q7Xv2Lm9Rt4Zk8Wp3Ns6")),
        (
            "image",
            json!(
                "registry.example.com/app@sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"
            ),
        ),
        ("commit", json!("2c2f00c9f86d081884c7d659a2feaa0c55ad015a")),
        ("digest", json!("sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=")),
        ("whatever", json!("9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")),
        ("class", json!("com.example.MyVeryLongFactoryBeanName2")),
        ("class", json!("MyVeryLongAbstractFactoryBeanName2")),
        ("path", json!("/var/lib/App2/Data/Some_Where/Else9")),
        ("url", json!("https://user@example.com/a?b=c")),
        ("url", json!("postgres://app:${PASSWORD}@db.example.com/app")),
        ("feature", json!("new-checkout-flow-2026-11-experiment-B")),
        ("cron", json!("0 */5 * * *")),
        ("certificate", json!("-----BEGIN CERTIFICATE-----\nMIIE")),
    ] {
        is_silent(json!({ (name): value }));
    }
}

#[test]
fn a_credential_at_a_secret_place_is_right_there() {
    let document = json!({"db": {"password": "hunter2"}});
    let settings = LintSettings::default();
    assert_eq!(lint_with(&document, None, &settings, &|pointer| pointer == "/db/password"), []);
    let found = lint_with(&document, None, &settings, &|_| false);
    assert!(!format!("{found:?}").contains("hunter2"), "the value is not shown");
}

#[test]
fn debugging_is_found_in_production_only() {
    for (document, pointer) in [
        (json!({"debug": true}), "/debug"),
        (json!({"DEBUG": "1"}), "/DEBUG"),
        (json!({"enable_debug": true}), "/enable_debug"),
        (json!({"debugMode": true}), "/debugMode"),
        (json!({"debug": 1}), "/debug"),
        (json!({"log_level": "DEBUG"}), "/log_level"),
        (json!({"logLevel": "trace"}), "/logLevel"),
        (json!({"logging": {"level": "debug"}}), "/logging/level"),
    ] {
        fires("DEBUG_IN_PRODUCTION", document.clone(), pointer);
        assert_eq!(lint(&document, Some("staging")), []);
        assert_eq!(lint(&document, Some("preprod")), []);
        assert_eq!(lint(&document, None), []);
        assert_eq!(lint(&document, Some("prod-eu")).len(), 1);
        assert_eq!(lint(&document, Some("live")).len(), 1);
    }
    is_silent(
        json!({"debug": false, "debug_level": 2, "debug_header_allowed": true, "log_level": "info", "level": "debug", "mode": "debug"}),
    );
}

#[test]
fn plain_http_is_found_in_production_only() {
    for url in ["http://api.example.com/v1", "HTTP://example.com", "http://8.8.8.8:80/x"] {
        fires("PLAIN_HTTP_IN_PRODUCTION", json!({ "url": url }), "/url");
        assert_eq!(lint(&json!({ "url": url }), Some("dev")), []);
    }
    for url in [
        "https://api.example.com",
        "http://localhost:8080",
        "http://127.0.0.1/x",
        "http://[::1]:80/",
        "http://0.0.0.0:80",
        "http://backend:8080/x",
        "http://10.1.2.3/",
        "http://192.168.0.1",
        "http://payments.default.svc.cluster.local",
        "http://vault.internal:8200",
        "http://${HOST}/x",
        "http://www.w3.org/2001/XMLSchema",
        "see http://example.com",
        "http",
    ] {
        is_silent(json!({ "url": url }));
    }
    is_silent(json!({"$schema": "http://example.com/schema", "xmlns": "http://example.com/ns"}));
}

#[test]
fn ports_out_of_range_are_found() {
    for value in [json!(65536), json!(-2), json!(80.5), json!(808080), json!("99999")] {
        fires("PORT_RANGE", json!({ "db": { "http_port": value } }), "/db/http_port");
    }
    fires("PORT_RANGE", json!({"ports": [80, 70000]}), "/ports/1");
    for value in [
        json!(0),
        json!(65535),
        json!(-1),
        json!("8080"),
        json!("http"),
        json!("${PORT}"),
        json!(null),
        json!(""),
    ] {
        is_silent(json!({ "port": value }));
    }
    is_silent(
        json!({"transport": 70000, "connections_per_port": 100000, "max_ports": 100000, "report": 1000000, "port_count": 70000}),
    );
}

#[test]
fn hosts_that_cannot_be_resolved_are_found() {
    for host in [
        "db .example.com",
        " db",
        "db..example.com",
        "-db.example.com",
        "db_.-",
        "a,,b",
        "256.1.1.1",
        "1.2.3",
        "db:99999",
        "db:x",
        "[::1",
        "[zz]:1",
        "a:b:c",
        "db;x",
        "https://",
        &"x".repeat(64),
        "db!",
    ] {
        fires("HOST_SYNTAX", json!({ "db_host": host }), "/db_host");
    }
    for host in [
        "",
        "db",
        "db.example.com",
        "db.example.com.",
        "db:5432",
        "10.0.0.1",
        "10.0.0.1:80",
        "::1",
        "[::1]:80",
        "fe80::1%eth0",
        "my_service",
        "a.example.com:1,b.example.com:2",
        "a, b",
        "https://db.example.com:443/x",
        "user@db",
        "*.example.com",
        "0.0.0.0",
        "${HOST}",
        "/var/run/x.sock",
        "unix:/x",
        "bücher.example",
        "localhost",
        "{{host}}",
        "10.0.0.0/8",
    ] {
        is_silent(json!({ "hostname": host }));
    }
    fires("HOST_SYNTAX", json!({"hosts": ["a", "b c"]}), "/hosts/1");
    is_silent(json!({"ghost": "a b", "host_key": "a b", "hosting": "a b"}));
}

#[test]
fn times_that_cannot_be_meant_are_found() {
    for (name, value) in [
        ("timeout", json!(-5)),
        ("timeout_ms", json!(-100)),
        ("request_timeout_seconds", json!(30_000_000)),
        ("timeoutSeconds", json!(90_000)),
        ("connect_timeout_ms", json!(100_000_000)),
        ("connect_timeout_ms", json!(0.5)),
        ("cache_ttl_seconds", json!(31_536_000_000_u64)),
        ("retry_delay_hours", json!(100_000)),
        ("interval", json!(-3)),
        ("timeout", json!("-5s")),
        ("time_out_ms", json!(-3)),
    ] {
        fires("TIMEOUT", json!({ (name): value }), &format!("/{name}"));
    }
    for (name, value) in [
        ("timeout", json!(0)),
        ("timeout", json!(-1)),
        ("timeout_ms", json!(30_000)),
        ("timeout_seconds", json!(3600)),
        ("token_ttl_seconds", json!(2_592_000)),
        ("cache_ttl_seconds", json!(31_536_000)),
        ("max_age", json!(31_536_000_000_u64)),
        ("timeout_retries", json!(-5)),
        ("interval_count", json!(-5)),
        ("timeout", json!("30s")),
        ("timeout", json!("-")),
        ("temperature", json!(-5)),
        ("offset_seconds", json!(-5)),
        ("poll_interval_us", json!(100)),
        ("timeout_us", json!(100)),
        ("page", json!(-5)),
    ] {
        is_silent(json!({ (name): value }));
    }
}

#[test]
fn minima_above_maxima_are_found() {
    fires("MIN_ABOVE_MAX", json!({"pool": {"min": 10, "max": 5}}), "/pool/min");
    fires("MIN_ABOVE_MAX", json!({"min_pool_size": 10, "max_pool_size": 5}), "/min_pool_size");
    fires("MIN_ABOVE_MAX", json!({"poolSizeMin": 10, "poolSizeMax": 5}), "/poolSizeMin");
    fires("MIN_ABOVE_MAX", json!({"core_pool_size": 10, "maximum_pool_size": 5}), "/core_pool_size");
    is_silent(json!({"min": 5, "max": 5}));
    is_silent(json!({"min": 5, "max": 0}));
    is_silent(json!({"min": 5, "max": -1}));
    is_silent(json!({"min_idle": 10, "max_size": 5}));
    is_silent(json!({"min": "b", "max": "a"}));
    is_silent(json!({"admin": 5, "admax": 1}));
}

#[test]
fn names_that_are_nearly_the_same_are_found() {
    fires("SIMILAR_KEYS", json!({"timeout": 1, "time_out": 1}), "/timeout");
    fires("SIMILAR_KEYS", json!({"a": {"maxSize": 1, "max-size": 1}}), "/a/maxSize");
    fires("SIMILAR_KEYS", json!({"Host": "a", "host": "a"}), "/host");
    is_silent(json!({"time": 1, "times": 1, "timer": 1}));
    is_silent(json!({"1.0": 1, "10": 1, "v1.0": 1, "v10": 1, "2026-11": 1}));
    is_silent(json!({"/a/b": 1, "/ab": 1, "a b": 1, "ab": 1}));
    is_silent(json!({"a": 1, "A": 1}));
    let many: serde_json::Map<String, Value> = (0..500).map(|at| (format!("name_{at}"), json!(at))).collect();
    is_silent(Value::Object(many.clone()));
    let mut repeated = many;
    repeated.insert("NAME_7".into(), json!(7));
    fires("SIMILAR_KEYS", Value::Object(repeated), "/name_7");
}

#[test]
fn long_lists_are_found() {
    fires("LONG_LIST", json!({ "list": vec![1; 1001] }), "/list");
    is_silent(json!({ "list": vec![1; 1000] }));
}

#[test]
fn settings_switch_lints_and_say_what_is_wrong_with_them() {
    let mut settings = LintSettings::default();
    let mut found = FoundList::default();
    settings.read(&json!({"CREDENTIAL": "off", "TIMEOUT": "error", "LONG_LIST": "warning"}), &mut found);
    assert_eq!(found.kept(), []);
    let codes: Vec<_> =
        lint_with(&json!({"password": "hunter2", "timeout": -5}), None, &settings, &|_| false)
            .into_iter()
            .map(|found| (found.severity, found.code.to_string()))
            .collect();
    assert_eq!(codes, [(Severity::Error, "TIMEOUT".to_owned())]);

    settings
        .read(&json!({"TIMEOUTS": "off", "CREDENTIAL": "of", "PORT_RANGE": 1, "TIMEOUT": "off"}), &mut found);
    let wrong: Vec<_> =
        found.kept().iter().map(|found| (found.pointer.as_str(), found.suggestion.as_str())).collect();
    assert_eq!(
        wrong,
        [
            ("/lints/CREDENTIAL", "did you mean \"off\"?"),
            ("/lints/PORT_RANGE", ""),
            ("/lints/TIMEOUTS", "did you mean \"TIMEOUT\"?")
        ]
    );
    assert_eq!(settings.of(Check::Timeout), None);
    assert_eq!(settings.of(Check::Credential), None, "what is wrong changes nothing");
    let mut found = FoundList::default();
    settings.read(&json!([]), &mut found);
    assert_eq!(found.kept()[0].pointer, "/lints");
}

#[test]
fn what_a_layer_says_in_vain_is_found() {
    let inherited = json!({"a": 1, "b": {"c": [1], "d": "x"}, "e": {"f": 1}});
    let check = |layer: Value, kind, expected: &[(&str, &str)]| {
        let settings = LintSettings::default();
        let mut found = FoundList::default();
        check_layer(
            &LayerInput { layer: &layer, kind, inherited: Some(&inherited), settings: &settings },
            &mut found,
        );
        let places: Vec<_> =
            found.kept().iter().map(|found| (found.code.as_ref(), found.pointer.as_str())).collect();
        assert_eq!(places, expected, "{layer}");
        check_layer(
            &LayerInput { layer: &layer, kind, inherited: None, settings: &settings },
            &mut FoundList::default(),
        );
    };
    check(json!({"a": 1}), LayerKind::Base, &[("REDUNDANT_VALUE", "/a")]);
    check(json!({"a": 2, "b": {"d": "y"}, "n": 1}), LayerKind::Base, &[]);
    check(json!({"b": {"c": [1], "d": "y"}}), LayerKind::Base, &[("REDUNDANT_VALUE", "/b/c")]);
    check(json!({"b": {"c": [1], "d": "x"}}), LayerKind::Base, &[("REDUNDANT_VALUE", "/b")]);
    check(json!({"b": {}}), LayerKind::Base, &[("REDUNDANT_VALUE", "/b")]);
    check(json!({"b": {"c": [1, 2]}, "a": null, "e": 1}), LayerKind::Base, &[]);
    check(json!({"z": null}), LayerKind::Base, &[("SHADOWS_NOTHING", "/z")]);
    check(
        json!({"b": {"dd": 1}, "z": {"y": 1}}),
        LayerKind::Override,
        &[("SHADOWS_NOTHING", "/b/dd"), ("SHADOWS_NOTHING", "/z")],
    );
}

#[test]
fn places_are_pointers() {
    let found = lint(&json!({"a/b": {"~": [{"password": "hunter2"}]}}), None);
    assert_eq!(found[0].pointer, "/a~1b/~0/0/password");
}

proptest! {
    #[test]
    fn any_document_can_be_looked_at(document in arbitrary::object(), layer in arbitrary::object()) {
        for found in lint(&document, Some("prod")) {
            let pointer = crate::model::Pointer::parse(&found.pointer).expect("a pointer");
            prop_assert!(pointer.find(&document).is_some());
        }
        let settings = LintSettings::default();
        let mut found = FoundList::default();
        let input = LayerInput { layer: &layer, kind: LayerKind::Override, inherited: Some(&document), settings: &settings };
        check_layer(&input, &mut found);
    }

    #[test]
    fn a_layer_without_what_is_redundant_has_the_same_effect(inherited in arbitrary::similar_object(), layer in arbitrary::similar_object()) {
        let mut document = inherited.clone();
        crate::model::merge::merge_patch(&mut document, &layer);
        let settings = LintSettings::default();
        let mut found = FoundList::default();
        let input = LayerInput { layer: &layer, kind: LayerKind::Base, inherited: Some(&inherited), settings: &settings };
        check_layer(&input, &mut found);
        let mut smaller = layer.clone();
        // A null that removes an object is not said in vain.
        for found in found.kept().iter().filter(|found| found.code != "REMOVES_OBJECT") {
            let pointer = crate::model::Pointer::parse(&found.pointer).expect("a pointer");
            let mut tokens: Vec<_> = pointer.tokens().collect();
            let last = tokens.pop().expect("a member");
            let mut at = &mut smaller;
            for token in tokens {
                at = at.get_mut(token).expect("it is there");
            }
            at.as_object_mut().expect("an object").remove(last);
        }
        let mut same = inherited.clone();
        crate::model::merge::merge_patch(&mut same, &smaller);
        prop_assert_eq!(same, document);
    }

    #[test]
    fn what_is_found_below_is_what_is_found_in_the_whole_document(
        above in suspect_object(), layers in prop::collection::vec(suspect_object(), 0..3)
    ) {
        let contract = Contract::default();
        let scope = |path| Scope::parse(path).expect("a scope");
        let (above_scope, below_scope) = (scope("/prod"), scope("/prod/shop"));
        let inherited = contract.lint(&above_scope, &above).into_kept();
        let mut document = above.clone();
        layers.iter().for_each(|layer| crate::model::merge::merge_patch(&mut document, layer));
        let sorted = |found: FoundList| {
            let mut found = found.into_kept();
            found.sort_by(|a, b| (&a.pointer, &a.code, &a.message).cmp(&(&b.pointer, &b.code, &b.message)));
            found
        };
        let below = contract.lint_below((&above_scope, &inherited), &layers, (&below_scope, &document));
        prop_assert_eq!(sorted(below), sorted(contract.lint(&below_scope, &document)));
    }
}

/// Documents of a few names that lints look at.
fn suspect_object() -> impl Strategy<Value = Value> {
    let leaf = prop::sample::select(vec![
        json!(null),
        json!(true),
        json!(-5),
        json!(10),
        json!(70_000),
        json!("hunter2-hunter2"),
        json!("debug"),
        json!("http://shop.example.com"),
        json!("a b"),
        json!([{"password": "hunter2-hunter2"}]),
        json!([]),
    ]);
    let value = leaf.prop_recursive(3, 30, 6, |inner| suspect_members(inner).boxed());
    suspect_members(value)
}

fn suspect_members(value: impl Strategy<Value = Value>) -> impl Strategy<Value = Value> {
    let names = [
        "password",
        "Password",
        "pool_min",
        "pool_max",
        "timeout_ms",
        "port",
        "debug",
        "host",
        "log",
        "level",
        "a",
    ];
    let members =
        prop::collection::btree_map(prop::sample::select(names.map(str::to_owned).to_vec()), value, 0..6);
    members.prop_map(|members| Value::Object(members.into_iter().collect()))
}
