//! Authenticates callers and checks their permissions. Knows the model; never a transport, an engine or a store.
//!
//! A credential (`token`, `jwt`, `certificate`, `session`) becomes a `Caller`. A `Policy` grants permissions to callers, and `Access`, a caller under
//! a policy, gives out `Permit`s: a handler takes a permit instead of a request, so that no handler can be called without the proof.

mod access;
mod caller;
pub mod certificate;
mod fetch;
pub mod jwt;
pub mod oidc;
pub mod policy;
mod problem;
mod reader;
pub mod session;
mod subject;
pub mod token;

pub use access::{Access, Denied, Permit, Permits, Visibility};
pub use caller::{Caller, Credential, SYSTEM};
pub use policy::{Decision, Grants, Policy, Resource, Verb};
pub use problem::Problem;
pub use session::{SessionError, Sessions};
pub use subject::{GROUPS_MAX, Group, ISSUER_SEPARATOR, Principal, Subject, SubjectError, SubjectKind};
pub use token::{TokenError, TokenSet};
