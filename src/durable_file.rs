//! Makes files and their names survive a power cut. Knows paths; not the content of a file.

use std::fs::{self, File, OpenOptions};
use std::io::{
    self,
    ErrorKind::{PermissionDenied, ReadOnlyFilesystem},
    Write,
};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Makes the content of a file, or the names in a directory, durable.
pub fn sync(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Makes the name of a file or directory durable.
pub fn sync_parent(path: &Path) -> io::Result<()> {
    match path.canonicalize()?.parent() {
        Some(parent) => sync(parent),
        None => Ok(()),
    }
}

/// Makes the name of a directory durable, and the names of the directories above it in the same file system: whoever made them may have been
/// killed before they were durable. A directory above that cannot be opened or written to was made by others.
pub fn sync_names(path: &Path) -> io::Result<()> {
    let path = path.canonicalize()?;
    let device = fs::metadata(&path)?.dev();
    for (at, above) in path.ancestors().skip(1).enumerate() {
        if at > 0 && fs::metadata(above).is_ok_and(|data| data.dev() != device) {
            break;
        }
        match sync(above) {
            Err(error) if at > 0 && matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => break,
            synced => synced?,
        }
    }
    Ok(())
}

/// Creates a directory whose name is durable.
pub fn create_directory(path: &Path) -> io::Result<()> {
    fs::create_dir(path)?;
    sync_parent(path)
}

/// Replaces a file: after a crash there is the old one or the new one. The content is written to a file beside it first, `NAME.new`, which
/// is created with these permissions.
pub fn replace(path: &Path, permissions: u32, content: &[u8]) -> io::Result<()> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let unfinished = path.with_file_name(name);
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Err(_) | Ok(()) => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(permissions).open(&unfinished)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&unfinished, path)?;
    sync_parent(path)
}

/// Whether an open file still has this name.
pub fn has_name(file: &File, path: &Path) -> bool {
    let same = || {
        let (ours, theirs) = (file.metadata().ok()?, fs::metadata(path).ok()?);
        Some((ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino()))
    };
    same().unwrap_or(false)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_file_is_replaced_whatever_a_crash_left_beside_it() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("key");
        fs::write(dir.path().join("key.new"), "torn").expect("written");
        for content in ["one", "two"] {
            replace(&path, 0o600, content.as_bytes()).expect("replaced");
            assert_eq!(fs::read_to_string(&path).expect("read"), content);
        }
        assert_eq!(fs::metadata(&path).expect("it is there").permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read_dir(dir.path()).expect("listed").count(), 1);
    }
}
