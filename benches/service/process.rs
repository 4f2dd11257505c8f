//! The servers, each a process of its own, so that what it costs can be told from what the load costs.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use confwatch::proto::v1::config_service_client::ConfigServiceClient;
use tempfile::TempDir;
use tonic::transport::{Channel, Endpoint};

use super::ceiling;

/// In which `/proc` counts, on every architecture of Linux.
const TICK: Duration = Duration::from_millis(10);

/// Killed when it is dropped.
pub struct Process {
    child: Child,
    pub address: SocketAddr,
    _data: TempDir,
}

impl Process {
    pub async fn ceiling() -> Process {
        let itself = std::env::current_exe().expect("this program is a file");
        Process::start(Command::new(itself).arg(ceiling::ARGUMENT))
    }

    pub async fn confwatch() -> Process {
        let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
            command.env_remove(name);
        }
        Process::start(command.args(["serve", "--listen", "127.0.0.1:0", "--log", "warn"]))
    }

    fn start(command: &mut Command) -> Process {
        // Not in /tmp, which may be memory.
        let data = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let mut child =
            command.current_dir(data.path()).stdout(Stdio::piped()).spawn().expect("it was built");
        let mut line = String::new();
        let stdout = child.stdout.take().expect("it is piped");
        BufReader::new(stdout).read_line(&mut line).expect("it is text");
        let (_, rest) = line.split_once(" serving on ").expect("the start-up line");
        let address = rest.split([',', '\n']).next().expect("split gives one").parse().expect("an address");
        Process { child, address, _data: data }
    }

    pub async fn client(&self) -> ConfigServiceClient<Channel> {
        let endpoint = Endpoint::from_shared(format!("http://{}", self.address)).expect("an address");
        ConfigServiceClient::new(endpoint.connect().await.expect("the server listens"))
    }

    /// The processor time that it has used, of users and of the kernel for it.
    pub fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let (_, fields) = stat.rsplit_once(") ").expect("the name is in parentheses");
        let ticks = fields.split(' ').skip(11).take(2).map(|field| field.parse::<u32>().expect("a number"));
        TICK * ticks.sum::<u32>()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
