//! Fetches documents of an issuer over HTTP, within limits of time and size, whatever the other side does. Knows URLs and bytes; no document.

use std::net::IpAddr;
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode, Url};

/// A URL of an issuer, and the client that fetches it.
#[derive(Clone, Debug)]
pub struct IssuerUrl {
    url: Url,
    client: Client,
    timeout: Duration,
}

/// A text is no URL of an issuer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no URL of an issuer: {why}")]
pub struct NoUrl {
    pub text: String,
    pub why: String,
}

/// Why there is no document.
#[derive(Debug, thiserror::Error)]
pub enum FetchError {
    #[error("{0}")]
    Failed(String),
    #[error("the answer is too long")]
    TooLong,
}

/// An answer to a form.
#[derive(Debug)]
pub struct FormAnswer {
    pub is_ok: bool,
    pub body: Vec<u8>,
}

impl IssuerUrl {
    /// `https://...`. Plain HTTP is for this machine only: an attacker who can change keys on the network can impersonate every caller.
    pub fn parse(text: &str, timeout: Duration) -> Result<IssuerUrl, NoUrl> {
        let wrong = |why: &str| NoUrl { text: text.to_owned(), why: why.to_owned() };
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
            .redirect(Policy::none())
            .user_agent(concat!("confwatch/", env!("CARGO_PKG_VERSION")));
        if is_local {
            client = client.no_proxy();
        }
        let client = client.build().map_err(|error| wrong(&causes(&error)))?;
        Ok(IssuerUrl { url, client, timeout })
    }

    /// Another URL, which a document of the issuer names.
    pub fn named(&self, text: &str) -> Result<IssuerUrl, NoUrl> {
        IssuerUrl::parse(text, self.timeout)
    }

    pub fn as_str(&self) -> &str {
        self.url.as_str()
    }

    /// The URL with these parameters in its query.
    pub fn with_query(&self, parameters: &[(&str, &str)]) -> String {
        let mut url = self.url.clone();
        url.query_pairs_mut().extend_pairs(parameters);
        url.into()
    }

    /// Fetches the document.
    pub async fn get(&self, bytes_max: usize) -> Result<Vec<u8>, FetchError> {
        let (status, body) = read(self.client.get(self.url.clone()), bytes_max).await?;
        match status {
            StatusCode::OK => Ok(body),
            other => Err(FetchError::Failed(format!("the answer is {other}"))),
        }
    }

    /// Sends a form, as the client with this id and this secret if there is one.
    pub async fn post_form(
        &self,
        fields: &[(&str, &str)],
        client: Option<(&str, &str)>,
        bytes_max: usize,
    ) -> Result<FormAnswer, FetchError> {
        let mut form = self.url.clone();
        form.query_pairs_mut().clear().extend_pairs(fields);
        let body = form.query().unwrap_or_default().to_owned();
        let mut request = self.client.post(self.url.clone());
        if let Some((id, secret)) = client {
            request = request.basic_auth(id, Some(secret));
        }
        let request = request
            .header("content-type", "application/x-www-form-urlencoded")
            .header("accept", "application/json")
            .body(body);
        let (status, body) = read(request, bytes_max).await?;
        if status.is_server_error() {
            return Err(FetchError::Failed(format!("the answer is {status}")));
        }
        Ok(FormAnswer { is_ok: status == StatusCode::OK, body })
    }
}

/// Sends a request, and reads the answer up to a limit.
async fn read(request: RequestBuilder, bytes_max: usize) -> Result<(StatusCode, Vec<u8>), FetchError> {
    let failed = |error: reqwest::Error| FetchError::Failed(causes(&error.without_url()));
    let mut response = request.send().await.map_err(failed)?;
    let (status, mut body) = (response.status(), vec![]);
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if body.len() + chunk.len() > bytes_max {
            return Err(FetchError::TooLong);
        }
        body.extend_from_slice(&chunk);
    }
    Ok((status, body))
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

impl std::fmt::Display for IssuerUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.url.as_str())
    }
}
