//! A real `confwatch serve` process for tests, on a directory and a port of its own.

use std::io::{BufRead, BufReader, PipeReader, pipe};
use std::path::Path;
use std::process::{Child, Command};
use std::thread;

use tempfile::TempDir;

pub const BINARY: &str = env!("CARGO_BIN_EXE_confwatch");

/// Killed when it is dropped, and its data with it.
pub struct Server {
    process: Child,
    /// `127.0.0.1:PORT`.
    pub address: String,
    _data: Option<TempDir>,
}

impl Server {
    /// Starts a server and waits until it says where it serves.
    #[allow(dead_code, reason = "not every test starts it on data of its own")]
    pub fn start() -> Server {
        let data = TempDir::new().expect("a temporary directory can be made");
        let mut server = Server::start_in(&data.path().join("data"), &[]);
        server._data = Some(data);
        server
    }

    /// On data of somebody else, told more.
    pub fn start_in(data: &Path, more: &[&str]) -> Server {
        let (output, input) = pipe().expect("a pipe can be made");
        // The command is dropped here, and with it our ends of the pipe: the output ends when the server does.
        let mut process = confwatch()
            .args(["serve", "--listen", "127.0.0.1:0", "--data-dir"])
            .arg(data)
            .args(more)
            .stdout(input.try_clone().expect("a pipe has two ends"))
            .stderr(input)
            .spawn()
            .expect("the binary was built with this test");
        let address = match address(output) {
            Ok(address) => address,
            Err(said) => {
                let _ = process.kill();
                panic!("the server did not start:\n{said}");
            }
        };
        Server { process, address, _data: None }
    }

    /// The binary as a client of this server.
    #[allow(dead_code, reason = "not every test that starts a server is its client")]
    pub fn confwatch(&self) -> Command {
        let mut command = confwatch();
        command.env("CONFWATCH_SERVER", &self.address);
        command
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The binary without any settings of the machine that runs the tests, at the root of the repository.
fn confwatch() -> Command {
    let mut command = Command::new(BINARY);
    command.current_dir(Path::new(env!("CARGO_MANIFEST_DIR")));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    command
}

/// Reads up to the start-up line; what comes after it is read and forgotten, so that the server never waits for a reader.
fn address(output: PipeReader) -> Result<String, String> {
    let mut lines = BufReader::new(output).lines();
    let mut said = String::new();
    while let Some(Ok(line)) = lines.next() {
        if let Some((_, rest)) = line.split_once(" serving on ") {
            let address = rest.split([',', ' ']).next().unwrap_or(rest).to_owned();
            thread::spawn(move || lines.for_each(drop));
            return Ok(address);
        }
        said.push_str(&line);
        said.push('\n');
    }
    Err(said)
}
