//! The real server as a process that can be killed. Knows nothing of what it is used for.

use std::path::Path;
use std::process::Stdio;

use confwatch::proto::v1::config_service_client::ConfigServiceClient;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};
use tonic::transport::{Channel, Endpoint};

pub type Client = ConfigServiceClient<Channel>;

/// Killed with SIGKILL, always: there is no other end.
pub struct Server {
    pub process: Child,
    pub address: String,
}

/// A server that has not yet said where it serves.
pub struct Starting {
    pub process: Child,
}

impl Server {
    pub fn spawn(data: &Path, arguments: &[&str]) -> Starting {
        let process = Server::command(data, arguments).spawn();
        Starting { process: process.expect("the binary was built with this test") }
    }

    /// Not affected by the environment of the tests.
    pub fn command(data: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
            command.env_remove(name);
        }
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--log", "warn", "--data-dir"])
            .arg(data)
            .arg("--keys-dir")
            .arg(data.join("keys"))
            .args(arguments)
            .stdout(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Reads where a server says that it serves. `None` if it ends instead.
    pub async fn address(output: ChildStdout) -> Option<String> {
        let line = BufReader::new(output).lines().next_line().await.expect("it is text")?;
        let (_, rest) = line.split_once(" serving on ").expect("the start-up line");
        Some(rest.split(',').next().expect("the address comes first").to_owned())
    }

    /// On a connection of its own.
    pub async fn client(&self) -> Client {
        Client::new(self.connect().await)
    }

    pub async fn connect(&self) -> Channel {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        endpoint.connect().await.expect("the server listens")
    }
}

impl Starting {
    pub async fn ready(self) -> Server {
        self.ready_or_ended().await.expect("the server starts on what is left")
    }

    /// `None` if it ends instead.
    pub async fn ready_or_ended(mut self) -> Option<Server> {
        let stdout = self.process.stdout.take().expect("it is piped");
        let address = Server::address(stdout).await?;
        Some(Server { process: self.process, address })
    }
}
