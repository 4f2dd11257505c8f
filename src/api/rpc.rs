//! The RPCs of the contract, generated from its descriptors: a call is found by its path once, and is an `Rpc` from then on. Knows
//! names and types; `services` has the operation of each.

use prost::Message;

include!(concat!(env!("OUT_DIR"), "/rpcs.rs"));

/// What the descriptors say of an RPC.
struct Descriptor {
    service: &'static str,
    name: &'static str,
    path: &'static str,
    is_stream: bool,
}

/// Where a message has messages within it, by the numbers of their fields.
pub struct Shape {
    messages: &'static [(u32, &'static Shape)],
}

impl Shape {
    /// What the field of this number is, if it is a message.
    pub fn within(&self, number: u32) -> Option<&'static Shape> {
        self.messages.iter().find(|(of_field, _)| *of_field == number).map(|(_, shape)| *shape)
    }
}

/// The messages of an RPC.
pub trait Signature {
    type Request: Message + Default + 'static;
    type Response: Message + Default + 'static;
    const RPC: Rpc;
}

impl Rpc {
    /// Where its request has messages within it.
    pub fn request_shape(self) -> &'static Shape {
        request_shape(self)
    }

    /// In the order of the descriptors.
    pub fn all() -> &'static [Rpc] {
        &ALL
    }

    /// The RPC with this path. `None`: the contract has none.
    pub fn of_path(path: &str) -> Option<Rpc> {
        with_path_of(path.len()).iter().copied().find(|rpc| rpc.path() == path)
    }

    /// `/confwatch.v1.ConfigService/Get`: also its name in the audit log.
    pub fn path(self) -> &'static str {
        self.facts().path
    }

    /// `confwatch.v1.ConfigService`.
    pub fn service(self) -> &'static str {
        self.facts().service
    }

    /// `Get`.
    pub fn name(self) -> &'static str {
        self.facts().name
    }

    /// Whether a call gets messages for as long as its client wants.
    pub fn is_stream(self) -> bool {
        self.facts().is_stream
    }

    /// Whether a message is a request of this RPC.
    pub fn is_request(self, message: &[u8]) -> bool {
        is_request(self, message)
    }

    fn facts(self) -> &'static Descriptor {
        &FACTS[self as usize]
    }
}

/// Whether a path is of a service of the contract, though perhaps of no RPC.
pub fn is_of_service(path: &str) -> bool {
    let service = path.strip_prefix('/').and_then(|path| path.split_once('/')).map(|(service, _)| service);
    service.is_some_and(|service| SERVICES.contains(&service))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_rpc_is_found_by_its_path() {
        for rpc in Rpc::all() {
            assert_eq!(Rpc::of_path(rpc.path()), Some(*rpc));
            assert_eq!(rpc.path(), format!("/{}/{}", rpc.service(), rpc.name()));
            assert!(is_of_service(rpc.path()));
        }
        for path in ["", "/", "/confwatch.v1.ConfigService/get", "/confwatch.v1.ConfigService/Got"] {
            assert_eq!(Rpc::of_path(path), None, "{path}");
        }
        assert!(is_of_service("/confwatch.v1.ConfigService/Got"));
        assert!(!is_of_service("/confwatch.v1.ConfigServiceX/Get"));
    }
}
