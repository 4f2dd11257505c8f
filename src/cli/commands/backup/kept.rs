//! `confwatch backup list`, `show`, `verify`, `prune` and `pin`: the backups that a server keeps. Knows the client only.

use std::time::Duration;

use clap::Args;

use crate::cli::Session;
use crate::cli::input::args::{duration, wire_duration};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::counted;
use crate::cli::output::views::{BackupView, BackupsView, short_time};
use crate::proto::v1;

/// The largest page there is.
const PAGE_SIZE: u32 = 1000;

#[derive(Args, Debug)]
pub struct ListArgs {}

#[derive(Args, Debug)]
pub struct PruneArgs {
    /// Keep so many of the newest backups
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    keep: u64,
    /// Keep backups that are not older than this, such as 30d
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    keep_for: Option<Duration>,
    /// Keep the newest backups that have so many bytes together
    #[arg(long, value_name = "BYTES", default_value_t = 0, hide_default_value = true)]
    keep_bytes: u64,
    /// Remove nothing: list what would be removed
    #[arg(long)]
    dry_run: bool,
}

#[derive(Args, Debug)]
pub struct PinArgs {
    /// The id of the backup
    #[arg(value_name = "ID")]
    id: String,
    /// Let the backup go
    #[arg(long)]
    remove: bool,
}

pub async fn list(session: &Session) -> Outcome {
    let mut request = v1::ListBackupsRequest { page_size: PAGE_SIZE, ..Default::default() };
    let mut backups = vec![];
    loop {
        let page = session.client.backups().list_backups(request.clone()).await?.into_inner();
        backups.extend(page.backups);
        if page.next_page_token.is_empty() {
            break;
        }
        request.page_token = page.next_page_token;
    }
    table(&backups, session)?;
    Ok(Exit::Done)
}

pub async fn show(id: String, session: &Session) -> Outcome {
    let response = session.client.backups().get_backup(v1::GetBackupRequest { id }).await?.into_inner();
    let view = BackupView::from(&response.backup.unwrap_or_default());
    session.output.answer(&view, |output| view.lines().iter().try_for_each(|line| output.line(line)))?;
    Ok(Exit::Done)
}

pub async fn verify(id: String, session: &Session) -> Outcome {
    let request = v1::VerifyBackupRequest { id: id.clone() };
    let mut stream = session.client.backups().verify_backup(request).await?.into_inner();
    let mut last = None;
    while let Some(message) = stream.message().await? {
        last = Some(message);
    }
    let last = last.filter(|last| last.backup.is_some());
    let ended = || Failure::new(Exit::Failed, "the server ended the verification before it was complete");
    let last = last.ok_or_else(ended)?;
    if !last.intact {
        return Err(Failure::new(Exit::Failed, format!("{id}: {}", last.damage)));
    }
    let view = BackupView::from(&last.backup.unwrap_or_default());
    session.output.answer(&view, |output| output.line(&format!("intact: {}", view.summary())))?;
    Ok(Exit::Done)
}

pub async fn prune(args: PruneArgs, session: &Session) -> Outcome {
    let request = v1::PruneBackupsRequest {
        keep_count: args.keep,
        keep_for: args.keep_for.map(wire_duration).transpose()?,
        keep_bytes: args.keep_bytes,
        validate_only: args.dry_run,
    };
    let removed = session.client.backups().prune_backups(request).await?.into_inner().removed;
    table(&removed, session)?;
    if session.output.is_table() {
        let what = if args.dry_run { "would be removed" } else { "removed" };
        session.output.line(&format!("{} {what}", counted(removed.len(), "backup")))?;
    }
    Ok(Exit::Done)
}

pub async fn pin(args: PinArgs, session: &Session) -> Outcome {
    let request = v1::PinBackupRequest { id: args.id, pinned: !args.remove };
    let response = session.client.backups().pin_backup(request).await?.into_inner();
    let view = BackupView::from(&response.backup.unwrap_or_default());
    let state = if view.pinned { "is pinned" } else { "is no longer pinned" };
    session.output.answer(&view, |output| output.line(&format!("{} {state}", view.id)))?;
    Ok(Exit::Done)
}

fn table(backups: &[v1::Backup], session: &Session) -> Result<(), Failure> {
    let view = BackupsView { backups: backups.iter().map(BackupView::from).collect() };
    session.output.answer(&view, |output| {
        let rows = backups.iter().zip(&view.backups).map(|(backup, view)| {
            let of = if view.selection == "*" { "the store".to_owned() } else { view.selection.clone() };
            let verified = short_time(backup.verify_time.as_ref());
            let pinned = if view.pinned { "pinned" } else { "-" };
            [
                view.id.clone(),
                short_time(backup.create_time.as_ref()),
                view.kind.to_owned(),
                of,
                view.revisions(),
                view.size_bytes.to_string(),
                verified,
                pinned.to_owned(),
                view.note.clone(),
            ]
        });
        let header = ["ID", "TIME", "KIND", "OF", "REVISIONS", "BYTES", "VERIFIED", "PINNED", "NOTE"];
        output.table(header, rows.collect())
    })
}
