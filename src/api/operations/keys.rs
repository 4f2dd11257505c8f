//! The calls of `SecretService`: the keys that seal secrets. No key ever passes here, only their names.

use crate::auth::{Resource, Verb};
use crate::engine::{DataRotation, KeysStatus, MasterRotation, NamespaceKeys};
use crate::proto::v1;
use crate::proto::v1::*;

use super::Operations;
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::error::ApiError;

impl Operations {
    pub async fn keys_status(
        &self,
        access: &CallContext,
        SecretServiceStatusRequest {}: SecretServiceStatusRequest,
    ) -> Result<SecretServiceStatusResponse, ApiError> {
        access.permit(Verb::Admin, Resource::Store)?;
        let KeysStatus { source, master, master_next, namespaces } = self.engine.keys_status().await?;
        let name = |id: Option<_>| id.as_ref().map(ToString::to_string).unwrap_or_default();
        Ok(SecretServiceStatusResponse {
            master_key_source: source,
            master_key_id: name(master),
            next_master_key_id: name(master_next),
            namespaces: namespaces.into_iter().map(namespace_message).collect(),
        })
    }

    pub async fn rotate_data_key(
        &self,
        access: &CallContext,
        request: RotateDataKeyRequest,
    ) -> Result<RotateDataKeyResponse, ApiError> {
        let namespace = request::namespace("namespace", &request.namespace)?;
        access.permit(Verb::Admin, Resource::Namespace(namespace.clone()))?;
        let rotation = self.engine.rotate_data_key(namespace, access.author()).await?;
        let DataRotation { key, is_new, resealed, left } = rotation;
        Ok(RotateDataKeyResponse {
            key_id: key.to_string(),
            is_new,
            configs_resealed: resealed as u32,
            configs_left: left as u32,
        })
    }

    pub async fn rotate_master_key(
        &self,
        access: &CallContext,
        RotateMasterKeyRequest {}: RotateMasterKeyRequest,
    ) -> Result<RotateMasterKeyResponse, ApiError> {
        access.permit(Verb::Admin, Resource::Store)?;
        let rotation = self.engine.rotate_master_key(access.author()).await?;
        let MasterRotation { from, to, is_made, source, namespaces } = rotation;
        Ok(RotateMasterKeyResponse {
            old_key_id: from.to_string(),
            new_key_id: to.to_string(),
            is_made,
            master_key_source: source,
            namespaces: namespaces as u32,
        })
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
