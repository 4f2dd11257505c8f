//! Writes the directory form of a namespace. Knows the paths of layers; not their content.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use super::{FoundLayer, LayerFile, LayerName, TreeError, at, misplaced, path_of, scan};
use crate::bounded_file::{self, DOCUMENT_FILE_BYTES_MAX};
use crate::cli::input::args::DocumentFormat;
use crate::client::file::{self, Mode};
use crate::model::Content;
use crate::model::limits::TEXT_BYTES_MAX;
use crate::model::text::parse;

/// What becomes of a directory that has content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// It is refused.
    Refused,
    /// Layer files that are not among the layers go, files that are no layers stay, and so do files of equal content, with their comments.
    Replaced,
    /// The same, but files of another format are replaced as well.
    ReplacedByFormat,
}

/// Writes layers into a directory: a new or empty one as a whole, by renaming.
pub fn write(
    directory: &Path,
    layers: &BTreeMap<LayerName, LayerFile>,
    existing: Existing,
) -> Result<Written, TreeError> {
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => write_whole(directory, layers),
        Ok(false) if existing != Existing::Refused => write_over(directory, layers, existing),
        Ok(false) => Err(TreeError::NotEmpty { path: directory.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => write_whole(directory, layers),
        Err(error) => Err(at(directory, error)),
    }
}

/// How many files were written, left as they were, and deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    pub written: usize,
    pub kept: usize,
    pub deleted: usize,
}

/// The directory is there with all files, or as it was before.
fn write_whole(directory: &Path, layers: &BTreeMap<LayerName, LayerFile>) -> Result<Written, TreeError> {
    let parent = match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
    // The directory that a link names becomes the new one, and the link stays.
    let directory = directory.canonicalize().unwrap_or_else(|_| directory.to_owned());
    let parent = directory.parent().filter(|parent| *parent != Path::new("")).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".confwatch-export-");
    let staging =
        with_permissions(&mut builder, 0o777).tempdir_in(parent).map_err(|error| at(parent, error))?;
    for (name, layer) in layers {
        let path = staging.path().join(path_of(name, layer.holds, layer.format)?);
        make_parent(&path)?;
        write_file(&path, layer)?;
    }
    // Replaces an empty directory, and nothing else.
    fs::rename(staging.path(), &directory).map_err(|error| at(&directory, error))?;
    // What it named has moved: there is nothing left to remove.
    let _ = staging.keep();
    Ok(Written { written: layers.len(), ..Written::default() })
}

/// File by file: each is there as a whole, or as it was before.
fn write_over(
    directory: &Path,
    layers: &BTreeMap<LayerName, LayerFile>,
    existing: Existing,
) -> Result<Written, TreeError> {
    let found = scan(directory, &mut Vec::new())?;
    let mut plan = Vec::new();
    let mut kept = Vec::new();
    for (name, layer) in layers {
        let mut same = found.iter().filter(|file| file.name == *name && file.holds == layer.holds);
        let is_kept = |file: &&FoundLayer| {
            (file.format == layer.format || existing == Existing::Replaced) && has_content(file, layer)
        };
        if let Some(file) = same.clone().find(is_kept) {
            kept.push(file.path.clone());
            continue;
        }
        // As `.yml`, if it is called so.
        let path = match same.find(|file| file.format == layer.format) {
            Some(file) => file.path.clone(),
            None => directory.join(path_of(name, layer.holds, layer.format)?),
        };
        plan.push((path, layer));
    }
    let stale = found.iter().map(|file| &file.path);
    let stale: Vec<&PathBuf> = stale
        .filter(|path| !kept.contains(path) && plan.iter().all(|(written, _)| written != *path))
        .collect();
    // All of them before the first is touched.
    for path in plan.iter().map(|(path, _)| path).chain(stale.iter().copied()) {
        refuse_linked_directory(path, directory)?;
    }
    for (path, layer) in &plan {
        make_parent(path)?;
        write_file(path, layer)?;
    }
    for path in &stale {
        fs::remove_file(path).map_err(|error| at(path, error))?;
        remove_empty_parents(path, directory);
    }
    Ok(Written { written: plan.len(), kept: kept.len(), deleted: stale.len() })
}

fn write_file(path: &Path, layer: &LayerFile) -> Result<(), TreeError> {
    let mode = if layer.has_secrets { Mode::Private } else { Mode::Usual };
    file::write(path, layer.text.as_bytes(), mode).map_err(|error| at(path, error))
}

/// Whether a file says what the layer says, however it is written. A pipe or a device has no content, and to read one could take for ever.
fn has_content(file: &FoundLayer, layer: &LayerFile) -> bool {
    if !fs::metadata(&file.path).is_ok_and(|found| found.is_file()) {
        return false;
    }
    let value = |text: &str, format: DocumentFormat| {
        parse(text, format.to_model(), TEXT_BYTES_MAX).ok().map(|value| Content::of(&value))
    };
    let Ok(text) = bounded_file::read_text(&file.path, DOCUMENT_FILE_BYTES_MAX) else { return false };
    text == layer.text
        || value(&text, file.format).is_some_and(|has| Some(has) == value(&layer.text, layer.format))
}

/// Nothing is written or deleted through a link to a directory: what lies there may belong to something else.
fn refuse_linked_directory(path: &Path, root: &Path) -> Result<(), TreeError> {
    let between = path.ancestors().skip(1).take_while(|parent| *parent != root);
    for parent in between {
        if fs::symlink_metadata(parent).is_ok_and(|found| found.is_symlink()) {
            return Err(misplaced(
                parent,
                "a link to a directory, through which nothing is written or deleted",
            ));
        }
    }
    Ok(())
}

/// What the umask leaves of `mode`, as for any file that a program makes; temporary files are private otherwise.
#[cfg(unix)]
fn with_permissions<'a, 'b, 'c>(
    builder: &'a mut tempfile::Builder<'b, 'c>,
    mode: u32,
) -> &'a mut tempfile::Builder<'b, 'c> {
    use std::os::unix::fs::PermissionsExt;
    builder.permissions(Permissions::from_mode(mode))
}

#[cfg(not(unix))]
fn with_permissions<'a, 'b, 'c>(
    builder: &'a mut tempfile::Builder<'b, 'c>,
    _mode: u32,
) -> &'a mut tempfile::Builder<'b, 'c> {
    builder
}

fn make_parent(path: &Path) -> Result<(), TreeError> {
    match path.parent() {
        Some(parent) => fs::create_dir_all(parent).map_err(|error| at(parent, error)),
        None => Ok(()),
    }
}

/// An empty directory means nothing, so that one that cannot be removed is left where it is.
fn remove_empty_parents(path: &Path, root: &Path) {
    let between = path.ancestors().skip(1).take_while(|parent| *parent != root);
    for parent in between {
        if fs::remove_dir(parent).is_err() {
            return;
        }
    }
}
