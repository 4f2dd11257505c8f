//! The flags by which every command says who calls. Knows no connection.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use crate::client::Token;

#[derive(Args, Debug)]
pub struct CredentialArgs {
    /// The API token or JSON web token to call with; others see it in the list of processes: better in a file
    #[arg(long, global = true, env = "CONFWATCH_TOKEN", hide_env_values = true, value_name = "TOKEN")]
    token: Option<Token>,
    /// The file with the token to call with, unless --token has one
    #[arg(long, global = true, env = "CONFWATCH_TOKEN_FILE", value_name = "FILE")]
    token_file: Option<PathBuf>,
}

impl CredentialArgs {
    pub fn token(self) -> Result<Option<Token>, Failure> {
        let path = match (self.token, self.token_file) {
            (Some(token), _) => return Ok(Some(token)),
            (None, None) => return Ok(None),
            (None, Some(path)) => path,
        };
        let shown = path.display();
        let text = std::fs::read_to_string(&path)
            .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
        let token = text.trim().parse::<Token>();
        token.map(Some).map_err(|error| Failure::usage(format!("{shown}: {error}")))
    }
}
