//! A server that is asked: one of this version in this process, or a process of another version, whose binary `CONFWATCH_LEAKS_OF` names.
//!
//! So the tests show what they find in a version from before: build its binary, and run
//! `CONFWATCH_LEAKS_OF=/path/to/confwatch CONFWATCH_ALL_LEAKS=1 cargo test --test wire -- noninterference --nocapture`. Each test that fails prints its
//! findings by call. Calls that the version does not know are refused alike on both sides.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use confwatch::client::{Client, ConnectOptions, Token};
use confwatch::proto::v1::*;
use tempfile::TempDir;
use tonic::Status;

use super::super::auth::{Guarded, reserved};
use super::super::support::*;
use super::super::watching::until_freed;

pub struct Subject {
    pub admin: Client,
    pub address: String,
    serving: Serving,
}

enum Serving {
    Here(Box<TestServer>),
    Process(Process),
}

/// Killed when it is dropped.
struct Process {
    process: Child,
    _directory: TempDir,
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl Subject {
    pub async fn start() -> Subject {
        match std::env::var_os("CONFWATCH_LEAKS_OF") {
            Some(binary) => Subject::spawn(binary.into()),
            None => {
                let Guarded { server, admin } = Guarded::start().await;
                let address = server.running.address().to_string();
                Subject { admin, address, serving: Serving::Here(Box::new(server)) }
            }
        }
    }

    fn spawn(binary: PathBuf) -> Subject {
        let directory = TempDir::new().expect("a directory");
        let data = directory.path().join("data");
        let mut process = Command::new(&binary)
            .args(["serve", "--auth", "on", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(&data)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{}: {error}", binary.display()));
        let mut lines = BufReader::new(process.stdout.take().expect("piped")).lines();
        let address = lines.find_map(|line| {
            let line = line.expect("it prints text");
            line.split_once(" serving on ").map(|(_, rest)| rest.split(',').next().unwrap_or(rest).to_owned())
        });
        let address = address.expect("it says where it serves");
        // Earlier versions keep it in the data directory.
        let places = [directory.path().join("data.keys/admin.token"), data.join("admin.token")];
        let token = places.iter().find_map(|place| std::fs::read_to_string(place).ok());
        let token = token.expect("the first start makes a token");
        let admin = Client::connect(ConnectOptions {
            address: format!("http://{address}"),
            token: Some(token.trim().parse::<Token>().expect("a token")),
            ..ConnectOptions::default()
        });
        let admin = admin.expect("an address");
        Subject { admin, address, serving: Serving::Process(Process { process, _directory: directory }) }
    }

    pub async fn set_policy(&self, policy: &str) -> Result<(), Status> {
        let change = reserved("policy", change::Action::Replace(json(policy)));
        self.admin.api().set(set(change)).await.map(drop)
    }

    /// A token for `token:NAME`.
    pub async fn token(&self, name: &str) -> String {
        let request = CreateTokenRequest { name: name.into(), ..Default::default() };
        self.admin.access().create_token(request).await.expect("made").into_inner().token
    }

    /// Waits until streams that are gone are freed.
    pub async fn until_freed(&self) {
        match &self.serving {
            Serving::Here(server) => until_freed(server).await,
            // Nothing tells.
            Serving::Process(_) => {}
        }
    }

    /// The server of this version.
    pub fn here(&self) -> &TestServer {
        match &self.serving {
            Serving::Here(server) => server,
            Serving::Process(process) => panic!("process {} is of another version", process.process.id()),
        }
    }
}
