//! Set: one change of one layer.

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::{layer_outcome_message, report_message};
use crate::api::error::ApiError;
use crate::engine::Intent;
use crate::model::Source;
use crate::proto::v1;

use super::Operations;
use super::write::options;

impl Operations {
    pub async fn set(
        &self,
        context: &CallContext,
        mut request: v1::SetRequest,
    ) -> Result<v1::SetResponse, ApiError> {
        let (options, identity) = options("Set", &mut request, |request| &mut request.options);
        let change = request.change.ok_or_else(|| request::invalid("change", "must be set"))?;
        let intent = Intent::Changes(vec![request::change("change", change)?]);
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Set, options, identity).await?;
        let reach = self.reach(context, validate_only, &outcome).await?;
        Ok(v1::SetResponse {
            document: outcome.layers.first().map(|layer| layer_outcome_message(layer, true)),
            changed: outcome.changed,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
            reach,
        })
    }
}
