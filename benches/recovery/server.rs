//! The server that is measured, as a process of its own, and the commands that are run beside it. Knows no measurement.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use confwatch::client::{Client, ConnectOptions};
use tempfile::TempDir;

/// A server that uses less of a core in this time has nothing more to do: one part of so many.
const QUIET_FOR: Duration = Duration::from_millis(400);
const QUIET_SHARE: u32 = 50;
const QUIET_WAIT_MAX: Duration = Duration::from_secs(30);

/// Killed when it is dropped, and its files removed.
pub struct Server {
    child: Child,
    pub address: String,
    pub directory: TempDir,
}

impl Server {
    pub fn start(args: &[&str]) -> Server {
        // Not in /tmp, which may be memory.
        let directory =
            TempDir::with_prefix_in("recovery-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (child, address) = spawn(&directory.path().join("data"), args);
        Server { child, address, directory }
    }

    /// A file or directory beside the data.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn data(&self) -> PathBuf {
        self.path("data")
    }

    /// Asks the server to stop, and waits until it has.
    pub fn stop(&mut self) {
        let id = libc::pid_t::try_from(self.child.id()).expect("an id");
        // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
        assert_eq!(unsafe { libc::kill(id, libc::SIGTERM) }, 0);
        assert!(self.child.wait().expect("it was started").success(), "it ends well");
    }

    /// After `stop`, on a data directory beside the first.
    pub fn start_again(&mut self, data: &Path, args: &[&str]) {
        (self.child, self.address) = spawn(data, args);
    }

    pub fn client(&self) -> Client {
        let options = ConnectOptions { address: self.address.clone(), ..ConnectOptions::default() };
        Client::connect(options).expect("a client")
    }

    /// Runs a command at the server, which must succeed.
    pub fn run(&self, args: &[&str]) -> Output {
        run(command(args).env("CONFWATCH_SERVER", &self.address))
    }

    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    /// The most that was in use since `forget_peak`.
    pub fn peak_bytes(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    pub fn forget_peak(&self) {
        fs::write(format!("/proc/{}/clear_refs", self.child.id()), "5").expect("Linux takes it");
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says so");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// Waits until the server has done what it puts off.
    pub fn quiet(&self) {
        let begin = Instant::now();
        let mut before = self.cpu();
        while begin.elapsed() < QUIET_WAIT_MAX {
            sleep(QUIET_FOR);
            let now = self.cpu();
            if now - before < QUIET_FOR / QUIET_SHARE {
                return;
            }
            before = now;
        }
    }

    fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("after its name").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        // A tick is a hundredth of a second, wherever Linux runs.
        Duration::from_millis(10 * ticks)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(data: &Path, args: &[&str]) -> (Child, String) {
    let mut command = command(&["serve", "--listen", "127.0.0.1:0", "--log", "error", "--data-dir"]);
    command.arg(data).args(["--quotas", "configs=0,bytes=0,journal_bytes_per_minute=0"]);
    command.args(["--calls-per-address", "4000000000", "--calls-per-actor", "4000000000"]).args(args);
    command.stdout(Stdio::piped());
    // SAFETY: a system call, which is allowed between fork and exec. The thread that spawns is the main one.
    unsafe {
        command.pre_exec(|| {
            // It must not outlive the benchmark, however that ends.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    let mut child = command.spawn().expect("it was built");
    let mut output = BufReader::new(child.stdout.take().expect("piped"));
    let mut line = String::new();
    output.read_line(&mut line).expect("it says where");
    let rest = line.split("serving on ").nth(1).unwrap_or_else(|| panic!("it does not serve: {line}"));
    let address = rest.split(',').next().expect("an address").to_owned();
    std::thread::spawn(move || output.read_to_end(&mut vec![]));
    (child, address)
}

/// The command line, without settings of the environment.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    command.args(args).stdin(Stdio::null());
    command
}

pub fn run(command: &mut Command) -> Output {
    let output = command.output().expect("it was built");
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// How long the files are together.
pub fn bytes_of(path: &Path) -> u64 {
    let metadata = fs::metadata(path).expect("it is there");
    match metadata.is_dir() {
        false => metadata.size(),
        true => entries(path).iter().map(|entry| bytes_of(entry)).sum(),
    }
}

pub fn entries(directory: &Path) -> Vec<PathBuf> {
    fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path()).collect()
}
