//! Resolves references of proposed schemas, only to schemas that their author may read. Knows no permissions: it asks for each config.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::contract::{Documents, gather};
use super::schema::{MayQuote, Withheld};
use super::{Found, FoundList, Registry, Schema};
use crate::model::{ConfigName, Governs, Pointer};

/// What is wrong with the new versions in the stored form of a schema, given the form before. A schema of a config that the author may not read
/// is not there: neither whether it is, nor what it has, is told by what is found.
pub fn check_proposed(
    governed: &ConfigName,
    (before, after): (Option<&Value>, &Value),
    documents: Documents<'_>,
    may_refer: &MayQuote<'_>,
) -> Vec<Found> {
    let versions = |stored: &Value| Registry::parse(stored).map(|registry| registry.versions);
    let before = before.and_then(|stored| versions(stored).ok()).unwrap_or_default();
    // What is wrong with the form is told by others.
    let after = versions(after).unwrap_or_default();
    let is_new = |schema: &Value| before.iter().all(|version| version.schema != *schema);
    let proposed = after.iter().enumerate().filter(|(_, version)| is_new(&version.schema));
    let found = proposed.flat_map(|(at, version)| {
        let found = own_flaws(governed, &version.schema, documents, may_refer);
        found.into_iter().map(move |found| found.below(&format!("/versions/{at}/schema")))
    });
    found.collect()
}

/// Whether a document satisfies a schema that is not stored, but may refer to those that are, as far as
/// its author may read them. What is wrong with the schema has places in
/// it, and is told first. Each finding comes with whether its place is a secret of the document.
pub fn check_against(
    schema: &Value,
    document: &Value,
    within: Option<Arc<Pointer>>,
    documents: Documents<'_>,
    may_quote: &MayQuote<'_>,
) -> Vec<(Found, bool)> {
    let name = ConfigName::parse("schema").expect("a name");
    let flaws = own_flaws(&name, schema, documents, may_quote);
    if !flaws.is_empty() {
        return flaws.into_iter().map(|found| (found, false)).collect();
    }
    let mut others = BTreeMap::new();
    gather(Schema::references(schema), &name, documents, &mut others);
    match Schema::compile(&name, schema, &others) {
        Err(found) => found.into_iter().map(|found| (found, false)).collect(),
        Ok(schema) => {
            let mut found = FoundList::within(within);
            let withheld = Withheld { values: &BTreeSet::new(), may_quote };
            schema.check_without(&withheld, document, &mut found);
            let secrets = schema.secret_pointers(document);
            let secrets: BTreeSet<Pointer> =
                secrets.iter().filter_map(|pointer| Pointer::parse(pointer).ok()).collect();
            let is_secret =
                |found: &Found| Pointer::parse(&found.pointer).is_ok_and(|place| place.touches(&secrets));
            let marked = found.into_kept().into_iter().map(|found| (is_secret(&found), found));
            marked.map(|(is_secret, found)| (found, is_secret)).collect()
        }
    }
}

fn own_flaws(
    name: &ConfigName,
    schema: &Value,
    documents: Documents<'_>,
    may_refer: &MayQuote<'_>,
) -> Vec<Found> {
    let readable = |stored: &ConfigName| match stored.governs() {
        Some(Governs::Schema(of)) if !may_refer(&of) => None,
        Some(_) | None => documents(stored),
    };
    let mut others = BTreeMap::new();
    gather(Schema::references(schema), name, &readable, &mut others);
    Schema::own_flaws(name, schema, &others)
}
