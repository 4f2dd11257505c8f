//! The configs, scopes, documents and callers of these tests.

use super::*;

/// The configs, and after them the schemas of these.
pub(super) fn id(config: usize) -> ConfigId {
    let namespace = Namespace::parse("test").expect("a name");
    let name = match config < CONFIGS.len() {
        true => CONFIGS[config].to_owned(),
        false => format!("schema:{}", CONFIGS[config - CONFIGS.len()]),
    };
    ConfigId { namespace, config: ConfigName::parse(&name).expect("a name") }
}

pub(super) fn key(kind: LayerKind, scope: usize) -> LayerKey {
    LayerKey { kind, scope: Scope::parse(SCOPES[scope]).expect("a scope") }
}

/// Of somebody who may see everything.
pub(super) fn visibility() -> auth::Visibility {
    auth::Access::unrestricted("test").expect("a name").visibility()
}

/// Of those who see all, all but secrets, and one config.
pub(super) fn visibilities() -> [auth::Visibility; 3] {
    [visibility(), sight_of("viewer", "*"), sight_of("admin", CONFIGS[0])]
}

/// Of somebody who has a role in the namespace of these tests, on configs of this name.
pub(super) fn sight_of(role: &str, config: &str) -> auth::Visibility {
    let binding =
        json!({"subjects": ["*"], "role": role, "namespace": "test", "config": config, "scope": "/"});
    let policy = auth::Policy::parse(&json!({"bindings": [binding]})).expect("a policy");
    auth::Access::new(auth::Caller::unverified("somebody").expect("a name"), &policy).visibility()
}

pub(super) fn exact(id: ConfigId, target: &WatchTarget) -> Target {
    Target { id, scope: target.scope.clone(), view: target.view, secrets: Secrets::Revealed }
}

pub(super) fn name(target: &Target) -> String {
    format!("{} {} {:?}", target.id, target.scope, target.view)
}

pub(super) fn content(number: u8) -> Content {
    Content::of(&match number {
        0 => json!({"a": null}),
        1 => json!({"a": 1}),
        2 => json!({"a": 2}),
        _ => json!({"b": number}),
    })
}

/// A schema whose default is in documents that have no `d`; the last is that of the schema of the first config.
pub(super) fn schema(number: u8) -> Content {
    let default = match number {
        0 => json!({"$ref": "schema:a#/properties/d"}),
        _ => json!({ "default": number % 3 }),
    };
    let schema = json!({"properties": {"d": default}});
    Content::of(&json!({"active": 1, "versions": [{"number": 1, "schema": schema}]}))
}

pub(super) fn follow(config: usize, scope: usize) -> WatchTarget {
    WatchTarget {
        selector: WatchSelector::Config(id(config), None),
        scope: Scope::parse(SCOPES[scope]).expect("a scope"),
        view: View::Effective,
        format: Format::Json,
    }
}

pub(super) fn star(scope: usize) -> WatchTarget {
    WatchTarget { selector: WatchSelector::Namespace(id(0).namespace, Held::new()), ..follow(0, scope) }
}

pub(super) fn limits(watchers_max: usize) -> Limits {
    Limits { watchers_max, ..Limits::default() }
}
