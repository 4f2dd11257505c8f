//! `confwatch list`: the configs there are. Knows the client only.

use clap::Args;

use crate::cli::Session;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::lacking::note_lack_of_read;
use crate::cli::output::layers::layer_name;
use crate::cli::output::views::{ConfigsView, short_time};
use crate::proto::v1;

/// The largest page there is: the fewer pages, the less may change between them.
const PAGE_SIZE: u32 = 1000;

/// List configs with their versions, layers and tags
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch list
  confwatch list payments
  confwatch list payments --governing
  confwatch list payments --deleted -o json | jq -r '.configs[].config'")]
pub struct ListArgs {
    /// The namespace; without it, all of them
    #[arg(default_value = "", hide_default_value = true)]
    namespace: String,
    /// List deleted configs, too
    #[arg(long)]
    deleted: bool,
    /// List schemas, rules and settings, too, which are configs as well: schema:CONFIG, namespace:rules and so on
    #[arg(long)]
    governing: bool,
}

pub async fn run(args: ListArgs, session: &Session) -> Outcome {
    let listed = Listed { deleted: args.deleted, governing: args.governing };
    let listing = configs_of(&args.namespace, listed, session).await?;
    if listing.configs.is_empty() {
        note_lack_of_read(&args.namespace, "", session).await;
    }
    let view = ConfigsView { configs: listing.configs.iter().map(Into::into).collect() };
    session.output.answer(&view, |output| {
        let rows = listing.configs.iter().map(|info| row(info, args.deleted)).collect();
        output.table(["CONFIG", "VERSION", "REVISION", "UPDATED", "LAYERS", "TAGS"], rows)
    })?;
    Ok(Exit::Done)
}

/// What is listed besides the configs that everybody knows.
#[derive(Clone, Copy, Debug, Default)]
pub struct Listed {
    pub deleted: bool,
    /// Those that govern others.
    pub governing: bool,
}

/// All configs of a namespace (of all for `""`).
pub struct Listing {
    pub configs: Vec<v1::ConfigInfo>,
    /// The revision at which they were all read; `None` if there was a commit between two pages.
    pub revision: Option<u64>,
}

pub async fn configs_of(namespace: &str, listed: Listed, session: &Session) -> Result<Listing, Failure> {
    let mut configs = Vec::new();
    let mut revisions = Vec::new();
    let mut page_token = String::new();
    loop {
        let request = v1::ListRequest {
            namespace: namespace.into(),
            page_size: PAGE_SIZE,
            page_token,
            include_deleted: listed.deleted,
            include_governing: listed.governing,
        };
        let page = session.client.api().list(request).await?.into_inner();
        append(&mut configs, page.configs);
        revisions.push(page.store_revision);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            revisions.dedup();
            let revision = (revisions.len() == 1).then(|| revisions[0]);
            return Ok(Listing { configs, revision });
        }
    }
}

/// Adds a page. A config that the page before has begun goes on with further layers and tags.
pub fn append(configs: &mut Vec<v1::ConfigInfo>, page: Vec<v1::ConfigInfo>) {
    for info in page {
        match configs.last_mut() {
            Some(last) if last.namespace == info.namespace && last.config == info.config => {
                last.layers.extend(info.layers);
                last.tags.extend(info.tags);
            }
            Some(_) | None => configs.push(info),
        }
    }
}

fn row(info: &v1::ConfigInfo, may_be_deleted: bool) -> [String; 6] {
    // Layers that the caller may not read are left out, and deleted configs are listed on demand only.
    let without_layers = if may_be_deleted { "(deleted, or none to read)" } else { "(none to read)" };
    let layers = info
        .layers
        .iter()
        .map(|layer| layer_name(&layer.scope, layer.kind(), layer.expire_time.as_ref()))
        .collect::<Vec<_>>();
    let tags = info.tags.iter().map(|(tag, version)| format!("{tag}={version}")).collect::<Vec<_>>();
    [
        format!("{}/{}", info.namespace, info.config),
        info.version.to_string(),
        info.revision.to_string(),
        short_time(info.update_time.as_ref()),
        if layers.is_empty() { without_layers.into() } else { layers.join(", ") },
        tags.join(", "),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_that_is_continued_on_the_next_page_is_one_config() {
        let info = |config: &str, scopes: &[&str], tags: &[&str]| v1::ConfigInfo {
            config: config.into(),
            layers: scopes
                .iter()
                .map(|scope| v1::LayerRef { scope: (*scope).into(), ..Default::default() })
                .collect(),
            tags: tags.iter().map(|tag| ((*tag).into(), 1)).collect(),
            ..Default::default()
        };
        let mut configs = vec![];
        append(&mut configs, vec![info("a", &["/"], &[]), info("b", &["/", "/x"], &[])]);
        append(&mut configs, vec![info("b", &["/y"], &["one"])]);
        append(&mut configs, vec![info("b", &[], &["two"]), info("c", &["/"], &[])]);
        let expected =
            [info("a", &["/"], &[]), info("b", &["/", "/x", "/y"], &["one", "two"]), info("c", &["/"], &[])];
        assert_eq!(configs, expected);
    }
}
