//! `confwatch tag`: movable names for versions. Knows the client only.

use clap::{Args, Subcommand};

use super::list::{Listed, configs_of};
use crate::cli::Session;
use crate::cli::input::args::{Target, WriteArgs};
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::TagView;
use crate::proto::v1;

/// Set, delete and list tags of versions
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch tag set payments/checkout stable --version 12
  confwatch tag list payments/checkout
  confwatch get payments/checkout --tag stable")]
pub struct TagArgs {
    #[command(subcommand)]
    command: TagCommand,
}

#[derive(Subcommand, Debug)]
enum TagCommand {
    /// Make a tag name a version, or move it there
    #[command(after_help = "\
Examples:
  confwatch tag set payments/checkout stable
  confwatch tag set payments/checkout stable --version 12 --reason 'verified in production'")]
    Set(SetTagArgs),
    /// Remove a tag; the version stays
    #[command(after_help = "\
Examples:
  confwatch tag delete payments/checkout stable
  confwatch tag delete payments/checkout stable --dry-run")]
    Delete(DeleteTagArgs),
    /// List the tags of a config
    #[command(after_help = "\
Examples:
  confwatch tag list payments/checkout
  confwatch tag list payments/checkout -o json | jq .stable")]
    List {
        /// The config
        #[arg(value_name = "NAMESPACE/CONFIG")]
        target: Target,
    },
}

#[derive(Args, Debug)]
struct SetTagArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// The tag
    tag: String,
    /// The version to name; without it, the current one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    version: u64,
    /// Only if the tag names this version now; 0: only if there is no such tag
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Args, Debug)]
struct DeleteTagArgs {
    /// The config
    #[arg(value_name = "NAMESPACE/CONFIG")]
    target: Target,
    /// The tag
    tag: String,
    #[command(flatten)]
    write: WriteArgs,
}

pub async fn run(args: TagArgs, session: &Session) -> Outcome {
    match args.command {
        TagCommand::Set(args) => set(args, session).await,
        TagCommand::Delete(args) => delete(args, session).await,
        TagCommand::List { target } => list(&target, session).await,
    }
}

async fn set(args: SetTagArgs, session: &Session) -> Outcome {
    let (target, tag) = (scopeless(&args.target)?, args.tag);
    let request = v1::SetTagRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        tag: tag.clone(),
        version: args.version,
        expected_version: args.expected_version,
        options: Some(args.write.options()),
    };
    let response = session.client.api().set_tag(request).await?.into_inner();
    session.output.answer(&TagView::from(&response), |output| {
        let before = match response.previous_version {
            0 => String::new(),
            version => format!(" (it named version {version})"),
        };
        let verb = verb(response.changed, args.write.dry_run, ["names", "would name", "already names"]);
        output.line(&format!("{tag} {verb} version {}{before}", response.version))
    })?;
    Ok(Exit::Done)
}

async fn delete(args: DeleteTagArgs, session: &Session) -> Outcome {
    let (target, tag) = (scopeless(&args.target)?, args.tag);
    let request = v1::DeleteTagRequest {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        tag: tag.clone(),
        options: Some(args.write.options()),
    };
    let response = session.client.api().delete_tag(request).await?.into_inner();
    session.output.answer(&TagView::from(&response), |output| {
        let verb =
            verb(response.changed, args.write.dry_run, ["deleted", "would be deleted", "did not exist"]);
        let before = match response.previous_version {
            0 => String::new(),
            version => format!(" (it named version {version})"),
        };
        output.line(&format!("{tag} {verb}{before}"))
    })?;
    Ok(Exit::Done)
}

async fn list(target: &Target, session: &Session) -> Outcome {
    let target = scopeless(target)?;
    let listed = Listed { deleted: true, governing: true };
    let listing = configs_of(&target.namespace, listed, session).await?;
    let Some(info) = listing.configs.into_iter().find(|info| info.config == target.config) else {
        let name = format!("{}/{}", target.namespace, target.config);
        return Err(Failure::new(Exit::NotFound, format!("there is no config {name}")));
    };
    session.output.answer(&info.tags, |output| {
        let rows = info.tags.iter().map(|(tag, version)| [tag.clone(), version.to_string()]).collect();
        output.table(["TAG", "VERSION"], rows)
    })?;
    Ok(Exit::Done)
}

/// A tag names a version of the whole config.
fn scopeless(target: &Target) -> Result<&Target, Failure> {
    match target.scope {
        None => Ok(target),
        Some(_) => Err(Failure::usage("a tag names a version of the whole config: leave out the scope")),
    }
}

fn verb(changed: bool, is_dry_run: bool, [done, would, unchanged]: [&'static str; 3]) -> &'static str {
    match (changed, is_dry_run) {
        (true, false) => done,
        (true, true) => would,
        (false, _) => unchanged,
    }
}
