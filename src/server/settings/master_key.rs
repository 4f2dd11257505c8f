//! Which source of the master key is set, of those that there are. Knows no key.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::SettingsError;
use crate::secret::MasterKeySource;

/// Has the key itself: as a flag, everyone on the machine would see it.
pub const VARIABLE: &str = "CONFWATCH_MASTER_KEY";

/// The one that is set. `None`: none is.
pub fn source(
    file: Option<PathBuf>,
    passphrase_file: Option<PathBuf>,
    text: Option<String>,
) -> Result<Option<MasterKeySource>, SettingsError> {
    let sources = [
        file.map(|path| ("--master-key-file", MasterKeySource::File(path))),
        passphrase_file.map(|path| ("--master-key-passphrase-file", MasterKeySource::Passphrase(path))),
        text.map(|text| (VARIABLE, MasterKeySource::Text(Zeroizing::new(text)))),
    ];
    let mut set = sources.into_iter().flatten();
    match (set.next(), set.next()) {
        (Some((one, _)), Some((other, _))) => Err(SettingsError::MasterKeys(one, other)),
        (one, _) => Ok(one.map(|(_, source)| source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_is_one_source_at_most() {
        let (path, text) = (|| Some(PathBuf::from("key")), || Some("00".repeat(32)));
        assert!(matches!(source(None, None, None), Ok(None)));
        assert!(matches!(source(path(), None, None), Ok(Some(MasterKeySource::File(_)))));
        assert!(matches!(source(None, path(), None), Ok(Some(MasterKeySource::Passphrase(_)))));
        assert!(matches!(source(None, None, text()), Ok(Some(MasterKeySource::Text(_)))));
        let error = source(path(), None, text()).expect_err("two").to_string();
        assert!(error.contains("--master-key-file") && error.contains(VARIABLE), "{error}");
    }
}
