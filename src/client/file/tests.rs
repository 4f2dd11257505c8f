use std::os::unix::fs::symlink;
use std::process::Command;
use std::thread;

use super::*;

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The names in a directory, sorted.
fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn a_link_stays_and_the_file_that_it_names_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let (link, target) = (directory.path().join("link"), directory.path().join("there/file"));
    fs::create_dir(directory.path().join("there")).unwrap();
    symlink("between", &link).unwrap();
    symlink("there/file", directory.path().join("between")).unwrap();
    // The first write makes the file, the second one replaces it.
    for content in ["one", "two"] {
        write(&link, content.as_bytes(), Mode::Usual).unwrap();
        assert_eq!(fs::read_to_string(&target).unwrap(), content);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    }
    assert_eq!(names(directory.path()), ["between", "link", "there"]);
    assert_eq!(names(&directory.path().join("there")), ["file"]);
    symlink("circle", directory.path().join("circle")).unwrap();
    assert!(write(&directory.path().join("circle"), b"x", Mode::Usual).is_err());
}

#[test]
fn a_pipe_and_a_device_are_written_to_and_stay() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let reader = thread::spawn({
        let pipe = pipe.clone();
        move || fs::read_to_string(pipe).unwrap()
    });
    write(&pipe, b"content", Mode::Private).unwrap();
    assert_eq!(reader.join().unwrap(), "content");
    let null = directory.path().join("null");
    symlink("/dev/null", &null).unwrap();
    write(&null, b"content", Mode::Private).unwrap();
    assert_eq!(names(directory.path()), ["null", "pipe"]);
    assert!(!fs::metadata("/dev/null").unwrap().is_file());
    assert!(write(directory.path(), b"x", Mode::Usual).is_err());
}

#[test]
fn an_open_file_is_added_to_where_it_is_named_by_its_descriptor() {
    use std::os::fd::AsRawFd;
    let file = tempfile::NamedTempFile::new().unwrap();
    let path = PathBuf::from(format!("/dev/fd/{}", file.as_raw_fd()));
    write(&path, b"one", Mode::Usual).unwrap();
    write(&path, b"two", Mode::Usual).unwrap();
    assert_eq!(fs::read_to_string(file.path()).unwrap(), "onetwo");
}

#[test]
fn what_is_secret_is_for_its_owner_and_for_whom_the_operator_let_in() {
    let directory = tempfile::tempdir().unwrap();
    let check = |before: Option<u32>, mode: Mode, after: u32| {
        let path = directory.path().join("file");
        let _ = fs::remove_file(&path);
        if let Some(before) = before {
            fs::write(&path, "").unwrap();
            set_mode(&path, before);
        }
        write(&path, b"content", mode).unwrap();
        assert_eq!(mode_of(&path), after, "{before:?} {mode:?}");
        // The same, where the file cannot be replaced.
        if let Some(before) = before {
            set_mode(&path, before);
            write_in_place(&path, b"other", &fs::metadata(&path).unwrap(), mode).unwrap();
            assert_eq!(mode_of(&path), after, "{before:?} {mode:?}");
            assert_eq!(fs::read_to_string(&path).unwrap(), "other");
        }
    };
    check(None, Mode::Private, 0o600);
    check(Some(0o644), Mode::Private, 0o600);
    check(Some(0o640), Mode::Private, 0o640);
    check(Some(0o644), Mode::Usual, 0o644);
    check(Some(0o600), Mode::Usual, 0o600);
    check(Some(0o600), Mode::Exactly(0o644), 0o644);
    check(None, Mode::Exactly(0o640), 0o640);
}

#[test]
fn the_owner_and_the_group_of_a_file_stay() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    fs::write(&path, "before").unwrap();
    // Only root may give a file away: with other users there is nothing to lose here.
    if fchown(File::open(&path).unwrap(), Some(65_534), Some(65_533)).is_err() {
        return;
    }
    set_mode(&path, 0o640);
    write(&path, b"after", Mode::Private).unwrap();
    let found = fs::metadata(&path).unwrap();
    assert_eq!((found.uid(), found.gid(), mode_of(&path)), (65_534, 65_533, 0o640));
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
}

#[test]
fn a_file_that_is_a_mount_point_is_written_in_place() {
    let irreplaceable = [ErrorKind::ResourceBusy, ErrorKind::PermissionDenied, ErrorKind::ReadOnlyFilesystem];
    assert!(irreplaceable.iter().all(|kind| is_irreplaceable(&(*kind).into())));
    // A full disk is not: the content that is there is better than none.
    assert!(!is_irreplaceable(&ErrorKind::StorageFull.into()));
}

#[test]
fn a_file_that_is_written_in_place_is_never_empty_and_stays_untouched_by_equal_content() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("file");
    let (short, long) = ("short: 1\n".to_owned(), "long: 2\n".repeat(10_000));
    fs::write(&path, &short).expect("written");
    let overwrite = |content: &str| {
        let before = fs::metadata(&path).expect("it is there");
        write_in_place(&path, content.as_bytes(), &before, Mode::Usual).expect("written");
        assert_eq!(fs::read_to_string(&path).expect("read"), content);
    };
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            for _ in 0..200 {
                overwrite(&long);
                overwrite(&short);
            }
        });
        let mut is_over = false;
        while !is_over {
            // Once more after the last write.
            is_over = writer.is_finished();
            let found = fs::read_to_string(&path).expect("read");
            assert!(found.starts_with("short") || found.starts_with("long"), "{} bytes", found.len());
        }
    });
    let time = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    File::options().write(true).open(&path).expect("opened").set_modified(time).expect("set");
    overwrite(&short);
    assert_eq!(fs::metadata(&path).expect("it is there").modified().expect("a time"), time);
    overwrite(&long);
    assert_ne!(fs::metadata(&path).expect("it is there").modified().expect("a time"), time);
}
