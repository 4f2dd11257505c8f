//! Tags of namespaces: names for revisions of all configs of a namespace. Plans setting, moving and deleting one. Pure. Knows states.
//!
//! A tag of a namespace is kept twice. The system config `namespace:tags` has the revision, as the object `{TAG: REVISION}`. And each config that
//! existed then has a tag of the same name, so that the version is kept whatever history is compacted, and Get, Diff and Rollback of the config take
//! the tag as any other. While a namespace has a tag, no config of it has another tag of the same name.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::plan::{Plan, next_version};
use super::planning::Planning;
use super::read_set::ReadSet;
use super::tagging::{ReadTagNamespace, TagNamespace, TagTarget};
use crate::engine::error::{Error, Limit, Missing};
use crate::engine::state::ConfigState;
use crate::engine::state::tags::{tags_id, tags_of};
use crate::model::{
    ConfigChange, ConfigId, Content, Format, LayerChange, LayerKey, Revision, Scope, TagChange, TagName,
};

/// Tags of one namespace.
const TAGS_MAX: usize = 1000;

pub(in crate::engine) fn plan_namespace_tag(
    bases: &ReadSet,
    read: &ReadTagNamespace,
    planning: &Planning<'_>,
) -> Result<Plan, Error> {
    let TagNamespace { namespace, tag, to, expected } = &read.tagging;
    if bases.has_others() {
        return Err(Error::TargetMoved);
    }
    let id = tags_id(namespace);
    let base = bases.get(&id);
    let mut tags = base.map(|config| tags_of(config)).unwrap_or_default();
    let before = tags.get(tag.as_str()).and_then(Value::as_u64).map(Revision);
    let found = before.unwrap_or(Revision::ZERO);
    if let Some(expected) = expected.filter(|expected| *expected != found) {
        return Err(Error::TagMismatch {
            namespace: namespace.clone(),
            tag: tag.clone(),
            expected,
            current: found,
        });
    }
    let configs = || read.configs.keys().filter_map(|id| bases.get(id));
    let newest = || configs().map(|config| config.at.revision).max();
    let revision = match to {
        TagTarget::Deleted => None,
        TagTarget::Revision(revision) => Some(*revision),
        TagTarget::Newest => Some(newest().ok_or_else(|| Missing::Config(ConfigId::first_of(namespace)))?),
    };
    let mut plan = Plan::new(vec![]);
    plan.namespace_tag = (revision, before);
    if revision.is_none() && before.is_none() {
        return Ok(plan);
    }
    let mut changes: BTreeMap<ConfigId, (Option<&Arc<ConfigState>>, ConfigChange)> = BTreeMap::new();
    for (id, then) in &read.configs {
        planning.cancelled.check()?;
        let base = bases.get(id).ok_or(Error::TargetMoved)?;
        let version = match revision {
            None => None,
            Some(revision) if base.at.revision <= revision => (!base.is_deleted()).then_some(base.at.version),
            Some(_) => then.ok_or(Error::TargetMoved)?,
        };
        let previous = base.tags().get(tag).copied();
        if version != previous {
            let tags = vec![TagChange { tag: tag.clone(), version, previous }];
            changes.insert(
                id.clone(),
                (Some(base), ConfigChange { tags, ..next_version(id, Some(base), vec![]) }),
            );
        }
    }
    if revision != before {
        match revision {
            Some(revision) => tags.insert(tag.to_string(), revision.0.into()),
            None => tags.remove(tag.as_str()),
        };
        if tags.len() > TAGS_MAX {
            let (limit_name, what) = (Limit::Tags, format!("tags of namespace {namespace}").into());
            return Err(Error::LimitReached { limit_name, what, found: tags.len(), limit: TAGS_MAX });
        }
        let content = Some(Content::of(&Value::Object(tags)));
        let key = LayerKey::base(Scope::global());
        let layer = LayerChange { key, content, expires: None, format: Some(Format::Json) };
        changes.insert(id.clone(), (base, next_version(&id, base, vec![layer])));
    }
    changes.into_values().for_each(|(base, change)| plan.add(base, change));
    Ok(plan)
}

/// Refuses to set or delete a tag of one config that is a tag of its namespace.
pub(super) fn check_not_of_namespace(bases: &ReadSet, id: &ConfigId, tag: &TagName) -> Result<(), Error> {
    let governance = bases.governance(&id.namespace);
    let tags = governance.and_then(|governance| governance.document(&tags_id(&id.namespace).config));
    match tags.is_some_and(|tags| tags.get(tag.as_str()).is_some()) {
        true => {
            let message =
                format!("{tag:?} is a tag of the namespace {}: set or delete it there", id.namespace);
            Err(Error::Invalid { field: "tag".into(), message })
        }
        false => Ok(()),
    }
}
