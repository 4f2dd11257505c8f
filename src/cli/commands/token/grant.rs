//! `confwatch token create --role`: a binding for the bearer of a new token, in the policy. Knows the client, and the form of a policy.

use clap::Args;
use serde_json::{Value, json};

use crate::cli::Session;
use crate::cli::input::args::DocumentFormat;
use crate::cli::output::exit::{Exit, Failure};
use crate::model::SystemConfig;
use crate::proto::v1::{self, change::Action};

/// What the bearer may do.
#[derive(Args, Clone, Debug)]
pub struct GrantArgs {
    /// Grant this role to its bearer: viewer, editor, approver, auditor, admin, or one that the policy defines; needs --namespace
    #[arg(long, value_name = "ROLE", requires = "namespace")]
    role: Option<String>,
    /// The namespace of --role, or a pattern such as shop*
    #[arg(long, value_name = "PATTERN", requires = "role")]
    namespace: Option<String>,
    /// The config of --role, or a pattern
    #[arg(long, value_name = "PATTERN", default_value = "*", requires = "role")]
    config: String,
    /// The scope of --role: it covers all below
    #[arg(long, value_name = "SCOPE", default_value = "/", requires = "role")]
    scope: String,
}

impl GrantArgs {
    /// The binding that was asked for, of this subject.
    pub fn binding(&self, subject: &str) -> Option<Value> {
        let (role, namespace) = (self.role.as_ref()?, self.namespace.as_ref()?);
        Some(json!({
            "subjects": [subject],
            "role": role,
            "namespace": namespace,
            "config": self.config,
            "scope": self.scope,
        }))
    }
}

/// Adds a binding to the policy, unless it is there. Answers what was granted.
pub async fn grant(binding: &Value, reason: &str, session: &Session) -> Result<String, Failure> {
    let policy = SystemConfig::Policy.id();
    let get = v1::GetRequest {
        namespace: policy.namespace.to_string(),
        config: policy.config.to_string(),
        scope: "/".into(),
        view: v1::View::Layer.into(),
        ..Default::default()
    };
    let document = session.client.api().get(get).await?.into_inner().document.unwrap_or_default();
    let stored: Value = serde_json::from_str(&document.content)
        .map_err(|error| Failure::new(Exit::Failed, format!("the server sent what is not JSON: {error}")))?;
    let bindings = stored.get("bindings").and_then(Value::as_array);
    let text = |name: &str| binding[name].as_str().unwrap_or_default().to_owned();
    let granted =
        format!("{} on {}/{} at {}", text("role"), text("namespace"), text("config"), text("scope"));
    if bindings.is_some_and(|bindings| bindings.contains(binding)) {
        return Ok(granted);
    }
    let patch = match bindings {
        Some(_) => json!([{"op": "add", "path": "/bindings/-", "value": binding}]),
        None => json!([{"op": "add", "path": "/bindings", "value": [binding]}]),
    };
    let change = v1::Change {
        namespace: policy.namespace.to_string(),
        config: policy.config.to_string(),
        scope: "/".into(),
        kind: v1::LayerKind::Base.into(),
        // A policy that changed meanwhile may say something else.
        expected_version: document.layers.first().map(|layer| layer.version),
        action: Some(Action::JsonPatch(DocumentFormat::Json.text(patch.to_string()))),
        ..Default::default()
    };
    let options = v1::WriteOptions { reason: reason.to_owned(), ..Default::default() };
    session.client.set(change, options).await?;
    Ok(granted)
}
