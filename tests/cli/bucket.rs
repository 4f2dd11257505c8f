//! Backups in a bucket of S3, by a server with the same protocol: made, listed, verified, pinned, pruned and restored; and what is said where the
//! bucket, its credentials or its server are missing.

use std::fs;
use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::{Following, PATIENCE, Ran, confwatch, finish, keys_of, lines_of, serve, text, until};
use crate::tools;

/// More than one part of an upload.
const LAYERS: usize = 26;
const LAYER_BYTES: usize = 900_000;

/// A server with the protocol of S3, which ends with the test.
struct Storage {
    process: Child,
    stdin: Mutex<ChildStdin>,
    lines: Receiver<String>,
    endpoint: String,
    key: String,
    secret: String,
}

impl Storage {
    /// `None`, and says so, where the packages are missing.
    fn start() -> Option<Storage> {
        let python = tools::python("moto.server, boto3")?;
        let script = tools::root().join("tests/support/s3_server.py");
        let mut command = Command::new(python);
        command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut process = command.spawn().expect("started");
        let lines = lines_of(process.stdout.take().expect("piped"));
        let line = lines.recv_timeout(PATIENCE).expect("it says where it is");
        let said: Value = serde_json::from_str(&line).expect("JSON");
        let of = |name: &str| said[name].as_str().expect("a text").to_owned();
        let (endpoint, key, secret) = (of("endpoint"), of("key"), of("secret"));
        let stdin = Mutex::new(process.stdin.take().expect("piped"));
        Some(Storage { process, stdin, lines, endpoint, key, secret })
    }

    fn ask(&self, command: &str) -> Vec<String> {
        writeln!(self.stdin.lock().expect("nobody fails here"), "{command}").expect("written");
        let line = self.lines.recv_timeout(PATIENCE).expect("an answer");
        serde_json::from_str(&line).expect("names")
    }

    fn address(&self) -> SocketAddr {
        self.endpoint.trim_start_matches("http://").parse().expect("an address")
    }
}

impl Drop for Storage {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A command that reaches a bucket by the variables that programs for S3 share, and by nothing else of the environment.
fn reaching(mut command: Command, variables: &[(&str, &str)]) -> Command {
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_")) {
        command.env_remove(name);
    }
    // No server for the credentials of a machine is there to be asked.
    command.env("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1").env("HOME", "/nonexistent");
    command.envs(variables.iter().copied());
    command
}

/// A server of ours that keeps its backups in a bucket.
struct Keeping {
    data: TempDir,
    server: Option<Following>,
    address: String,
}

impl Keeping {
    fn start(location: &str, variables: &[(&str, &str)]) -> Keeping {
        let mut keeping =
            Keeping { data: TempDir::new().expect("a directory"), server: None, address: String::new() };
        keeping.start_again(location, variables);
        keeping
    }

    fn start_again(&mut self, location: &str, variables: &[(&str, &str)]) {
        self.server = None;
        let mut command = serve(self.data.path());
        command.args(["--backup-dir", location, "--log", "off"]);
        let server = Following::start(reaching(command, variables));
        let line = server.line();
        let rest = line.strip_prefix("confwatch 0.1.0 serving on ").unwrap_or_else(|| panic!("{line}"));
        self.address = rest.split(',').next().expect("an address").to_owned();
        self.server = Some(server);
    }

    fn run(&self, args: &[&str]) -> Ran {
        let mut command = confwatch(args);
        command.env("CONFWATCH_SERVER", &self.address);
        finish(command)
    }

    fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}: {ran:?}");
        ran.stdout
    }

    fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["-o", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}: {text}"))
    }

    fn create(&self, args: &[&str]) -> String {
        let made = self.json(&[&["backup", "create"], args].concat());
        made["id"].as_str().expect("an id").to_owned()
    }

    fn ids(&self) -> Vec<String> {
        let listed = self.json(&["backup", "list"]);
        let backups = listed["backups"].as_array().expect("backups");
        backups.iter().map(|backup| backup["id"].as_str().expect("an id").to_owned()).collect()
    }
}

/// Writes what no compression makes small.
fn fill(keeping: &Keeping) {
    let dir = TempDir::new().expect("a directory");
    for number in 0..LAYERS {
        let filler: String = (0..LAYER_BYTES).map(|_| fastrand::alphanumeric()).collect();
        let file = dir.path().join(format!("{number}.json"));
        fs::write(&file, json!({ "text": filler }).to_string()).expect("written");
        keeping.ok(&["set", &format!("test/c{number}"), "-F", text(&file)]);
    }
}

#[test]
fn backups_in_a_bucket_are_listed_verified_pinned_pruned_and_restored() {
    let Some(storage) = Storage::start() else { return };
    let variables = [
        ("AWS_ENDPOINT_URL", storage.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", storage.key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", storage.secret.as_str()),
        ("AWS_REGION", "us-east-1"),
    ];
    let location = "s3://backups/of/confwatch";
    let mut keeping = Keeping::start(location, &variables);
    fill(&keeping);
    keeping.ok(&["set", "payments/checkout", r#"password={"$secret":"hunter2"}"#]);
    let full = keeping.create(&[]);
    keeping.ok(&["set", "payments/checkout", "retries=3"]);
    let more = keeping.create(&["--since", &full]);
    let state = keeping.create(&["payments", "--kind", "state"]);
    assert_eq!(keeping.ids(), [state.clone(), more.clone(), full.clone()]);
    let objects = storage.ask("objects");
    let expected =
        [&full, &more, &state].map(|id| [".cwb", ".json"].map(|end| format!("of/confwatch/{id}{end}")));
    let mut expected = expected.concat();
    expected.sort();
    assert_eq!((objects, storage.ask("uploads")), (expected, vec![]));

    assert!(keeping.ok(&["backup", "show", &full]).contains("full"));
    assert!(keeping.ok(&["backup", "verify", &full]).starts_with("intact: "));
    keeping.ok(&["backup", "pin", &state]);
    // A note that is lost is made again from the file, by its first and last bytes.
    storage.ask(&format!("delete of/confwatch/{more}.json"));
    // What a bucket has outlives the server.
    keeping.start_again(location, &variables);
    assert_eq!(keeping.ids(), [state.clone(), more.clone(), full.clone()]);
    assert_eq!(keeping.json(&["backup", "show", &state])["pinned"], json!(true));

    // A command reads them where they are.
    let url = |id: &str| format!("{location}/{id}.cwb");
    let offline = |args: &[&str]| finish(reaching(confwatch(args), &variables));
    let shown = offline(&["backup", "show", &url(&more)]);
    assert!(shown.code == 0 && shown.stdout.contains("incremental"), "{shown:?}");
    let verified = offline(&["backup", "verify", &url(&full)]);
    assert!(verified.code == 0 && verified.stdout.starts_with("intact: full backup"), "{verified:?}");
    let elsewhere = TempDir::new().expect("a directory");
    let data = elsewhere.path().join("data");
    let key = keys_of(keeping.data.path()).join("master.key");
    let restored = offline(&[
        "backup",
        "restore",
        &url(&full),
        &url(&more),
        "--data-dir",
        text(&data),
        "--master-key-file",
        text(&key),
    ]);
    assert_eq!(restored.code, 0, "{restored:?}");
    fs::create_dir(keys_of(&data)).expect("made");
    fs::copy(&key, keys_of(&data).join("master.key")).expect("copied");
    let server = Following::start(serve(&data));
    let line = server.line();
    let address =
        line.split(" serving on ").nth(1).expect("an address").split(',').next().expect("an address");
    let mut get = confwatch(&["get", "payments/checkout", "--reveal", "-o", "json"]);
    get.env("CONFWATCH_SERVER", address);
    let found = finish(get);
    assert!(
        found.code == 0 && found.stdout.contains("hunter2") && found.stdout.contains("retries"),
        "{found:?}"
    );

    // The full backup stays as long as the incremental one that follows it, and the pinned one in any case.
    keeping.ok(&["backup", "prune", "--keep", "2"]);
    assert_eq!(keeping.ids(), [state.clone(), more.clone(), full.clone()]);
    let last = keeping.create(&[]);
    keeping.ok(&["backup", "prune", "--keep", "1"]);
    assert_eq!(keeping.ids(), [last.clone(), state.clone()]);
    assert_eq!(storage.ask("objects").len(), 4);
    for (args, code) in [(["backup", "show", &full], 3), (["backup", "verify", "../backups"], 3)] {
        assert_eq!(keeping.run(&args).code, code, "{args:?}");
    }
    let refused = keeping.run(&["backup", "create", "-f", "s3://backups/new.cwb"]);
    assert!(refused.code == 2 && refused.stderr.contains("--backup-dir"), "{refused:?}");
}

#[test]
fn credentials_are_taken_from_the_files_of_a_profile() {
    let Some(storage) = Storage::start() else { return };
    let dir = TempDir::new().expect("a directory");
    let [credentials, config] = ["credentials", "config"].map(|name| dir.path().join(name));
    let write = |key: &str| {
        let secret = &storage.secret;
        let text = format!("[backup]\naws_access_key_id = {key}\naws_secret_access_key = {secret}\n");
        fs::write(&credentials, text).expect("written");
    };
    write(&storage.key);
    let endpoint = &storage.endpoint;
    fs::write(&config, format!("[profile backup]\nregion = us-east-1\nendpoint_url = {endpoint}\n"))
        .expect("written");
    let variables = [
        ("AWS_SHARED_CREDENTIALS_FILE", text(&credentials)),
        ("AWS_CONFIG_FILE", text(&config)),
        ("AWS_PROFILE", "backup"),
    ];
    let keeping = Keeping::start("s3://backups", &variables);
    keeping.ok(&["set", "shop/app", "a=1"]);
    let first = keeping.create(&[]);
    // Other credentials are in use as soon as they are in the file.
    write("AKIAEXPIRED");
    assert_eq!(keeping.run(&["backup", "create"]).code, 6);
    write(&storage.key);
    let second = keeping.create(&[]);
    assert_eq!(keeping.ids(), [second, first]);
    let mut other = serve(&dir.path().join("data"));
    other.args(["--backup-dir", "s3://backups"]);
    let refused = finish(reaching(other, &[variables[0], variables[1], ("AWS_PROFILE", "none")]));
    assert!(refused.code == 2 && refused.stderr.contains("there is no profile none"), "{refused:?}");
}

#[test]
fn a_bucket_that_cannot_be_used_is_named_with_the_reason_and_the_server_serves_without_it() {
    let Some(storage) = Storage::start() else { return };
    let good = [
        ("AWS_ENDPOINT_URL", storage.endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", storage.key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", storage.secret.as_str()),
    ];
    let wrong = [good[0], ("AWS_ACCESS_KEY_ID", "AKIAWRONG"), ("AWS_SECRET_ACCESS_KEY", "wrong")];
    for (location, variables, reason) in
        [("s3://missing/of", &good, "NoSuchBucket"), ("s3://backups/of", &wrong, "InvalidAccessKeyId")]
    {
        let keeping = Keeping::start(location, variables);
        keeping.ok(&["set", "shop/app", "a=1"]);
        for args in [&["backup", "create"][..], &["backup", "list"]] {
            let failed = keeping.run(args);
            assert!(
                failed.code == 6 && failed.stderr.contains("the log of the server has the cause"),
                "{failed:?}"
            );
        }
        let url = format!("{location}/a.cwb");
        let failed = finish(reaching(confwatch(&["backup", "verify", &url]), variables));
        let is_named = failed.stderr.contains(&url);
        assert!(is_named && (failed.code == 3 || failed.code == 1), "{reason}: {failed:?}");
        // The log of a start says it, too, and why.
        let data = TempDir::new().expect("a directory");
        let mut command = serve(data.path());
        command.args(["--backup-dir", location, "--log", "error"]).stderr(Stdio::piped());
        let mut server = Following::start(reaching(command, variables));
        let log = lines_of(server.stderr());
        let line = log.recv_timeout(PATIENCE).expect("a line");
        assert!(line.contains(location) && line.contains(reason), "{line}");
    }
    let refused = finish(reaching(confwatch(&["backup", "show", "s3://"]), &good));
    assert!(refused.code != 0 && refused.stderr.contains("s3://BUCKET/NAME is expected"), "{refused:?}");
    let mut command = serve(TempDir::new().expect("a directory").path());
    command.args(["--backup-dir", "s3://a b/c"]);
    let refused = finish(reaching(command, &good));
    assert!(refused.code == 2 && refused.stderr.contains("is not the name of a bucket"), "{refused:?}");
}

/// Passes connections on to a server, until it has passed so many bytes: then it closes all, and perhaps takes no more.
struct Cable {
    address: SocketAddr,
    state: Arc<CableState>,
}

struct CableState {
    bytes_left: AtomicI64,
    /// What happens then.
    stays_cut: AtomicBool,
    is_cut: AtomicBool,
    cuts: AtomicI64,
}

impl Cable {
    fn to(server: SocketAddr) -> Cable {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let state = Arc::new(CableState {
            bytes_left: AtomicI64::new(i64::MAX),
            stays_cut: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            cuts: AtomicI64::new(0),
        });
        let shared = state.clone();
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if shared.is_cut.load(Ordering::SeqCst) {
                    continue;
                }
                let Ok(upstream) = TcpStream::connect(server) else { continue };
                let back = (upstream.try_clone().expect("cloned"), client.try_clone().expect("cloned"));
                let shared = shared.clone();
                thread::spawn(move || shared.pass(client, upstream, true));
                let state = CableState::free();
                thread::spawn(move || state.pass(back.0, back.1, false));
            }
        });
        Cable { address, state }
    }

    fn cut_after(&self, bytes: i64, stays_cut: bool) {
        self.state.stays_cut.store(stays_cut, Ordering::SeqCst);
        self.state.bytes_left.store(bytes, Ordering::SeqCst);
    }

    fn mend(&self) {
        self.state.bytes_left.store(i64::MAX, Ordering::SeqCst);
        self.state.is_cut.store(false, Ordering::SeqCst);
    }

    fn cuts(&self) -> i64 {
        self.state.cuts.load(Ordering::SeqCst)
    }
}

impl CableState {
    /// For the way back, whose bytes are not counted.
    fn free() -> CableState {
        CableState {
            bytes_left: AtomicI64::new(i64::MAX),
            stays_cut: AtomicBool::new(false),
            is_cut: AtomicBool::new(false),
            cuts: AtomicI64::new(0),
        }
    }

    fn pass(&self, mut from: TcpStream, mut to: TcpStream, is_counted: bool) {
        let mut bytes = vec![0; 64 << 10];
        while let Ok(count) = from.read(&mut bytes) {
            if count == 0 {
                break;
            }
            if is_counted && self.bytes_left.fetch_sub(count as i64, Ordering::SeqCst) < count as i64 {
                self.is_cut.store(self.stays_cut.load(Ordering::SeqCst), Ordering::SeqCst);
                self.bytes_left.store(i64::MAX, Ordering::SeqCst);
                self.cuts.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if to.write_all(&bytes[..count]).is_err() {
                break;
            }
        }
        // Whoever has closed it already may not be there any more.
        let _ = from.shutdown(Shutdown::Both);
        let _ = to.shutdown(Shutdown::Both);
    }
}

#[test]
fn a_storage_that_is_lost_in_the_middle_leaves_no_backup_and_the_next_one_is_made() {
    let Some(storage) = Storage::start() else { return };
    let cable = Cable::to(storage.address());
    let endpoint = format!("http://{}", cable.address);
    let variables = [
        ("AWS_ENDPOINT_URL_S3", endpoint.as_str()),
        ("AWS_ACCESS_KEY_ID", storage.key.as_str()),
        ("AWS_SECRET_ACCESS_KEY", storage.secret.as_str()),
    ];
    let keeping = Keeping::start("s3://backups/of", &variables);
    fill(&keeping);
    // A connection that is lost once: the part is sent again.
    cable.cut_after(8 << 20, false);
    let first = keeping.create(&[]);
    assert_eq!(cable.cuts(), 1, "it was lost in the middle of a part");
    assert!(keeping.ok(&["backup", "verify", &first]).starts_with("intact: "));

    // A storage that stays away: there is an error, and nothing of the backup.
    cable.cut_after(8 << 20, true);
    let failed = keeping.run(&["backup", "create"]);
    assert_eq!((failed.code, cable.cuts()), (6, 2), "{failed:?}");
    assert_eq!(keeping.run(&["backup", "list"]).code, 6, "no list is not an empty list");
    let objects = || storage.ask("objects").into_iter().filter(|name| name.ends_with(".cwb")).count();
    assert_eq!(objects(), 1);
    assert!(keeping.ok(&["set", "shop/app", "a=1"]).contains("shop/app"), "the server serves");
    cable.mend();
    assert_eq!(keeping.ids(), std::slice::from_ref(&first));
    let second = keeping.create(&[]);
    assert!(keeping.ok(&["backup", "verify", &second]).starts_with("intact: "));
    assert_eq!((keeping.ids(), objects()), (vec![second, first], 2));

    // A server that stops does not wait for a storage that is away.
    cable.cut_after(8 << 20, true);
    let mut creating = confwatch(&["backup", "create"]);
    creating.env("CONFWATCH_SERVER", &keeping.address).stderr(Stdio::null());
    let creating = Following::start(creating);
    until("the connection is lost", || cable.cuts() == 3);
    let server = keeping.server.expect("it runs");
    assert_eq!(server.terminate(), 0);
    assert_ne!(creating.end(), 0);
}
