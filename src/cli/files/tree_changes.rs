//! Computes the changes that make a namespace equal to a directory. Knows the directory form, and reads the state of the server.

use std::collections::BTreeMap;

use serde_json::Value;

use super::source::{LayerId, Source, Sources};
use super::tree::{self, Holds, LayerFile, LayerName, Registry, Tree};
use crate::cli::Session;
use crate::cli::commands::list::{Listed, configs_of};
use crate::cli::input::args::DocumentFormat;
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::streams::REMOVED;
use crate::client::ClientError;
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::text::{Format, parse, render};
use crate::model::{ConfigName, Scope};
use crate::proto::v1::{self, change::Action};

/// The most changes of one Apply call.
const CHANGES_MAX: usize = 1000;
/// The largest message that servers take.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What a change takes in a message besides its names and its text: tags, lengths, numbers.
const CHANGE_OVERHEAD_BYTES: usize = 32;

/// A directory as it is sent.
pub struct TreeChanges {
    pub changes: Vec<v1::Change>,
    /// The files, in the order of the changes.
    pub sources: Sources,
}

/// A schema that is stored already.
struct StoredSchema {
    document: Value,
    /// Of the last change of its layer.
    version: u64,
}

/// Each file as a change that replaces its layer. What a schema adds to depends on what is stored; without a session nothing is.
pub async fn changes_of(
    tree: &Tree,
    namespace: &str,
    session: Option<&Session>,
) -> Result<TreeChanges, Failure> {
    let mut numbers = None;
    let mut made = TreeChanges { changes: vec![], sources: Sources::default() };
    for (at, (name, file)) in tree.layers.iter().enumerate() {
        let mut source = source_of(at, name, file, tree, namespace);
        let mut change = change(namespace, name.config.as_str(), name.scope.as_str());
        let text = match file.holds {
            Holds::Layer => file.text.clone(),
            Holds::Schema => {
                let schema = value_of(&source)?;
                let stored = match session {
                    Some(session) => stored_schema(namespace, &name.config, session).await?,
                    None => None,
                };
                if let (None, Some(session)) = (&numbers, session) {
                    numbers = Some(versions_of(namespace, session).await?);
                }
                let last = numbers.as_ref().and_then(|numbers| numbers.get(name.config.as_str()));
                let number = last.copied().unwrap_or_default() + 1;
                let registry =
                    tree::registry_of(schema, stored.as_ref().map(|stored| &stored.document), number);
                if session.is_some() && !registry.is_stored {
                    change.expected_version = Some(stored.map_or(0, |stored| stored.version));
                }
                source.place.clone_from(&registry.place);
                registry_text(&registry, file.format)?
            }
        };
        change.action = Some(Action::Replace(file.format.text(text)));
        made.changes.push(change);
        made.sources.0.push(source);
    }
    Ok(made)
}

fn source_of(at: usize, name: &LayerName, file: &LayerFile, tree: &Tree, namespace: &str) -> Source {
    let path =
        tree.paths.get(name).map_or_else(|| name.config.to_string(), |path| path.display().to_string());
    Source {
        field: format!("changes[{at}].replace"),
        name: path,
        format: file.format,
        text: file.text.clone(),
        layer: Some(LayerId {
            namespace: namespace.to_owned(),
            config: name.config.to_string(),
            scope: name.scope.clone(),
            kind: v1::LayerKind::Base,
        }),
        place: String::new(),
    }
}

/// The value of a file; the failure shows the place where the file cannot be read.
pub fn value_of(source: &Source) -> Result<Value, Failure> {
    if let Some((error, excerpt)) = source.read_error() {
        let mut failure = Failure::refused(format!("{}: {error}", source.name));
        failure.details.extend(excerpt.iter().flat_map(|excerpt| excerpt.lines(REMOVED)));
        return Err(failure);
    }
    let value = parse(&source.text, source.model_format(), TEXT_BYTES_MAX);
    value.map_err(|error| Failure::refused(format!("{}: {error}", source.name)))
}

fn registry_text(registry: &Registry, format: DocumentFormat) -> Result<String, Failure> {
    let format = match format {
        DocumentFormat::Json => Format::Json,
        DocumentFormat::Yaml => Format::Yaml,
        DocumentFormat::Toml => Format::Toml,
    };
    render(&registry.document, format).map_err(|error| Failure::refused(error.to_string()))
}

/// The layer that holds a schema. `None`: there is none.
async fn stored_schema(
    namespace: &str,
    config: &ConfigName,
    session: &Session,
) -> Result<Option<StoredSchema>, Failure> {
    let request = v1::GetRequest {
        namespace: namespace.into(),
        config: config.to_string(),
        view: v1::View::Layer.into(),
        ..Default::default()
    };
    let document = match session.client.api().get(request).await {
        Ok(response) => response.into_inner().document.unwrap_or_default(),
        Err(status) => match ClientError::from(status) {
            error if error.reason() == "CONFIG_NOT_FOUND" => return Ok(None),
            error => return Err(error.into()),
        },
    };
    let value = serde_json::from_str(&document.content)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    let version = document.layers.first().map_or(0, |layer| layer.version);
    Ok(Some(StoredSchema { document: value, version }))
}

/// The versions of all that governs in a namespace, deleted or not: a new version of a schema has the number of the config's next one.
async fn versions_of(namespace: &str, session: &Session) -> Result<BTreeMap<String, u64>, Failure> {
    let listed = Listed { deleted: true, governing: true };
    let configs = configs_of(namespace, listed, session).await?.configs;
    Ok(configs.into_iter().map(|info| (info.config, info.version)).collect())
}

/// What the server would refuse with less to say about it.
pub fn check_size(changes: &[v1::Change]) -> Result<(), Failure> {
    if changes.len() > CHANGES_MAX {
        let message = format!("{} layers change, at most {CHANGES_MAX} can in one commit", changes.len());
        return Err(Failure::refused(message).with("apply parts of the directory one after the other"));
    }
    let bytes: usize = changes.iter().map(size).sum();
    if bytes > MESSAGE_BYTES_MAX {
        let message = format!("the layers have {bytes} bytes, at most {MESSAGE_BYTES_MAX} fit one commit");
        return Err(Failure::refused(message).with("apply parts of the directory one after the other"));
    }
    Ok(())
}

fn size(change: &v1::Change) -> usize {
    let text = match &change.action {
        Some(Action::Replace(text) | Action::MergePatch(text) | Action::JsonPatch(text)) => {
            text.content.len()
        }
        Some(Action::Assign(_) | Action::Delete(())) | None => 0,
    };
    text + change.namespace.len() + change.config.len() + change.scope.len() + CHANGE_OVERHEAD_BYTES
}

/// Whether a directory can have layers of the config: the tags of a namespace are none of its content.
pub fn is_of_directories(config: &ConfigName) -> bool {
    config.is_ordinary() || config.governs().is_some()
}

/// The base layers of the namespace that the directory does not have.
pub async fn deletions(tree: &Tree, namespace: &str, session: &Session) -> Result<Vec<v1::Change>, Failure> {
    let mut deletions = Vec::new();
    let listed = Listed { deleted: false, governing: true };
    for info in configs_of(namespace, listed, session).await?.configs {
        for layer in info.layers.iter().filter(|layer| layer.kind() == v1::LayerKind::Base) {
            // A name that this program cannot read is none that the directory has; but better to leave it alone.
            let (Ok(config), Ok(scope)) = (ConfigName::parse(&info.config), Scope::parse(&layer.scope))
            else {
                continue;
            };
            if is_of_directories(&config) && !tree.layers.contains_key(&tree::LayerName { config, scope }) {
                deletions.push(v1::Change {
                    action: Some(Action::Delete(())),
                    ..change(namespace, &info.config, &layer.scope)
                });
            }
        }
    }
    Ok(deletions)
}

fn change(namespace: &str, config: &str, scope: &str) -> v1::Change {
    v1::Change {
        namespace: namespace.into(),
        config: config.into(),
        scope: scope.into(),
        kind: v1::LayerKind::Base.into(),
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn replace(bytes: usize) -> v1::Change {
        let text = DocumentFormat::Json.text("x".repeat(bytes));
        v1::Change { action: Some(Action::Replace(text)), ..change("payments", "checkout", "/") }
    }

    #[test]
    fn what_does_not_fit_one_commit_is_refused_before_it_is_sent() {
        assert!(check_size(&[replace(1 << 20), replace(1 << 20)]).is_ok());
        let failure = check_size(&[replace(2 << 20), replace(2 << 20)]).expect_err("too large");
        assert_eq!(failure.exit, Exit::Refused);
        assert!(failure.message.contains("4194304"), "{failure}");
        let failure = check_size(&vec![replace(1); 1001]).expect_err("too many");
        assert!(failure.message.contains("1001 layers"), "{failure}");
    }
}
