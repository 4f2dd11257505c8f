//! Asks a server which ways to log in it has. Knows the page `/login`; no login.

use http::{Method, Request, StatusCode};
use serde::Deserialize;
use tonic::body::Body;
use tower::{Service, ServiceExt};

use crate::cli::output::exit::{Exit, Failure};
use crate::client::Client;

/// The largest answer that is read.
const BYTES_MAX: usize = 64 << 10;

/// The ways to log in of a server.
#[derive(Debug, Deserialize)]
pub struct Offer {
    /// Whether the server asks for credentials at all.
    pub authentication: bool,
    #[serde(default)]
    pub oidc: Option<IssuerOffer>,
}

/// The issuer by which people log in.
#[derive(Debug, Deserialize)]
pub struct IssuerOffer {
    pub issuer: String,
    pub scopes: String,
    /// The client of the command line. `None`: the command line cannot log in by the issuer.
    #[serde(default)]
    pub cli_client_id: Option<String>,
}

/// What the server at this URL offers.
pub async fn ask(client: &Client, url: &str) -> Result<Offer, Failure> {
    let failed = |error: &dyn std::fmt::Display| {
        Failure::new(Exit::Unavailable, format!("the server does not say how to log in: {error}"))
    };
    let request = Request::builder().method(Method::GET).uri(format!("{}/login", url.trim_end_matches('/')));
    let request = request.body(Body::empty()).map_err(|error| failed(&error))?;
    let mut connection = client.connection();
    let ready = connection.ready().await.map_err(|error| failed(&error))?;
    let response = ready.call(request).await.map_err(|error| failed(&error))?;
    if response.status() != StatusCode::OK {
        return Err(failed(&format_args!("the answer is {}", response.status())));
    }
    let body = read(response.into_body()).await.map_err(|error| failed(&error))?;
    serde_json::from_slice(&body).map_err(|error| failed(&error))
}

async fn read(mut body: Body) -> Result<Vec<u8>, String> {
    use http_body::Body as _;
    let mut read = vec![];
    while let Some(frame) =
        std::future::poll_fn(|context| std::pin::Pin::new(&mut body).poll_frame(context)).await
    {
        let frame = frame.map_err(|error| error.to_string())?;
        let Ok(data) = frame.into_data() else { continue };
        if read.len() + data.len() > BYTES_MAX {
            return Err("the answer is too long".to_owned());
        }
        read.extend_from_slice(&data);
    }
    Ok(read)
}
