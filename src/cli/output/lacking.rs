//! Whether what was not found may be there, for others to see. Knows the client only.

use super::streams::printable;
use crate::cli::Session;
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
