//! Suggests configs and scopes that are similar to a missing one. Knows the client only.

use std::collections::BTreeSet;

use super::args::Target;
use crate::cli::Session;
use crate::cli::commands::list::append;
use crate::cli::output::exit::{Exit, Failure};
use crate::model::similar::{similar, similar_scope};
use crate::proto::v1;

/// As many configs are searched for a name: a suggestion is not worth more.
const CONFIGS_MAX: usize = 3000;
const PAGE_SIZE: u32 = 1000;

/// Configs of a namespace, as many as are searched. Empty if they cannot be listed: a suggestion is no reason to fail.
pub async fn some_configs(namespace: &str, session: &Session) -> Vec<v1::ConfigInfo> {
    let mut configs = Vec::new();
    let mut page_token = String::new();
    while configs.len() < CONFIGS_MAX {
        let request = v1::ListRequest {
            namespace: namespace.into(),
            page_size: PAGE_SIZE,
            page_token,
            ..Default::default()
        };
        let Ok(page) = session.client.api().list(request).await else { break };
        let page = page.into_inner();
        append(&mut configs, page.configs);
        page_token = page.next_page_token;
        if page_token.is_empty() {
            break;
        }
    }
    configs
}

/// What was probably meant by a target of which the server knows nothing.
pub async fn suggestion(target: &Target, session: &Session) -> Option<String> {
    let configs = some_configs(&target.namespace, session).await;
    if configs.is_empty() {
        let all = some_configs("", session).await;
        let namespaces: BTreeSet<&str> = all.iter().map(|info| info.namespace.as_str()).collect();
        let other = similar(&target.namespace, namespaces)?;
        return Some(format!("there is no namespace {}; did you mean {other}?", target.namespace));
    }
    match configs.iter().find(|info| info.config == target.config) {
        None => {
            let other = similar(&target.config, configs.iter().map(|info| info.config.as_str()))?;
            Some(format!("did you mean {}/{other}?", target.namespace))
        }
        Some(info) => {
            let scopes: BTreeSet<&str> = info.layers.iter().map(|layer| layer.scope.as_str()).collect();
            let scopes: Vec<&str> = scopes.into_iter().collect();
            let name = format!("{}/{}", target.namespace, target.config);
            Some(format!("{name} has layers at {}", scopes.join(", "))).filter(|_| !scopes.is_empty())
        }
    }
}

/// Refuses an empty result of a namespace in which the caller sees no config, not even a deleted one: the name is probably mistyped, and a script
/// must not take that for "nothing has changed". `""` is the whole store.
pub async fn refuse_unknown_namespace(namespace: &str, session: &Session) -> Result<(), Failure> {
    if namespace.is_empty() {
        return Ok(());
    }
    let request = v1::ListRequest {
        namespace: namespace.into(),
        include_deleted: true,
        include_governing: true,
        page_size: 1,
        ..Default::default()
    };
    // If that cannot be asked, there is nothing to add.
    let Ok(page) = session.client.api().list(request).await else { return Ok(()) };
    if !page.get_ref().configs.is_empty() {
        return Ok(());
    }
    let failure =
        Failure::new(Exit::NotFound, format!("namespace {namespace} has no configs that you may see"));
    let all = some_configs("", session).await;
    let namespaces: BTreeSet<&str> = all.iter().map(|info| info.namespace.as_str()).collect();
    Err(match similar(namespace, namespaces) {
        Some(other) => failure.with(format!("did you mean {other}?")),
        None => failure,
    })
}

/// Why a new layer is perhaps in the wrong place.
pub async fn doubt_of_new_layer(change: &v1::Change, watchers: u32, session: &Session) -> Option<String> {
    let v1::Change { namespace, config, scope, .. } = change;
    let configs = some_configs(namespace, session).await;
    let Some(info) = configs.iter().find(|info| info.config == *config) else {
        let other = similar(config, configs.iter().map(|info| info.config.as_str()))?;
        return Some(format!(
            "{namespace}/{config} is a new config, watched by {watchers}; is {namespace}/{other} meant, which exists?"
        ));
    };
    if info.layers.iter().any(|layer| layer.scope == *scope) {
        return None;
    }
    let scopes: BTreeSet<&str> =
        configs.iter().flat_map(|info| &info.layers).map(|layer| layer.scope.as_str()).collect();
    if scopes.contains(scope.as_str()) {
        return None;
    }
    let other = similar_scope(scope, scopes)?;
    Some(format!(
        "{scope} is a new scope in {namespace}, watched by {watchers}; is {other} meant, which exists?"
    ))
}
