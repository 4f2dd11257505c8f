//! The calls of `FleetService`: who watches, and what each watcher was sent, as far as the caller may see it. Knows permissions; not how the
//! hub delivers documents.

mod convergence;

use prost::Message;

use crate::api::codec::Encoded;
use crate::api::context::CallContext;
use crate::api::convert::request;
use crate::api::convert::response::{time_message, view_message};
use crate::api::error::ApiError;
use crate::auth::{Access, Credential, Denied, Resource, Verb};
use crate::engine::View;
use crate::engine::watch::{
    Holds, Insight, SubscribedTarget, SubscriberFilter, SubscriberInfo, SubscriberQuery,
};
use crate::model::{ConfigId, ConfigName, Namespace, Scope};
use crate::proto::v1;

use super::size::{PAGE_BYTES_MAX, encoded};
use super::{Operations, page};

/// Targets of one stream in an answer.
const TARGETS_MAX: usize = 100;

impl Operations {
    pub async fn list_clients(
        &self,
        context: &CallContext,
        mut request: v1::ListClientsRequest,
    ) -> Result<Encoded, ApiError> {
        let page_token = std::mem::take(&mut request.page_token);
        let binding = page::binding(context.rpc(), &request);
        let cursor = page::cursor(&binding, self.engine.epoch(), &page_token)?;
        let after = cursor.map(|cursor| cursor.parse()).transpose();
        let after: Option<u64> = after.map_err(|_| request::invalid("page_token", "is damaged"))?;
        let limit = request::page_size(request.page_size, self.engine.limits().page_size_max)?;
        let query = query(context, request, after.unwrap_or_default(), limit)?;
        check(context, &query.namespace, query.config.as_ref(), &query.scope)?;

        let actor = context.caller().actor();
        let _large = self.engine.begin_large(actor).await;
        let (engine, access) = (self.engine.clone(), context.access().clone());
        let list = move |cancelled: &_| {
            let insights = |config: Option<&ConfigName>, scope: &Scope| {
                insight(&access, &query.namespace, config, scope)
            };
            let found = engine.subscribers(&query, &insights, cancelled)?;
            let (count, mut last, mut bytes, mut clients) = (found.len(), None, 0, vec![]);
            for found in found {
                last = Some(found.id);
                let client = client_message(found);
                bytes += client.encoded_len();
                clients.push(client);
                if bytes > PAGE_BYTES_MAX {
                    break;
                }
            }
            let is_over = count < limit && clients.len() == count;
            let next = last.filter(|_| !is_over).map(|last| last.to_string());
            let next = next.map(|next| page::token(&binding, engine.epoch(), &next));
            Ok(encoded(&v1::ListClientsResponse {
                clients,
                next_page_token: next.unwrap_or_default(),
                store_revision: engine.state().revision.0,
            }))
        };
        self.engine.work(actor, list).await?
    }
}

fn query(
    context: &CallContext,
    request: v1::ListClientsRequest,
    after: u64,
    limit: usize,
) -> Result<SubscriberQuery, ApiError> {
    let namespace = request::namespace("namespace", &request.namespace)?;
    let config = (!request.config.is_empty()).then(|| request::config_name("config", &request.config));
    let v1::ListClientsRequest { client_id, actor, labels, only_behind, .. } = request;
    request::client_texts(&client_id, &labels)?;
    Ok(SubscriberQuery {
        namespace,
        config: config.transpose()?,
        scope: request::scope("", &request.scope)?,
        after,
        limit,
        filter: SubscriberFilter { client_id, actor, labels, only_behind },
        viewer: context.visibility(),
    })
}

/// Refuses who may see nothing of what is asked for.
fn check(
    access: &Access,
    namespace: &Namespace,
    config: Option<&ConfigName>,
    scope: &Scope,
) -> Result<(), Denied> {
    let (sees, resource) = match config {
        None => (access.grants().may_see_namespace(namespace), Resource::Namespace(namespace.clone())),
        Some(config) => {
            let id = ConfigId { namespace: namespace.clone(), config: config.clone() };
            let sees = access.grants().may_see_config(namespace, config);
            (sees, Resource::Config { id, scope: scope.clone() })
        }
    };
    if !sees {
        access.permit(Verb::Read, resource)?;
    }
    Ok(())
}

/// The insight that somebody has into the streams of a target: of a config, or of all configs of the namespace, at a scope.
fn insight(
    access: &Access,
    namespace: &Namespace,
    config: Option<&ConfigName>,
    scope: &Scope,
) -> Option<Insight> {
    let allows = |verb| match config {
        Some(config) => access.grants().allows_config(verb, namespace, config, scope),
        None => access.grants().allows_all_of(verb, namespace, scope),
    };
    allows(Verb::Read).then(|| match allows(Verb::Audit) || allows(Verb::Admin) {
        true => Insight::Callers,
        false => Insight::Streams,
    })
}

fn client_message(found: SubscriberInfo) -> v1::FleetClient {
    let behind = found.blocked_for.is_some() || found.targets.iter().any(|target| target.is_behind);
    let omitted = found.targets.len().saturating_sub(TARGETS_MAX);
    let caller = found.shows_caller.then_some(&found.caller);
    let credential = caller.map(|caller| caller.credential());
    let credential = credential.filter(|credential| **credential != Credential::Unverified);
    let address = found.client.address.filter(|_| found.shows_caller);
    let targets = found.targets.into_iter().take(TARGETS_MAX);
    v1::FleetClient {
        watch_id: found.id.to_string(),
        client_id: found.client.client_id,
        labels: found.client.labels,
        library: found.client.library,
        actor: caller.map(|caller| caller.actor().to_owned()).unwrap_or_default(),
        credential: credential.map(ToString::to_string).unwrap_or_default(),
        address: address.map(|address| address.to_string()).unwrap_or_default(),
        open_time: Some(time_message(found.since)),
        revision: found.revision.0,
        blocked_duration: found.blocked_for.map(|blocked| blocked.try_into().unwrap_or_default()),
        behind,
        targets: targets.map(target_message).collect(),
        targets_omitted: u32::try_from(omitted).unwrap_or(u32::MAX),
    }
}

fn target_message(target: SubscribedTarget) -> v1::FleetTarget {
    let digest = |holds| match holds {
        Holds::Document(digest) => digest.to_string(),
        Holds::Nothing | Holds::Absent | Holds::Withheld | Holds::Configs(_) => String::new(),
    };
    let delivery = match target.holds {
        _ if !target.is_behind => v1::Delivery::Current,
        Holds::Nothing => v1::Delivery::NotSent,
        Holds::Absent | Holds::Document(_) | Holds::Withheld | Holds::Configs(_) => v1::Delivery::Behind,
    };
    let documents = match target.holds {
        Holds::Configs(count) => u32::try_from(count).unwrap_or(u32::MAX),
        Holds::Nothing | Holds::Absent | Holds::Document(_) | Holds::Withheld => 0,
    };
    v1::FleetTarget {
        namespace: target.namespace.to_string(),
        config: target.config.map_or_else(|| "*".to_owned(), |config| config.to_string()),
        scope: target.scope.to_string(),
        view: view_message(target.view).into(),
        apply_defaults: target.view == View::Filled,
        delivery: delivery.into(),
        digest: digest(target.holds),
        current_digest: digest(target.current),
        current_revision: target.current_at.0,
        documents,
    }
}
