//! Logins of the command line: how a person logs in, and what is kept of it for the next commands. Knows the client, and of the server's parts
//! the flow of OpenID Connect alone.

pub mod issuer;
pub mod offer;
pub mod prompt;
pub mod store;

use super::output::exit::Failure;
use crate::client::{ConnectOptions, Token};
use crate::model::Timestamp;
use store::{Login, Store};

/// Adds the credential of `confwatch login` to a connection that has no other. Whether it did.
pub async fn add_credential(options: &mut ConnectOptions) -> Result<bool, Failure> {
    let has_other =
        options.token.is_some() || options.token_file.is_some() || options.tls.certificate.is_some();
    // A wrong address is an error of whoever connects.
    let (false, Some(store), Ok(url)) = (has_other, Store::of_environment(), options.url()) else {
        return Ok(false);
    };
    let Some(login) = store.login(&url)? else { return Ok(false) };
    let (login, is_new) = issuer::refreshed(login, now()).await?;
    if is_new {
        store.keep(&url, login.clone())?;
    }
    options.token = Some(token_of(&login)?);
    Ok(true)
}

/// The credential of a login, as a client sends it.
pub fn token_of(login: &Login) -> Result<Token, Failure> {
    login.token.parse().map_err(|error: crate::client::NoToken| Failure::usage(error.to_string()))
}

pub fn now() -> Timestamp {
    Timestamp::from_system(std::time::SystemTime::now())
}
