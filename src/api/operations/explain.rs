//! Explain: the layer of each value of a document.

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX};
use crate::api::context::CallContext;
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{document_message, origin_message};
use crate::api::error::ApiError;
use crate::api::guard::allow_read;
use crate::engine::{Error, Explanation};
use crate::model::text::Format;
use crate::proto::v1;

use super::Operations;
use super::size::encoded;

impl Operations {
    pub async fn explain(
        &self,
        context: &CallContext,
        request: v1::ExplainRequest,
    ) -> Result<Encoded, ApiError> {
        let read = allow_read(context, request::explain(request)?)?;
        let DocumentRead { target, at, pointer, .. } = read.into_inner();
        let _large = self.engine.begin_large(context.caller().actor()).await;
        let state = self.engine.state();
        let (operations, by, store_revision) = (self.clone(), context.clone(), state.revision.0);
        let answer = move |Explanation { resolved, origins, withheld }: Explanation| {
            let origins = origins.ok_or_else(|| response_too_large(MESSAGE_BYTES_MAX))?;
            operations.gives([&*resolved], &|| by.clone()).map_err(Error::from)?;
            let values = origins.into_iter().map(|origin| origin_message(origin, &resolved)).collect();
            let document = document_message(&resolved, Format::Json, resolved.content.as_str());
            let withheld = withheld.into_iter().map(|at| document.layers[at].clone()).collect();
            encoded(&v1::ExplainResponse { document: Some(document), values, store_revision, withheld })
        };
        let within = (pointer, MESSAGE_BYTES_MAX);
        self.engine.explain(&state, &target, &at, within, context.visibility(), answer).await?
    }
}
