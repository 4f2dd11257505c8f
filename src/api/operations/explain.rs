//! Explain: the layer of each value of a document.

use crate::api::codec::MESSAGE_BYTES_MAX;
use crate::api::context::CallContext;
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{document_message, origin_message};
use crate::api::error::{ApiError, response_too_large};
use crate::api::guard::allow_read;
use crate::engine::{Error, Explanation};
use crate::model::text::Format;
use crate::proto::v1;

use super::Operations;
use super::size::fitting;

impl Operations {
    pub async fn explain(
        &self,
        context: &CallContext,
        request: v1::ExplainRequest,
    ) -> Result<v1::ExplainResponse, ApiError> {
        let read = allow_read(context, request::explain(request)?)?;
        let state = self.engine.state();
        let DocumentRead { target, at, pointer, .. } = read.into_inner();
        let sight = context.sight();
        let Explanation { resolved, origins, withheld } =
            self.engine.explain(&state, &target, &at, pointer, MESSAGE_BYTES_MAX, sight).await?;
        let origins = origins.ok_or_else(|| response_too_large(MESSAGE_BYTES_MAX))?;
        self.gives([&*resolved], &|| context.clone()).map_err(Error::from)?;
        let values = origins.into_iter().map(|origin| origin_message(origin, &resolved)).collect();
        let document = document_message(&resolved, Format::Json, resolved.content.as_str());
        let withheld = withheld.into_iter().map(|at| document.layers[at].clone()).collect();
        let (document, store_revision) = (Some(document), state.revision.0);
        fitting(v1::ExplainResponse { document, values, store_revision, withheld })
    }
}
