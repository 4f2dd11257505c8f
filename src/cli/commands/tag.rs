//! `confwatch tag`: movable names for versions of a config, and for revisions of a namespace. Knows the client only.

use std::collections::BTreeMap;

use clap::{Args, Subcommand};

use super::list::{Listed, configs_of};
use crate::cli::Session;
use crate::cli::input::args::WriteArgs;
use crate::cli::input::place::Place;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::views::TagView;
use crate::client::ClientError;
use crate::model::{ConfigName, SystemConfig};
use crate::proto::v1;

/// Set, delete and list tags of configs and namespaces
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
    /// Make a tag name a version of a config or a revision of a namespace, or move it there
    #[command(after_help = "\
A tag of a namespace names a revision for all its configs: each of them gets a tag of the same name. `confwatch restore`, `diff` and `changes` take \
the tag, and history that it names is kept.

Examples:
  confwatch tag set payments/checkout stable
  confwatch tag set payments/checkout stable --version 12 --reason 'verified in production'
  confwatch tag set payments release-41
  confwatch tag set payments release-41 --at 311")]
    Set(SetTagArgs),
    /// Remove a tag; the version stays
    #[command(after_help = "\
Examples:
  confwatch tag delete payments/checkout stable
  confwatch tag delete payments release-41 --dry-run")]
    Delete(DeleteTagArgs),
    /// List the tags of a config with their versions, or of a namespace with their revisions
    #[command(after_help = "\
Examples:
  confwatch tag list payments
  confwatch tag list payments/checkout -o json | jq .stable")]
    List {
        /// The config or the namespace
        #[arg(value_name = "NAMESPACE[/CONFIG]")]
        place: Place,
    },
}

#[derive(Args, Debug)]
struct SetTagArgs {
    /// The config or the namespace
    #[arg(value_name = "NAMESPACE[/CONFIG]")]
    place: Place,
    /// The tag
    tag: String,
    /// The version of the config to name; without it, the current one
    #[arg(long, value_name = "N", default_value_t = 0, hide_default_value = true)]
    version: u64,
    /// Only if the tag names this version now; 0: only if there is no such tag
    #[arg(long, value_name = "N")]
    expected_version: Option<u64>,
    /// The revision of the namespace to name; without it, the newest that changed one of its configs
    #[arg(long = "at", value_name = "REVISION", default_value_t = 0, hide_default_value = true, conflicts_with_all = ["version", "expected_version"])]
    revision: u64,
    /// Only if the tag names this revision now; 0: only if there is no such tag
    #[arg(long, value_name = "N", conflicts_with_all = ["version", "expected_version"])]
    expected_revision: Option<u64>,
    #[command(flatten)]
    write: WriteArgs,
}

#[derive(Args, Debug)]
struct DeleteTagArgs {
    /// The config or the namespace
    #[arg(value_name = "NAMESPACE[/CONFIG]")]
    place: Place,
    /// The tag
    tag: String,
    #[command(flatten)]
    write: WriteArgs,
}

pub async fn run(args: TagArgs, session: &Session) -> Outcome {
    match args.command {
        TagCommand::Set(args) => set(args, session).await,
        TagCommand::Delete(args) => delete(args, session).await,
        TagCommand::List { place } => list(&place, session).await,
    }
}

async fn set(args: SetTagArgs, session: &Session) -> Outcome {
    let (place, tag) = (scopeless(args.place)?, args.tag);
    let request = v1::SetTagRequest {
        namespace: place.namespace,
        config: place.config,
        tag: tag.clone(),
        version: args.version,
        expected_version: args.expected_version,
        revision: args.revision,
        expected_revision: args.expected_revision,
        options: Some(args.write.options()),
    };
    let response = session.client.api().set_tag(request).await?.into_inner();
    session.output.answer(&TagView::from(&response), |output| {
        let verb = verb(response.changed, args.write.dry_run, ["names", "would name", "already names"]);
        let named = match response.revision {
            0 => format!("version {}", response.version),
            revision => format!("revision {revision}"),
        };
        let before = named_before(response.previous_version, response.previous_revision);
        output.line(&format!("{tag} {verb} {named}{before}"))
    })?;
    Ok(Exit::Done)
}

async fn delete(args: DeleteTagArgs, session: &Session) -> Outcome {
    let (place, tag) = (scopeless(args.place)?, args.tag);
    let request = v1::DeleteTagRequest {
        namespace: place.namespace,
        config: place.config,
        tag: tag.clone(),
        options: Some(args.write.options()),
    };
    let response = session.client.api().delete_tag(request).await?.into_inner();
    session.output.answer(&TagView::from(&response), |output| {
        let verb =
            verb(response.changed, args.write.dry_run, ["deleted", "would be deleted", "did not exist"]);
        let before = named_before(response.previous_version, response.previous_revision);
        output.line(&format!("{tag} {verb}{before}"))
    })?;
    Ok(Exit::Done)
}

async fn list(place: &Place, session: &Session) -> Outcome {
    let place = scopeless(place.clone())?;
    if place.config.is_empty() {
        let tags = namespace_tags(&place.namespace, session).await?;
        return shown(&tags, "REVISION", session);
    }
    let listed = Listed { deleted: true, governing: true };
    let listing = configs_of(&place.namespace, listed, session).await?;
    match listing.configs.into_iter().find(|info| info.config == place.config) {
        Some(info) => shown(&info.tags, "VERSION", session),
        None => Err(Failure::new(Exit::NotFound, format!("there is no config {}", place.name()))),
    }
}

fn shown(tags: &BTreeMap<String, u64>, number: &str, session: &Session) -> Outcome {
    session.output.answer(tags, |output| {
        let rows = tags.iter().map(|(tag, number)| [tag.clone(), number.to_string()]).collect();
        output.table(["TAG", number], rows)
    })?;
    Ok(Exit::Done)
}

/// The tags of a namespace with their revisions. None if the namespace never had one.
pub async fn namespace_tags(namespace: &str, session: &Session) -> Result<BTreeMap<String, u64>, Failure> {
    let config = ConfigName::of_system(SystemConfig::Tags, None).map(|name| name.to_string());
    let request = v1::GetRequest {
        namespace: namespace.into(),
        config: config.unwrap_or_default(),
        ..Default::default()
    };
    match session.client.api().get(request).await.map_err(ClientError::from) {
        Ok(response) => {
            let content = response.into_inner().document.unwrap_or_default().content;
            serde_json::from_str(&content)
                .map_err(|error| Failure::new(Exit::Failed, format!("the tags of {namespace}: {error}")))
        }
        Err(error) if error.reason() == "CONFIG_NOT_FOUND" => Ok(BTreeMap::new()),
        Err(error) => Err(error.into()),
    }
}

/// A tag names a version of all layers of a config.
fn scopeless(place: Place) -> Result<Place, Failure> {
    match place.scope.as_str() {
        "" => Ok(place),
        _ => Err(Failure::usage("a tag names all scopes of a config or a namespace: leave out the scope")),
    }
}

/// ` (it named version 3)`.
fn named_before(version: u64, revision: u64) -> String {
    match (version, revision) {
        (0, 0) => String::new(),
        (0, revision) => format!(" (it named revision {revision})"),
        (version, _) => format!(" (it named version {version})"),
    }
}

fn verb(changed: bool, is_dry_run: bool, [done, would, unchanged]: [&'static str; 3]) -> &'static str {
    match (changed, is_dry_run) {
        (true, false) => done,
        (true, true) => would,
        (false, _) => unchanged,
    }
}
