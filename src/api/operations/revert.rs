//! Revert: commits taken back by a new one.

use crate::api::context::CallContext;
use crate::api::convert::bounded::fitting_items;
use crate::api::convert::response::report_message;
use crate::api::error::ApiError;
use crate::api::guard::allow_revert;
use crate::engine::{Intent, Reverting};
use crate::model::{Revision, Source};
use crate::proto::v1;

use super::Operations;
use super::write::{LAYERS_BYTES_MAX, applied, options};

impl Operations {
    pub async fn revert(
        &self,
        context: &CallContext,
        mut request: v1::RevertRequest,
    ) -> Result<v1::RevertResponse, ApiError> {
        let (options, identity) = options("Revert", &mut request, |request| &mut request.options);
        let revisions = request.revisions.into_iter().map(Revision).collect();
        let actor = context.access().caller().actor();
        // Until the plan is made, which takes all contents that the commits changed.
        let mut reverting = Reverting::within(self.engine.begin_large(actor).await);
        for revision in Reverting::order(revisions)? {
            let commit = Reverting::of(self.engine.commit(revision, actor).await?);
            // Check the permission before the response can depend on the commit, and before the next commit is read.
            allow_revert(context, &commit).map_err(|denied| denied.wanted_because(&options.reason))?;
            reverting.append(commit)?;
        }
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, Intent::Revert(reverting))?;
        let outcome = self.write(context, write, Source::Revert, options, identity).await?;
        let affected = match validate_only {
            true => Some(self.affected(context, &outcome).await?),
            false => None,
        };
        let (listed, affected_omitted) =
            affected.as_ref().map(|affected| affected.listed()).unwrap_or_default();
        let (results, results_omitted) = fitting_items(applied(&outcome), LAYERS_BYTES_MAX);
        Ok(v1::RevertResponse {
            results,
            results_omitted,
            changed: outcome.changed,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
            affected: listed,
            affected_omitted,
            reach: affected.map(|affected| affected.reach()),
        })
    }
}
