//! An issuer of tokens for tests: keys to sign with, and a server that has the public ones. Knows nothing of how tokens are checked.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A key, with its name.
pub struct SigningKey {
    pub id: &'static str,
    pair: Pair,
}

enum Pair {
    Ec(EcdsaKeyPair),
    Rsa(Box<RsaKeyPair>),
    Ed(Ed25519KeyPair),
}

impl SigningKey {
    pub fn ec(id: &'static str) -> SigningKey {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).expect("a key");
        SigningKey { id, pair: Pair::Ec(pair) }
    }

    pub fn rsa(id: &'static str) -> SigningKey {
        SigningKey { id, pair: Pair::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).expect("a key"))) }
    }

    pub fn ed(id: &'static str) -> SigningKey {
        SigningKey { id, pair: Pair::Ed(Ed25519KeyPair::generate().expect("a key")) }
    }

    pub fn algorithm(&self) -> &'static str {
        match self.pair {
            Pair::Ec(_) => "ES256",
            Pair::Rsa(_) => "RS256",
            Pair::Ed(_) => "EdDSA",
        }
    }

    /// As the issuer publishes it.
    pub fn public(&self) -> Value {
        match &self.pair {
            Pair::Ec(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": encoded(x), "y": encoded(y)})
            }
            Pair::Rsa(pair) => {
                // RSAPublicKey: a sequence of the modulus, after nine bytes of heads and a zero, and the exponent.
                let der = pair.public_key().as_ref();
                let (n, e) = (&der[9..265], &der[der.len() - 3..]);
                json!({"kty": "RSA", "use": "sig", "kid": self.id, "n": encoded(n), "e": encoded(e)})
            }
            Pair::Ed(pair) => {
                let x = encoded(pair.public_key().as_ref());
                json!({"kty": "OKP", "crv": "Ed25519", "kid": self.id, "x": x})
            }
        }
    }

    /// Texts and bytes of the public key that somebody might take for a shared secret.
    pub fn taken_for_secrets(&self) -> Vec<Vec<u8>> {
        let jwk = self.public();
        let members = ["n", "x", "y"].into_iter().filter_map(|name| jwk[name].as_str());
        let mut secrets: Vec<Vec<u8>> = members
            .flat_map(|text| [text.as_bytes().to_vec(), URL_SAFE_NO_PAD.decode(text).expect("base64")])
            .collect();
        match &self.pair {
            Pair::Ec(pair) => {
                secrets.push(pair.public_key().as_ref().to_vec());
                secrets.push(pair.public_key().as_der().expect("DER").as_ref().to_vec());
            }
            Pair::Rsa(pair) => {
                secrets.push(pair.public_key().as_ref().to_vec());
                secrets.push(pair.public_key().as_der().expect("DER").as_ref().to_vec());
            }
            Pair::Ed(pair) => secrets.push(pair.public_key().as_ref().to_vec()),
        }
        secrets
    }

    /// A token with these claims.
    pub fn token(&self, claims: &Value) -> String {
        self.token_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": self.id}), claims)
    }

    /// A token whose header says what it likes; the signature is one of this key all the same.
    pub fn token_with(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let signature = match &self.pair {
            Pair::Ec(pair) => {
                let signature = pair.sign(&SystemRandom::new(), message.as_bytes());
                signature.expect("a signature").as_ref().to_vec()
            }
            Pair::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                let signed =
                    pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature);
                signed.expect("a signature");
                signature
            }
            Pair::Ed(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
        };
        format!("{message}.{}", encoded(&signature))
    }
}

/// What is signed of a token.
pub fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encoded(header.to_string().as_bytes()), encoded(claims.to_string().as_bytes()))
}

pub fn encoded(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// `{"keys": [...]}`.
pub fn key_set(keys: &[&SigningKey]) -> String {
    let keys: Vec<Value> = keys.iter().map(|key| key.public()).collect();
    json!({"keys": keys}).to_string()
}

/// A server that answers every request with the same.
pub struct KeyServer {
    pub url: String,
    answer: Arc<Mutex<Vec<u8>>>,
    requests: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl KeyServer {
    pub async fn start(keys: &[&SigningKey]) -> KeyServer {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let url = format!("http://{}/keys", listener.local_addr().expect("an address"));
        let answer = Arc::new(Mutex::new(vec![]));
        let requests = Arc::new(AtomicUsize::new(0));
        let task = tokio::spawn(serve(listener, answer.clone(), requests.clone()));
        let server = KeyServer { url, answer, requests, task };
        server.answer_keys(keys);
        server
    }

    pub fn answer_keys(&self, keys: &[&SigningKey]) {
        self.answer("200 OK", "", &key_set(keys));
    }

    pub fn answer(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        let answer = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
        *self.answer.lock().expect("no panic") = answer.into_bytes();
    }

    /// Keeps every connection open and says nothing.
    pub fn answer_nothing(&self) {
        self.answer.lock().expect("no panic").clear();
    }

    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

async fn serve(listener: TcpListener, answer: Arc<Mutex<Vec<u8>>>, requests: Arc<AtomicUsize>) {
    let mut silent = vec![];
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut head = [0; 4096];
        if socket.read(&mut head).await.is_err() {
            continue;
        }
        requests.fetch_add(1, Ordering::SeqCst);
        let answer = answer.lock().expect("no panic").clone();
        if answer.is_empty() {
            silent.push(socket);
        } else {
            // A client that has read enough may have left.
            let _ = socket.write_all(&answer).await;
        }
    }
}

impl Drop for KeyServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}
