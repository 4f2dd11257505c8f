//! `confwatch migrate`: all layers of a config from one version of its schema to another. Knows the client only.

use clap::{Args, Subcommand};

use super::schema::{fetch, whole};
use crate::cli::Session;
use crate::cli::input::args::{Target, WriteArgs};
use crate::cli::input::state_backup::{StateBackupArgs, show_state_backups};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::layers::{change_lines, layer_name};
use crate::cli::output::refusal::show_findings;
use crate::cli::output::streams::{Output, PLACE, REMOVED, counted};
use crate::cli::output::views::{HopView, MigrationView};
use crate::proto::v1;

/// The entries of `MigratedLayer.diff` beyond which there may be more.
const DIFF_ENTRIES_MAX: usize = 100;

/// Migrate the layers of a config to another version of its schema
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch migrate plan payments/checkout
  confwatch migrate up payments/checkout --dry-run
  confwatch migrate down payments/checkout --to 3 -m 'incident 7'")]
pub struct MigrateArgs {
    #[command(subcommand)]
    command: MigrateCommand,
}

#[derive(Subcommand, Debug)]
enum MigrateCommand {
    /// Show the effect of a migration on each layer, and whether the migration is possible
    #[command(after_help = "\
Examples:
  confwatch migrate plan payments/checkout
  confwatch migrate plan payments/checkout --to 3 -o json | jq .bytes")]
    Plan {
        /// The config
        #[arg(value_name = "NAMESPACE/CONFIG")]
        target: Target,
        /// The version of the schema to go to; without it, the newest
        #[arg(long, value_name = "N")]
        to: Option<u64>,
    },
    /// Migrate to a newer version of the schema
    #[command(after_help = "\
All layers and the active version of the schema change in one commit, which is validated as a whole: it happens, or nothing does.

Examples:
  confwatch migrate up payments/checkout --dry-run
  confwatch migrate up payments/checkout --to 5 -m 'limits by region'")]
    Up(MoveArgs),
    /// Migrate back to an older version of the schema
    #[command(after_help = "\
What a version removed does not come back: `confwatch rollback` brings the layers back as they were.

Examples:
  confwatch migrate down payments/checkout --dry-run
  confwatch migrate down payments/checkout --to 3 -m 'incident 7'")]
    Down(MoveArgs),
}

#[derive(Args, Debug)]
struct MoveArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// The version of the schema to go to; without it, the newest, or for `down` the one before the active
    #[arg(long, value_name = "N")]
    to: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    state_backup: StateBackupArgs,
}

pub async fn run(args: MigrateArgs, session: &Session) -> Outcome {
    match args.command {
        MigrateCommand::Plan { target, to } => plan(&target, to, session).await,
        MigrateCommand::Up(args) => migrate(args, destination_up, session).await,
        MigrateCommand::Down(args) => migrate(args, destination_down, session).await,
    }
}

async fn plan(target: &Target, to: Option<u64>, session: &Session) -> Outcome {
    let target = whole(target)?;
    let active = fetch(target, 0, None, session).await?;
    let to = to.or(active.numbers.last().copied()).unwrap_or_default();
    let path = path(target, &active, to, session).await?;
    if session.output.is_table() {
        path.iter().try_for_each(|hop| session.output.line(&hop_line(hop)))?;
    }
    let options = v1::WriteOptions { validate_only: true, ..Default::default() };
    let response = call(target, to, options, session).await?;
    show_findings(&session.output, response.report.as_ref());
    session.output.answer(&MigrationView::new(&response, &path), |output| {
        show_layers(&response, output)?;
        output.line(&summary(target, &response, true))
    })?;
    Ok(Exit::Done)
}

async fn migrate(
    args: MoveArgs,
    destination: fn(&v1::Schema, Option<u64>) -> Result<u64, Failure>,
    session: &Session,
) -> Outcome {
    let target = whole(&args.target)?;
    let active = fetch(target, 0, None, session).await?;
    let to = destination(&active, args.to)?;
    let path = path(target, &active, to, session).await?;
    let response = call(target, to, args.state_backup.options(args.write.options()), session).await?;
    show_findings(&session.output, response.report.as_ref());
    session.output.answer(&MigrationView::new(&response, &path), |output| {
        show_layers(&response, output)?;
        show_state_backups(&response.state_backups, output)?;
        output.line(&summary(target, &response, args.write.dry_run))
    })?;
    Ok(Exit::Done)
}

fn destination_up(active: &v1::Schema, to: Option<u64>) -> Result<u64, Failure> {
    let (from, newest) = (active.number, active.numbers.last().copied().unwrap_or(active.number));
    match to {
        Some(to) if to < from => Err(Failure::usage(format!(
            "version {to} is older than {from}, which is active: use migrate down"
        ))),
        Some(to) => Ok(to),
        None => Ok(newest),
    }
}

fn destination_down(active: &v1::Schema, to: Option<u64>) -> Result<u64, Failure> {
    let from = active.number;
    let before = active.numbers.iter().rev().find(|number| **number < from).copied();
    match (to, before) {
        (Some(to), _) if to > from => {
            Err(Failure::usage(format!("version {to} is newer than {from}, which is active: use migrate up")))
        }
        (Some(to), _) => Ok(to),
        (None, Some(before)) => Ok(before),
        (None, None) => Err(Failure::refused(format!("there is no version before {from}, which is active"))),
    }
}

async fn call(
    target: &Target,
    to_number: u64,
    options: v1::WriteOptions,
    session: &Session,
) -> Result<v1::MigrateResponse, Failure> {
    let request = v1::MigrateRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        to_number,
        options: Some(options),
    };
    Ok(session.client.schemas().migrate(request).await?.into_inner())
}

/// The versions on the way, each with whether there are steps to it, and back.
async fn path(
    target: &Target,
    active: &v1::Schema,
    to: u64,
    session: &Session,
) -> Result<Vec<HopView>, Failure> {
    let is_up = to > active.number;
    let (low, high) = if is_up { (active.number, to) } else { (to, active.number) };
    let numbers = active.numbers.iter().copied().filter(|number| (low..=high).contains(number));
    let numbers: Vec<u64> = numbers.collect();
    let mut hops = Vec::new();
    for pair in numbers.windows(2) {
        let (before, after) = (pair[0], pair[1]);
        let schema = fetch(target, after, None, session).await?;
        let (up, down) = (!schema.up.is_empty(), !schema.down.is_empty());
        hops.push(match is_up {
            true => HopView { from_number: before, to_number: after, has_steps: up, has_steps_back: down },
            false => HopView { from_number: after, to_number: before, has_steps: down, has_steps_back: up },
        });
    }
    if !is_up {
        hops.reverse();
    }
    Ok(hops)
}

fn hop_line(hop: &HopView) -> String {
    let HopView { from_number, to_number, has_steps, has_steps_back } = hop;
    let steps = match (has_steps, has_steps_back) {
        (true, true) => "steps there and back".to_owned(),
        (true, false) => "steps there, none back".to_owned(),
        (false, _) => format!("{REMOVED}no steps{REMOVED:#}"),
    };
    format!("version {from_number} -> {to_number}: {steps}")
}

fn show_layers(response: &v1::MigrateResponse, output: &Output) -> Result<(), Failure> {
    for layer in &response.layers {
        let name = layer_name(&layer.scope, layer.kind(), None);
        let (before, after) = (layer.bytes_before, layer.bytes_after);
        output.line(&format!("{PLACE}{name}{PLACE:#}: {before} -> {after} bytes"))?;
        output.text(&change_lines(&layer.diff))?;
        if layer.diff.len() >= DIFF_ENTRIES_MAX {
            output.line("  ... and perhaps more")?;
        }
    }
    if response.layers_omitted > 0 {
        output.line(&format!("{} more layers", response.layers_omitted))?;
    }
    Ok(())
}

fn summary(target: &Target, response: &v1::MigrateResponse, is_dry_run: bool) -> String {
    let name = format!("{}/{}", target.namespace, target.config);
    let (from, to) = (response.from_number, response.to_number);
    let (changed, all) = (
        response.layers.len() as u64 + response.layers_omitted,
        counted(response.layer_count as usize, "layer"),
    );
    let size = format!("{changed} of {all}, {} bytes", response.bytes);
    match (response.changed, is_dry_run) {
        (false, _) => format!("{name}: unchanged, version {to} of the schema is active"),
        (true, true) => {
            format!("{name}: version {from} -> {to} would change {size} (dry run, nothing is stored)")
        }
        (true, false) => {
            format!("{name}: version {from} -> {to} changed {size}, revision {}", response.store_revision)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn active(number: u64) -> v1::Schema {
        v1::Schema { number, active_number: number, numbers: vec![2, 4, 7], ..Default::default() }
    }

    #[test]
    fn up_goes_to_the_newest_and_down_to_the_one_before() {
        assert_eq!(destination_up(&active(2), None).ok(), Some(7));
        assert_eq!(destination_up(&active(2), Some(4)).ok(), Some(4));
        assert_eq!(destination_down(&active(7), None).ok(), Some(4));
        assert_eq!(destination_down(&active(7), Some(2)).ok(), Some(2));
        assert_eq!(destination_up(&active(4), Some(2)).expect_err("down").exit, Exit::Usage);
        assert_eq!(destination_down(&active(4), Some(7)).expect_err("up").exit, Exit::Usage);
        assert_eq!(destination_down(&active(2), None).expect_err("none").exit, Exit::Refused);
    }
}
