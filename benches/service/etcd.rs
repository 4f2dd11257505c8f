//! The few messages of etcd's gRPC services that are spoken here, with the field numbers of its `rpc.proto` and `kv.proto`.
//! Knows no configuration: keys and values are bytes.

use bytes::Bytes;

pub const RANGE: &str = "/etcdserverpb.KV/Range";
pub const PUT: &str = "/etcdserverpb.KV/Put";
pub const TXN: &str = "/etcdserverpb.KV/Txn";
pub const WATCH: &str = "/etcdserverpb.Watch/Watch";

#[derive(Clone, PartialEq, prost::Message)]
pub struct ResponseHeader {
    #[prost(int64, tag = "3")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct RangeRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// 0: the newest.
    #[prost(int64, tag = "4")]
    pub revision: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct PutRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    pub value: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TxnRequest {
    /// Without a condition all of these are done.
    #[prost(message, repeated, tag = "2")]
    pub success: Vec<RequestOp>,
}

/// One alternative of several that etcd knows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct RequestOp {
    #[prost(message, optional, tag = "2")]
    pub put: Option<PutRequest>,
}

/// One alternative of several that etcd knows.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchRequest {
    #[prost(message, optional, tag = "1")]
    pub create: Option<WatchCreateRequest>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchCreateRequest {
    #[prost(bytes = "bytes", tag = "1")]
    pub key: Bytes,
    /// 0: from now on.
    #[prost(int64, tag = "3")]
    pub start_revision: i64,
}

/// Without its events, which are looked for in the bytes.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WatchResponse {
    #[prost(message, optional, tag = "1")]
    pub header: Option<ResponseHeader>,
    /// Counts from 0 on each stream.
    #[prost(int64, tag = "2")]
    pub watch_id: i64,
    #[prost(bool, tag = "3")]
    pub created: bool,
    #[prost(bool, tag = "4")]
    pub canceled: bool,
}

/// Of a WatchResponse, without decoding the rest: the first field is the header, the second this one.
pub fn watch_id(message: &[u8]) -> usize {
    let Some((&[0x0a, header], rest)) = message.split_first_chunk::<2>() else { return 0 };
    let Some((&0x10, id)) = rest.get(usize::from(header)..).and_then(<[u8]>::split_first) else { return 0 };
    let end = id.iter().position(|byte| byte & 0x80 == 0).unwrap_or(0);
    id[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f))
}
