//! Files that a program keeps up to date for others to read. Knows nothing of their content.
//!
//! A regular file is replaced by renaming: a reader finds the old content or the new, also after a power cut. Where a file cannot be
//! replaced, because it is a mount point, belongs to another user, or lies in a directory that must not be changed, the content is
//! written into the file that is there, which is never empty in between: `write_in_place` has what a reader may find. A device, a pipe or a descriptor (`/dev/stdout`) is written to. A symbolic link stays, and the
//! file that it names is written.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::bounded_file;

/// As many links lead from one to the next, as for Linux itself.
const LINKS_MAX: usize = 40;
/// Where links are that name open files, whose target is no path.
const DESCRIPTORS: &str = "/proc";
/// What everybody may do who is neither the owner nor of the group.
const OF_OTHERS: u32 = 0o007;
const PRIVATE: u32 = 0o600;
/// A file that is cut by more than this is not filled up with line ends before it is cut.
const LINE_ENDS_MAX: usize = 64 << 20;

/// Who may read a file that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A new file is made as the umask says. An existing one keeps its mode.
    Usual,
    /// The content is secret: a new file is made with mode 0600, and so is an existing one that everybody may read. An existing one that
    /// only its owner and its group may read keeps its mode.
    Private,
    /// These permissions, whatever the file had.
    Exactly(u32),
}

impl Mode {
    /// The permissions of the file, of what it has already. `None`: those that a new file gets.
    fn of(self, before: Option<&Metadata>) -> Option<u32> {
        let before = before.map(|before| before.permissions().mode() & 0o7777);
        match (self, before) {
            (Mode::Usual, before) => before,
            (Mode::Private, Some(before)) if before & OF_OTHERS == 0 => Some(before),
            (Mode::Private, Some(_) | None) => Some(PRIVATE),
            (Mode::Exactly(mode), _) => Some(mode),
        }
    }
}

/// What a path leads to.
enum Destination {
    /// A regular file, or none yet.
    File(PathBuf, Option<Metadata>),
    /// Something that is written to, and has no content of its own.
    Sink,
}

/// Makes `content` the content of the file. An existing file keeps its owner and its group. Blocks; for a pipe, until it is read from.
pub fn write(path: &Path, content: &[u8], mode: Mode) -> io::Result<()> {
    match place_of(path)? {
        Destination::Sink => OpenOptions::new().append(true).open(path)?.write_all(content),
        Destination::File(path, None) => replace(&path, content, None, mode),
        Destination::File(path, Some(before)) => match replace(&path, content, Some(&before), mode) {
            Err(error) if is_irreplaceable(&error) => write_in_place(&path, content, &before, mode),
            replaced => replaced,
        },
    }
}

fn place_of(path: &Path) -> io::Result<Destination> {
    let mut at = path.to_owned();
    for _ in 0..LINKS_MAX {
        let found = match fs::symlink_metadata(&at) {
            Ok(found) => found,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Destination::File(at, None)),
            Err(error) => return Err(error),
        };
        if found.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if found.is_file() {
            return Ok(Destination::File(at, Some(found)));
        }
        if !found.is_symlink() {
            return Ok(Destination::Sink);
        }
        let parent = parent_of(&at);
        if parent.canonicalize()?.starts_with(DESCRIPTORS) {
            return Ok(Destination::Sink);
        }
        at = parent.join(fs::read_link(&at)?);
    }
    Err(io::Error::other("too many symbolic links"))
}

fn replace(path: &Path, content: &[u8], before: Option<&Metadata>, mode: Mode) -> io::Result<()> {
    let parent = parent_of(path);
    let mut file = match mode.of(before) {
        // A temporary file is made with mode 0600, and is opened to others only when it has its owner.
        Some(_) => tempfile::Builder::new().prefix(".confwatch-").tempfile_in(parent)?,
        None => tempfile::Builder::new()
            .prefix(".confwatch-")
            .permissions(fs::Permissions::from_mode(0o666))
            .tempfile_in(parent)?,
    };
    if let Some(before) = before {
        let made = file.as_file().metadata()?;
        let other = |made: u32, before: u32| (made != before).then_some(before);
        let (owner, group) = (other(made.uid(), before.uid()), other(made.gid(), before.gid()));
        if owner.is_some() || group.is_some() {
            fchown(file.as_file(), owner, group)?;
        }
    }
    if let Some(mode) = mode.of(before) {
        file.as_file().set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(content)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    // Without this the rename itself may be lost.
    File::open(parent)?.sync_all()
}

/// Whether another file cannot be put in the place of the one that is there, which may well be written itself.
fn is_irreplaceable(error: &io::Error) -> bool {
    match error.kind() {
        // A file that is a mount point, as of a container, is busy.
        ErrorKind::ResourceBusy | ErrorKind::CrossesDevices => true,
        // Of the directory, or to give the new file to the owner of the old one.
        ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => true,
        _ => false,
    }
}

/// Writes into the file that is there, which no lock and no second file can protect from its readers. The file is made as long as the longer of
/// both contents first, by line ends at its end; then one write puts the new content and line ends over all of it; then the line ends are cut
/// off. So a reader finds the old content or the new, perhaps with line ends after it, or, during the one write and after a crash within it,
/// the beginning of the new content and the end of the old. A disk without room leaves the old content. Nothing is written where the
/// content is the same.
fn write_in_place(path: &Path, content: &[u8], before: &Metadata, mode: Mode) -> io::Result<()> {
    let file = OpenOptions::new().write(true).open(path)?;
    let mode = mode.of(Some(before)).filter(|mode| before.permissions().mode() & 0o7777 != *mode);
    if let Some(mode) = mode {
        // Before it has the content that the mode is for.
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    // A file that only others may read is written all the same.
    if bounded_file::read(path, content.len() as u64).is_ok_and(|found| found == content) {
        return Ok(());
    }
    let (bytes, bytes_before) = (content.len() as u64, file.metadata()?.len());
    if bytes > bytes_before {
        let added = vec![b'\n'; content.len() - usize::try_from(bytes_before).expect("it is less")];
        if let Err(error) = file.write_all_at(&added, bytes_before) {
            // What was there stays as it was.
            let _ = file.set_len(bytes_before);
            return Err(error);
        }
    }
    let rest = usize::try_from(bytes_before.saturating_sub(bytes)).unwrap_or(usize::MAX);
    match rest <= LINE_ENDS_MAX {
        true => file.write_all_at(&[content, &vec![b'\n'; rest]].concat(), 0)?,
        false => file.write_all_at(content, 0)?,
    }
    file.set_len(bytes)?;
    file.sync_all()
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        Some(_) | None => Path::new("."),
    }
}

#[cfg(test)]
mod tests;
