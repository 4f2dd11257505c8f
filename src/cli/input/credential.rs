//! The flags for the credential of a command. Knows no connection.

use std::path::PathBuf;

use clap::Args;

use crate::cli::output::exit::Failure;
use crate::client::Token;

#[derive(Args, Debug)]
pub struct CredentialArgs {
    /// The API token or JSON web token to call with; others see it in the list of processes: better in a file [env: CONFWATCH_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = TokenArg::parse)]
    token: Option<TokenArg>,
    /// The file with the token to call with, unless --token has one; read again when it was replaced [env: CONFWATCH_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A token, or nothing: a variable that is empty is as good as none.
#[derive(Clone, Debug)]
struct TokenArg(Option<Token>);

impl TokenArg {
    fn parse(text: &str) -> Result<TokenArg, String> {
        let token = Some(text).filter(|text| !text.is_empty()).map(str::parse);
        token.transpose().map(TokenArg).map_err(|error: crate::client::NoToken| error.to_string())
    }
}

impl CredentialArgs {
    /// The token, or the file that has it. Flags go before the environment: a file that is named on the command line before a token in a
    /// variable.
    pub fn token(self) -> Result<(Option<Token>, Option<PathBuf>), Failure> {
        match (self.token, self.token_file) {
            (Some(TokenArg(Some(token))), _) => return Ok((Some(token), None)),
            (_, Some(path)) => return Ok((None, Some(path))),
            (Some(TokenArg(None)) | None, None) => {}
        }
        // Not by clap, which would take a variable for a flag, and its value for one to show.
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(text) = variable("CONFWATCH_TOKEN") {
            let said = TokenArg::parse(&text.to_string_lossy());
            return said
                .map(|said| (said.0, None))
                .map_err(|error| Failure::usage(format!("CONFWATCH_TOKEN: {error}")));
        }
        Ok((None, variable("CONFWATCH_TOKEN_FILE").map(PathBuf::from)))
    }
}
