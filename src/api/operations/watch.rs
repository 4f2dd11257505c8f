//! Watch: the states of targets, as they change.

mod stream;
mod watched;

use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::ApiError;
use crate::proto::v1;

use super::Operations;
use watched::Watched;

pub use stream::WatchStream;

impl Operations {
    pub async fn watch(
        &self,
        access: &CallContext,
        request: v1::WatchRequest,
    ) -> Result<WatchStream, ApiError> {
        let client = (access.address(), access.library().to_owned());
        let options = request::watch(access.visibility(), client, request, self.engine.limits().targets_max)?;
        let watched = Watched::open(access, self.guard.standing(access), self.reveals(), &options.targets)?;
        let subscription = self.engine.watch(options).await?;
        if watched.is_some() {
            subscription.keep_to_actor();
        }
        let epoch = self.engine.epoch();
        Ok(WatchStream::new(epoch, subscription, watched))
    }

    pub async fn request_progress(
        &self,
        access: &CallContext,
        request: v1::RequestProgressRequest,
    ) -> Result<v1::RequestProgressResponse, ApiError> {
        // The response says nothing of the targets, nor whether another actor has a stream with this id.
        let revision = self.engine.request_progress(&request.watch_id, access.caller().actor())?;
        Ok(v1::RequestProgressResponse { revision: revision.0 })
    }
}
