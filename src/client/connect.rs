//! Connects to a server, and adds the metadata of every call. Knows no call.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::legacy::connect::HttpConnector;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::Endpoint;
use tonic::{Code, GrpcMethod, Request, Status};

use super::ClientError;
use super::credential::Credential;
use super::tls::{TlsFailure, TlsOptions};
use super::token::Token;
use super::transport::{Cause, Connection, Connector, Renewal};

/// Where a server listens that was told nothing else.
const ADDRESS_DEFAULT: &str = "127.0.0.1:7420";
const PORT_DEFAULT: u16 = 7420;
/// The contract allows pings every 10 s or slower. Without them a connection that a partition cut is never given up.
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);
const KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(5);
/// HTTP/2 closes a connection whose unread small frames exceed a share of this, so many quiet streams need a large one.
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;
const STREAM_WINDOW_BYTES: u32 = 4 << 20;
/// Calls that last: a timeout would end them.
const STREAMS: [&str; 5] = ["Watch", "StreamChanges", "WaitConverged", "CreateBackup", "VerifyBackup"];

/// How to reach a server, and who calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConnectOptions {
    /// `127.0.0.1:7420`, `config.internal` (port 7420), `http://...` or `https://...`. Without a scheme it is TLS if `tls` says
    /// anything, and plain text otherwise.
    pub address: String,
    pub tls: TlsOptions,
    /// What proves who calls. Unset: the certificate of `tls`, or nothing, where the server believes everybody.
    pub token: Option<Token>,
    /// The file with the token, unless `token` is set. Read again whenever it was replaced: a token that was rotated is in the next call.
    pub token_file: Option<PathBuf>,
    /// Ask the server to mask every secret, whatever the caller may see: for a client that only shows documents.
    pub mask_secrets: bool,
    /// Who makes the changes, for the history, where the server believes everybody. Unset: it says `anonymous`.
    pub actor: Option<String>,
    /// The longest that a call may take. Streams have no end.
    pub timeout: Option<Duration>,
    /// The longest that making a connection may take.
    pub connect_timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> ConnectOptions {
        ConnectOptions {
            address: ADDRESS_DEFAULT.into(),
            tls: TlsOptions::default(),
            token: None,
            token_file: None,
            mask_secrets: false,
            actor: None,
            timeout: Some(Duration::from_secs(30)),
            connect_timeout: Duration::from_secs(5),
        }
    }
}

impl ConnectOptions {
    /// The URL of the server, with scheme and port: the same server has the same URL however the address was written.
    pub fn url(&self) -> Result<String, ClientError> {
        uri(&self.address, !self.tls.is_default())
    }

    /// Whether a token would travel in plain text, to another machine: whoever is on the way could call with it.
    pub fn shows_token(&self) -> bool {
        let uri =
            uri(&self.address, !self.tls.is_default()).ok().and_then(|uri| uri.parse::<http::Uri>().ok());
        let is_seen = |uri: http::Uri| {
            let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
            let is_loopback = host.eq_ignore_ascii_case("localhost")
                || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback());
            uri.scheme_str() == Some("http") && !is_loopback
        };
        (self.token.is_some() || self.token_file.is_some()) && uri.is_some_and(is_seen)
    }
}

/// Adds to every call who makes it and how long it may take.
#[derive(Clone, Debug)]
pub struct CallHeaders {
    credential: Credential,
    masks_secrets: bool,
    actor: Option<MetadataValue<Ascii>>,
    timeout: Option<Duration>,
}

impl CallHeaders {
    pub(super) fn new(options: &ConnectOptions) -> Result<CallHeaders, ClientError> {
        let actor = options.actor.as_deref().map(encode_actor);
        let credential = Credential::new(options.token.clone(), options.token_file.clone())
            .map_err(|why| ClientError::local(Code::InvalidArgument, "TOKEN_FILE", why))?;
        Ok(CallHeaders { credential, masks_secrets: options.mask_secrets, actor, timeout: options.timeout })
    }

    /// The same, which ask for every secret to be masked or for those to be shown that the caller may see.
    pub(super) fn masking_secrets(self, masks_secrets: bool) -> CallHeaders {
        CallHeaders { masks_secrets, ..self }
    }
}

impl Interceptor for CallHeaders {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        // Reads a file only if it was replaced.
        if let Some(token) = self.credential.token().map_err(Status::unauthenticated)? {
            request.metadata_mut().insert("authorization", token.header());
        }
        if let Some(actor) = &self.actor {
            request.metadata_mut().insert("confwatch-actor", actor.clone());
        }
        if self.masks_secrets {
            request.metadata_mut().insert("confwatch-mask-secrets", MetadataValue::from_static("true"));
        }
        let lasts = request
            .extensions()
            .get::<GrpcMethod<'static>>()
            .is_some_and(|method| STREAMS.contains(&method.method()));
        let caller_has_one = request.metadata().contains_key("grpc-timeout");
        if let (Some(timeout), false, false) = (self.timeout, lasts, caller_has_one) {
            request.set_timeout(timeout);
        }
        Ok(request)
    }
}

/// A connection that is made with the first call, and again whenever it was lost.
pub(super) fn connection(options: &ConnectOptions) -> Result<Connection, ClientError> {
    let uri = uri(&options.address, !options.tls.is_default())?;
    let tls = uri.starts_with("https:").then(|| options.tls.clone());
    if let Some(tls) = &tls {
        // What is wrong with the options is told at once.
        let host = uri.parse::<http::Uri>().ok().and_then(|uri| uri.host().map(str::to_owned));
        tls.name(&host.unwrap_or_default()).and_then(|_| tls.load()).map_err(unusable)?;
    }
    let endpoint = Endpoint::from_shared(uri)
        .and_then(|endpoint| endpoint.user_agent(concat!("confwatch/", env!("CARGO_PKG_VERSION"))))
        .map_err(|_| invalid_address(&options.address))?;
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(options.connect_timeout));
    let cause = Cause::default();
    let files = tls.iter().flat_map(|tls| [&tls.certificate, &tls.key]).flatten().cloned().collect();
    let connector = Connector { tcp, tls, timeout: options.connect_timeout, cause: cause.clone() };
    let endpoint = endpoint
        .http2_keep_alive_interval(KEEPALIVE_INTERVAL)
        .keep_alive_timeout(KEEPALIVE_TIMEOUT)
        .keep_alive_while_idle(true)
        .initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .initial_stream_window_size(STREAM_WINDOW_BYTES);
    let make = move || {
        let connector = connector.clone();
        endpoint.connect_with_connector_lazy(tower::service_fn(move |uri| connector.clone().connect(uri)))
    };
    Ok(Connection::new(Renewal::new(make, files), cause))
}

fn uri(address: &str, wants_tls: bool) -> Result<String, ClientError> {
    let with_scheme = match (address.contains("://"), wants_tls) {
        (true, _) => address.to_owned(),
        (false, true) => format!("https://{address}"),
        (false, false) => format!("http://{address}"),
    };
    let uri: http::Uri = with_scheme.parse().map_err(|_| invalid_address(address))?;
    let host_is_there = uri.host().is_some_and(|host| !host.is_empty());
    match uri.scheme_str() {
        Some("https") if host_is_there => {}
        Some("http") if host_is_there => {
            if wants_tls {
                let message =
                    format!("{address:?} is plain text, and there are options of TLS: https:// expected");
                return Err(unusable(TlsFailure::Options(message)));
            }
        }
        Some(_) | None => return Err(invalid_address(address)),
    }
    match (uri.port_u16(), address.contains("://")) {
        (None, false) => Ok(format!("{with_scheme}:{PORT_DEFAULT}")),
        (Some(_), _) | (None, true) => Ok(with_scheme),
    }
}

fn unusable(failure: TlsFailure) -> ClientError {
    ClientError::local(Code::InvalidArgument, failure.reason(), failure.to_string())
}

fn invalid_address(address: &str) -> ClientError {
    ClientError::local(
        Code::InvalidArgument,
        "INVALID_ADDRESS",
        format!(
            "{address:?} is not the address of a server: host:port, http://host:port or https://host:port expected"
        ),
    )
}

/// Metadata are visible ASCII: every other byte, and `%`, travels percent-encoded.
fn encode_actor(actor: &str) -> MetadataValue<Ascii> {
    let encoded: String = actor
        .bytes()
        .map(|byte| match byte {
            b'%' => "%25".to_owned(),
            b' '..=b'~' => char::from(byte).to_string(),
            _ => format!("%{byte:02X}"),
        })
        .collect();
    encoded.parse().expect("printable ASCII is a metadata value")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_may_leave_out_scheme_and_port() {
        let check = |address: &str, expected: &str| assert_eq!(uri(address, false).unwrap(), expected);
        check("127.0.0.1:7420", "http://127.0.0.1:7420");
        check("config.internal", "http://config.internal:7420");
        check("[::1]:80", "http://[::1]:80");
        check("http://config.internal", "http://config.internal");
        check("https://config.internal:7420", "https://config.internal:7420");
    }

    #[test]
    fn whoever_speaks_of_tls_gets_tls() {
        assert_eq!(uri("config.internal", true).unwrap(), "https://config.internal:7420");
        assert_eq!(uri("https://config.internal", true).unwrap(), "https://config.internal");
        let error = uri("http://config.internal", true).unwrap_err();
        assert_eq!(error.reason(), "TLS_OPTIONS");
        let half = TlsOptions { key: Some("/nowhere/key.pem".into()), ..TlsOptions::default() };
        let options = ConnectOptions { tls: half, ..ConnectOptions::default() };
        assert_eq!(connection(&options).unwrap_err().reason(), "TLS_OPTIONS");
    }

    #[test]
    fn a_token_is_seen_in_plain_text_on_its_way_to_another_machine() {
        let check = |address: &str, tls: TlsOptions, expected: bool| {
            let token = Some("cw_x".parse().unwrap());
            let options = ConnectOptions { address: address.into(), tls, token, ..ConnectOptions::default() };
            assert_eq!(options.shows_token(), expected, "{address}");
            assert!(!ConnectOptions { token: None, ..options }.shows_token());
        };
        let none = TlsOptions::default;
        let named = || TlsOptions { server_name: Some("config.internal".into()), ..TlsOptions::default() };
        for near in ["127.0.0.1:7420", "localhost", "http://[::1]:80", "127.9.9.9", "http://LOCALHOST:1"] {
            check(near, none(), false);
        }
        for far in
            ["10.0.0.1", "config.internal:7420", "http://localhost.evil.example", "http://[2001:db8::1]:80"]
        {
            check(far, none(), true);
        }
        check("config.internal", named(), false);
        check("https://config.internal", none(), false);
    }

    #[test]
    fn what_is_no_address_is_refused_by_name() {
        for address in ["", ":7420", "a b", "https://", "ftp://x", "http://"] {
            let error = uri(address, false).unwrap_err();
            assert_eq!(error.code(), Code::InvalidArgument, "{address:?}");
            assert_eq!(error.reason(), "INVALID_ADDRESS");
            assert!(error.message().contains(&format!("{address:?}")), "{error}");
        }
    }

    #[test]
    fn an_actor_of_any_script_survives_as_ascii() {
        let check = |actor: &str, expected: &str| assert_eq!(encode_actor(actor), expected);
        check("ada@example.com", "ada@example.com");
        check("Ada L", "Ada L");
        check("Zoë\n100%", "Zo%C3%AB%0A100%25");
    }

    #[test]
    fn calls_have_the_timeout_and_streams_have_none() {
        let options = ConnectOptions { actor: Some("ada".into()), ..Default::default() };
        let headers_of = |method: &'static str, timeout: Option<Duration>| {
            let mut request = Request::new(());
            request.extensions_mut().insert(GrpcMethod::new("confwatch.v1.ConfigService", method));
            timeout.into_iter().for_each(|timeout| request.set_timeout(timeout));
            CallHeaders::new(&options).unwrap().call(request).unwrap().metadata().clone()
        };
        assert_eq!(headers_of("Get", None).get("confwatch-actor").unwrap(), "ada");
        assert_eq!(headers_of("Get", None).get("grpc-timeout").unwrap(), "30000000u");
        assert_eq!(headers_of("Get", Some(Duration::from_secs(1))).get("grpc-timeout").unwrap(), "1000000u");
        assert!(headers_of("Watch", None).get("grpc-timeout").is_none());
        assert!(headers_of("StreamChanges", None).get("grpc-timeout").is_none());
    }
}
