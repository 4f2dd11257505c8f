//! The methods that there are, found by the path of a call. Knows descriptors; no call.

use prost::Message;
use prost_types::FileDescriptorSet;

use super::Method;
use crate::api::rpc::Rpc;

/// Every method of every service, and first what stands for all others: a client can call what it likes, and must not make labels.
#[derive(Debug)]
pub(super) struct Methods {
    all: Vec<Method>,
    /// Paths and places of methods, by the length of the path: few paths have the same, and a call is found without a hash.
    by_length: Vec<Vec<(String, u16)>>,
}

const UNKNOWN: u16 = 0;

impl Methods {
    /// The RPCs of the contract, and the methods of these descriptors beside.
    pub(super) fn read(descriptors: &[&[u8]]) -> Result<Methods, prost::DecodeError> {
        let unknown = Method::new("unknown", "unknown", false);
        let mut methods = Methods { all: vec![unknown], by_length: vec![] };
        for rpc in Rpc::all() {
            methods.add(Method::new(rpc.service(), rpc.name(), rpc.is_stream()));
        }
        for descriptors in descriptors {
            for file in FileDescriptorSet::decode(*descriptors)?.file {
                for service in &file.service {
                    let name = format!("{}.{}", file.package(), service.name());
                    for method in &service.method {
                        methods.add(Method::new(&name, method.name(), method.server_streaming()));
                    }
                }
            }
        }
        Ok(methods)
    }

    fn add(&mut self, method: Method) {
        let path = format!("/{}/{}", method.service, method.name);
        if self.of_path(&path) != UNKNOWN {
            return;
        }
        if self.by_length.len() <= path.len() {
            self.by_length.resize_with(path.len() + 1, Vec::new);
        }
        let place = u16::try_from(self.all.len()).expect("no server has so many methods");
        self.by_length[path.len()].push((path, place));
        self.all.push(method);
    }

    pub(super) fn all(&self) -> &[Method] {
        &self.all
    }

    pub(super) fn get(&self, place: u16) -> &Method {
        &self.all[usize::from(place)]
    }

    /// The place of the method of a call. RPCs come first, in their order.
    pub(super) fn of(&self, rpc: Option<Rpc>, path: &str) -> u16 {
        rpc.map_or_else(|| self.of_path(path), |rpc| UNKNOWN + 1 + rpc as u16)
    }

    /// The place of the method that is called so.
    pub(super) fn of_path(&self, path: &str) -> u16 {
        let alike = self.by_length.get(path.len()).map_or(&[][..], Vec::as_slice);
        alike.iter().find(|(known, _)| known == path).map_or(UNKNOWN, |(_, place)| *place)
    }
}
