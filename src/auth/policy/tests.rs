//! What a policy allows, against one that reads the document anew for each question.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::auth::{Group, SubjectKind};
use crate::model::{ConfigName, Namespace};

fn policy(document: Value) -> Policy {
    Policy::parse(&document).expect("a policy")
}

fn bound(subject: &str, role: &str, namespace: &str, config: &str, scope: &str) -> Value {
    json!({"subjects": [subject], "role": role, "namespace": namespace, "config": config, "scope": scope})
}

fn who(subject: &str, groups: &[&str]) -> Principal {
    let groups = groups.iter().map(|group| Group::parse(group).expect("a group")).collect();
    Principal::supposed(Subject::parse(subject).expect("a subject"), groups).expect("a principal")
}

fn at(namespace: &str, config: &str, scope: &str) -> Resource {
    let namespace = Namespace::parse(namespace).expect("a namespace");
    let config = ConfigName::parse(config).expect("a name");
    Resource::config(namespace, config, Scope::parse(scope).expect("a scope"))
}

/// Verbs that are allowed, as text.
fn allowed(policy: &Policy, who: &Principal, resource: &Resource) -> String {
    let verbs = Verb::ALL.into_iter().filter(|verb| policy.allows(who, *verb, resource));
    verbs.map(Verb::as_str).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_roles_have_the_verbs_that_are_documented() {
    let check = |role: &str, expected: &str| {
        let policy = policy(json!({"bindings": [bound("user:a", role, "*", "*", "/")]}));
        assert_eq!(allowed(&policy, &who("user:a", &[]), &at("shop", "app", "/")), expected, "{role}");
    };
    check("viewer", "read validate");
    check("editor", "read write rollback override validate tag");
    check("approver", "read write rollback override validate tag schema");
    check("auditor", "read audit");
    check("admin", "read write rollback override validate tag schema reveal-secret backup audit admin");
}

#[test]
fn a_prefix_isolates_an_environment() {
    let policy = policy(json!({"bindings": [
        bound("group:dev", "editor", "shop", "*", "/staging"),
        bound("group:dev", "viewer", "shop", "*", "/production"),
    ]}));
    let alice = who("user:alice", &["dev"]);
    let may = |verb, scope| policy.allows(&alice, verb, &at("shop", "app", scope));
    assert!(may(Verb::Write, "/staging") && may(Verb::Write, "/staging/checkout"));
    assert!(may(Verb::Read, "/production/checkout") && !may(Verb::Write, "/production/checkout"));
    // A write at the top changes production, and is a right of its own.
    assert!(!may(Verb::Write, "/") && !may(Verb::Read, "/"));
    assert!(!may(Verb::Read, "/stagingx") && !may(Verb::Read, "/other"));
    assert!(!policy.allows(&alice, Verb::Read, &at("bank", "app", "/staging")));
    assert!(!policy.allows(&who("user:dev", &[]), Verb::Read, &at("shop", "app", "/staging")));
}

#[test]
fn what_governs_configs_takes_schema_at_the_top_whatever_the_verb() {
    let policy = policy(json!({"bindings": [
        bound("user:editor", "editor", "shop", "*", "/"),
        bound("user:below", "approver", "shop", "*", "/staging"),
        bound("user:app", "approver", "shop", "app", "/"),
        bound("user:all", "approver", "shop", "*", "/"),
    ]}));
    let changes = [Verb::Write, Verb::Rollback, Verb::Override, Verb::Tag, Verb::Schema];
    let may = |name: &str, config: &str, scope: &str| {
        let who = who(name, &[]);
        let answers = changes.map(|verb| policy.allows(&who, verb, &at("shop", config, scope)));
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{name} {config} {answers:?}");
        answers[0]
    };
    for config in ["schema:app", "rules:app", "settings:app"] {
        assert!(!may("user:editor", config, "/"));
        assert!(!may("user:below", config, "/staging"));
        assert!(may("user:app", config, "/") && may("user:all", config, "/"));
    }
    assert!(!may("user:app", "schema:other", "/"));
    for config in ["namespace:rules", "namespace:settings"] {
        assert!(!may("user:app", config, "/") && may("user:all", config, "/"));
    }
    // The verb itself is one of the top, too.
    assert!(policy.allows(&who("user:app", &[]), Verb::Schema, &at("shop", "app", "/staging")));
    assert!(!policy.allows(&who("user:below", &[]), Verb::Schema, &at("shop", "app", "/staging")));
    assert!(policy.allows(&who("user:editor", &[]), Verb::Read, &at("shop", "schema:app", "/")));
}

#[test]
fn the_namespace_of_the_server_is_for_administrators_of_all_of_it() {
    let policy = policy(json!({"roles": {"keys": ["admin"]}, "bindings": [
        bound("user:editor", "approver", "*", "*", "/"),
        bound("user:team", "admin", "shop*", "*", "/"),
        bound("user:below", "admin", "*", "*", "/staging"),
        bound("user:keys", "keys", "confwatch", "tokens", "/"),
        bound("user:admin", "admin", "*", "*", "/"),
    ]}));
    for resource in [at("confwatch", "policy", "/"), at("confwatch", "tokens", "/staging")] {
        for name in ["user:editor", "user:team", "user:below"] {
            assert_eq!(allowed(&policy, &who(name, &[]), &resource), "", "{name} {resource}");
        }
        assert!(policy.allows(&who("user:admin", &[]), Verb::Read, &resource));
    }
    assert!(policy.allows(&who("user:keys", &[]), Verb::Write, &at("confwatch", "tokens", "/")));
    assert!(!policy.allows(&who("user:keys", &[]), Verb::Read, &at("confwatch", "policy", "/")));
    let namespace = Resource::Namespace(Namespace::parse("confwatch").expect("a namespace"));
    assert!(!policy.allows(&who("user:editor", &[]), Verb::Audit, &namespace));
}

#[test]
fn all_of_something_takes_a_binding_to_all_of_it() {
    let policy = policy(json!({"bindings": [
        bound("user:store", "admin", "*", "*", "/"),
        bound("user:shop", "admin", "shop", "*", "/"),
        bound("user:app", "admin", "shop", "a*", "/"),
        bound("user:below", "admin", "*", "*", "/staging"),
    ]}));
    let shop = Resource::Namespace(Namespace::parse("shop").expect("a namespace"));
    let may = |name, resource: &Resource| policy.allows(&who(name, &[]), Verb::Backup, resource);
    assert!(may("user:store", &Resource::Store) && may("user:store", &shop) && may("user:shop", &shop));
    for name in ["user:shop", "user:app", "user:below"] {
        assert!(!may(name, &Resource::Store));
    }
    assert!(!may("user:app", &shop) && !may("user:below", &shop));
}

#[test]
fn lists_show_what_may_be_read_at_any_scope() {
    let policy = policy(json!({"bindings": [
        bound("user:a", "viewer", "shop", "app*", "/staging"), bound("user:a", "viewer", "bank", "*", "/"),
    ]}));
    let grants = policy.grants_of(&who("user:a", &[]));
    let sees = |namespace: &str, config: &str| {
        grants.may_see_config(
            &Namespace::parse(namespace).expect("a namespace"),
            &ConfigName::parse(config).expect("a name"),
        )
    };
    assert!(sees("shop", "app") && sees("shop", "app-b") && !sees("shop", "other") && !sees("other", "app"));
    assert!(!sees("shop", "schema:app") && sees("bank", "schema:app") && !sees("confwatch", "policy"));
    let has = |name: &str| grants.may_see_namespace(&Namespace::parse(name).expect("a namespace"));
    assert!(has("shop") && has("bank") && !has("other") && !has("confwatch"));
}

#[test]
fn the_namespace_of_the_server_is_granted_by_its_name_or_by_everything() {
    let document = |namespace: &str, config: &str| json!({"bindings": [bound("user:a", "admin", namespace, config, "/")]});
    let a = who("user:a", &[]);
    for (namespace, config) in [("confwatch", "*"), ("confwatch", "policy"), ("confwatch", "p*"), ("*", "*")]
    {
        let policy = policy(document(namespace, config));
        assert!(policy.allows(&a, Verb::Write, &at("confwatch", "policy", "/")), "{namespace}/{config}");
        assert!(policy.has_administrator() && policy.bindings_missing_reserved().is_empty());
    }
    for (namespace, config) in
        [("c*", "*"), ("*h", "*"), ("conf*watch", "*"), ("*", "p*"), ("*", "policy"), ("confwatc*", "policy")]
    {
        let policy = policy(document(namespace, config));
        for verb in Verb::ALL {
            assert!(
                !policy.allows(&a, verb, &at("confwatch", "policy", "/")),
                "{verb} by {namespace}/{config}"
            );
        }
        let grants = policy.grants_of(&a);
        let reserved = Namespace::reserved().clone();
        assert!(!grants.may_see_namespace(&reserved) && !policy.has_administrator(), "{namespace}/{config}");
        assert_eq!(policy.bindings_missing_reserved().len(), 1, "{namespace}/{config}");
    }
    let shop = policy(document("shop", "*"));
    assert!(shop.bindings_missing_reserved().is_empty());
}

#[test]
fn everybody_is_everybody_and_kinds_of_subjects_are_apart() {
    let policy = policy(json!({"bindings": [
        bound("*", "viewer", "public", "*", "/"),
        bound("user:alice", "viewer", "a", "*", "/"),
        bound("token:ci-*", "viewer", "b", "*", "/"),
        bound("group:*", "viewer", "c", "*", "/"),
    ]}));
    let reads = |subject: &str, groups: &[&str]| {
        let who = who(subject, groups);
        let readable = ["public", "a", "b", "c"].into_iter();
        readable
            .filter(|namespace| policy.allows(&who, Verb::Read, &at(namespace, "x", "/")))
            .collect::<String>()
    };
    assert_eq!(reads("user:alice", &[]), "publica");
    assert_eq!(reads("certificate:alice", &[]), "public");
    assert_eq!(reads("token:alice", &[]), "public");
    assert_eq!(reads("token:ci-shop", &["x"]), "publicbc");
    assert_eq!(reads("group:x", &[]), "publicc");
    assert_eq!(allowed(&Policy::nothing(), &who("user:alice", &[]), &at("a", "x", "/")), "");
    assert!(Policy::unrestricted().allows(&who("user:x", &[]), Verb::Admin, &at("confwatch", "policy", "/")));
}

#[test]
fn the_first_policy_is_one_and_gives_everything_to_one() {
    let admin = Subject::parse("token:admin").expect("a subject");
    let policy = policy(Policy::first(&admin));
    assert!(policy.allows(&who("token:admin", &[]), Verb::Admin, &at("confwatch", "policy", "/")));
    assert!(policy.allows(&who("token:admin", &[]), Verb::Backup, &Resource::Store));
    assert!(!policy.allows(&who("token:other", &[]), Verb::Read, &at("shop", "app", "/")));
}

#[test]
fn an_answer_is_explained() {
    let policy = policy(json!({"bindings": [
        bound("group:sre", "editor", "shop*", "*", "/staging"),
        bound("user:alice", "viewer", "shop", "app", "/"),
        bound("user:bob", "admin", "*", "*", "/"),
    ]}));
    let alice = who("user:alice", &["sre"]);
    let decide = |verb, resource| policy.decide(&alice, verb, &resource);
    assert_eq!(
        decide(Verb::Write, at("shop", "app", "/staging")).to_string(),
        "user:alice may write shop/app at /staging: binding 0 (editor on shop*/* at /staging), as group:sre"
    );
    let refused = decide(Verb::Write, at("shop", "app", "/production"));
    assert_eq!(
        refused.to_string(),
        "user:alice may not write shop/app at /production: no binding gives write on shop/app at /production; \
         binding 0 (editor on shop*/* at /staging) does not fit by its scope; \
         binding 1 (viewer on shop/app at /) does not fit by its verb; \
         binding 2 (admin on */* at /) does not fit by its subject"
    );
    assert!(!refused.without_others().to_string().contains("binding 2"));
    let schema = decide(Verb::Write, at("shop", "schema:app", "/"));
    assert!(schema.to_string().contains("no binding gives schema on shop/app at /"), "{schema}");
}

#[test]
fn what_is_wrong_with_a_policy_is_told_with_its_place() {
    let check = |document: Value, expected: &[(&str, &str, &str)]| {
        let problems = Policy::parse(&document).expect_err("no policy");
        let told: Vec<_> = problems
            .iter()
            .map(|p| (p.pointer.as_str(), p.message.as_str(), p.suggestion.as_str()))
            .collect();
        assert_eq!(told, expected);
    };
    check(json!([]), &[("", "an object expected", "")]);
    check(
        json!({"binding": []}),
        &[("/binding", "there is no field \"binding\"", "did you mean \"bindings\"?")],
    );
    check(
        json!({"roles": {"oncall": ["raed", "editor"], "admin": []}}),
        &[
            ("/roles/admin", "\"admin\" is a role that every policy has", "choose another name"),
            (
                "/roles/oncall/0",
                "there is no such verb, only read, write, rollback, override, validate, tag, schema, reveal-secret, backup, audit, admin",
                "did you mean \"read\"?",
            ),
            (
                "/roles/oncall/1",
                "there is no such verb, only read, write, rollback, override, validate, tag, schema, reveal-secret, backup, audit, admin",
                "\"editor\" is a role; its verbs are read, write, rollback, override, validate, tag",
            ),
        ],
    );
    check(
        json!({"bindings": [{"subjects": ["alice"], "role": "edtor", "namespace": "Shop*", "config": "schema:app"}]}),
        &[
            ("/bindings/0", "has no \"scope\"", ""),
            (
                "/bindings/0/subjects/0",
                "\"alice\" has no kind: one of user:, token:, certificate: and group: goes before the name",
                "did you mean \"user:alice\"?",
            ),
            ("/bindings/0/role", "there is no such role", "did you mean \"editor\"?"),
            (
                "/bindings/0/namespace",
                "has 'S', allowed are a-z, 0-9, - and *",
                "names are in lower case: \"shop*\"",
            ),
            (
                "/bindings/0/config",
                "what governs a config is bound under the name of that config, with the verb schema",
                "\"app\"",
            ),
        ],
    );
    check(
        json!({"bindings": [bound("user:a", "viewer", "-a", "*", "")]}),
        &[
            ("/bindings/0/namespace", "must start and end with a lower-case letter or a digit", ""),
            ("/bindings/0/scope", "must not be empty", "\"/\" is the global scope, and all below"),
        ],
    );
}

#[test]
fn a_policy_is_bounded_and_so_is_what_is_told_of_it() {
    let many = vec![json!({}); BINDINGS_MAX + 1];
    let problems = Policy::parse(&json!({"bindings": many})).expect_err("too many");
    assert_eq!(problems[0].message, "has 10001 elements, at most 10000 are allowed");
    let problems = Policy::parse(&json!({"bindings": vec![json!(1); 5000]})).expect_err("no bindings");
    assert_eq!(problems.len(), 100);
}

/// Reads the document itself, in the words of the issue, for one question.
fn allows_naively(
    document: &Value,
    who: &Principal,
    verb: Verb,
    namespace: &str,
    config: &str,
    scope: &str,
) -> bool {
    let (mut verb, mut config, mut scope) = (verb, config, scope);
    let mut all_configs = false;
    if namespace == "confwatch" {
        (verb, scope) = (Verb::Admin, "/");
    } else {
        let changes = ["write", "rollback", "override", "tag", "schema", "admin"].contains(&verb.as_str());
        if let Some((kind, name)) = config.split_once(':') {
            (config, all_configs) = (name, kind == "namespace");
            if changes {
                (verb, scope) = (Verb::Schema, "/");
            }
        } else if verb == Verb::Schema {
            scope = "/";
        }
    }
    document["bindings"].as_array().expect("bindings").iter().any(|binding| {
        let text = |name: &str| binding[name].as_str().expect("a text");
        let role = text("role");
        let verbs: Vec<&str> = match document["roles"].get(role) {
            Some(verbs) => verbs.as_array().expect("verbs").iter().filter_map(Value::as_str).collect(),
            None => BUILT_IN
                .iter()
                .find(|(name, _)| *name == role)
                .map(|(_, verbs)| verbs.iter().map(Verb::as_str).collect())
                .expect("a role"),
        };
        let is_subject = |subject: &Value| {
            let subject = subject.as_str().expect("a text");
            let groups = who.groups().iter().map(|group| format!("group:{group}"));
            let names =
                groups.chain((who.subject().kind() != SubjectKind::Group).then(|| who.subject().to_string()));
            subject == "*" || names.into_iter().any(|name| glob(subject, &name))
        };
        let bound = text("scope");
        verbs.contains(&verb.as_str())
            && binding["subjects"].as_array().expect("subjects").iter().any(is_subject)
            && match namespace {
                // The namespace of the server itself is granted by its full name, or with everything else.
                "confwatch" => {
                    text("namespace") == "confwatch" || (text("namespace") == "*" && text("config") == "*")
                }
                _ => glob(text("namespace"), namespace),
            }
            && if all_configs { text("config") == "*" } else { glob(text("config"), config) }
            && (bound == "/" || scope == bound || scope.starts_with(&format!("{bound}/")))
    })
}

fn glob(pattern: &str, text: &str) -> bool {
    let pattern = regex::escape(pattern).replace("\\*", ".*");
    regex::Regex::new(&format!("^{pattern}$")).expect("a pattern").is_match(text)
}

fn documents() -> impl Strategy<Value = Value> {
    let subject = prop::sample::select(vec![
        "*",
        "user:a",
        "user:b",
        "user:*",
        "token:a",
        "token:a*",
        "group:x",
        "group:y",
        "group:x*",
        "certificate:a",
    ]);
    let role =
        prop::sample::select(vec!["viewer", "editor", "approver", "admin", "auditor", "oncall", "none"]);
    let namespace = prop::sample::select(vec!["*", "shop", "shop*", "*b", "s*p", "confwatch", "c*"]);
    let config = prop::sample::select(vec!["*", "app", "a*", "*.b", "n*", "rules"]);
    let scope = prop::sample::select(vec!["/", "/a", "/a/b", "/ab", "/b"]);
    let binding = (prop::collection::vec(subject, 0..3), role, namespace, config, scope).prop_map(
        |(subjects, role, namespace, config, scope)| {
            json!({"subjects": subjects, "role": role, "namespace": namespace, "config": config, "scope": scope})
        },
    );
    prop::collection::vec(binding, 0..8).prop_map(
        |bindings| json!({"roles": {"oncall": ["read", "override"], "none": []}, "bindings": bindings}),
    )
}

proptest! {
    #[test]
    fn a_policy_allows_what_its_document_says(
        document in documents(),
        subject in prop::sample::select(vec!["user:a", "user:b", "token:a", "token:ab", "certificate:a", "group:x"]),
        groups in prop::collection::vec(prop::sample::select(vec!["x", "y", "xy"]), 0..3),
        verb in prop::sample::select(Verb::ALL.to_vec()),
        namespace in prop::sample::select(vec!["shop", "shopb", "b", "confwatch", "sp"]),
        config in prop::sample::select(vec![
            "app", "a.b", "name", "rules", "schema:app", "rules:a.b", "settings:x", "namespace:rules", "namespace:settings",
        ]),
        scope in prop::sample::select(vec!["/", "/a", "/a/b", "/a/b/c", "/ab", "/b"]),
    ) {
        let policy = policy(document.clone());
        let who = who(subject, &groups);
        let resource = at(namespace, config, scope);
        let expected = allows_naively(&document, &who, verb, namespace, config, scope);
        prop_assert_eq!(policy.allows(&who, verb, &resource), expected);
        prop_assert_eq!(policy.grants_of(&who).allows(verb, &resource), expected);
        let decision = policy.decide(&who, verb, &resource);
        prop_assert_eq!(decision.is_allowed(), expected, "{}", decision);
        // A list shows every config of which anything may be read.
        let may_read = allows_naively(&document, &who, Verb::Read, namespace, config, scope);
        let (namespace, config) = (Namespace::parse(namespace).expect("a name"), ConfigName::parse(config).expect("a name"));
        let sees = policy.grants_of(&who).may_see_config(&namespace, &config);
        prop_assert!(sees || !may_read || !config.is_ordinary());
        prop_assert!(!sees || policy.grants_of(&who).may_see_namespace(&namespace));
    }
}

#[test]
fn a_run_of_stars_means_what_one_star_means() {
    for (runs, single) in [("**", "*"), ("a***b**", "a*b*")] {
        let with =
            |pattern: &str| policy(json!({"bindings": [bound("user:a", "editor", pattern, pattern, "/")]}));
        for name in ["a", "ab", "axb", "axbx", "b", "confwatch"] {
            let allowed = |pattern: &str| allowed(&with(pattern), &who("user:a", &[]), &at(name, "axb", "/"));
            assert_eq!(allowed(runs), allowed(single), "{runs} {name}");
        }
    }
}
