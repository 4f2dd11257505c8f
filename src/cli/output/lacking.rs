//! Whether what was not found may be there, for others to see, or is a name that is mistyped. Knows the client only.

use std::collections::BTreeSet;

use super::exit::{Exit, Failure};
use super::streams::printable;
use crate::cli::Session;
use crate::cli::input::similar_names::some_configs;
use crate::model::similar::similar;
use crate::proto::v1;

/// Warns on standard error if the caller may not read all of a namespace (of the store for `""`) at a scope (`""` is `/`): an empty list
/// then means that nothing of it may be read.
pub async fn note_lack_of_read(namespace: &str, scope: &str, session: &Session) {
    if let Some(why) = lack_of_read(namespace, scope, session).await {
        session.output.warning(&why);
    }
}

/// The same, to be said by the caller. `None`: all of it may be read.
pub async fn lack_of_read(namespace: &str, scope: &str, session: &Session) -> Option<String> {
    let request = v1::CanIRequest {
        verb: "read".into(),
        namespace: namespace.into(),
        scope: scope.into(),
        ..Default::default()
    };
    // If even that cannot be asked, there is nothing to add.
    let response = session.client.access().can_i(request).await.ok()?.into_inner();
    if response.allowed {
        return None;
    }
    let what = if namespace.is_empty() { "everything" } else { namespace };
    let explanation = printable(&response.explanation);
    Some(format!("what you may not read is left out, and you may not read all of {what}: {explanation}"))
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
