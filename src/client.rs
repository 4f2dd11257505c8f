//! The Rust client. Knows the wire; never the engine or the server.
//!
//! ```no_run
//! # async fn example() -> Result<(), confwatch::client::ClientError> {
//! use confwatch::client::{Client, ConnectOptions};
//! use confwatch::client::watch::{Event, WatchOptions};
//!
//! let client = Client::connect(ConnectOptions::default())?;
//! let document = client.get(("payments", "checkout", "/production")).await?;
//!
//! let mut watcher = client.watch(WatchOptions::new([("payments", "checkout", "/production").into()]));
//! while let Some(event) = watcher.next().await {
//!     if let Event::Snapshot { changed, .. } | Event::Update { changed, .. } = event {
//!         println!("{changed:?}");
//!     }
//! }
//! # Ok(()) }
//! ```

mod connect;
mod credential;
mod tls;
mod token;
mod transport;

pub mod changes;
pub mod error;
pub mod file;
pub mod target;
pub mod watch;

use serde::de::DeserializeOwned;
use tonic::service::interceptor::InterceptedService;

use crate::proto::v1::audit_service_client::AuditServiceClient;
use crate::proto::v1::auth_service_client::AuthServiceClient;
use crate::proto::v1::backup_service_client::BackupServiceClient;
use crate::proto::v1::config_service_client::ConfigServiceClient;
use crate::proto::v1::fleet_service_client::FleetServiceClient;
use crate::proto::v1::schema_service_client::SchemaServiceClient;
use crate::proto::v1::secret_service_client::SecretServiceClient;
use crate::proto::v1::status_service_client::StatusServiceClient;
use crate::proto::v1::{
    ApplyRequest, ApplyResponse, Change, Document, Format, GetRequest, RestoreRequest, RestoreResponse,
    RevertRequest, RevertResponse, RollbackRequest, RollbackResponse, SetRequest, SetResponse,
    StreamChangesRequest, WriteOptions,
};

pub use changes::ChangeStream;
pub use connect::{CallHeaders, ConnectOptions};
pub use error::ClientError;
pub use target::Target;
pub use tls::{TlsFailure, TlsOptions};
pub use token::{NoToken, Token};
pub use transport::Connection;

use watch::{WatchOptions, Watcher};

/// The generated client over the connection of a `Client`. Cheap to clone.
pub type Api = ConfigServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `SchemaService`.
pub type SchemaApi = SchemaServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `AuthService`.
pub type AccessApi = AuthServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `SecretService`.
pub type SecretApi = SecretServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `AuditService`.
pub type AuditApi = AuditServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `FleetService`.
pub type FleetApi = FleetServiceClient<InterceptedService<Connection, CallHeaders>>;
/// Calls of StatusService.
pub type StatusApi = StatusServiceClient<InterceptedService<Connection, CallHeaders>>;

/// The same of `BackupService`.
pub type BackupApi = BackupServiceClient<InterceptedService<Connection, CallHeaders>>;

/// A client of one server. Cheap to clone; all clones share one connection.
#[derive(Clone, Debug)]
pub struct Client {
    connection: Connection,
    headers: CallHeaders,
    api: Api,
    schemas: SchemaApi,
    access: AccessApi,
    secrets: SecretApi,
    audit: AuditApi,
    fleet: FleetApi,
    status: StatusApi,
    backups: BackupApi,
}

impl Client {
    /// A client for the server at `options.address`. Nothing is sent until the first call, so this fails for an address that
    /// makes no sense or files of TLS that cannot be used, but not for a server that is down. Must be called within a tokio runtime.
    pub fn connect(options: ConnectOptions) -> Result<Client, ClientError> {
        let headers = CallHeaders::new(&options)?;
        let connection = connect::connection(&options)?;
        Ok(Client::of(connection, headers))
    }

    /// The same client, on the same connection, which asks the server to mask every secret, or to show those that the caller may see.
    pub fn masking_secrets(&self, masks_secrets: bool) -> Client {
        Client::of(self.connection.clone(), self.headers.clone().masking_secrets(masks_secrets))
    }

    fn of(connection: Connection, headers: CallHeaders) -> Client {
        let schemas = SchemaServiceClient::with_interceptor(connection.clone(), headers.clone());
        let access = AuthServiceClient::with_interceptor(connection.clone(), headers.clone());
        let secrets = SecretServiceClient::with_interceptor(connection.clone(), headers.clone());
        let audit = AuditServiceClient::with_interceptor(connection.clone(), headers.clone());
        let fleet = FleetServiceClient::with_interceptor(connection.clone(), headers.clone());
        let status = StatusServiceClient::with_interceptor(connection.clone(), headers.clone());
        let backups = BackupServiceClient::with_interceptor(connection.clone(), headers.clone());
        let api = ConfigServiceClient::with_interceptor(connection.clone(), headers.clone());
        Client { connection, headers, api, schemas, access, secrets, audit, fleet, status, backups }
    }

    /// The connection, for clients of other services of the same server. Their calls have neither credential nor timeout.
    pub fn connection(&self) -> Connection {
        self.connection.clone()
    }

    /// Every call of the service, as generated from the contract, with actor and timeout of this client.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// Every call of SchemaService, in the same way.
    pub fn schemas(&self) -> SchemaApi {
        self.schemas.clone()
    }

    /// Every call of AuthService, in the same way.
    pub fn access(&self) -> AccessApi {
        self.access.clone()
    }

    /// Every call of SecretService, in the same way.
    pub fn secrets(&self) -> SecretApi {
        self.secrets.clone()
    }

    /// Every call of AuditService, in the same way.
    pub fn audit(&self) -> AuditApi {
        self.audit.clone()
    }

    /// Every call of FleetService, in the same way.
    pub fn fleet(&self) -> FleetApi {
        self.fleet.clone()
    }

    /// Every call of StatusService, in the same way.
    pub fn status(&self) -> StatusApi {
        self.status.clone()
    }

    /// Every call of BackupService, in the same way.
    pub fn backups(&self) -> BackupApi {
        self.backups.clone()
    }

    /// The effective document of a target, as canonical JSON. `None` if there is no such config, or no layer of it
    /// applies to the scope.
    pub async fn get(&self, target: impl Into<Target>) -> Result<Option<Document>, ClientError> {
        let Target { namespace, config, scope } = target.into();
        let request =
            GetRequest { namespace, config, scope, format: Format::Json.into(), ..Default::default() };
        match self.api().get(request).await {
            Ok(response) => Ok(response.into_inner().document),
            Err(status) => match ClientError::from(status) {
                error if error.reason() == "CONFIG_NOT_FOUND" => Ok(None),
                error => Err(error),
            },
        }
    }

    /// Like `get`, read into a type of yours.
    pub async fn get_as<T: DeserializeOwned>(
        &self,
        target: impl Into<Target>,
    ) -> Result<Option<T>, ClientError> {
        let document = self.get(target).await?;
        document.map(|document| error::read_json(&document)).transpose()
    }

    /// Changes one layer.
    pub async fn set(&self, change: Change, options: WriteOptions) -> Result<SetResponse, ClientError> {
        let request = SetRequest { change: Some(change), options: Some(options) };
        Ok(self.api().set(request).await?.into_inner())
    }

    /// Makes many changes as one commit.
    pub async fn apply(
        &self,
        changes: Vec<Change>,
        options: WriteOptions,
    ) -> Result<ApplyResponse, ClientError> {
        let request = ApplyRequest { changes, options: Some(options) };
        Ok(self.api().apply(request).await?.into_inner())
    }

    /// Writes a new version whose layers equal those of an older one.
    pub async fn rollback(&self, request: RollbackRequest) -> Result<RollbackResponse, ClientError> {
        Ok(self.api().rollback(request).await?.into_inner())
    }

    /// Takes commits back by a new one, and keeps what was changed since.
    pub async fn revert(&self, request: RevertRequest) -> Result<RevertResponse, ClientError> {
        Ok(self.api().revert(request).await?.into_inner())
    }

    /// Makes a config, or all configs of a namespace, what they were at a point in the past, by a new commit.
    pub async fn restore(&self, request: RestoreRequest) -> Result<RestoreResponse, ClientError> {
        Ok(self.api().restore(request).await?.into_inner())
    }

    /// Follows targets from a task of its own, across reconnects, until the watcher is dropped. Must be called within
    /// a tokio runtime.
    pub fn watch(&self, options: WatchOptions) -> Watcher {
        Watcher::start(self.api(), options)
    }

    /// Follows commits on one stream. When it ends with an error that `is_retryable`, call again from
    /// `ChangeStream::next_revision`.
    pub async fn stream_changes(&self, request: StreamChangesRequest) -> Result<ChangeStream, ClientError> {
        let from_revision = request.from_revision;
        let messages = self.api().stream_changes(request).await?.into_inner();
        Ok(ChangeStream::new(messages, from_revision))
    }
}
