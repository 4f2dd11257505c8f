//! Where the server keeps what opens its data: the master key and the token of the first administrator. Knows directories; no key and no
//! token.
//!
//! A copy of the data directory is a backup that many hands touch, so keys lie beside it, not in it: `DATA.keys` for data in `DATA`. Two
//! cases are others. A key that lies among the data from before stays where it is. And where the data directory is a file system of its
//! own, such as the volume of a container, what lies beside it may not outlive the machine, and a lost master key loses every secret: then
//! keys lie among the data, and the start says so.

use std::fs::{self, DirBuilder};
use std::io::{
    self,
    ErrorKind::{PermissionDenied, ReadOnlyFilesystem},
};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use anyhow::Context;

use crate::durable_file;

const MASTER_KEY: &str = "master.key";

/// The directory of keys, which is there on return, and the file of a master key that the server makes itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::server) struct KeysDir {
    pub path: PathBuf,
    pub master_key: PathBuf,
}

impl KeysDir {
    /// Chooses the directory, and makes it, for its owner alone. The data directory must be there.
    pub fn make(named: Option<&Path>, data_dir: &Path) -> anyhow::Result<KeysDir> {
        warn_of_others(data_dir, "the data directory");
        let path = match named {
            Some(named) => {
                make(named)
                    .with_context(|| format!("cannot make the directory of keys, {}", named.display()))?;
                named.to_owned()
            }
            None => default(data_dir),
        };
        if path != data_dir {
            warn_of_others(&path, "the directory of keys");
        }
        let among_data = data_dir.join(MASTER_KEY);
        let master_key = if among_data.exists() { among_data } else { path.join(MASTER_KEY) };
        if master_key.starts_with(data_dir) && master_key.exists() {
            tracing::warn!(
                path = %master_key.display(),
                "the master key lies among the data, and is in every copy of them: move it with the server stopped, and name its \
                 directory by --keys-dir"
            );
        }
        Ok(KeysDir { path, master_key })
    }
}

/// Beside the data, if that is as lasting a place as theirs and can be had.
fn default(data_dir: &Path) -> PathBuf {
    let Some(beside) = beside(data_dir) else {
        tracing::info!(
            path = %data_dir.display(),
            "the data directory is a file system of its own, so keys lie among the data: --keys-dir names another place"
        );
        return data_dir.to_owned();
    };
    match make(&beside) {
        Ok(()) => beside,
        Err(error) => {
            tracing::warn!(
                path = %beside.display(),
                %error,
                "the directory of keys cannot be made, so keys lie among the data: --keys-dir names another place"
            );
            data_dir.to_owned()
        }
    }
}

/// `DATA.keys`. `None` if that would be on another file system than the data.
fn beside(data_dir: &Path) -> Option<PathBuf> {
    let whole = fs::canonicalize(data_dir).ok()?;
    let mut name = whole.file_name()?.to_owned();
    let device = |path: &Path| fs::metadata(path).ok().map(|data| data.dev());
    if device(&whole) != device(whole.parent()?) {
        return None;
    }
    name.push(".keys");
    // As it was named, so that messages show what the operator knows; a link is followed to where the data are.
    let is_link = fs::symlink_metadata(data_dir).ok()?.is_symlink();
    let named = data_dir.file_name().filter(|_| !is_link).map(|_| data_dir.with_file_name(&name));
    Some(named.unwrap_or_else(|| whole.with_file_name(&name)))
}

/// Makes the directory if it is missing. On return its name is durable: without its keys, data are lost.
fn make(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        // The start that made it may have been killed before it was durable.
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {
            match durable_file::sync_names(path) {
                // A directory of somebody else, or one that cannot be written to, was not made here.
                Err(error) if matches!(error.kind(), PermissionDenied | ReadOnlyFilesystem) => Ok(()),
                synced => synced,
            }
        }
        Err(error) => Err(error),
        Ok(()) => durable_file::sync_names(path),
    }
}

/// Says so if others than its owner can look into a directory.
fn warn_of_others(path: &Path, what: &str) {
    let Ok(data) = fs::metadata(path) else { return };
    let mode = data.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        tracing::warn!(
            path = %path.display(),
            mode = format!("{mode:04o}"),
            "others than its owner have access to {what}: chmod 0700"
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).expect("it is there").permissions().mode() & 0o777
    }

    #[test]
    fn keys_lie_beside_the_data_for_their_owner_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("made");
        let keys = KeysDir::make(None, &data).expect("a place");
        assert_eq!(keys.path, directory.path().join("data.keys"));
        assert_eq!(keys.master_key, keys.path.join("master.key"));
        assert_eq!(mode(&keys.path), 0o700);
        assert_eq!(KeysDir::make(None, &data).expect("again"), keys);
        let named = directory.path().join("elsewhere");
        assert_eq!(KeysDir::make(Some(&named), &data).expect("a place").path, named);
        assert_eq!(mode(&named), 0o700);
        let nowhere = directory.path().join("no/parent");
        assert!(KeysDir::make(Some(&nowhere), &data).is_err());
    }

    #[test]
    fn a_master_key_among_the_data_stays_in_use() {
        let directory = tempfile::tempdir().expect("a directory");
        let data = directory.path().join("data");
        fs::create_dir(&data).expect("made");
        fs::write(data.join("master.key"), "from before").expect("written");
        let keys = KeysDir::make(None, &data).expect("a place");
        assert_eq!(keys.master_key, data.join("master.key"));
        assert_eq!(keys.path, directory.path().join("data.keys"));
    }

    #[test]
    fn behind_a_link_keys_lie_beside_the_data_and_not_beside_the_link() {
        let directory = tempfile::tempdir().expect("a directory");
        let (disk, link) = (directory.path().join("disk"), directory.path().join("link"));
        fs::create_dir_all(disk.join("data")).expect("made");
        std::os::unix::fs::symlink(disk.join("data"), &link).expect("linked");
        let keys = KeysDir::make(None, &link).expect("a place");
        assert_eq!(keys.path, fs::canonicalize(&disk).expect("a path").join("data.keys"));
    }

    #[test]
    fn beside_another_file_system_there_is_no_place_for_keys() {
        // A directory that is a mount of its own everywhere.
        assert_eq!(beside(Path::new("/proc")), None);
    }
}
