//! The one table of RPCs: how each is run, its operation, and the permissions that it can be refused for. Knows no transport: whatever
//! brings a call has its head, its caller and the bytes of its message.

use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use prost::Message;

use crate::auth::{Access, Verb};
use crate::engine::Stages;

use super::call_errors::Unreadable;
use super::codec::{Encoded, REQUEST_FIELDS_MAX, has_more_fields_than};
use super::context::CallContext;
use super::denials::ended;
use super::error::ApiError;
use super::guard::peer::Peer;
use super::operations::Operations;
use super::operations::get::Got;
use super::operations::watch::WatchStream;
use super::reply::{Audit, Reply, ReplyResult, Responses};
use super::rpc::{Rpc, Signature, signature};
use super::task::aside;
use super::unread::Unread;

/// A call of a caller whom the guard has let in.
pub struct Call<'a> {
    pub rpc: Rpc,
    pub head: &'a Parts,
    pub access: &'a Access,
    /// How long the client waits for the beginning of the response.
    pub deadline: Option<Duration>,
    pub message: Bytes,
}

/// The work on a call. A reply that is at hand takes no task, no timer and no box.
pub enum Work {
    Done(ReplyResult),
    /// Dropping it cancels the call.
    Later(Pin<Box<dyn Future<Output = ReplyResult> + Send>>),
}

/// Makes of the table what runs a call, and the permissions of an RPC.
macro_rules! services {
    ($($rpc:ident => $run:ident $($operation:ident)? [$($verb:ident)*];)*) => {
        impl Operations {
            /// Runs a call: the only dispatch there is.
            pub(super) fn run(&self, call: Call<'_>) -> Work {
                match call.rpc {
                    $(Rpc::$rpc => services!(@run self, call, $rpc, $run $($operation)?),)*
                }
            }
        }

        impl Rpc {
            /// The permissions that a caller can lack for it: all that depend on the request. None: what the caller may not read is left out.
            pub fn verbs(self) -> &'static [Verb] {
                match self {
                    $(Rpc::$rpc => &[$(Verb::$verb),*],)*
                }
            }
        }
    };
    (@run $operations:ident, $call:ident, $rpc:ident, $run:ident) => {
        $run($operations, $call)
    };
    (@run $operations:ident, $call:ident, $rpc:ident, $run:ident $operation:ident) => {
        $run::<signature::$rpc, _, _>($operations, $call, |operations, caller, request| async move {
            operations.$operation(&caller, request).await
        })
    };
}

// Get is answered at once where its document is at hand. Of the others `read` changes nothing, and is refused where the connection has no
// room for the response; `large` is a read that encodes its response itself, where it made it; `write` is answered in any case. `set` is a write that waits for nothing but the disk, and takes no task.
services! {
    ConfigServiceGet             => get                              [Read];
    ConfigServiceBatchGet        => large batch_get                  [Read];
    ConfigServiceList            => large list                       [];
    ConfigServiceExplain         => large explain                    [Read];
    ConfigServiceBlame           => large blame                      [Read];
    ConfigServiceSet             => set set                          [Write Override Read];
    ConfigServiceApply           => write apply                      [Write Override Read];
    ConfigServiceDelete          => write delete                     [Write Override];
    ConfigServiceValidate        => read validate                    [Validate Schema Read];
    ConfigServiceRollback        => write rollback                   [Rollback];
    ConfigServiceRevert          => write revert                     [Rollback Read];
    ConfigServiceRestore         => write restore                    [Rollback Read Write Override];
    ConfigServiceListVersions    => large list_versions              [Read];
    ConfigServiceListChanges     => large list_changes               [Read];
    ConfigServiceGetCommit       => large get_commit                 [Read];
    ConfigServiceDiff            => large diff                       [Read];
    ConfigServiceDiffNamespaces  => large diff_namespaces            [Read];
    ConfigServiceSearch          => large search                     [Read];
    ConfigServiceListOverrides   => large list_overrides             [Read];
    ConfigServiceSetTag          => write set_tag                    [Tag];
    ConfigServiceDeleteTag       => write delete_tag                 [Tag];
    ConfigServiceWatch           => watch watch                      [Read];
    ConfigServiceRequestProgress => write request_progress           [];
    ConfigServiceStreamChanges   => stream stream_changes            [Read];

    SchemaServicePut             => write put_schema                 [Schema];
    SchemaServiceGet             => read get_schema                  [Read];
    SchemaServiceList            => read list_schemas                [];
    SchemaServiceDelete          => write delete_schema              [Write Override Schema];
    SchemaServiceMigrate         => write migrate_layers                    [Schema];

    SecretServiceStatus          => read keys_status                 [Admin];
    SecretServiceRotateDataKey   => write rotate_data_key            [Admin];
    SecretServiceRotateMasterKey => write rotate_master_key          [Admin];

    AuthServiceWhoAmI            => read who_am_i                    [];
    AuthServiceCreateToken       => write create_token               [Admin Write];
    AuthServiceListTokens        => read list_tokens                 [Admin];
    AuthServiceRevokeToken       => write revoke_token               [Admin Write];
    AuthServiceListSessions      => read list_sessions               [Admin];
    AuthServiceRevokeSession     => write revoke_session             [Admin];
    AuthServiceCanI              => read can_i                       [Admin];

    AuditServiceList             => read list_audit_trail            [Audit];
    AuditServiceStream           => stream stream_audit_trail        [Audit];
    AuditServiceVerify           => read verify_audit_trail          [Audit];

    FleetServiceListClients      => large list_clients               [Read];
    FleetServiceWaitConverged    => stream wait_converged            [Read];

    StatusServiceGet             => read status                      [];

    BackupServiceCreateBackup    => transfer create_backup          [Backup];
    BackupServiceListBackups     => read list_backups                [];
    BackupServiceGetBackup       => read get_backup                  [];
    BackupServiceVerifyBackup    => transfer verify_backup          [];
    BackupServicePinBackup       => write pin_backup                 [];
    BackupServicePruneBackups    => write prune_backups              [Backup];
    BackupServiceUploadBackup    => write upload_backup              [Backup];
}

/// A document that is at hand is answered at once.
fn get(operations: &Operations, mut call: Call<'_>) -> Work {
    let request = match decoded(call.rpc, std::mem::take(&mut call.message)) {
        Ok(request) => request,
        Err(error) => return Work::Done(Err(error)),
    };
    let known = OnceLock::new();
    let context = || known.get_or_init(|| call.context()).clone();
    match operations.get_at_once(call.access, request, &context) {
        Got::Now(got) => {
            // Known where secrets are shown, or the call is denied.
            let shows_secrets = known.get().is_some_and(CallContext::shows_secrets);
            let outcome = got.and_then(|message| {
                let message = if shows_secrets { message.showing_secrets() } else { message };
                counted(message, call.unread())
            });
            if let Err(error) = &outcome {
                operations.failures.note(&context(), error);
                ended(&operations.recorder, &context(), error);
            }
            Work::Done(outcome)
        }
        Got::Later(read) => {
            let (operations, context, unread) = (operations.clone(), context(), call.unread().cloned());
            later_aside(async move {
                let got = operations
                    .get_read(&read, context.wait_max(), context.access().caller().actor(), &|| {
                        context.clone()
                    })
                    .await;
                got.inspect_err(|error| operations.failures.note(&context, error)).and_then(|message| {
                    let message = if context.shows_secrets() { message.showing_secrets() } else { message };
                    counted(message, unread.as_ref())
                })
            })
        }
    }
}

fn read<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<S::Response, ApiError>> + Send + 'static,
{
    let encoded = |operations, context, request| async move {
        operation(operations, context, request).await.map(|response| Encoded::of(&response))
    };
    large::<S, _, _>(operations, call, encoded)
}

fn large<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<Encoded, ApiError>> + Send + 'static,
{
    let unread = call.unread().cloned();
    let (audit, begun) = begun(operations, call, operation);
    later_aside(async move {
        let outcome = match unread.as_ref().map_or(Ok(()), |unread| unread.check()) {
            Ok(()) => begun.run().await.and_then(|message| counted(message, unread.as_ref())),
            Err(refused) => Err(refused),
        };
        audit.ended(outcome)
    })
}

/// A write is never refused once it was made.
fn write<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<S::Response, ApiError>> + Send + 'static,
{
    let (audit, begun) = begun(operations, call, operation);
    later_aside(async move { audit.ended(begun.run().await.map(|response| Reply::of(&response))) })
}

fn set<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<S::Response, ApiError>> + Send + 'static,
{
    let (audit, begun) = begun(operations, call, operation);
    Work::later(async move { audit.ended(begun.run().await.map(|response| Reply::of(&response))) })
}

fn watch<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<WatchStream, ApiError>> + Send + 'static,
{
    let (audit, begun) = begun(operations, call, operation);
    Work::later(async move { audit.ended(begun.run().await.map(Reply::Watch)) })
}

fn stream<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<Responses<S::Response>, ApiError>> + Send + 'static,
{
    let (audit, begun) = begun(operations, call, operation);
    Work::later(async move { audit.ended(begun.run().await.map(Reply::of_stream)) })
}

/// A stream whose work waits for its client: a client that takes nothing loses it.
fn transfer<S, O, F>(operations: &Operations, call: Call<'_>, operation: O) -> Work
where
    S: Signature,
    O: FnOnce(Operations, CallContext, S::Request) -> F + Send + 'static,
    F: Future<Output = Result<Responses<S::Response>, ApiError>> + Send + 'static,
{
    let (audit, begun) = begun(operations, call, operation);
    Work::later(async move { audit.ended(begun.run().await.map(Reply::of_transfer)) })
}

/// An operation that has not run, with what it takes. Small: a future is copied whole when it is moved, so the one of the operation is made where it
/// stays.
struct Begun<O> {
    operation: O,
    operations: Operations,
    context: CallContext,
    rpc: Rpc,
    message: Bytes,
    stages: Option<Arc<Stages>>,
}

/// An operation that decodes its request first, and the audit of its end.
fn begun<O>(operations: &Operations, call: Call<'_>, operation: O) -> (Audit, Begun<O>) {
    let context = call.context();
    let audit = Audit::of(operations, &context);
    let stages = call.head.extensions.get::<Arc<Stages>>().cloned();
    let (operations, rpc, message) = (operations.clone(), call.rpc, call.message);
    (audit, Begun { operation, operations, context, rpc, message, stages })
}

impl<O> Begun<O> {
    async fn run<Q, F, T>(self) -> Result<T, ApiError>
    where
        Q: Message + Default,
        O: FnOnce(Operations, CallContext, Q) -> F,
        F: Future<Output = Result<T, ApiError>>,
    {
        let request = decoded(self.rpc, self.message)?;
        match self.stages {
            None => (self.operation)(self.operations, self.context, request).await,
            Some(stages) => {
                let running = Box::pin((self.operation)(self.operations, self.context, request));
                stages.of(running).await
            }
        }
    }
}

impl Call<'_> {
    /// The call without its message, to be kept.
    fn context(&self) -> CallContext {
        CallContext::of(self.rpc, self.head, self.access, self.deadline)
    }

    /// What the connection holds of responses.
    fn unread(&self) -> Option<&Arc<Unread>> {
        self.head.extensions.get::<Arc<Peer>>().map(|peer| &peer.unread)
    }
}

impl Work {
    /// How the call ends, or how its stream begins.
    pub async fn outcome(self) -> ReplyResult {
        match self {
            Work::Done(outcome) => outcome,
            Work::Later(outcome) => outcome.await,
        }
    }

    fn later(work: impl Future<Output = ReplyResult> + Send + 'static) -> Work {
        Work::Later(Box::pin(work))
    }
}

/// In a task of its own.
fn later_aside(work: impl Future<Output = ReplyResult> + Send + 'static) -> Work {
    let done = aside(work);
    Work::later(async move { done.await.flatten() })
}

/// A response that counts as unread. Refused if the connection has no room for it.
fn counted(message: Encoded, unread: Option<&Arc<Unread>>) -> ReplyResult {
    let message = match unread {
        Some(unread) => message.try_counted(unread)?,
        None => message,
    };
    Ok(Reply::Message(message))
}

fn decoded<Q: Message + Default>(rpc: Rpc, message: Bytes) -> Result<Q, ApiError> {
    if has_more_fields_than(REQUEST_FIELDS_MAX, &message, rpc.request_shape()) {
        return Err(Unreadable::TooManyFields { limit: REQUEST_FIELDS_MAX }.into());
    }
    Q::decode(message).map_err(|_| Unreadable::Malformed.into())
}
