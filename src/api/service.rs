//! The calls of `ConfigService`. Each is told from the others here; what it does is in `reads`, `writes` and `streams`.

use tonic::{Request, Response, Status};

use crate::proto::v1::*;

use super::codec::Encoded;
use super::deadline::wait_max;
use super::server::config_service_server::ConfigService;
use super::streams::{ChangesStream, WatchStream};
use super::{Api, actor};

#[tonic::async_trait]
impl ConfigService for Api {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Encoded>, Status> {
        let wait_max = wait_max(request.metadata());
        Ok(Response::new(self.get_document(request.into_inner(), wait_max).await?))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let wait_max = wait_max(request.metadata());
        Ok(Response::new(self.get_documents(request.into_inner(), wait_max).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        Ok(Response::new(self.list_configs(request.into_inner())?))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        Ok(Response::new(self.explain_document(request.into_inner()).await?))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.set_layer(actor, request.into_inner()).await?))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.apply_changes(actor, request.into_inner()).await?))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.delete_layers(actor, request.into_inner()).await?))
    }

    async fn validate(
        &self,
        request: Request<ValidateRequest>,
    ) -> Result<Response<ValidateResponse>, Status> {
        Ok(Response::new(self.validate_changes(request.into_inner()).await?))
    }

    async fn rollback(
        &self,
        request: Request<RollbackRequest>,
    ) -> Result<Response<RollbackResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.roll_back(actor, request.into_inner()).await?))
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        Ok(Response::new(self.list_history(request.into_inner()).await?))
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        let wait_max = wait_max(request.metadata());
        Ok(Response::new(self.diff_documents(request.into_inner(), wait_max).await?))
    }

    async fn set_tag(&self, request: Request<SetTagRequest>) -> Result<Response<SetTagResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.move_tag(actor, request.into_inner()).await?))
    }

    async fn delete_tag(
        &self,
        request: Request<DeleteTagRequest>,
    ) -> Result<Response<DeleteTagResponse>, Status> {
        let actor = actor(request.metadata());
        Ok(Response::new(self.remove_tag(actor, request.into_inner()).await?))
    }

    type WatchStream = WatchStream;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        Ok(Response::new(self.open_watch(request.into_inner()).await?))
    }

    async fn request_progress(
        &self,
        request: Request<RequestProgressRequest>,
    ) -> Result<Response<RequestProgressResponse>, Status> {
        let revision = self.engine.request_progress(&request.into_inner().watch_id)?;
        Ok(Response::new(RequestProgressResponse { revision: revision.0 }))
    }

    type StreamChangesStream = ChangesStream;

    async fn stream_changes(
        &self,
        request: Request<StreamChangesRequest>,
    ) -> Result<Response<ChangesStream>, Status> {
        Ok(Response::new(self.open_changes(&request.into_inner())?))
    }
}
