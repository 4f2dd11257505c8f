//! Delete: of a layer, or of all layers of a config.

use crate::api::context::CallContext;
use crate::api::convert::bounded::fitting_items;
use crate::api::convert::request;
use crate::api::convert::response::layer_message;
use crate::api::error::ApiError;
use crate::model::Source;
use crate::proto::v1;

use super::Operations;
use super::write::{LAYERS_BYTES_MAX, options};

impl Operations {
    pub async fn delete(
        &self,
        context: &CallContext,
        mut request: v1::DeleteRequest,
    ) -> Result<v1::DeleteResponse, ApiError> {
        let (options, identity) = options("Delete", &mut request, |request| &mut request.options);
        let intent = request::delete(&request)?;
        let validate_only = options.validate_only;
        let write = self.allow_write(context, &options, intent)?;
        let outcome = self.write(context, write, Source::Delete, options, identity).await?;
        let reach = self.reach(context, validate_only, &outcome).await?;
        let gone = outcome.layers.iter().filter_map(|layer| layer.before.as_ref());
        let (deleted, deleted_omitted) =
            fitting_items(gone.map(|entry| layer_message(entry)), LAYERS_BYTES_MAX);
        Ok(v1::DeleteResponse {
            changed: outcome.changed,
            version: outcome.at.map_or(0, |at| at.version.0),
            deleted,
            store_revision: outcome.revision.0,
            deleted_omitted,
            reach,
        })
    }
}
