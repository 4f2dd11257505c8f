//! The calls of `SecretService`: the keys that seal secrets. No key ever passes here, only their names.

use tonic::{Request, Response, Status};

use crate::auth::{Resource, Verb};
use crate::engine::{DataRotation, KeysStatus, MasterRotation, NamespaceKeys};
use crate::proto::v1;
use crate::proto::v1::*;

use super::Api;
use super::convert::request;
use super::guard::entered;
use super::server::secret_service_server::SecretService;

#[tonic::async_trait]
impl SecretService for Api {
    async fn status(
        &self,
        request: Request<SecretServiceStatusRequest>,
    ) -> Result<Response<SecretServiceStatusResponse>, Status> {
        let (access, SecretServiceStatusRequest {}) = entered(request);
        access.permit(Verb::Admin, Resource::Store)?;
        let KeysStatus { source, master, master_next, namespaces } = self.engine.keys_status().await?;
        let name = |id: Option<_>| id.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(Response::new(SecretServiceStatusResponse {
            master_key_source: source,
            master_key_id: name(master),
            next_master_key_id: name(master_next),
            namespaces: namespaces.into_iter().map(namespace_message).collect(),
        }))
    }

    async fn rotate_data_key(
        &self,
        request: Request<RotateDataKeyRequest>,
    ) -> Result<Response<RotateDataKeyResponse>, Status> {
        let (access, request) = entered(request);
        let namespace = request::namespace("namespace", &request.namespace)?;
        access.permit(Verb::Admin, Resource::Namespace(namespace.clone()))?;
        let rotation = self.engine.rotate_data_key(namespace, access.author()).await?;
        let DataRotation { key, is_new, resealed, left } = rotation;
        Ok(Response::new(RotateDataKeyResponse {
            key_id: key.to_string(),
            is_new,
            configs_resealed: resealed as u32,
            configs_left: left as u32,
        }))
    }

    async fn rotate_master_key(
        &self,
        request: Request<RotateMasterKeyRequest>,
    ) -> Result<Response<RotateMasterKeyResponse>, Status> {
        let (access, RotateMasterKeyRequest {}) = entered(request);
        access.permit(Verb::Admin, Resource::Store)?;
        let rotation = self.engine.rotate_master_key(access.author()).await?;
        let MasterRotation { from, to, is_made, source, namespaces } = rotation;
        Ok(Response::new(RotateMasterKeyResponse {
            old_key_id: from.to_string(),
            new_key_id: to.to_string(),
            is_made,
            master_key_source: source,
            namespaces: namespaces as u32,
        }))
    }
}

fn namespace_message(keys: NamespaceKeys) -> v1::NamespaceKeys {
    let key = |key: crate::engine::DataKey| DataKey { id: key.id.to_string(), create_time: key.created };
    v1::NamespaceKeys {
        namespace: keys.namespace.to_string(),
        keys: keys.keys.into_iter().map(key).collect(),
        values: keys.census.sealed,
        values_behind: keys.census.behind,
        values_broken: keys.census.broken,
    }
}
