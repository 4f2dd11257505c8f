//! Rollback: the layers of an older version, as a new version.

use crate::api::context::CallContext;
use crate::api::convert::bounded::fitting_items;
use crate::api::convert::request;
use crate::api::convert::response::{layer_change_message, layer_change_of, report_message};
use crate::api::error::ApiError;
use crate::model::{Source, Version};
use crate::proto::v1;

use super::Operations;
use super::write::{LAYERS_BYTES_MAX, options};

impl Operations {
    pub async fn rollback(
        &self,
        context: &CallContext,
        mut request: v1::RollbackRequest,
    ) -> Result<v1::RollbackResponse, ApiError> {
        let (options, identity) = options("Rollback", &mut request, |request| &mut request.options);
        let intent = request::rollback(&request)?;
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Rollback, options, identity).await?;
        let reach = self.reach(context, validate_only, &outcome).await?;
        let layers = outcome.layers.iter().filter(|layer| layer.is_shown);
        let layers = layers.map(|layer| layer_change_message(&layer_change_of(layer), false));
        let (layers, layers_omitted) = fitting_items(layers, LAYERS_BYTES_MAX);
        Ok(v1::RollbackResponse {
            version: outcome.at.map_or(0, |at| at.version.0),
            restored_version: outcome.restored.unwrap_or(Version::ZERO).0,
            changed: outcome.changed,
            layers,
            report: Some(report_message(&outcome.report)),
            store_revision: outcome.revision.0,
            layers_omitted,
            reach,
        })
    }
}
