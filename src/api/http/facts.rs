//! Facts of documents as headers, and the scope as one. Knows names of headers; no document.

use http::{HeaderMap, HeaderName};

use super::errors::invalid;
use crate::api::error::ApiError;

/// A scope for a gateway to set, in the place of a query.
pub static SCOPE: HeaderName = HeaderName::from_static("confwatch-scope");
pub static STORE_REVISION: HeaderName = HeaderName::from_static("confwatch-store-revision");
/// How many secrets are masked, and how many are in clear text.
pub static HIDDEN: HeaderName = HeaderName::from_static("confwatch-hidden-secrets");
pub static REVEALED: HeaderName = HeaderName::from_static("confwatch-revealed-secrets");

/// The scope of a request, by its query or by the header.
pub fn read_scope(headers: &HeaderMap, in_query: Option<String>) -> Result<String, ApiError> {
    let Some(value) = headers.get(&SCOPE) else { return Ok(in_query.unwrap_or_default()) };
    let scope = value.to_str().map_err(|_| invalid(SCOPE.as_str(), "must be ASCII"))?;
    match in_query {
        Some(other) if other != scope => Err(invalid(SCOPE.as_str(), "differs from the scope in the query")),
        Some(_) | None => Ok(scope.to_owned()),
    }
}
