//! Single calls that are not measured, through tonic's client: it says what is wrong, and takes requests of any size. Knows no
//! messages.

use std::net::SocketAddr;

use bytes::{Buf, BufMut, Bytes};
use http::uri::PathAndQuery;
use tonic::client::Grpc;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::{Ascii, MetadataValue};
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Clones share the connection.
#[derive(Clone)]
pub struct Remote {
    grpc: Grpc<Channel>,
    authorization: Option<MetadataValue<Ascii>>,
}

impl Remote {
    pub async fn connect(address: SocketAddr, token: Option<String>) -> Result<Remote, Status> {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).expect("an address");
        let channel = endpoint.tcp_nodelay(true).connect().await;
        let channel = channel.map_err(|error| Status::unavailable(error.to_string()))?;
        let grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX);
        let authorization = token.map(|token| format!("Bearer {token}").parse().expect("a token is ASCII"));
        Ok(Remote { grpc, authorization })
    }

    pub async fn call(&self, path: &'static str, message: Vec<u8>) -> Result<Bytes, Status> {
        let mut grpc = self.grpc.clone();
        grpc.ready().await.map_err(|error| Status::unavailable(error.to_string()))?;
        let path = PathAndQuery::from_static(path);
        let mut request = Request::new(Bytes::from(message));
        if let Some(authorization) = &self.authorization {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        let response = grpc.unary(request, path, Raw).await?;
        Ok(response.into_inner())
    }
}

/// Messages are encoded already, and stay so.
#[derive(Clone, Copy)]
struct Raw;

impl Codec for Raw {
    type Encode = Bytes;
    type Decode = Bytes;
    type Encoder = Raw;
    type Decoder = Raw;

    fn encoder(&mut self) -> Raw {
        Raw
    }

    fn decoder(&mut self) -> Raw {
        Raw
    }
}

impl Encoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn encode(&mut self, message: Bytes, buffer: &mut EncodeBuf<'_>) -> Result<(), Status> {
        buffer.put(message);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Bytes;
    type Error = Status;

    fn decode(&mut self, buffer: &mut DecodeBuf<'_>) -> Result<Option<Bytes>, Status> {
        Ok(Some(buffer.copy_to_bytes(buffer.remaining())))
    }
}
