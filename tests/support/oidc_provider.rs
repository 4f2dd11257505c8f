//! A small issuer of OpenID Connect for tests: metadata, keys, the authorization and the token endpoint. It checks what an issuer must check:
//! the client and its secret, the redirect URI, PKCE, and that a code is used once. Knows nothing of the server under test.

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::SystemTime;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::issuer::SigningKey;

/// An issuer at a port of its own, until it is dropped.
pub struct Provider {
    pub url: String,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    key: SigningKey,
    url: String,
    stopped: AtomicBool,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Clients by id, with their secrets.
    clients: HashMap<String, Option<String>>,
    /// Who logs in, and claims beside the usual ones. `null` takes a claim out.
    name: String,
    claims: Value,
    /// Whoever asks to log in is refused.
    denies: bool,
    fails: bool,
    codes: HashMap<String, Grant>,
    refresh: HashMap<String, Grant>,
    /// Requests of the token endpoint.
    redeemed: usize,
    made: usize,
}

/// What was granted to a client.
#[derive(Clone)]
struct Grant {
    client: String,
    redirect_uri: String,
    challenge: String,
    nonce: String,
    name: String,
}

impl Provider {
    /// With a client `web` that has the secret `hidden`, a client `cli` without one, and the person `alice`.
    pub fn start() -> Provider {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let clients = [("web", Some("hidden")), ("cli", None)];
        let clients = clients.map(|(id, secret)| (id.to_owned(), secret.map(str::to_owned)));
        let state =
            State { clients: clients.into(), name: "alice".into(), claims: json!({}), ..State::default() };
        let (key, stopped) = (SigningKey::ec("one"), AtomicBool::new(false));
        let shared = Arc::new(Shared { key, url: url.clone(), stopped, state: Mutex::new(state) });
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            for socket in listener.incoming() {
                if serving.stopped.load(Ordering::SeqCst) {
                    return;
                }
                if let Ok(socket) = socket {
                    serving.answer(socket);
                }
            }
        });
        Provider { url, shared, thread: Some(thread) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.state.lock().expect("no panic")
    }

    /// Claims of ID tokens from now on.
    pub fn claims(&self, claims: Value) {
        self.state().claims = claims;
    }

    /// The person refuses to log in.
    pub fn deny(&self, denies: bool) {
        self.state().denies = denies;
    }

    /// Every request is answered with an error of the server.
    pub fn fail(&self, fails: bool) {
        self.state().fails = fails;
    }

    /// How often the token endpoint was asked.
    pub fn redeemed(&self) -> usize {
        self.state().redeemed
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        self.shared.stopped.store(true, Ordering::SeqCst);
        // Wakes the thread, which then ends.
        drop(TcpStream::connect(self.url.trim_start_matches("http://")));
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// The parameters of a query or a form.
pub fn parameters(text: &str) -> HashMap<String, String> {
    let decoded = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8().expect("UTF-8").into_owned()
    };
    let pairs = text.split('&').filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| (decoded(name), decoded(value))).collect()
}

impl Shared {
    fn answer(&self, socket: TcpStream) {
        let mut reader = BufReader::new(socket);
        let mut first = String::new();
        if reader.read_line(&mut first).unwrap_or(0) == 0 {
            return;
        }
        let (mut length, mut authorization) = (0, None);
        loop {
            let mut line = String::new();
            reader.read_line(&mut line).expect("a header");
            let Some((name, value)) = line.trim().split_once(": ") else { break };
            match name.to_ascii_lowercase().as_str() {
                "content-length" => length = value.parse().expect("a length"),
                "authorization" => authorization = Some(value.to_owned()),
                _ => {}
            }
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).expect("the content");
        let body = String::from_utf8(body).expect("UTF-8");
        let target = first.split(' ').nth(1).expect("a path");
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let (status, headers, content) = if self.state.lock().expect("no panic").fails {
            ("500 Oh No", String::new(), String::new())
        } else {
            match path {
                "/.well-known/openid-configuration" => ("200 OK", String::new(), self.metadata().to_string()),
                "/keys" => ("200 OK", String::new(), json!({"keys": [self.key.public()]}).to_string()),
                "/authorize" => (
                    "302 Found",
                    format!("location: {}\r\n", self.authorize(&parameters(query))),
                    String::new(),
                ),
                "/token" => match self.token(&parameters(&body), authorization.as_deref()) {
                    Ok(tokens) => ("200 OK", String::new(), tokens.to_string()),
                    Err(error) => ("400 Bad Request", String::new(), json!({"error": error}).to_string()),
                },
                _ => ("404 Not Found", String::new(), String::new()),
            }
        };
        let head = format!(
            "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n",
            content.len()
        );
        // A client that has read enough may have left.
        drop(reader.get_mut().write_all(format!("{head}{content}").as_bytes()));
    }

    fn metadata(&self) -> Value {
        let url = &self.url;
        json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "jwks_uri": format!("{url}/keys"),
            "code_challenge_methods_supported": ["S256"],
        })
    }

    /// The person logs in at once. Gives the URL to which the browser is redirected.
    fn authorize(&self, asked: &HashMap<String, String>) -> String {
        let mut state = self.state.lock().expect("no panic");
        let of = |name: &str| asked.get(name).cloned().unwrap_or_else(|| panic!("no {name}: {asked:?}"));
        assert!(state.clients.contains_key(&of("client_id")), "{asked:?}");
        assert_eq!((of("response_type").as_str(), of("code_challenge_method").as_str()), ("code", "S256"));
        assert!(of("scope").split(' ').any(|scope| scope == "openid"), "{asked:?}");
        assert!(of("state").len() >= 20 && of("nonce").len() >= 20 && of("code_challenge").len() == 43);
        let redirect_uri = of("redirect_uri");
        if state.denies {
            return format!("{redirect_uri}?error=access_denied&state={}", of("state"));
        }
        state.made += 1;
        let code = format!("code-{}", state.made);
        let grant = Grant {
            client: of("client_id"),
            redirect_uri: redirect_uri.clone(),
            challenge: of("code_challenge"),
            nonce: of("nonce"),
            name: state.name.clone(),
        };
        state.codes.insert(code.clone(), grant);
        let issuer = percent_encoding::utf8_percent_encode(&self.url, percent_encoding::NON_ALPHANUMERIC);
        format!("{redirect_uri}?code={code}&state={}&iss={issuer}", of("state"))
    }

    fn token(
        &self,
        form: &HashMap<String, String>,
        authorization: Option<&str>,
    ) -> Result<Value, &'static str> {
        let mut state = self.state.lock().expect("no panic");
        state.redeemed += 1;
        let of = |name: &str| form.get(name).cloned().unwrap_or_default();
        let client = of("client_id");
        let by_header = authorization.map(|value| {
            let pair = STANDARD.decode(value.trim_start_matches("Basic ")).expect("base64");
            String::from_utf8(pair).expect("UTF-8")
        });
        let proved = match state.clients.get(&client) {
            Some(Some(secret)) => by_header.as_deref() == Some(&*format!("{client}:{secret}")),
            Some(None) => by_header.is_none(),
            None => false,
        };
        if !proved {
            return Err("invalid_client");
        }
        let grant = match of("grant_type").as_str() {
            "authorization_code" => state.codes.remove(&of("code")).filter(|grant| {
                let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(of("code_verifier")));
                grant.redirect_uri == of("redirect_uri") && grant.challenge == challenge
            }),
            "refresh_token" => state.refresh.remove(&of("refresh_token")),
            _ => return Err("unsupported_grant_type"),
        };
        let grant = grant.filter(|grant| grant.client == client).ok_or("invalid_grant")?;
        state.made += 1;
        let refresh = format!("refresh-{}", state.made);
        state.refresh.insert(refresh.clone(), grant.clone());
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970").as_secs();
        let mut claims = json!({
            "iss": self.url, "aud": client, "sub": grant.name, "nonce": grant.nonce,
            "iat": now, "exp": now + 300, "groups": ["people"],
        });
        for (name, value) in state.claims.as_object().expect("an object") {
            match value {
                Value::Null => drop(claims.as_object_mut().expect("an object").remove(name)),
                value => claims[name] = value.clone(),
            }
        }
        Ok(json!({
            "token_type": "Bearer", "access_token": "opaque", "expires_in": 300,
            "id_token": self.key.token(&claims), "refresh_token": refresh,
        }))
    }
}
