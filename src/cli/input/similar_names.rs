//! Suggests configs and scopes that are similar to a missing one. Knows the client only.

use std::collections::BTreeSet;

use super::args::Target;
use crate::cli::Session;
use crate::cli::commands::list::append;
use crate::cli::output::exit::{Exit, Failure};
use crate::client::ClientError;
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

/// The failure of a call about a target, with what was probably meant where the server knows no such config.
pub async fn failure_of(error: ClientError, target: &Target, session: &Session) -> Failure {
    let is_unknown = error.reason() == "CONFIG_NOT_FOUND";
    let failure = Failure::from(error);
    if !is_unknown {
        return failure;
    }
    match suggestion(target, session).await {
        Some(suggestion) => failure.with(suggestion),
        None => failure,
    }
}

/// Refuses an empty result about a config of which the server has no version: the name is probably mistyped, and must not be taken for one without
/// differences.
pub async fn refuse_unknown_config(target: &Target, session: &Session) -> Result<(), Failure> {
    if !is_unknown(&target.namespace, &target.config, session).await {
        return Ok(());
    }
    let name = format!("{}/{}", target.namespace, target.config);
    let failure = Failure::new(Exit::NotFound, format!("there is no config {name}"));
    Err(match suggestion(target, session).await {
        Some(suggestion) => failure.with(suggestion),
        None => failure,
    })
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

/// Warns of a layer that a change would make and that is perhaps in the wrong place, with the number of its watchers. Does nothing where the caller may
/// not ask.
pub async fn warn_of_new_layer(change: &v1::Change, session: &Session) {
    if !may_ask(change, session).await {
        return;
    }
    let request = v1::ValidateRequest { changes: vec![change.clone()], ..Default::default() };
    let Ok(response) = session.client.api().validate(request).await else { return };
    let watchers = watchers_at(&response.into_inner(), &change.scope);
    if let Some(doubt) = doubt_of_new_layer(change, watchers, session).await {
        session.output.warning(&doubt);
    }
}

/// Whether the caller may validate a change and read what it changes. Asked before, so that a caller who may not is not in the audit log for a
/// question that was not theirs.
pub async fn may_ask(change: &v1::Change, session: &Session) -> bool {
    for verb in ["validate", "read"] {
        let request = v1::CanIRequest {
            verb: verb.into(),
            namespace: change.namespace.clone(),
            config: change.config.clone(),
            scope: change.scope.clone(),
            ..Default::default()
        };
        let answer = session.client.access().can_i(request).await;
        if !answer.is_ok_and(|answer| answer.into_inner().allowed) {
            return false;
        }
    }
    true
}

/// How many watch streams follow the document of a scope that a change affects.
pub fn watchers_at(response: &v1::ValidateResponse, scope: &str) -> u32 {
    let own = response.affected.iter().find(|target| target.scope == scope);
    own.map_or(0, |own| own.watchers)
}

/// Why a new layer is perhaps in the wrong place: its config or its scope is new, and a similar one exists. Of a config that governs another: there is no
/// config to govern.
pub async fn doubt_of_new_layer(change: &v1::Change, watchers: u32, session: &Session) -> Option<String> {
    let v1::Change { namespace, config, scope, .. } = change;
    let governed = match config.split_once(':') {
        // What governs a namespace governs configs to come, too.
        Some(("namespace", _)) => return None,
        Some((_, governed)) => Some(governed),
        None => None,
    };
    let name = governed.unwrap_or(config);
    let configs = some_configs(namespace, session).await;
    let Some(info) = configs.iter().find(|info| info.config == *name) else {
        let other = similar(name, configs.iter().map(|info| info.config.as_str()))?;
        return match (is_unknown(namespace, name, session).await, governed) {
            (false, _) => None,
            (true, None) => Some(format!(
                "{namespace}/{name} is a new config, watched by {watchers}; is {namespace}/{other} meant, which exists?"
            )),
            (true, Some(_)) => Some(format!(
                "there is no config {namespace}/{name}; is {namespace}/{other} meant, which exists?"
            )),
        };
    };
    if governed.is_some() || info.layers.iter().any(|layer| layer.scope == *scope) {
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

/// Whether the server has no version of a config: a large namespace has more configs than are searched.
async fn is_unknown(namespace: &str, config: &str, session: &Session) -> bool {
    let request = v1::ListVersionsRequest {
        namespace: namespace.into(),
        config: config.into(),
        page_size: 1,
        ..Default::default()
    };
    let listed = session.client.api().list_versions(request).await;
    listed.is_err_and(|status| ClientError::from(status).reason() == "CONFIG_NOT_FOUND")
}
