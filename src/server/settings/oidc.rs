//! The settings of logins by an issuer (OpenID Connect). Knows nothing of a login.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::SettingsError;
use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};

/// Has the secret of the client itself: as a flag, everyone on the machine would see it.
pub const VARIABLE: &str = "CONFWATCH_OIDC_CLIENT_SECRET";

/// The client of the issuer by which people log in.
#[derive(Clone, PartialEq, Eq)]
pub struct OidcClient {
    pub issuer: String,
    pub client_id: String,
    /// `None`: a public client.
    pub client_secret: Option<Zeroizing<String>>,
    /// The client of the command line. `None`: the command line cannot log in by the issuer.
    pub cli_client_id: Option<String>,
    pub scopes: String,
    /// The URL of this server for browsers. `None`: the host of each request.
    pub public_url: Option<String>,
}

/// The values that a source gives, without defaults.
pub(super) struct OidcValues {
    pub issuer: Option<String>,
    pub client_id: Option<String>,
    pub client_secret: Option<Zeroizing<String>>,
    pub cli_client_id: Option<String>,
    pub scopes: String,
    pub public_url: Option<String>,
}

impl OidcValues {
    /// `None`: there are no logins by an issuer. An error names the flag that is missing or wrong.
    pub(super) fn client(self) -> Result<Option<OidcClient>, String> {
        let is_set =
            self.client_secret.is_some() || self.cli_client_id.is_some() || self.public_url.is_some();
        let (issuer, client_id) = match (self.issuer, self.client_id) {
            (Some(issuer), Some(client_id)) => (issuer, client_id),
            (None, None) if !is_set => return Ok(None),
            _ => return Err(
                "--oidc-issuer and --oidc-client-id go together, and the other settings of logins need both"
                    .to_owned(),
            ),
        };
        if !self.scopes.split(' ').any(|scope| scope == "openid") {
            return Err(format!("--oidc-scopes {:?} must have the scope openid", self.scopes));
        }
        if let Some(url) = &self.public_url {
            let (scheme, rest) = url.split_once("://").unwrap_or_default();
            let host = rest.trim_end_matches('/');
            if !matches!(scheme, "https" | "http") || host.is_empty() || host.contains(['/', '?', '#', '@']) {
                return Err(format!(
                    "--public-url {url:?} must be a scheme and a host, such as https://config.example"
                ));
            }
        }
        let cli_client_id = match (self.cli_client_id, &self.client_secret) {
            (Some(id), _) => Some(id),
            (None, None) => Some(client_id.clone()),
            (None, Some(_)) => None,
        };
        Ok(Some(OidcClient {
            issuer,
            client_id,
            client_secret: self.client_secret,
            cli_client_id,
            scopes: self.scopes,
            public_url: self.public_url,
        }))
    }
}

/// The secret of the client, of the one source that is set.
pub(super) fn client_secret(
    file: Option<PathBuf>,
    text: Option<String>,
) -> Result<Option<Zeroizing<String>>, SettingsError> {
    let text = match (file, text) {
        (Some(_), Some(_)) => {
            return Err(SettingsError::Oidc(format!(
                "--oidc-client-secret-file and {VARIABLE} both set the secret of the client, one expected"
            )));
        }
        (Some(path), None) => {
            let shown = || path.display().to_string();
            let text = bounded_file::read_text(&path, SMALL_FILE_BYTES_MAX)
                .map_err(|source| SettingsError::Unreadable { path: shown(), source })?;
            let text = Zeroizing::new(text);
            let secret = Zeroizing::new(text.trim().to_owned());
            if secret.is_empty() {
                return Err(SettingsError::Oidc(format!("{} has no secret of a client", shown())));
            }
            Some(secret)
        }
        (None, text) => text.map(|text| Zeroizing::new(text.trim().to_owned())),
    };
    Ok(text)
}

/// Without the secret.
impl std::fmt::Debug for OidcClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OidcClient")
            .field("issuer", &self.issuer)
            .field("client_id", &self.client_id)
            .field("cli_client_id", &self.cli_client_id)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values() -> OidcValues {
        OidcValues {
            issuer: Some("https://issuer.example".to_owned()),
            client_id: Some("web".to_owned()),
            client_secret: None,
            cli_client_id: None,
            scopes: "openid profile".to_owned(),
            public_url: Some("https://config.example/".to_owned()),
        }
    }

    #[test]
    fn the_command_line_has_a_client_that_needs_no_secret() {
        let cli = |values: OidcValues| values.client().expect("good").expect("set").cli_client_id;
        assert_eq!(cli(values()).as_deref(), Some("web"));
        let secret = || Some(Zeroizing::new("s".to_owned()));
        assert_eq!(cli(OidcValues { client_secret: secret(), ..values() }), None);
        let named = OidcValues { client_secret: secret(), cli_client_id: Some("cli".to_owned()), ..values() };
        assert_eq!(cli(named).as_deref(), Some("cli"));
    }

    #[test]
    fn what_is_missing_or_wrong_is_named() {
        let check = |values: OidcValues, flag: &str| {
            let error = values.client().expect_err(flag);
            assert!(error.contains(flag), "{error}");
        };
        check(OidcValues { issuer: None, ..values() }, "--oidc-issuer");
        check(OidcValues { client_id: None, ..values() }, "--oidc-client-id");
        check(OidcValues { scopes: "profile".to_owned(), ..values() }, "--oidc-scopes");
        for url in ["config.example", "ftp://x", "https://", "https://a/b", "https://a@b"] {
            check(OidcValues { public_url: Some(url.to_owned()), ..values() }, "--public-url");
        }
        let none = OidcValues { issuer: None, client_id: None, public_url: None, ..values() };
        assert_eq!(none.client(), Ok(None));
        assert!(!format!("{:?}", values().client()).contains("secret"));
    }

    #[test]
    fn a_secret_has_one_source() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("secret");
        std::fs::write(&path, "hidden\n").expect("written");
        let read = |file: Option<&PathBuf>, text: Option<&str>| {
            client_secret(file.cloned(), text.map(str::to_owned))
        };
        assert_eq!(
            read(Some(&path), None).expect("read").as_ref().map(|secret| secret.as_str()),
            Some("hidden")
        );
        assert!(read(Some(&path), Some("x")).is_err());
        std::fs::write(&path, "\n").expect("written");
        assert!(read(Some(&path), None).is_err());
        assert_eq!(read(None, None).expect("none"), None);
    }
}
