//! The keys that seal secrets. Knows the wire only.

use serde::Serialize;

use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct KeysView {
    pub master_key_source: String,
    pub master_key_id: String,
    pub next_master_key_id: String,
    pub namespaces: Vec<NamespaceKeysView>,
}

#[derive(Debug, Serialize)]
pub struct NamespaceKeysView {
    pub namespace: String,
    pub keys: Vec<DataKeyView>,
    pub values: u64,
    pub values_behind: u64,
    pub values_broken: u64,
}

#[derive(Debug, Serialize)]
pub struct DataKeyView {
    pub id: String,
    pub create_time: String,
}

#[derive(Debug, Serialize)]
pub struct DataRotationView {
    pub key_id: String,
    pub is_new: bool,
    pub configs_resealed: u32,
}

#[derive(Debug, Serialize)]
pub struct MasterRotationView {
    pub old_key_id: String,
    pub new_key_id: String,
    pub is_made: bool,
    pub master_key_source: String,
    pub namespaces: u32,
}

impl From<&v1::SecretServiceStatusResponse> for KeysView {
    fn from(response: &v1::SecretServiceStatusResponse) -> KeysView {
        KeysView {
            master_key_source: response.master_key_source.clone(),
            master_key_id: response.master_key_id.clone(),
            next_master_key_id: response.next_master_key_id.clone(),
            namespaces: response.namespaces.iter().map(NamespaceKeysView::from).collect(),
        }
    }
}

impl From<&v1::NamespaceKeys> for NamespaceKeysView {
    fn from(keys: &v1::NamespaceKeys) -> NamespaceKeysView {
        let key =
            |key: &v1::DataKey| DataKeyView { id: key.id.clone(), create_time: key.create_time.clone() };
        NamespaceKeysView {
            namespace: keys.namespace.clone(),
            keys: keys.keys.iter().map(key).collect(),
            values: keys.values,
            values_behind: keys.values_behind,
            values_broken: keys.values_broken,
        }
    }
}

impl From<&v1::RotateDataKeyResponse> for DataRotationView {
    fn from(response: &v1::RotateDataKeyResponse) -> DataRotationView {
        DataRotationView {
            key_id: response.key_id.clone(),
            is_new: response.is_new,
            configs_resealed: response.configs_resealed,
        }
    }
}

impl From<&v1::RotateMasterKeyResponse> for MasterRotationView {
    fn from(response: &v1::RotateMasterKeyResponse) -> MasterRotationView {
        MasterRotationView {
            old_key_id: response.old_key_id.clone(),
            new_key_id: response.new_key_id.clone(),
            is_made: response.is_made,
            master_key_source: response.master_key_source.clone(),
            namespaces: response.namespaces,
        }
    }
}
