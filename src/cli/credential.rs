//! The flags by which every command says who calls. Knows no connection.

use std::path::PathBuf;

use clap::Args;

use super::exit::Failure;
use crate::client::Token;

#[derive(Args, Debug)]
pub struct CredentialArgs {
    /// The API token or JSON web token to call with; others see it in the list of processes: better in a file [env: CONFWATCH_TOKEN]
    #[arg(long, global = true, value_name = "TOKEN", value_parser = Said::parse)]
    token: Option<Said>,
    /// The file with the token to call with, unless --token has one [env: CONFWATCH_TOKEN_FILE]
    #[arg(long, global = true, value_name = "FILE")]
    token_file: Option<PathBuf>,
}

/// A token, or nothing: a variable that is empty is as good as none.
#[derive(Clone, Debug)]
struct Said(Option<Token>);

impl Said {
    fn parse(text: &str) -> Result<Said, String> {
        let token = Some(text).filter(|text| !text.is_empty()).map(str::parse);
        token.transpose().map(Said).map_err(|error: crate::client::NoToken| error.to_string())
    }
}

impl CredentialArgs {
    /// Flags go before the environment: a file that is named on the command line before a token in a variable.
    pub fn token(self) -> Result<Option<Token>, Failure> {
        match (self.token, self.token_file) {
            (Some(Said(Some(token))), _) => return Ok(Some(token)),
            (_, Some(path)) => return read(path).map(Some),
            (Some(Said(None)) | None, None) => {}
        }
        // Not by clap, which would take a variable for a flag, and its value for one to show.
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        if let Some(text) = variable("CONFWATCH_TOKEN") {
            let said = Said::parse(&text.to_string_lossy());
            return said
                .map(|said| said.0)
                .map_err(|error| Failure::usage(format!("CONFWATCH_TOKEN: {error}")));
        }
        variable("CONFWATCH_TOKEN_FILE").map(|path| read(path.into())).transpose()
    }
}

fn read(path: PathBuf) -> Result<Token, Failure> {
    let shown = path.display();
    let text = std::fs::read_to_string(&path)
        .map_err(|error| Failure::io(format!("cannot read {shown}"), &error))?;
    // Editors of Windows put a byte order mark before the text.
    text.trim_start_matches('\u{feff}')
        .trim()
        .parse::<Token>()
        .map_err(|error| Failure::usage(format!("{shown}: {error}")))
}
