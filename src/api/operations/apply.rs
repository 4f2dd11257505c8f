//! Apply: changes of many layers, as one commit.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::report_message;
use crate::api::error::ApiError;
use crate::engine::Intent;
use crate::model::Source;
use crate::proto::v1;

use super::Operations;
use super::write::{applied, options};

impl Operations {
    pub async fn apply(
        &self,
        context: &CallContext,
        mut request: v1::ApplyRequest,
    ) -> Result<v1::ApplyResponse, ApiError> {
        let (options, identity) = options("Apply", &mut request, |request| &mut request.options);
        let intent = Intent::Changes(request::changes(request.changes)?);
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Apply, options, identity).await?;
        let reach = self.reach(context, validate_only, &outcome).await?;
        Ok(v1::ApplyResponse {
            results: applied(&outcome),
            changed: outcome.changed,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
            reach,
            state_backups: outcome.state_backups.clone(),
        })
    }
}
