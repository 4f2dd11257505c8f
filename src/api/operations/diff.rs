//! Diff: two documents compared, as values and as text.

use std::sync::Arc;

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX};
use crate::api::context::CallContext;
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{diff_message, document_message};
use crate::api::engine_errors::reason_of_missing;
use crate::api::error::ApiError;
use crate::api::guard::{Allowed, allow_read};
use crate::engine::{At, Cancelled, Error, Missing, Resolved, State};
use crate::model::Version;
use crate::model::diff::{first_differences, unified};
use crate::model::text::{Format, render, render_pretty_json};
use crate::proto::v1;

use super::Operations;
use super::get::cannot_express;
use super::size::encoded;

impl Operations {
    pub async fn diff(&self, context: &CallContext, request: v1::DiffRequest) -> Result<Encoded, ApiError> {
        let (from, to, format, context_lines) = request::diff(request)?;
        let (from, to) = (allow_read(context, from)?, allow_read(context, to)?);
        let state =
            self.engine.state_at_least(from.min_revision.max(to.min_revision), context.wait_max()).await?;
        let actor = context.access().caller().actor();
        // After it has waited for the revision.
        let _large = self.engine.begin_large(actor).await;
        let (old, new) = (self.side(&state, &from, actor).await?, self.side(&state, &to, actor).await?);
        let sides = [&old, &new].into_iter().flatten();
        self.gives(sides.map(Arc::as_ref), &|| context.clone()).map_err(Error::from)?;
        let [from, to] = [(&from, &old), (&to, &new)].map(|(read, side)| {
            let version = side.as_ref().map_or("none".to_owned(), |resolved| resolved.at.version.to_string());
            format!("{}@{} version {version}", read.target.id, read.target.scope)
        });
        let compare = move |cancelled: &Cancelled| {
            let compared = compare(old.as_deref(), new.as_deref(), &from, &to, format, context_lines)?;
            let too_large = || response_too_large(MESSAGE_BYTES_MAX);
            let Some((changes, unified)) = compared else { return Ok(Err(too_large())) };
            cancelled.check()?;
            let head = |side: Option<Arc<Resolved>>| side.map(|side| document_message(&side, format, ""));
            let (older, newer, store_revision) = (head(old), head(new), state.revision.0);
            Ok(encoded(&v1::DiffResponse { older, newer, changes, unified, store_revision }))
        };
        // Two large documents without a line in common take seconds, in which other calls go on.
        self.engine.work(actor, compare).await?
    }

    /// One side of a diff. `None` if there is no document: to be compared as an empty one.
    async fn side(
        &self,
        state: &State,
        read: &Allowed<DocumentRead>,
        actor: &str,
    ) -> Result<Option<Arc<Resolved>>, Error> {
        match self.engine.document(state, &read.target, &read.at, actor).await {
            Ok(resolved) => Ok(Some(resolved)),
            // Without the config, or at a point before it, there is nothing; a version that never was is a mistake.
            Err(Error::NotFound(missing)) if reason_of_missing(&missing) == "CONFIG_NOT_FOUND" => Ok(None),
            Err(Error::NotFound(Missing::VersionAtRevision(..) | Missing::VersionAtTime(..))) => Ok(None),
            Err(_) if read.at == At::Version(Version::ZERO) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

/// What differs between two documents, as values and as text; no document is an empty one. `None` if it is too much for an answer.
fn compare(
    old: Option<&Resolved>,
    new: Option<&Resolved>,
    old_label: &str,
    new_label: &str,
    format: Format,
    context_lines: usize,
) -> Result<Option<(Vec<v1::ValueChange>, String)>, Error> {
    let [old, new] = [old, new]
        .map(|side| side.map_or_else(|| serde_json::json!({}), |resolved| resolved.content.to_value()));
    let (changes, is_all) = first_differences(&old, &new, usize::MAX, MESSAGE_BYTES_MAX);
    if !is_all {
        return Ok(None);
    }
    if changes.is_empty() {
        return Ok(Some((vec![], String::new())));
    }
    let text = |value: &serde_json::Value| match format {
        Format::Json => Ok(render_pretty_json(value)),
        Format::Yaml | Format::Toml => render(value, format).map_err(cannot_express),
    };
    let unified = unified(&text(&old)?, &text(&new)?, old_label, new_label, context_lines);
    Ok(Some((diff_message(changes), unified)))
}
