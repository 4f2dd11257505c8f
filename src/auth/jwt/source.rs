//! The source of the keys of an issuer: a file, a URL, or the metadata of the issuer. Knows how keys are read, not their use.

use std::path::PathBuf;
use std::time::Duration;

use tokio::io::AsyncReadExt;

use super::{KeySet, KeySetError};
use crate::auth::fetch::{FetchError, IssuerUrl, NoUrl};
use crate::auth::oidc::{METADATA_PATH, Metadata};

/// The largest document of keys.
pub const KEYS_BYTES_MAX: usize = 512 << 10;

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    File(PathBuf),
    Url(IssuerUrl),
    /// The metadata of the issuer name the URL (OpenID Connect Discovery).
    Metadata(IssuerUrl),
}

/// Why keys cannot be read, for the operator.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    #[error("{0:?} is no URL for keys: {1}")]
    Url(String, String),
    #[error("cannot read {path}: {error}")]
    File { path: String, error: std::io::Error },
    #[error("cannot fetch {url}: {error}")]
    Fetch { url: String, error: String },
    #[error("{place} is too long: at most {KEYS_BYTES_MAX} bytes are read")]
    TooLong { place: String },
    #[error("{place} has no keys: {error}")]
    Content { place: String, error: KeySetError },
}

impl KeySource {
    /// A path, `https://...` of a set of keys, or of the metadata of the issuer.
    pub fn parse(text: &str, timeout: Duration) -> Result<KeySource, KeysError> {
        if !text.contains("://") {
            return Ok(KeySource::File(text.into()));
        }
        let url = IssuerUrl::parse(text, timeout).map_err(KeysError::from)?;
        Ok(match text.ends_with(METADATA_PATH) {
            true => KeySource::Metadata(url),
            false => KeySource::Url(url),
        })
    }

    /// Reads the keys as they are now.
    pub async fn load(&self) -> Result<KeySet, KeysError> {
        let place = self.to_string();
        let text = match self {
            KeySource::File(path) => read(path).await.map_err(|error| match error {
                Some(error) => KeysError::File { path: place.clone(), error },
                None => KeysError::TooLong { place: place.clone() },
            })?,
            KeySource::Url(url) => fetch(url).await?,
            KeySource::Metadata(url) => {
                let metadata = Metadata::parse(&fetch(url).await?);
                let failed = |error: String| KeysError::Fetch { url: place.clone(), error };
                let keys = metadata.map_err(failed)?.jwks_uri;
                fetch(&url.named(&keys)?).await?
            }
        };
        KeySet::parse(&text).map_err(|error| KeysError::Content { place, error })
    }
}

/// Reads a file. No error: it is too long.
async fn read(path: &PathBuf) -> Result<Vec<u8>, Option<std::io::Error>> {
    let file = tokio::fs::File::open(path).await.map_err(Some)?;
    let mut text = vec![];
    file.take(KEYS_BYTES_MAX as u64 + 1).read_to_end(&mut text).await.map_err(Some)?;
    if text.len() > KEYS_BYTES_MAX { Err(None) } else { Ok(text) }
}

async fn fetch(url: &IssuerUrl) -> Result<Vec<u8>, KeysError> {
    url.get(KEYS_BYTES_MAX).await.map_err(|error| match error {
        FetchError::TooLong => KeysError::TooLong { place: url.to_string() },
        FetchError::Failed(error) => KeysError::Fetch { url: url.to_string(), error },
    })
}

impl From<NoUrl> for KeysError {
    fn from(NoUrl { text, why }: NoUrl) -> KeysError {
        KeysError::Url(text, why)
    }
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::File(path) => path.display().fmt(f),
            KeySource::Url(url) | KeySource::Metadata(url) => url.fmt(f),
        }
    }
}
