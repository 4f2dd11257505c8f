//! The tags of a namespace, as the state has them. Knows the system config that keeps them; not how they are set.

use serde_json::{Map, Value};

use super::{ConfigState, State, system};
use crate::engine::error::{Error, Missing};
use crate::model::{ConfigId, ConfigName, Namespace, Revision, SystemConfig, TagName};

/// The system config that has the tags of a namespace.
pub fn tags_id(namespace: &Namespace) -> ConfigId {
    let config =
        ConfigName::of_system(SystemConfig::Tags, None).expect("a namespace has a config for its tags");
    ConfigId { namespace: namespace.clone(), config }
}

/// The tags that the system config has, with their revisions.
pub(in crate::engine) fn tags_of(config: &ConfigState) -> Map<String, Value> {
    match system::document(config) {
        Some(Value::Object(tags)) => tags,
        Some(_) | None => Map::new(),
    }
}

/// The revision that a tag of a namespace names.
pub(in crate::engine) fn tagged(
    state: &State,
    namespace: &Namespace,
    tag: &TagName,
) -> Result<Revision, Error> {
    let tags = state.config(&tags_id(namespace)).map(|config| tags_of(config)).unwrap_or_default();
    let revision = tags.get(tag.as_str()).and_then(Value::as_u64);
    let missing = || Missing::NamespaceTag(namespace.clone(), tag.clone());
    Ok(revision.map(Revision).ok_or_else(missing)?)
}
