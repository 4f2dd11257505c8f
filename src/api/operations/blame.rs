//! Blame: the commit that made each value of a document what it is.

use crate::api::call_errors::response_too_large;
use crate::api::codec::{Encoded, MESSAGE_BYTES_MAX};
use crate::api::context::CallContext;
use crate::api::convert::request::{self, DocumentRead};
use crate::api::convert::response::{document_message, origin_message, source_message, time_message};
use crate::api::error::ApiError;
use crate::api::guard::allow_read;
use crate::engine::{Error, Explanation, Made};
use crate::model::text::Format;
use crate::proto::v1;

use super::Operations;
use super::size::encoded;

impl Operations {
    pub async fn blame(&self, context: &CallContext, request: v1::BlameRequest) -> Result<Encoded, ApiError> {
        let v1::BlameRequest { namespace, config, scope, pointer } = request;
        let request = v1::ExplainRequest { namespace, config, scope, pointer, at: None };
        let DocumentRead { target, pointer, .. } =
            allow_read(context, request::explain(request)?)?.into_inner();
        let _large = self.engine.begin_large(context.caller().actor()).await;
        let state = self.engine.state();
        let (operations, by, store_revision) = (self.clone(), context.clone(), state.revision.0);
        let answer = move |Explanation { resolved, origins, withheld }: Explanation, made: Vec<_>| {
            let origins = origins.ok_or_else(|| response_too_large(MESSAGE_BYTES_MAX))?;
            operations.gives([&*resolved], &|| by.clone()).map_err(Error::from)?;
            let values = origins.into_iter().zip(made).map(|(origin, made)| {
                let v1::ValueOrigin { pointer, value, layer, removed, shadowed: _ } =
                    origin_message(origin, &resolved);
                blamed(v1::BlamedValue { pointer, value, layer, removed, ..Default::default() }, made)
            });
            let values = values.collect();
            let document = document_message(&resolved, Format::Json, "");
            let withheld = withheld.into_iter().map(|at| document.layers[at].clone()).collect();
            encoded(&v1::BlameResponse { document: Some(document), values, withheld, store_revision })
        };
        let within = (pointer, MESSAGE_BYTES_MAX);
        self.engine.blame(&state, &target, within, context.visibility(), answer).await?
    }
}

fn blamed(value: v1::BlamedValue, made: Option<Made>) -> v1::BlamedValue {
    let Some(Made { at, by }) = made else { return value };
    let value = v1::BlamedValue {
        version: at.version.0,
        revision: at.revision.0,
        time: Some(time_message(at.time)),
        ..value
    };
    match by {
        Some(by) => v1::BlamedValue {
            actor: by.author.actor,
            source: source_message(by.source).into(),
            reason: by.reason,
            ..value
        },
        None => value,
    }
}
