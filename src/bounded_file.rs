//! Reads files that somebody has named, up to a limit: the name of a device or of a huge file must not take all memory. Knows no other module.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The largest file with certificates or a key, and the largest file with settings.
pub const SMALL_FILE_BYTES_MAX: u64 = 1 << 20;
/// The largest file with a document, which is what one request may have at most.
pub const DOCUMENT_FILE_BYTES_MAX: u64 = 64 << 20;

/// Reads a whole file. A longer one than `bytes_max` is an error of the kind `FileTooLarge`.
pub fn read(path: &Path, bytes_max: u64) -> io::Result<Vec<u8>> {
    read_from(File::open(path)?, bytes_max)
}

/// Reads a whole file that has text.
pub fn read_text(path: &Path, bytes_max: u64) -> io::Result<String> {
    let bytes = read(path, bytes_max)?;
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8"))
}

/// Reads until the end of `source`.
pub fn read_from(source: impl Read, bytes_max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    source.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > bytes_max {
        true => {
            let message = format!("it is too long, at most {bytes_max} bytes are read");
            Err(io::Error::new(io::ErrorKind::FileTooLarge, message))
        }
        false => Ok(bytes),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_up_to_the_limit_and_a_device_without_an_end_is_refused() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("file");
        std::fs::write(&path, "12345").expect("written");
        assert_eq!(read_text(&path, 5).expect("it fits"), "12345");
        for (path, bytes_max) in [(path.as_path(), 4), (Path::new("/dev/zero"), SMALL_FILE_BYTES_MAX)] {
            let error = read(path, bytes_max).expect_err("it is too long");
            assert_eq!(error.kind(), io::ErrorKind::FileTooLarge, "{error}");
            assert!(error.to_string().contains(&bytes_max.to_string()), "{error}");
        }
    }
}
