//! One Watch stream, from the call to its end. Knows nothing of reconnecting.

use std::time::Duration;

use tokio::time::timeout;
use tonic::Code;

use super::super::{Api, ClientError};
use super::held::ProtocolError;
use crate::proto::v1::{WatchRequest, WatchResponse};

/// The first message takes a connection and perhaps a long snapshot: it is waited for at least so long.
const FIRST_MESSAGE_PATIENCE: Duration = Duration::from_secs(10);

/// Why a stream is over.
pub(super) enum End {
    /// It failed, or the server ended it, or was silent for too long.
    Failed(ClientError),
    /// The server said something that cannot be.
    Protocol(ProtocolError),
}

/// Calls `on_message` with every message until the stream ends, or brings nothing for as long as `silence`.
pub(super) async fn run(
    mut api: Api,
    request: WatchRequest,
    silence: Duration,
    mut on_message: impl FnMut(WatchResponse) -> Result<(), ProtocolError>,
) -> End {
    let patience = silence.max(FIRST_MESSAGE_PATIENCE);
    let mut messages = match timeout(patience, api.watch(request)).await {
        Ok(Ok(response)) => response.into_inner(),
        Ok(Err(status)) => return End::Failed(status.into()),
        Err(_) => return End::Failed(silent(patience)),
    };
    let mut patience = patience;
    loop {
        match timeout(patience, messages.message()).await {
            Ok(Ok(Some(message))) => {
                if let Err(error) = on_message(message) {
                    return End::Protocol(error);
                }
            }
            Ok(Ok(None)) => return End::Failed(unavailable("the server ended the stream".into())),
            Ok(Err(status)) => return End::Failed(status.into()),
            Err(_) => return End::Failed(silent(patience)),
        }
        patience = silence;
    }
}

fn silent(patience: Duration) -> ClientError {
    unavailable(format!("no message from the server for {patience:?}"))
}

fn unavailable(message: String) -> ClientError {
    ClientError::local(Code::Unavailable, "", message)
}
