//! Sessions of people who have logged in, and logins of the command line. Knows the wire only.

use serde::Serialize;

use super::time;
use crate::proto::v1;

#[derive(Debug, Serialize)]
pub struct SessionView {
    pub id: String,
    pub actor: String,
    pub origin: String,
    pub create_time: Option<String>,
    pub last_use_time: Option<String>,
    pub expire_time: Option<String>,
    pub address: String,
    pub client: String,
    pub is_current: bool,
}

#[derive(Debug, Serialize)]
pub struct SessionsView {
    pub sessions: Vec<SessionView>,
}

#[derive(Debug, Serialize)]
pub struct RevokedSessionView {
    pub session: Option<SessionView>,
}

/// A login of the command line.
#[derive(Debug, Serialize)]
pub struct LoginView {
    pub server: String,
    pub actor: String,
    pub credential: String,
    pub expire_time: Option<String>,
    /// The file that keeps the credential.
    pub path: String,
}

#[derive(Debug, Serialize)]
pub struct LogoutView {
    pub server: String,
    pub was_logged_in: bool,
}

impl LoginView {
    pub fn of(server: &str, who: &v1::WhoAmIResponse, path: &str) -> LoginView {
        LoginView {
            server: server.to_owned(),
            actor: who.actor.clone(),
            credential: who.credential.clone(),
            expire_time: time(who.expire_time.as_ref()),
            path: path.to_owned(),
        }
    }
}

impl From<&v1::Session> for SessionView {
    fn from(session: &v1::Session) -> SessionView {
        SessionView {
            id: session.id.clone(),
            actor: session.actor.clone(),
            origin: session.origin.clone(),
            create_time: time(session.create_time.as_ref()),
            last_use_time: time(session.last_use_time.as_ref()),
            expire_time: time(session.expire_time.as_ref()),
            address: session.address.clone(),
            client: session.client.clone(),
            is_current: session.is_current,
        }
    }
}
