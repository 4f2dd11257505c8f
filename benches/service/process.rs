//! A server as a process of its own, so that what it costs can be told from what the load costs. Knows no workload.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;
use tokio::time::{sleep, timeout};
use tonic::{Code, Status};

use super::machine::clock;
use super::remote::Remote;
use super::server::Server;

/// A start takes seconds with the largest data.
const START_TIMEOUT: Duration = Duration::from_secs(120);
const START_PAUSE: Duration = Duration::from_millis(3);
/// Below those that the system gives to clients.
const PORT_MIN: u16 = 12_000;
const PORT_MAX: u16 = 32_000;
/// A server that uses less of a core has nothing more to do: one part of so many.
const QUIET_SHARE: u32 = 50;
const QUIET_WAIT_MAX: Duration = Duration::from_secs(5);

/// Killed when it is dropped, and its data removed.
pub struct Process {
    pub server: Server,
    pub address: SocketAddr,
    peer_address: SocketAddr,
    child: Child,
    data: TempDir,
}

impl Process {
    /// Without data, and ready to answer.
    pub async fn start(server: Server) -> Process {
        // Not in /tmp, which may be memory.
        let data = TempDir::with_prefix_in("bench-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        let (address, peer_address) = (free_address(), free_address());
        let child = spawn(server, address, peer_address, data.path());
        let mut process = Process { server, address, peer_address, child, data };
        process.ready().await;
        process
    }

    /// As a power cut of the process alone would.
    pub fn kill(&mut self) {
        self.child.kill().expect("it was started");
        self.child.wait().expect("it was started");
    }

    /// After `kill`, on what is on disk. Does not wait for it.
    pub fn start_again(&mut self) {
        self.child = spawn(self.server, self.address, self.peer_address, self.data.path());
    }

    pub async fn restart(&mut self) {
        self.kill();
        self.start_again();
        self.ready().await;
    }

    /// Until it answers, if only that there is no such config.
    async fn ready(&mut self) {
        self.answer(0, |answer| match answer {
            Ok(_) => true,
            Err(status) => status.code() == Code::NotFound,
        })
        .await;
    }

    /// Until it answers a Get as expected.
    pub async fn answer(&mut self, config: usize, expected: impl Fn(Result<Bytes, Status>) -> bool) {
        let request = self.server.wire().get(config);
        let begin = Instant::now();
        while begin.elapsed() < START_TIMEOUT {
            if expected(timeout(START_TIMEOUT, self.ask(&request)).await.expect("an answer in time")) {
                return;
            }
            if let Some(status) = self.child.try_wait().expect("it was started") {
                panic!("{} has ended: {status}", self.server.name());
            }
            sleep(START_PAUSE).await;
        }
        panic!("{} does not answer", self.server.name());
    }

    async fn ask(&self, request: &[u8]) -> Result<Bytes, Status> {
        let remote = Remote::connect(self.address, self.token()).await?;
        remote.call(self.server.wire().get_path(), request.to_vec()).await
    }

    /// The first credential of a server that asks for one.
    pub fn token(&self) -> Option<String> {
        let text = fs::read_to_string(self.data.path().join("data.keys/admin.token")).ok()?;
        Some(text.trim().to_owned())
    }

    /// The processor time that it has used, of users and of the kernel for it.
    pub fn cpu(&self) -> Duration {
        let pid = libc::pid_t::try_from(self.child.id()).expect("a process id");
        let mut id = 0;
        // SAFETY: the clock is written before it is read.
        let result = unsafe { libc::clock_getcpuclockid(pid, &raw mut id) };
        assert_eq!(result, 0, "{} runs", self.server.name());
        clock(id)
    }

    /// Of its memory, what is in use now.
    pub fn resident_bytes(&self) -> u64 {
        self.status_bytes("VmRSS:")
    }

    pub fn resident_bytes_max(&self) -> u64 {
        self.status_bytes("VmHWM:")
    }

    fn status_bytes(&self, field: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix(field)).expect("Linux says so");
        let kilobytes: u64 = line.trim().trim_end_matches(" kB").parse().expect("a number");
        kilobytes << 10
    }

    pub fn disk_bytes(&self) -> u64 {
        disk_bytes(self.data.path())
    }

    /// Until it has done what it puts off: what a load has cost is known only then.
    pub async fn quiet(&self) {
        let begin = Instant::now();
        let mut before = self.cpu();
        while begin.elapsed() < QUIET_WAIT_MAX {
            sleep(self.server.put_off()).await;
            let now = self.cpu();
            if now - before < self.server.put_off() / QUIET_SHARE {
                return;
            }
            before = now;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn spawn(server: Server, address: SocketAddr, peer_address: SocketAddr, data: &Path) -> Child {
    let mut command = server.command(address, peer_address, data);
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: a system call, which is allowed between fork and exec. The thread that spawns is the main one.
    unsafe {
        command.pre_exec(|| {
            // It must not outlive the benchmark, however that ends.
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", server.name()))
}

/// Servers are started again where they were, so clients must not take the port meanwhile.
fn free_address() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let offset = (std::process::id() % 1000) as u16 * 20;
    loop {
        let port = PORT_MIN + (offset + NEXT.fetch_add(1, Ordering::Relaxed)) % (PORT_MAX - PORT_MIN);
        let address = (Ipv4Addr::LOCALHOST, port).into();
        if TcpListener::bind(address).is_ok() {
            return address;
        }
    }
}

/// What the files take, which may be less than how long they are.
fn disk_bytes(path: &Path) -> u64 {
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    let bytes = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => disk_bytes(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        // Removed meanwhile.
        Err(_) => 0,
    };
    entries.map(bytes).sum()
}
