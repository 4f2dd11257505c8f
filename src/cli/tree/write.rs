//! Writes the directory form of a namespace. Knows where layers lie; never what they say.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use super::{LayerFile, LayerName, TreeError, at, path_of, scan};

/// Writes layers into a directory: a new or empty one as a whole, by renaming. One that has content only with `force`:
/// then layer files that are not among `layers` go, and files that are no layers stay.
pub fn write(
    directory: &Path,
    layers: &BTreeMap<LayerName, LayerFile>,
    force: bool,
) -> Result<(), TreeError> {
    let mut files = Vec::new();
    for (name, file) in layers {
        files.push((path_of(name, file.holds, file.format)?, file.text.as_str()));
    }
    match fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => write_whole(directory, &files),
        Ok(false) if force => write_over(directory, &files),
        Ok(false) => Err(TreeError::NotEmpty { path: directory.into() }),
        Err(error) if error.kind() == ErrorKind::NotFound => write_whole(directory, &files),
        Err(error) => Err(at(directory, error)),
    }
}

/// The directory is there with all files, or as it was before.
fn write_whole(directory: &Path, files: &[(PathBuf, &str)]) -> Result<(), TreeError> {
    let parent = match directory.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
    let mut builder = tempfile::Builder::new();
    builder.prefix(".confwatch-export-");
    let staging =
        with_permissions(&mut builder, 0o777).tempdir_in(parent).map_err(|error| at(parent, error))?;
    for (path, text) in files {
        let path = staging.path().join(path);
        make_parent(&path)?;
        fs::write(&path, text).map_err(|error| at(&path, error))?;
    }
    // Replaces an empty directory, and nothing else.
    fs::rename(staging.path(), directory).map_err(|error| at(directory, error))?;
    // What it named has moved: there is nothing left to remove.
    let _ = staging.keep();
    Ok(())
}

/// File by file: each is there as a whole, or as it was before.
fn write_over(directory: &Path, files: &[(PathBuf, &str)]) -> Result<(), TreeError> {
    let before = scan(directory, &mut Vec::new())?;
    for (path, text) in files {
        let path = directory.join(path);
        make_parent(&path)?;
        replace_file(&path, text.as_bytes()).map_err(|error| at(&path, error))?;
    }
    let written: Vec<PathBuf> = files.iter().map(|(path, _)| directory.join(path)).collect();
    for stale in before.into_iter().filter(|found| !written.contains(&found.path)) {
        fs::remove_file(&stale.path).map_err(|error| at(&stale.path, error))?;
        remove_empty_parents(&stale.path, directory);
    }
    Ok(())
}

/// Puts `content` in the place of a file, so that every reader finds either the old or the new one, also after a power cut.
pub fn replace_file(path: &Path, content: &[u8]) -> io::Result<()> {
    let parent = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    };
    let mut builder = tempfile::Builder::new();
    builder.prefix(".confwatch-");
    let mut file = with_permissions(&mut builder, 0o666).tempfile_in(parent)?;
    file.write_all(content)?;
    // Who may read the file stays as the operator decided.
    if let Ok(before) = fs::metadata(path) {
        file.as_file().set_permissions(before.permissions())?;
    }
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Without this the rename itself may be lost.
    fs::File::open(parent)?.sync_all()
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
