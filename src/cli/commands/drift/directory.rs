//! Compares a directory with the stored layers, as the caller may read them. No call writes, or tries to. Knows the client and the directory
//! form.
//!
//! Secrets are compared by their fingerprints. A file that has one in clear text is compared by the caller who may reveal it; for others it is not
//! known whether the two are the same.

use std::collections::HashMap;

use serde_json::{Map, Value};
use tonic::Code;

use crate::cli::Session;
use crate::cli::commands::list::{Listed, configs_of};
use crate::cli::files::source::Source;
use crate::cli::files::tree::Tree;
use crate::cli::files::tree_changes::{TreeChanges, changes_of, deletions, value_of};
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::layers::value_changes;
use crate::client::Client;
use crate::model::Content;
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::text::parse;
use crate::proto::v1::{self, change::Action};

/// The member that marks a value of a file as secret.
const SECRET_MARK: &str = "$secret";
/// What fingerprints begin with.
const FINGERPRINT_MARK: &str = "***";

/// The differences of a directory from what is stored.
#[derive(Default)]
pub struct DirectoryDrift {
    pub layers: Vec<LayerDrift>,
    /// Secrets of files in clear text that the caller may not compare.
    pub unknown_secrets: usize,
}

/// A layer that differs, and how its file differs from what is stored.
pub struct LayerDrift {
    pub change: v1::AppliedChange,
    pub of: Side,
}

#[derive(Clone, Copy)]
pub enum Side {
    Both,
    Directory,
    Store,
}

/// A layer and the places of its masked secrets.
struct Stored {
    document: v1::Document,
    value: Value,
}

/// Compares every layer of the directory, and every base layer of the namespace that the directory does not have.
pub async fn compare(tree: &Tree, namespace: &str, session: &Session) -> Result<DirectoryDrift, Failure> {
    let TreeChanges { changes, sources } = changes_of(tree, namespace, Some(session)).await?;
    let digests = digests(namespace, session).await?;
    let masking = session.client.masking_secrets(true);
    let mut drift = DirectoryDrift::default();
    for (change, source) in changes.iter().zip(&sources.0) {
        let mut file = file_value(change, source)?;
        let digest = digests.get(&(change.config.clone(), change.scope.clone()));
        if digest.is_some_and(|digest| *digest == Content::of(&file).digest().to_string()) {
            continue;
        }
        let stored = stored(change, &masking).await?;
        let marked = unmarked(&mut file, &mut String::new());
        let of = if stored.is_some() { Side::Both } else { Side::Directory };
        let before = match &stored {
            Some(stored) => {
                drift.unknown_secrets += resolve_secrets(&mut file, stored, change, session).await?;
                stored.value.clone()
            }
            None => Value::Object(Map::new()),
        };
        for pointer in marked {
            hide(&mut file, &before, &pointer);
        }
        drift.add(change, stored.map(|stored| stored.document), of, &before, &file);
    }
    for change in deletions(tree, namespace, session).await? {
        let Some(Stored { document, value }) = stored(&change, &masking).await? else { continue };
        drift.add(&change, Some(document), Side::Store, &value, &Value::Object(Map::new()));
    }
    Ok(drift)
}

impl DirectoryDrift {
    fn add(
        &mut self,
        change: &v1::Change,
        document: Option<v1::Document>,
        of: Side,
        before: &Value,
        after: &Value,
    ) {
        let diff = value_changes(before, after);
        if diff.is_empty() && matches!(of, Side::Both) {
            return;
        }
        let document = document.unwrap_or_else(|| v1::Document {
            namespace: change.namespace.clone(),
            config: change.config.clone(),
            scope: change.scope.clone(),
            view: v1::View::Layer.into(),
            ..Default::default()
        });
        let document = v1::Document { content: String::new(), ..document };
        self.layers.push(LayerDrift {
            change: v1::AppliedChange { document: Some(document), changed: true, diff },
            of,
        });
    }
}

/// The digests of the base layers that the caller may read.
async fn digests(namespace: &str, session: &Session) -> Result<HashMap<(String, String), String>, Failure> {
    let listed = configs_of(namespace, Listed { deleted: false, governing: true }, session).await?;
    let layers = listed.configs.into_iter().flat_map(|info| {
        let config = info.config;
        let base = info.layers.into_iter().filter(|layer| layer.kind() == v1::LayerKind::Base);
        base.map(move |layer| ((config.clone(), layer.scope), layer.digest))
    });
    Ok(layers.collect())
}

/// What a file says that the layer should be.
fn file_value(change: &v1::Change, source: &Source) -> Result<Value, Failure> {
    value_of(source)?;
    let Some(Action::Replace(text)) = &change.action else {
        unreachable!("a file replaces its layer");
    };
    let value = parse(&text.content, source.model_format(), TEXT_BYTES_MAX);
    value.map_err(|error| Failure::refused(format!("{}: {error}", source.name)))
}

/// The stored layer. `None`: there is none.
async fn stored(change: &v1::Change, client: &Client) -> Result<Option<Stored>, Failure> {
    let request = v1::GetRequest {
        namespace: change.namespace.clone(),
        config: change.config.clone(),
        scope: change.scope.clone(),
        view: v1::View::Layer.into(),
        format: v1::Format::Json.into(),
        ..Default::default()
    };
    let document = match client.api().get(request).await {
        Ok(response) => response.into_inner().document.filter(|document| !document.layers.is_empty()),
        Err(status) if status.code() == Code::NotFound => None,
        Err(status) => return Err(status.into()),
    };
    let Some(document) = document else { return Ok(None) };
    let value = serde_json::from_str(&document.content)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    Ok(Some(Stored { document, value }))
}

/// Takes the marks of secrets from a value, and returns the places where they were.
fn unmarked(value: &mut Value, place: &mut String) -> Vec<String> {
    if let Value::Object(members) = value
        && members.len() == 1
        && let Some(secret) = members.remove(SECRET_MARK)
    {
        *value = secret;
        return vec![place.clone()];
    }
    let mut found = vec![];
    let length = place.len();
    let mut visit = |token: &str, child: &mut Value| {
        place.push('/');
        place.push_str(&token.replace('~', "~0").replace('/', "~1"));
        found.extend(unmarked(child, place));
        place.truncate(length);
    };
    match value {
        Value::Object(members) => members.iter_mut().for_each(|(name, child)| visit(name, child)),
        Value::Array(items) => {
            items.iter_mut().enumerate().for_each(|(at, child)| visit(&at.to_string(), child));
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
    found
}

/// Gives a secret of the file that is the stored one the form in which the store shows it, and hides every other one. Returns how many may be
/// either.
async fn resolve_secrets(
    file: &mut Value,
    stored: &Stored,
    change: &v1::Change,
    session: &Session,
) -> Result<usize, Failure> {
    let is_clear = |pointer: &&String| {
        let shown = file.pointer(pointer);
        shown.is_some_and(|shown| !is_fingerprint(shown) && Some(shown) != stored.value.pointer(pointer))
    };
    let clear: Vec<&String> = stored.document.hidden_pointers.iter().filter(is_clear).collect();
    if clear.is_empty() {
        return Ok(0);
    }
    let revealed = self::stored(change, &session.client.masking_secrets(false)).await?;
    let mut unknown = 0;
    for pointer in clear {
        let secret =
            revealed.as_ref().filter(|revealed| revealed.document.revealed_pointers.contains(pointer));
        let secret = secret.and_then(|revealed| revealed.value.pointer(pointer));
        let (Some(ours), Some(theirs)) = (file.pointer_mut(pointer), stored.value.pointer(pointer)) else {
            continue;
        };
        match secret {
            Some(secret) if *secret != *ours => *ours = FINGERPRINT_MARK.into(),
            Some(_) => *ours = theirs.clone(),
            None => {
                unknown += 1;
                *ours = theirs.clone();
            }
        }
    }
    Ok(unknown)
}

/// Hides a secret that is only in the file.
fn hide(file: &mut Value, before: &Value, pointer: &str) {
    if let Some(secret) =
        file.pointer_mut(pointer).filter(|secret| before.pointer(pointer) != Some(&**secret))
    {
        *secret = FINGERPRINT_MARK.into();
    }
}

fn is_fingerprint(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.starts_with(FINGERPRINT_MARK))
}
