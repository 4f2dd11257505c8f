//! `confwatch serve`: the server. Knows how to start one; never what it does.

use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::server;
pub use crate::server::settings::ServeArgs;

pub async fn run(args: ServeArgs) -> Outcome {
    let settings = args.settings().map_err(|error| Failure::usage(error.to_string()))?;
    server::run(settings).await.map_err(|error| Failure::new(exit_of(&error), in_one_line(&error)))?;
    Ok(Exit::Done)
}

/// A setting that cannot be used is as wrong as one that cannot be read.
fn exit_of(error: &anyhow::Error) -> Exit {
    match error.is::<server::Unusable>() {
        true => Exit::Usage,
        false => Exit::Failed,
    }
}

/// The error and its causes, without those that the error above them has told already.
fn in_one_line(error: &anyhow::Error) -> String {
    error.chain().skip(1).fold(error.to_string(), |told, cause| match cause.to_string() {
        cause if told.contains(&cause) => told,
        cause => format!("{told}: {cause}"),
    })
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    /// Tells its cause, as errors about files do.
    #[derive(Debug, thiserror::Error)]
    #[error("the database: {source}")]
    struct Failed {
        source: std::io::Error,
    }

    #[test]
    fn causes_are_told_once() {
        let source = std::io::Error::other("no space");
        let error = Err::<(), _>(Failed { source });
        let error = error.context("cannot start").expect_err("an error");
        assert_eq!(in_one_line(&error), "cannot start: the database: no space");
    }
}
