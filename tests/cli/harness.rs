//! A server on a free port with a data directory of its own, and the commands run against it.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// Long enough for the slowest machine: a test that waits for so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server that ends with the test.
pub struct Server {
    child: Child,
    pub address: String,
    pub data: TempDir,
}

/// A server that requires credentials, and commands of its administrator.
pub struct GuardedServer {
    pub server: Server,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

/// A command that runs on, and what it prints.
pub struct Following {
    child: Child,
    lines: Receiver<String>,
}

impl Server {
    pub fn start() -> Server {
        Server::start_with(&[])
    }

    /// With further arguments.
    pub fn start_with(args: &[&str]) -> Server {
        Server::start_in(TempDir::new().expect("a directory"), args)
    }

    /// On data of before.
    pub fn start_in(data: TempDir, args: &[&str]) -> Server {
        let mut command = serve(data.path());
        command.args(args);
        let (child, address) = start(command);
        Server { child, address, data }
    }

    /// Stops it, and starts it again at the same address with the same data.
    pub fn restart(&mut self) {
        self.stop();
        self.start_again();
    }

    /// Starts it again after it was stopped, at the same address with the same data.
    pub fn start_again(&mut self) {
        self.start_again_with(&[]);
    }

    /// The same with further arguments.
    pub fn start_again_with(&mut self, args: &[&str]) {
        let mut command = confwatch(&["serve", "--listen", &self.address, "--data-dir"]);
        command.arg(self.data.path()).arg("--keys-dir").arg(keys_of(self.data.path())).args(args);
        self.child = start(command).0;
    }

    /// A command with the address of this server, and nothing of the environment of the test.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = confwatch(args);
        command.env("CONFWATCH_SERVER", &self.address).env("CONFWATCH_ACTOR", "ada@test");
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        finish(self.command(args))
    }

    pub fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child = self
            .command(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("started");
        child.stdin.take().expect("piped").write_all(input.as_bytes()).expect("written");
        ran(child.wait_with_output().expect("ended"))
    }

    /// Runs a command that must succeed, and answers what it printed.
    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// The same with `-o json`.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    /// Runs a command that must fail with this code, and answers what it said.
    pub fn fails(&self, code: i32, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        assert!(ran.stderr.starts_with("error: "), "{args:?}: {ran:?}");
        ran.stderr
    }

    /// The same for one that colours what it says.
    pub fn fails_colored(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 4, "{args:?}: {ran:?}");
        ran.stderr
    }

    /// What a command answers with `-o json` that ends with this code.
    pub fn json_of(&self, code: i32, args: &[&str]) -> Value {
        let ran = self.run(&[args, &["-o", "json"]].concat());
        assert_eq!(ran.code, code, "{args:?}: {ran:?}");
        serde_json::from_str(&ran.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {ran:?}"))
    }

    /// Ends it as a crash does, and starts it again at the same address with the same data.
    pub fn crash_and_restart(&mut self) {
        self.kill();
        self.start_again();
    }

    /// Ends it as a crash does.
    pub fn kill(&mut self) {
        signal(&self.child, libc::SIGKILL);
        self.child.wait().expect("ended");
    }

    /// Asks the server to stop, and waits until it has ended.
    pub fn stop(&mut self) {
        signal(&self.child, libc::SIGTERM);
        let status = self.child.wait().expect("ended");
        assert_eq!(status.code(), Some(0), "a server that is told to stop ends well");
    }

    pub fn follow(&self, args: &[&str]) -> Following {
        Following::start(self.command(args))
    }
}

impl GuardedServer {
    pub fn start(args: &[&str]) -> GuardedServer {
        GuardedServer::start_in(TempDir::new().expect("a directory"), args)
    }

    /// On data of before.
    pub fn start_in(data: TempDir, args: &[&str]) -> GuardedServer {
        GuardedServer { server: Server::start_in(data, &[&["--auth", "on"], args].concat()) }
    }

    /// The file with the token of the administrator.
    pub fn token_file(&self) -> PathBuf {
        keys_of(self.server.data.path()).join("admin.token")
    }

    /// A command of the administrator.
    pub fn run(&self, args: &[&str]) -> Ran {
        let mut command = self.server.command(args);
        command.env("CONFWATCH_TOKEN_FILE", self.token_file());
        finish(command)
    }

    pub fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    /// The same with `-o json`. What a command prints line by line is a list.
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        let values = serde_json::Deserializer::from_str(&text).into_iter().collect::<Result<Vec<Value>, _>>();
        let mut values = values.unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"));
        if values.len() == 1 { values.remove(0) } else { Value::Array(values) }
    }
}

impl Following {
    pub fn start(mut command: Command) -> Following {
        let mut child = command.stdout(Stdio::piped()).spawn().expect("started");
        let lines = lines_of(child.stdout.take().expect("piped"));
        Following { child, lines }
    }

    pub fn line(&self) -> String {
        self.lines.recv_timeout(PATIENCE).expect("a line")
    }

    /// What it says on standard error, if that was made a pipe. The command waits for whoever has it to read on.
    pub fn stderr(&mut self) -> ChildStderr {
        self.child.stderr.take().expect("piped, and not taken before")
    }

    /// The exit code, after the command has ended by itself.
    pub fn end(mut self) -> i32 {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(_) => {}
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("the command has not ended"),
            }
        }
        self.child.wait().expect("ended").code().expect("a code")
    }

    /// Ctrl-C, and the exit code after it.
    pub fn interrupt(self) -> i32 {
        self.press_ctrl_c();
        self.end()
    }

    /// SIGTERM, and the exit code after it.
    pub fn terminate(self) -> i32 {
        signal(&self.child, libc::SIGTERM);
        self.end()
    }

    /// Lets it do nothing from now on, as a process that hangs.
    pub fn pause(&self) {
        signal(&self.child, libc::SIGSTOP);
    }

    pub fn press_ctrl_c(&self) {
        signal(&self.child, libc::SIGINT);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended already; then there is nothing to do.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Following {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn start(mut command: Command) -> (Child, String) {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("started");
    let lines = lines_of(child.stdout.take().expect("piped"));
    let line = lines.recv_timeout(PATIENCE).expect("the start-up line");
    let rest = line.strip_prefix("confwatch 0.1.0 serving on ").unwrap_or_else(|| panic!("{line}"));
    let address = rest.split(',').next().expect("an address").to_owned();
    (child, address)
}

pub fn serve(data: &Path) -> Command {
    let mut command = confwatch(&["serve", "--listen", "127.0.0.1:0", "--data-dir"]);
    command.arg(data).arg("--keys-dir").arg(keys_of(data));
    command
}

/// Where a test server keeps its keys: among its data, so that they go with them.
pub fn keys_of(data: &Path) -> PathBuf {
    data.join("keys")
}

pub fn confwatch(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    // Whoever runs the tests may be logged in somewhere.
    command.env("XDG_CONFIG_HOME", "/nonexistent").args(args).stdin(Stdio::null());
    command
}

pub fn finish(mut command: Command) -> Ran {
    ran(command.output().expect("ended"))
}

/// Runs a command on a terminal of this many columns, types this, and answers its exit code and everything that the terminal got.
pub fn on_terminal(command: Command, columns: u16, typed: &str) -> (i32, String) {
    on_terminal_asked(command, columns, "", typed)
}

/// The same, where nothing is typed before `question` is shown.
pub fn on_terminal_asked(mut command: Command, columns: u16, question: &str, typed: &str) -> (i32, String) {
    let (mut main, mut other) = (-1, -1);
    let size = libc::winsize { ws_row: 24, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the two numbers and the size live as long as the call; a name and settings are not asked for.
    let opened = unsafe {
        libc::openpty(&raw mut main, &raw mut other, std::ptr::null_mut(), std::ptr::null(), &raw const size)
    };
    assert_eq!(opened, 0, "a terminal");
    // SAFETY: both were just opened, and belong to nobody else.
    let (main, other) = unsafe { (OwnedFd::from_raw_fd(main), OwnedFd::from_raw_fd(other)) };
    let end = || Stdio::from(other.try_clone().expect("cloned"));
    let mut child = command.stdin(end()).stdout(end()).stderr(end()).spawn().expect("started");
    // The terminal ends when nobody has the other end any more.
    drop((other, command));
    let mut terminal = std::fs::File::from(main);
    let mut bytes = Vec::new();
    while !String::from_utf8_lossy(&bytes).contains(question) {
        let mut byte = [0];
        terminal.read_exact(&mut byte).expect("the question is asked");
        bytes.extend(byte);
    }
    terminal.write_all(typed.as_bytes()).expect("typed");
    // Linux says so by an error.
    let _ = terminal.read_to_end(&mut bytes);
    (child.wait().expect("ended").code().expect("a code"), String::from_utf8(bytes).expect("UTF-8"))
}

/// Waits for what nobody tells of when it happens.
pub fn until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

/// The text of a path, for arguments.
pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

fn signal(child: &Child, signal: libc::c_int) {
    let id = libc::pid_t::try_from(child.id()).expect("an id");
    // SAFETY: a signal to a child that was not waited for yet, so that its id is its own.
    assert_eq!(unsafe { libc::kill(id, signal) }, 0);
}

fn ran(output: std::process::Output) -> Ran {
    Ran {
        code: output.status.code().expect("a code"),
        stdout: String::from_utf8(output.stdout).expect("UTF-8"),
        stderr: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

pub fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    receiver
}
