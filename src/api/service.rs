//! The calls of `ConfigService`. Each is told from the others here; what it does is in `reads`, `writes` and `streams`.

use tonic::{Request, Response, Status};

use crate::proto::v1::*;

use super::Api;
use super::codec::Encoded;
use super::deadline::wait_max;
use super::guard::entered;
use super::server::config_service_server::ConfigService;
use super::streams::{ChangesStream, WatchStream};

#[tonic::async_trait]
impl ConfigService for Api {
    async fn get(&self, request: Request<GetRequest>) -> Result<Response<Encoded>, Status> {
        let wait_max = wait_max(request.metadata());
        let (access, request) = entered(request);
        Ok(Response::new(self.get_document(&access, request, wait_max).await?))
    }

    async fn batch_get(
        &self,
        request: Request<BatchGetRequest>,
    ) -> Result<Response<BatchGetResponse>, Status> {
        let wait_max = wait_max(request.metadata());
        let (access, request) = entered(request);
        Ok(Response::new(self.get_documents(&access, request, wait_max).await?))
    }

    async fn list(&self, request: Request<ListRequest>) -> Result<Response<ListResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.list_configs(&access, request)?))
    }

    async fn explain(&self, request: Request<ExplainRequest>) -> Result<Response<ExplainResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.explain_document(&access, request).await?))
    }

    async fn set(&self, request: Request<SetRequest>) -> Result<Response<SetResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.set_layer(&access, request).await?))
    }

    async fn apply(&self, request: Request<ApplyRequest>) -> Result<Response<ApplyResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.apply_changes(&access, request).await?))
    }

    async fn delete(&self, request: Request<DeleteRequest>) -> Result<Response<DeleteResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.delete_layers(&access, request).await?))
    }

    async fn validate(
        &self,
        request: Request<ValidateRequest>,
    ) -> Result<Response<ValidateResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.validate_changes(&access, request).await?))
    }

    async fn rollback(
        &self,
        request: Request<RollbackRequest>,
    ) -> Result<Response<RollbackResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.roll_back(&access, request).await?))
    }

    async fn list_versions(
        &self,
        request: Request<ListVersionsRequest>,
    ) -> Result<Response<ListVersionsResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.list_history(&access, request).await?))
    }

    async fn diff(&self, request: Request<DiffRequest>) -> Result<Response<DiffResponse>, Status> {
        let wait_max = wait_max(request.metadata());
        let (access, request) = entered(request);
        Ok(Response::new(self.diff_documents(&access, request, wait_max).await?))
    }

    async fn set_tag(&self, request: Request<SetTagRequest>) -> Result<Response<SetTagResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.move_tag(&access, request).await?))
    }

    async fn delete_tag(
        &self,
        request: Request<DeleteTagRequest>,
    ) -> Result<Response<DeleteTagResponse>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.remove_tag(&access, request).await?))
    }

    type WatchStream = WatchStream;

    async fn watch(&self, request: Request<WatchRequest>) -> Result<Response<WatchStream>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.open_watch(&access, request).await?))
    }

    async fn request_progress(
        &self,
        request: Request<RequestProgressRequest>,
    ) -> Result<Response<RequestProgressResponse>, Status> {
        // Nothing is told of what it watches, nor that there is one of somebody else.
        let (access, request) = entered(request);
        let revision = self.engine.request_progress(&request.watch_id, access.caller().actor())?;
        Ok(Response::new(RequestProgressResponse { revision: revision.0 }))
    }

    type StreamChangesStream = ChangesStream;

    async fn stream_changes(
        &self,
        request: Request<StreamChangesRequest>,
    ) -> Result<Response<ChangesStream>, Status> {
        let (access, request) = entered(request);
        Ok(Response::new(self.open_changes(&access, &request)?))
    }
}
