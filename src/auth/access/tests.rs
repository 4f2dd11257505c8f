//! Permits: for whom they are, and when there is none.

use serde_json::json;

use super::*;
use crate::model::{ConfigName, Namespace, Scope};

/// May read all of the shop, and write at staging.
fn policy() -> Policy {
    let bound = |role: &str, scope: &str| json!({"subjects": ["user:alice"], "role": role, "namespace": "shop", "config": "*", "scope": scope});
    let bindings = [bound("viewer", "/"), bound("editor", "/staging")];
    Policy::parse(&json!({"bindings": bindings})).expect("a policy")
}

fn alice(policy: &Policy) -> Access {
    Access::new(Caller::unverified("alice").expect("a caller"), policy)
}

fn at(namespace: &str, scope: &str) -> Resource {
    let namespace = Namespace::parse(namespace).expect("a namespace");
    let config = ConfigName::parse("app").expect("a name");
    Resource::config(namespace, config, Scope::parse(scope).expect("a scope"))
}

#[test]
fn a_permit_says_who_may_do_what_to_what() {
    let access = alice(&policy());
    let permit = access.permit(Verb::Write, at("shop", "/staging")).expect("leave");
    assert_eq!((permit.verb(), permit.resource()), (Verb::Write, &at("shop", "/staging")));
    assert_eq!(permit.caller().actor(), "alice");
    let denied = access.permit(Verb::Write, at("shop", "/")).expect_err("no leave");
    assert_eq!(denied.to_string(), "alice may not write shop/app at /");
}

#[test]
fn many_things_are_permitted_together_or_one_is_named() {
    let access = alice(&policy());
    let items =
        [(Verb::Write, at("shop", "/staging")), (Verb::Read, at("shop", "/")), (Verb::Read, at("bank", "/"))];
    let permits = access.permit_all(items[..2].to_vec()).expect("leave");
    assert_eq!(permits.items(), &items[..2]);
    assert_eq!(permits.into_permits().count(), 2);
    let denied = access.permit_all(items.to_vec()).expect_err("no leave");
    assert_eq!(denied.to_string(), "alice may not read bank/app at /");
    assert_eq!(access.permit_some(items.to_vec()).into_items(), &items[..2]);
}

#[test]
fn a_permit_ends_with_the_policy_that_gave_it() {
    let access = alice(&policy());
    let permit = access.permit(Verb::Read, at("shop", "/")).expect("leave");
    let permit = permit.renewed(&alice(&policy())).expect("leave");
    // The same caller under another policy, whatever was found before.
    let later = Access::new(access.caller().clone(), &Policy::nothing());
    assert!(permit.renewed(&later).is_err());
    let permits = access.permit_all([(Verb::Read, at("shop", "/"))]).expect("leave");
    assert!(permits.renewed(&later).is_err());
}

#[test]
fn a_list_shows_what_may_be_read() {
    let name = |text| (Namespace::parse(text).expect("a name"), ConfigName::parse("app").expect("a name"));
    let visibility = alice(&policy()).visibility();
    for (namespace, expected) in [("shop", true), ("bank", false), ("confwatch", false)] {
        let (namespace, config) = name(namespace);
        assert_eq!(visibility.has_namespace(&namespace), expected);
        assert_eq!(visibility.has_config(&namespace, &config), expected);
        assert_eq!(visibility.has(&namespace, &config, &Scope::global()), expected);
    }
}

#[test]
fn nothing_that_is_shown_of_a_caller_is_secret() {
    let access = alice(&policy());
    let shown = format!("{:?}", access.caller());
    assert_eq!(shown, "Caller { actor: \"alice\", groups: [], credential: Unverified, expires: None, .. }");
}
