//! The source of the keys of an issuer: a file, or a URL. Knows how keys are read, not their use.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Url};
use tokio::io::AsyncReadExt;

use super::{KeySet, KeySetError};

/// The largest document of keys.
pub const KEYS_BYTES_MAX: usize = 512 << 10;

/// Where the keys are.
#[derive(Clone, Debug)]
pub enum KeySource {
    File(PathBuf),
    Url(KeysUrl),
}

/// A URL from which keys may come, and what fetches them.
#[derive(Clone, Debug)]
pub struct KeysUrl {
    url: Url,
    client: Client,
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
    /// A path, or `https://...`. Plain HTTP is for this machine only: an attacker who can change keys on the network can impersonate every caller.
    pub fn parse(text: &str, timeout: Duration) -> Result<KeySource, KeysError> {
        if !text.contains("://") {
            return Ok(KeySource::File(text.into()));
        }
        let wrong = |why: &str| KeysError::Url(text.to_owned(), why.to_owned());
        let url = Url::parse(text).map_err(|error| wrong(&error.to_string()))?;
        let is_local = is_loopback(&url);
        match url.scheme() {
            "https" => {}
            "http" if is_local => {}
            "http" => return Err(wrong("it must begin with https://, except for loopback addresses")),
            _ => return Err(wrong("it must begin with https://")),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(wrong("it must not hold a password: public keys need none"));
        }
        let mut client = Client::builder()
            .timeout(timeout)
            // A redirect would let the host of the keys name another host.
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("confwatch/", env!("CARGO_PKG_VERSION")));
        if is_local {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| wrong(&causes(&error)))?;
        Ok(KeySource::Url(KeysUrl { url, client }))
    }

    /// Reads the keys as they are now.
    pub async fn load(&self) -> Result<KeySet, KeysError> {
        let place = self.to_string();
        let text = match self {
            KeySource::File(path) => read(path).await.map_err(|error| match error {
                Some(error) => KeysError::File { path: place.clone(), error },
                None => KeysError::TooLong { place: place.clone() },
            })?,
            KeySource::Url(url) => url.fetch().await?,
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

impl KeysUrl {
    /// Fetches within a limit of time and size, whatever the other side does.
    async fn fetch(&self) -> Result<Vec<u8>, KeysError> {
        let failed = |error: String| KeysError::Fetch { url: self.url.to_string(), error };
        let mut response =
            self.client.get(self.url.clone()).send().await.map_err(|error| failed(causes(&error)))?;
        if response.status() != reqwest::StatusCode::OK {
            return Err(failed(format!("the answer is {}", response.status())));
        }
        let mut text = vec![];
        while let Some(chunk) = response.chunk().await.map_err(|error| failed(causes(&error)))? {
            if text.len() + chunk.len() > KEYS_BYTES_MAX {
                return Err(KeysError::TooLong { place: self.url.to_string() });
            }
            text.extend_from_slice(&chunk);
        }
        Ok(text)
    }
}

fn is_loopback(url: &Url) -> bool {
    let host = url.host_str().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// An error with its causes: the text of an error of reqwest has none.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

impl std::fmt::Display for KeySource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            KeySource::File(path) => path.display().fmt(f),
            KeySource::Url(url) => url.url.fmt(f),
        }
    }
}
