//! Makes the guard that the settings request, and the first administrator of a new store. Knows no call.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, anyhow, ensure};
use zeroize::Zeroizing;

use super::session_file;
use crate::api::guard::Guard;
use crate::api::guard::issuer_login::IssuerLogins;
use crate::auth::jwt::{Claim, JwtSettings, Keeper, KeySet, KeySource, Timing, Verifier};
use crate::auth::oidc::{ClientSettings, Provider};
use crate::auth::session::SessionTimes;
use crate::auth::{Access, ISSUER_SEPARATOR, Policy, Principal, Subject, TokenSet, token};
use crate::durable_file;
use crate::engine::{Action, Change, Engine, Intent, Origin, Text, Viewer, Write};
use crate::model::text::Format;
use crate::model::{Author, LayerKey, Scope, Source, SystemConfig};
use crate::server::settings::{AuthMode, JwtIssuer, OidcClient, Settings, Unusable};
use crate::supervise::Supervisor;

/// The file in the directory of keys with the first token.
const TOKEN_FILE: &str = "admin.token";
const ADMINISTRATOR: &str = "user:admin";
const TOKEN_NAME: &str = "admin";
/// Who makes the first policy, for the history.
const ACTOR: &str = "system";
/// How long an issuer may take to answer.
const KEYS_TIMEOUT: Duration = Duration::from_secs(10);
/// How far the clock of an issuer may be from ours.
const LEEWAY: Duration = Duration::from_secs(30);

/// Whether callers are checked. Not to check them is for oneself.
pub(in crate::server) fn mode(settings: &Settings, address: SocketAddr) -> anyhow::Result<AuthMode> {
    let is_loopback = address.ip().to_canonical().is_loopback();
    match settings.auth {
        Some(AuthMode::On) => Ok(AuthMode::On),
        Some(AuthMode::Off) => {
            ensure!(
                is_loopback,
                "{address} can be reached by others, and with --auth off whoever does may read and change everything: \
                 listen on 127.0.0.1, or leave --auth off out"
            );
            Ok(AuthMode::Off)
        }
        None if is_loopback && settings.tls.is_none() => Ok(AuthMode::Off),
        None => Ok(AuthMode::On),
    }
}

/// The guard of a server that listens there.
pub(in crate::server) async fn guard(
    settings: &Settings,
    address: SocketAddr,
    engine: &Arc<Engine>,
    keys_dir: &Path,
) -> anyhow::Result<Guard> {
    match mode(settings, address)? {
        AuthMode::Off => {
            tracing::warn!(
                %address,
                "authentication is OFF: whoever can connect may read and change everything (--auth on asks for credentials)"
            );
            Ok(Guard::off())
        }
        AuthMode::On => {
            if let Some(path) = make_administrator(engine, keys_dir).await? {
                tracing::warn!(
                    path = %path.display(),
                    "there was no policy yet: a token that may do everything was made, and lies in this file"
                );
            }
            let keeper = match &settings.jwt {
                Some(issuer) => Some(keeper(issuer, engine.supervisor()).await.map_err(Unusable::mark)?),
                None => None,
            };
            report_names(engine, settings.jwt.as_ref());
            let times = SessionTimes { idle: settings.session_idle, lifetime: settings.session_lifetime };
            let sessions = session_file::open(&settings.data_dir, engine, times).await;
            let logins = settings.oidc.as_ref().map(issuer_logins).transpose().map_err(Unusable::mark)?;
            Ok(Guard::on(engine.clone(), keeper, logins, sessions)?)
        }
    }
}

/// Says which bindings of the policy may be meant for somebody whom they are not for. They were, before names of issuers had a prefix and
/// before patterns were kept from the namespace of the server.
fn report_names(engine: &Engine, issuer: Option<&JwtIssuer>) {
    let state = engine.state();
    let Some(policy) =
        state.system_document(SystemConfig::Policy).and_then(|policy| Policy::parse(&policy).ok())
    else {
        return;
    };
    for binding in policy.bindings_missing_reserved() {
        tracing::warn!(
            binding,
            "a pattern does not grant the namespace confwatch: if that is meant, name it in a binding of its own"
        );
    }
    let Some(issuer) = issuer else { return };
    let tokens = state.system_document(SystemConfig::Tokens);
    let tokens = tokens.and_then(|tokens| TokenSet::parse(&tokens).ok()).unwrap_or_default();
    let known: BTreeSet<String> = tokens.names();
    let strangers = policy.named_users_and_groups().into_iter();
    for name in strangers.filter(|name| !name.contains(['*', ISSUER_SEPARATOR]) && !known.contains(name)) {
        let (kind, own) = name.split_once(':').unwrap_or_default();
        let meant = format!("{kind}:{}{own}", issuer.prefix);
        tracing::warn!(
            name,
            meant,
            "the policy names somebody for whom there is no API token: names in JSON web tokens have the prefix of their issuer"
        );
    }
}

async fn keeper(issuer: &JwtIssuer, supervisor: &Supervisor) -> anyhow::Result<Keeper> {
    let claim = |text: &String| Claim::parse(text).with_context(|| format!("{text:?} is no claim"));
    let settings = JwtSettings {
        issuer: issuer.issuer.as_str().into(),
        audiences: issuer.audiences.clone(),
        subject_claim: Claim::Member("sub".to_owned()),
        group_claims: issuer.groups_claims.iter().map(claim).collect::<Result<_, _>>()?,
        leeway: LEEWAY,
        prefix: issuer.prefix.as_str().into(),
        lifetime_max: issuer.lifetime_max,
    };
    let source = KeySource::parse(&issuer.keys, KEYS_TIMEOUT)?;
    let timing = Timing::of(&source, issuer.keys_interval);
    let verifier = Arc::new(Verifier::new(settings, KeySet::default()));
    Keeper::start(verifier, source, timing, supervisor)
        .await
        .context("cannot read the keys of the issuer of JSON web tokens")
}

fn issuer_logins(client: &OidcClient) -> anyhow::Result<IssuerLogins> {
    let OidcClient { issuer, client_id, client_secret, cli_client_id, scopes, public_url } = client.clone();
    let settings = ClientSettings { issuer, client_id, client_secret, cli_client_id, scopes, public_url };
    let provider = Provider::new(settings, KEYS_TIMEOUT)?;
    IssuerLogins::new(provider).map_err(|error| anyhow!("there is no randomness for logins: {error}"))
}

/// Gives a store without a policy its first one, and a token for who may do everything. Where the token lies; `None`: there is a policy.
///
/// The token is written down before it holds: whatever ends the process in between, the next start makes another one.
async fn make_administrator(engine: &Engine, keys_dir: &Path) -> anyhow::Result<Option<PathBuf>> {
    if engine.state().system_document(SystemConfig::Policy).is_some() {
        return Ok(None);
    }
    let subject = Subject::parse(ADMINISTRATOR).expect("a name");
    let policy = Policy::first(&subject);
    let random = token::random().map_err(|error| anyhow!("there is no randomness for a token: {error}"))?;
    let principal = Principal::new(subject, vec![]).expect("no groups");
    let new = token::make(&random, TOKEN_NAME, principal, engine.now(), None)?;
    let path = keys_dir.join(TOKEN_FILE);
    let line = Zeroizing::new([new.text.as_bytes(), b"\n"].concat());
    durable_file::replace(&path, 0o600, &line).with_context(|| format!("cannot write {}", path.display()))?;
    let change = |config: SystemConfig, action: fn(Text) -> Action, value: serde_json::Value| Change {
        field: config.id().config.to_string(),
        id: config.id().clone(),
        key: LayerKey::base(Scope::global()),
        ttl: None,
        action: action(Text { content: value.to_string(), format: Format::Json }),
        expected: None,
    };
    let changes = vec![
        change(SystemConfig::Policy, Action::Replace, policy),
        change(SystemConfig::Tokens, Action::MergePatch, token::patch_to_add(&new)),
    ];
    let origin = Origin {
        author: Author::named(ACTOR),
        source: Source::Apply,
        reason: "the first start with authentication".to_owned(),
        request: None,
        annotations: Default::default(),
    };
    let viewer = Viewer::new(Access::unrestricted(ACTOR).expect("a name").visibility());
    let write = Write {
        origin,
        intent: Intent::Changes(changes),
        validate_only: false,
        without_backup: false,
        viewer,
    };
    engine.write(write).await.context("cannot store the first policy")?;
    Ok(Some(path))
}
