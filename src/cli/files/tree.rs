//! The directory form of a namespace: which file holds which layer. Knows files and names; never a server.
//!
//! `CONFIG/global.yaml` is the layer of `/`, `CONFIG/production.yaml` that of `/production`, and
//! `CONFIG/production/checkout.yaml` that of `/production/checkout`. The extension says the format. Since `CONFIG/global.yaml` is
//! taken, the layer of the scope `/global` is `CONFIG/@global.yaml`, and those below it are in `CONFIG/@global/`.
//!
//! What governs configs lies beside them, in files whose names begin with `_`, as those of no config and no scope do:
//! `CONFIG/_schema.json` is the schema of the config, `CONFIG/_rules.yaml` and `CONFIG/_settings.yaml` are its rules and settings, and
//! `_rules.yaml` and `_settings.yaml` those of the namespace. A schema of which there are several versions, with the steps between
//! them, or that accepts what violates it, lies in `CONFIG/_schema.versions.json` instead, as it is stored.

mod doubts;
mod governing;
mod write;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::bounded_file::{self, DOCUMENT_FILE_BYTES_MAX};
use crate::cli::input::args::DocumentFormat;
use crate::model::{ConfigName, Scope, SystemConfig};

pub use doubts::doubts;
pub use governing::{Registry, is_plain, registry_of};
pub use write::{Existing, Written, write};

/// The file name of the global layer, without its extension.
const GLOBAL: &str = "global";
/// The file and the directory of the scope `/global`. No segment of a scope begins with `@`.
const GLOBAL_SCOPE: &str = "@global";
/// The names of files that govern begin with this, before the prefix of the kind: `_rules`, and the extension.
const GOVERNING: char = '_';
const SCHEMA: &str = "_schema";
const SCHEMA_VERSIONS: &str = "_schema.versions";

/// Which layer a file holds. The order is that of `export` and `apply`: config by config, from the top down.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LayerName {
    pub config: ConfigName,
    pub scope: Scope,
}

/// A layer as it lies in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerFile {
    pub holds: Holds,
    pub format: DocumentFormat,
    pub text: String,
    /// The text has secrets in clear text. Not known of files that were read.
    pub has_secrets: bool,
}

/// What a file has of its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Holds {
    /// All of it.
    Layer,
    /// The one schema that it holds.
    Schema,
}

/// A namespace as it lies in a directory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    pub layers: BTreeMap<LayerName, LayerFile>,
    /// Where each of the layers was found.
    pub paths: BTreeMap<LayerName, PathBuf>,
    /// What was left out and perhaps should not have been, one line each.
    pub warnings: Vec<String>,
}

/// Why a directory is not the form of a namespace, or cannot become it.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// Someone has to change the tree.
    #[error("{}: {why}", path.display())]
    Misplaced { path: PathBuf, why: String },
    /// Nothing was written: the directory has content that would be overwritten.
    #[error("{} is not empty", path.display())]
    NotEmpty { path: PathBuf },
    /// The file system failed.
    #[error("{}: {source}", path.display())]
    Io { path: PathBuf, source: io::Error },
}

/// Reads a directory. Refuses it when it cannot be told which layer a file is, or when two files claim the same one.
pub fn read(directory: &Path) -> Result<Tree, TreeError> {
    let mut tree = Tree::default();
    for FoundLayer { path, name, holds, format } in scan(directory, &mut tree.warnings)? {
        if let Some(other) = tree.paths.get(&name) {
            let why = format!(
                "{} holds the same layer, {} of {}: keep one of them",
                other.display(),
                name.scope,
                name.config
            );
            return Err(misplaced(&path, why));
        }
        // A pipe would be waited for, perhaps for ever.
        if !fs::metadata(&path).map_err(|source| at(&path, source))?.is_file() {
            return Err(misplaced(&path, "not a regular file"));
        }
        let bytes = bounded_file::read(&path, DOCUMENT_FILE_BYTES_MAX).map_err(|source| at(&path, source))?;
        let text = String::from_utf8(bytes).map_err(|_| misplaced(&path, "the file is not UTF-8"))?;
        tree.paths.insert(name.clone(), path);
        tree.layers.insert(name, LayerFile { holds, format, text, has_secrets: false });
    }
    Ok(tree)
}

/// Where a layer lies within the directory of its namespace.
pub fn path_of(name: &LayerName, holds: Holds, format: DocumentFormat) -> Result<PathBuf, TreeError> {
    let file = |stem: &str| format!("{stem}.{}", format.extension());
    if let Some(prefix) = name.config.kind().and_then(SystemConfig::prefix) {
        let directory = name.config.governed().map(PathBuf::from).unwrap_or_default();
        let stem = match (name.config.kind(), holds) {
            (Some(SystemConfig::Schema), Holds::Layer) => SCHEMA_VERSIONS.to_owned(),
            (_, Holds::Layer | Holds::Schema) => format!("{GOVERNING}{prefix}"),
        };
        return Ok(directory.join(file(&stem)));
    }
    let mut path = PathBuf::from(name.config.as_str());
    let mut segments: Vec<&str> = name.scope.segments().collect();
    if let Some(first) = segments.first_mut().filter(|first| **first == GLOBAL) {
        *first = GLOBAL_SCOPE;
    }
    let last = segments.pop().unwrap_or(GLOBAL);
    path.extend(segments);
    path.push(file(last));
    Ok(path)
}

const GLOBAL_IS_ROOT: &str = "global.yaml is the layer of \"/\": the layers of the scope /global and below it are @global.yaml and @global/";

/// A file that holds a layer.
#[derive(Debug)]
struct FoundLayer {
    path: PathBuf,
    name: LayerName,
    holds: Holds,
    format: DocumentFormat,
}

/// The layer files of a directory, in the order of their paths.
fn scan(directory: &Path, warnings: &mut Vec<String>) -> Result<Vec<FoundLayer>, TreeError> {
    let mut found = Vec::new();
    let root = directory.canonicalize().map_err(|source| at(directory, source))?;
    for path in entries(directory)? {
        let name = file_name(&path)?;
        if !path.is_dir() {
            if let Some(format) = DocumentFormat::of_path(&path).filter(|_| !is_hidden(name)) {
                refuse_outside(&path, &root)?;
                let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name);
                if let Some(governing) = governing(None, stem) {
                    let (name, holds) = governing.ok_or_else(|| misplaced(&path, NO_SUCH_OF_NAMESPACE))?;
                    found.push(FoundLayer { path, name, holds, format });
                    continue;
                }
                let why = format!(
                    "not in the directory of a config: the global layer of {stem} is {stem}/{GLOBAL}.{}",
                    format.extension()
                );
                return Err(misplaced(&path, why));
            }
            warn_of(&path, name, warnings);
            continue;
        }
        if is_hidden(name) {
            continue;
        }
        let config = ConfigName::parse(name)
            .map_err(|error| misplaced(&path, format!("the name of a config {error}")))?;
        if !config.is_ordinary() {
            return Err(misplaced(&path, NO_SUCH_DIRECTORY));
        }
        refuse_outside(&path, &root)?;
        scan_config(&config, &path, &root, &mut Vec::new(), warnings, &mut found)?;
    }
    Ok(found)
}

/// A link may name what lies in the same directory. What lies elsewhere does not belong to the namespace, and may be secret.
fn refuse_outside(path: &Path, root: &Path) -> Result<(), TreeError> {
    if !fs::symlink_metadata(path).map_err(|source| at(path, source))?.is_symlink() {
        return Ok(());
    }
    let target = path.canonicalize().map_err(|source| at(path, source))?;
    match target.starts_with(root) {
        true => Ok(()),
        false => {
            Err(misplaced(path, format!("a link that leads out of the directory, to {}", target.display())))
        }
    }
}

/// `above`: the segments of the scope that the directory stands for.
fn scan_config(
    config: &ConfigName,
    directory: &Path,
    root: &Path,
    above: &mut Vec<String>,
    warnings: &mut Vec<String>,
    found: &mut Vec<FoundLayer>,
) -> Result<(), TreeError> {
    for path in entries(directory)? {
        let name = file_name(&path)?;
        if is_hidden(name) {
            continue;
        }
        if path.is_dir() {
            refuse_outside(&path, root)?;
            above.push(name.to_owned());
            // Checked here and not with the first file below, so that links in a circle come to an end.
            scope_of(&path, above)?;
            scan_config(config, &path, root, above, warnings, found)?;
            above.pop();
            continue;
        }
        let Some(format) = DocumentFormat::of_path(&path) else {
            warn_of(&path, name, warnings);
            continue;
        };
        refuse_outside(&path, root)?;
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or(name).to_owned();
        if let Some(governing) = governing(Some(config), &stem) {
            let (name, holds) =
                governing.filter(|_| above.is_empty()).ok_or_else(|| misplaced(&path, NO_SUCH_OF_CONFIG))?;
            found.push(FoundLayer { path, name, holds, format });
            continue;
        }
        let scope = match above.is_empty() && stem == GLOBAL {
            true => Scope::global(),
            false => {
                above.push(stem);
                let scope = scope_of(&path, above);
                above.pop();
                scope?
            }
        };
        let name = LayerName { config: config.clone(), scope };
        found.push(FoundLayer { path, name, holds: Holds::Layer, format });
    }
    Ok(())
}

/// Which layer a file holds by its name, if it is one of those that govern: the config, or the namespace. `Some(None)`: it is called
/// like one, and there is none of this name.
fn governing(of: Option<&ConfigName>, stem: &str) -> Option<Option<(LayerName, Holds)>> {
    let prefix = stem.strip_prefix(GOVERNING)?;
    let known = match stem {
        SCHEMA_VERSIONS => Some((SystemConfig::Schema, Holds::Layer)),
        SCHEMA => Some((SystemConfig::Schema, Holds::Schema)),
        _ => SystemConfig::of_prefix(prefix).map(|kind| (kind, Holds::Layer)),
    };
    let named = known.and_then(|(kind, holds)| Some((ConfigName::of_system(kind, of)?, holds)));
    Some(named.map(|(config, holds)| (LayerName { config, scope: Scope::global() }, holds)))
}

const NO_SUCH_OF_NAMESPACE: &str =
    "what begins with _ governs: _rules and _settings are those of the namespace, there are no others";
const NO_SUCH_OF_CONFIG: &str = "what begins with _ governs: _schema, _schema.versions, _rules and _settings, \
     in the directory of the config, there are no others";
const NO_SUCH_DIRECTORY: &str = "what governs a config has no directory of its own: its schema is CONFIG/_schema.json, \
     its rules are CONFIG/_rules.yaml, those of the namespace _rules.yaml";

fn scope_of(path: &Path, segments: &[String]) -> Result<Scope, TreeError> {
    let text = match segments.split_first() {
        Some((first, _)) if first == GLOBAL => return Err(misplaced(path, GLOBAL_IS_ROOT)),
        Some((first, below)) if first == GLOBAL_SCOPE => [&[format!("/{GLOBAL}")], below].concat().join("/"),
        Some(_) | None => format!("/{}", segments.join("/")),
    };
    Scope::parse(&text).map_err(|error| misplaced(path, format!("the scope {text} {error}")))
}

/// Whether the name says that this is no layer, and not meant to be one. No config and no scope segment starts so.
fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// A file without the extension of a layer: trees have some that everybody knows.
fn warn_of(path: &Path, name: &str, warnings: &mut Vec<String>) {
    let stem = name.split('.').next().unwrap_or(name).to_ascii_uppercase();
    let is_known = ["README", "LICENSE", "CHANGELOG", "CODEOWNERS", "OWNERS"].contains(&stem.as_str());
    if !is_hidden(name) && !is_known {
        warnings.push(format!("{} is ignored: not a .json, .yaml, .yml or .toml file", path.display()));
    }
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>, TreeError> {
    let read = fs::read_dir(directory).map_err(|source| at(directory, source))?;
    let mut paths = read
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| at(directory, source))?;
    paths.sort();
    Ok(paths)
}

fn file_name(path: &Path) -> Result<&str, TreeError> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| misplaced(path, "the name is not UTF-8"))
}

fn misplaced(path: &Path, why: impl Into<String>) -> TreeError {
    TreeError::Misplaced { path: path.into(), why: why.into() }
}

fn at(path: &Path, source: io::Error) -> TreeError {
    TreeError::Io { path: path.into(), source }
}

#[cfg(test)]
mod tests;
