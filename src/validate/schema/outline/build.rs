//! Makes an outline: walks the sources, then follows the references. What each keyword means is in `keywords`.

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex};

use jsonschema::{Draft, Registry, Retrieve, Uri};
use serde_json::Value;

use super::super::source::{self, error, uri_of};
use super::builder::{Builder, Task};
use super::keywords;
use super::{Outline, SubschemaLocation};
use crate::model::ConfigName;
use crate::validate::Found;

/// More subschemas are refused. What is made of them later grows with it.
const NODES_MAX: usize = 100_000;

/// Makes the outline of a schema, given the sources of it and of those that it refers to, and all schemas of the namespace, to say
/// what could have been meant.
pub(in super::super) fn build(
    name: &ConfigName,
    sources: &BTreeMap<ConfigName, &Value>,
    known: &BTreeMap<ConfigName, Value>,
) -> Result<Outline, Vec<Found>> {
    let unknown = Unknown::default();
    let mut registry = Registry::new().retriever(Arc::new(unknown.clone()) as Arc<dyn Retrieve>);
    let own_uri = uri_of(name);
    let own = sources[name];
    let place_of = |failure: &referencing::Error| vec![whole_failure(own, failure, known)];
    for (name, source) in sources {
        registry = registry.add(uri_of(name), *source).map_err(|failure| place_of(&failure))?;
    }
    let registry = registry.prepare().map_err(|failure| place_of(&failure))?;
    let mut builder = Builder { own: own_uri.into(), ..Builder::default() };
    for name in std::iter::once(name).chain(sources.keys().filter(|other| *other != name)) {
        let uri: Arc<str> = uri_of(name).into();
        let parsed = jsonschema::uri::from_str(&uri).map_err(|failure| place_of(&failure))?;
        let place = SubschemaLocation {
            document: Arc::clone(&uri),
            pointer: String::new(),
            base: uri,
            base_bytes: 0,
        };
        builder.add(sources[name], &registry.resolver(parsed), Draft::default(), place);
        builder.walk();
    }
    builder.follow(&unknown, sources, known);
    builder.finish()
}

/// Says that nothing is there for every URI that is not of the namespace, and remembers it, so that the place of every reference that
/// leads there can be told, and not of the first one only.
#[derive(Clone, Default)]
struct Unknown(Arc<Mutex<HashSet<String>>>);

impl Retrieve for Unknown {
    fn retrieve(&self, uri: &Uri<String>) -> Result<Value, Box<dyn std::error::Error + Send + Sync>> {
        self.0.lock().expect("no holder of the lock panics").insert(uri.as_str().to_owned());
        Ok(Value::Bool(true))
    }
}

impl Unknown {
    fn has(&self, uri: &str) -> bool {
        self.0.lock().expect("no holder of the lock panics").contains(uri)
    }
}

impl<'r> Builder<'r> {
    fn walk(&mut self) {
        while let Some(mut task) = self.rest.pop() {
            if self.nodes.len() > NODES_MAX {
                let message = format!("has, with all that it refers to, more than {NODES_MAX} subschemas");
                self.found.push(error("SCHEMA_TOO_LARGE", "", message, "refer to smaller schemas"));
                self.rest.clear();
                return;
            }
            task.draft = match task.draft.detect(task.source) {
                Draft::Unknown => task.draft,
                draft => draft,
            };
            let resource = task.draft.create_resource_ref(task.source);
            if resource.id().is_some_and(|id| !id.starts_with('#')) {
                match task.resolver.in_subresource(resource) {
                    Ok(resolver) => {
                        task.resolver = resolver;
                        let place = &mut self.nodes[task.node].place;
                        place.base = without_fragment(task.resolver.base_uri().as_str()).into();
                        place.base_bytes = place.pointer.len();
                    }
                    Err(failure) => self.flaw(task.node, "SCHEMA_REFERENCE", "$id", failure.to_string()),
                }
            }
            let place = &self.nodes[task.node].place;
            let location = (Arc::clone(&place.base), place.pointer[place.base_bytes..].to_owned());
            self.by_location.entry(location).or_insert(task.node);
            let Task { source, .. } = task;
            match source {
                Value::Bool(verdict) => self.nodes[task.node].verdict = Some(*verdict),
                Value::Object(members) => keywords::read(self, &task, members),
                Value::Null | Value::Number(_) | Value::String(_) | Value::Array(_) => {}
            }
        }
    }

    /// Follows the references, and those of what they lead to.
    fn follow(
        &mut self,
        unknown: &Unknown,
        sources: &BTreeMap<ConfigName, &'r Value>,
        known: &BTreeMap<ConfigName, Value>,
    ) {
        while let Some((node, reference, resolver)) = self.references.pop() {
            let text = if reference.text.is_empty() { "#" } else { &reference.text };
            // The registry neither has the meta-schemas nor asks for them.
            let lookup = resolver.lookup(text).or_else(|failure| {
                let base = jsonschema::uri::from_str(without_fragment(text)).map_err(|_| failure)?;
                referencing::SPECIFICATIONS.resolver(base).lookup(text)
            });
            let resolved = match lookup {
                Ok(resolved) if !unknown.has(without_fragment(resolved.resolver().base_uri().as_str())) => {
                    resolved
                }
                Ok(_) | Err(_) => {
                    let place = self.nodes[node].place.clone();
                    let pointer = format!("{}/{}", place.pointer, reference.keyword);
                    self.report(&place, source::missing(&reference.text, &pointer, known));
                    continue;
                }
            };
            let (contents, resolver, draft) = resolved.into_inner();
            let base: Arc<str> = without_fragment(resolver.base_uri().as_str()).into();
            let target = match self.by_address.get(&std::ptr::from_ref(contents)) {
                Some(target) => *target,
                // Below a keyword that has no subschemas, or in a meta-schema.
                None => {
                    let document = sources.keys().map(uri_of).find(|uri| **uri == *base);
                    let pointer = fragment(text).filter(|path| path.starts_with('/')).unwrap_or_default();
                    let document = document.map_or_else(|| Arc::clone(&base), Arc::from);
                    self.add(
                        contents,
                        &resolver,
                        draft,
                        SubschemaLocation { document, pointer, base, base_bytes: 0 },
                    )
                }
            };
            self.walk();
            self.nodes[node].refers.push(target);
            if let Some(anchor) = reference.anchor {
                let others = self.anchors.get(&anchor).cloned().unwrap_or_default();
                self.nodes[node].dynamic.extend(others.into_iter().filter(|other| *other != target));
            }
        }
    }
}

fn without_fragment(uri: &str) -> &str {
    uri.split('#').next().unwrap_or(uri)
}

fn fragment(reference: &str) -> Option<String> {
    let (_, fragment) = reference.split_once('#')?;
    percent_encoding::percent_decode_str(fragment).decode_utf8().ok().map(|text| text.into_owned())
}

/// What fails before any place is known: a URI that is none, or that cannot be relative here.
fn whole_failure(own: &Value, failure: &referencing::Error, known: &BTreeMap<ConfigName, Value>) -> Found {
    let text = failure.to_string();
    let is_named = |uri: &str| !uri.is_empty() && text.contains(uri);
    let mut found = None;
    for keyword in ["$ref", "$dynamicRef", "$id", "id"] {
        source::each_text(own, keyword, &mut |pointer, uri| {
            if found.is_none() && is_named(uri) {
                found = Some(match keyword {
                    "$ref" | "$dynamicRef" => source::missing(uri, &pointer.to_string(), known),
                    _ => error("SCHEMA_REFERENCE", &pointer.to_string(), text.clone(), ""),
                });
            }
        });
    }
    found.unwrap_or_else(|| error("SCHEMA_REFERENCE", "", text, ""))
}
