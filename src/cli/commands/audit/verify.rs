//! `confwatch audit verify`: prints the result of a proof. Knows the answer; not whether a server or a directory gave it.

use std::path::PathBuf;

use clap::Args;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Outcome};
use crate::cli::output::streams::{Output, REMOVED, printable};
use crate::cli::output::views::{AuditProofView, ProblemView};
use crate::proto::v1;

#[derive(Args, Debug)]
pub struct VerifyArgs {
    /// Verify the data directory of a stopped server [default: ask the server]
    #[arg(long, value_name = "DIR")]
    pub data_dir: Option<PathBuf>,
}

pub async fn run(session: &Session) -> Outcome {
    let proof = session.client.audit().verify(v1::AuditServiceVerifyRequest {}).await?.into_inner();
    show(&proof, &[], &session.output)
}

pub fn show(proof: &v1::AuditServiceVerifyResponse, torn_ends: &[ProblemView], output: &Output) -> Outcome {
    output.answer(&AuditProofView::new(proof, torn_ends), |output| {
        let none = v1::ChainProof::default();
        let commits = ("commits".to_owned(), "revision", proof.commits.as_ref().unwrap_or(&none));
        let records = ("audit log".to_owned(), "record", proof.records.as_ref().unwrap_or(&none));
        // Of those where nothing is there is nothing to say.
        let parts = proof.parts.iter().filter(|chain| chain.count > 0 || chain.broken.is_some());
        let parts = parts.map(|chain| (format!("audit log, {}", printable(&chain.name)), "record", chain));
        for (chain, link, proof) in [commits, records].into_iter().chain(parts) {
            let v1::ChainProof { count, first, newest, newest_hash, broken, name: _ } = proof;
            match broken {
                None if *count == 0 => output.line(&format!("{chain}: intact: there are none"))?,
                None => output.line(&format!(
                    "{chain}: intact: {count} proved, {link} {first} to {newest}, with the hash {newest_hash}"
                ))?,
                Some(broken) => {
                    let v1::BrokenLink { number, message } = broken;
                    let message = printable(message);
                    let at = match number {
                        0 => String::new(),
                        _ => format!(" at {link} {number}"),
                    };
                    output.line(&format!("{chain}: {REMOVED}BROKEN{REMOVED:#}{at}: {message}"))?;
                    let before = match count {
                        0 => "nothing before it was proved".to_owned(),
                        _ => format!("{count} before it are intact, {link} {first} to {newest}"),
                    };
                    output.line(&format!("  {before}; nothing after it was looked at"))?;
                }
            }
        }
        for ProblemView { place, message } in torn_ends {
            output.line(&format!("{}: {}", printable(place), printable(message)))?;
        }
        if !proof.intact {
            output.line(
                "Something is not as it was written. Keep a copy of the data directory as it is, before anything else; then \
                 compare with a backup from before, and find out who can write these files and whether the disk is sound.",
            )?;
        }
        Ok(())
    })?;
    Ok(if proof.intact { Exit::Done } else { Exit::Failed })
}
