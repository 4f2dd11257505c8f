//! Calls as no generated client makes them: any bytes for a message, or no message at all. Knows no message.

use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{BufferSettings, Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::{Request, Status};

use super::support::*;

/// The calls of ConfigService.
pub const CALLS: [&str; 24] = [
    "Get",
    "BatchGet",
    "List",
    "Explain",
    "Blame",
    "Set",
    "Apply",
    "Delete",
    "Validate",
    "Rollback",
    "Revert",
    "Restore",
    "ListVersions",
    "ListChanges",
    "GetCommit",
    "Diff",
    "DiffNamespaces",
    "Search",
    "ListOverrides",
    "SetTag",
    "DeleteTag",
    "Watch",
    "RequestProgress",
    "StreamChanges",
];

/// Makes a call with these messages, and gives the first message of the answer. `None`: the call succeeded, and has yet to say
/// something.
pub async fn call(
    server: &TestServer,
    name: &str,
    messages: Vec<Vec<u8>>,
) -> Result<Option<Vec<u8>>, Status> {
    let mut grpc = Grpc::new(server.channel().await);
    grpc.ready().await.expect("a connection");
    let path = PathAndQuery::try_from(format!("/confwatch.v1.ConfigService/{name}")).expect("a path");
    let request = Request::new(tokio_stream::iter(messages));
    let mut answer = grpc.streaming(request, path, Bytes).await?.into_inner();
    if matches!(name, "Watch" | "StreamChanges") {
        return Ok(None);
    }
    answer.message().await
}

#[derive(Clone, Copy)]
struct Bytes;

impl Codec for Bytes {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Bytes;
    type Decoder = Bytes;

    fn encoder(&mut self) -> Bytes {
        Bytes
    }

    fn decoder(&mut self) -> Bytes {
        Bytes
    }
}

impl Encoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        bytes::BufMut::put_slice(buffer, &item);
        Ok(())
    }

    fn buffer_settings(&self) -> BufferSettings {
        BufferSettings::default()
    }
}

impl Decoder for Bytes {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; bytes::Buf::remaining(buffer)];
        bytes::Buf::copy_to_slice(buffer, &mut item);
        Ok(Some(item))
    }
}
