//! The server that is attacked: a process of its own, with its defaults. Knows how it is started and what it takes.

use std::fs;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use confwatch::client::{Client, ConnectOptions, TlsOptions};
use confwatch::proto::v1::CreateTokenRequest;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;

use super::attack::Target;

/// Killed when it is dropped, and its data removed.
pub struct Server {
    child: Child,
    address: SocketAddr,
    directory: TempDir,
    with_tls: bool,
    /// Of somebody who may read, and write the config that is watched.
    token: String,
    /// Of another tenant, whose namespace is `hostile`.
    tenant: String,
}

impl Server {
    /// Asks for credentials; with TLS, for certificates as well.
    pub async fn start(with_tls: bool, arguments: &[&str]) -> Server {
        let directory =
            TempDir::with_prefix_in("attacks-", env!("CARGO_TARGET_TMPDIR")).expect("a directory");
        make_certificates(directory.path());
        let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
            command.env_remove(name);
        }
        command.args(["serve", "--listen", "127.0.0.1:0", "--auth", "on", "--log", "warn", "--data-dir"]);
        let keys = directory.path().join("keys");
        command.arg(directory.path().join("data")).arg("--keys-dir").arg(&keys).args(arguments);
        if with_tls {
            for (flag, file) in
                [("--tls-cert", "server.pem"), ("--tls-key", "server-key.pem"), ("--tls-client-ca", "ca.pem")]
            {
                command.arg(flag).arg(directory.path().join(file));
            }
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
        die_with_parent(&mut command);
        let mut child = command.spawn().expect("it was built");
        let mut line = String::new();
        BufReader::new(child.stdout.take().expect("piped")).read_line(&mut line).expect("it says where");
        let rest = line.split("serving on ").nth(1).unwrap_or_else(|| panic!("{line}"));
        let address = rest.split(',').next().and_then(|text| text.parse().ok()).expect("an address");
        let admin = fs::read_to_string(keys.join("admin.token")).expect("it is there");
        let mut server = Server {
            child,
            address,
            directory,
            with_tls,
            token: admin.trim().to_owned(),
            tenant: String::new(),
        };
        server.prepare().await;
        server
    }

    /// A policy, and a token that may read and write what is watched.
    async fn prepare(&mut self) {
        let admin = self.client();
        let policy = r#"{"bindings": [
            {"subjects": ["user:admin"], "role": "admin", "namespace": "*", "config": "*", "scope": "/"},
            {"subjects": ["token:service"], "role": "editor", "namespace": "test", "config": "*", "scope": "/"},
            {"subjects": ["token:tenant"], "role": "editor", "namespace": "hostile", "config": "*", "scope": "/"}
        ]}"#;
        let change = super::watchers::replace("confwatch", "policy", policy.to_owned());
        admin.set(change, Default::default()).await.expect("the policy is good");
        let token = async |name: &str| {
            let request = CreateTokenRequest { name: name.into(), ..Default::default() };
            admin.access().create_token(request).await.expect("made").into_inner().token
        };
        (self.token, self.tenant) = (token("service").await, token("tenant").await);
    }

    /// On a connection of its own.
    pub fn client(&self) -> Client {
        let file = |name: &str| Some(self.directory.path().join(name));
        let tls = TlsOptions {
            ca: file("ca.pem"),
            certificate: file("client.pem"),
            key: file("client-key.pem"),
            ..TlsOptions::default()
        };
        let scheme = if self.with_tls { "https" } else { "http" };
        Client::connect(ConnectOptions {
            address: format!("{scheme}://localhost:{}", self.address.port()),
            tls: if self.with_tls { tls } else { TlsOptions::default() },
            token: Some(self.token.parse().expect("a token")),
            ..ConnectOptions::default()
        })
        .expect("options that make sense")
    }

    pub fn target(&self) -> Target {
        let files: Option<PathBuf> = self.with_tls.then(|| self.directory.path().to_owned());
        Target { address: self.address, files, token: self.token.clone(), tenant: self.tenant.clone() }
    }

    pub fn resident_bytes(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("it runs");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") << 10
    }

    /// The processor time that it has used.
    pub fn cpu(&self) -> Duration {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(')').next().expect("after its name").split_whitespace().collect();
        let ticks: u64 = fields[11..13].iter().map(|field| field.parse::<u64>().expect("a number")).sum();
        // A tick is a hundredth of a second, wherever Linux runs.
        Duration::from_millis(10 * ticks)
    }
}

impl Server {
    /// How long its threads were ready to run and had no processor, those that have ended left out: what others on the machine took.
    pub fn waited(&self) -> Duration {
        let threads = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("it runs");
        let of_thread = |thread: fs::DirEntry| {
            let stat = fs::read_to_string(thread.path().join("schedstat")).ok()?;
            stat.split_whitespace().nth(1)?.parse::<u64>().ok()
        };
        Duration::from_nanos(threads.flatten().filter_map(of_thread).sum())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It must not outlive this program, however that ends.
pub fn die_with_parent(command: &mut Command) {
    // SAFETY: a system call, which is allowed between fork and exec. The thread that spawns is the main one.
    unsafe {
        command.pre_exec(|| {
            libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
            Ok(())
        });
    }
}

/// Of a CA that is trusted: a server and a client, and a client that has expired; and one of a stranger.
fn make_certificates(directory: &Path) {
    let authority = || {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("a certificate")
    };
    let write = |name: &str, text: &str| fs::write(directory.join(name), text).expect("written");
    let (ca, other) = (authority(), authority());
    write("ca.pem", &ca.pem());
    for (name, issuer, has_expired) in
        [("server", &ca, false), ("client", &ca, false), ("expired", &ca, true), ("stranger", &other, false)]
    {
        let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
        params.distinguished_name.push(DnType::CommonName, name);
        if has_expired {
            params.not_after = rcgen::date_time_ymd(2020, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        write(&format!("{name}.pem"), &params.signed_by(&key, issuer).expect("a certificate").pem());
        write(&format!("{name}-key.pem"), &key.serialize_pem());
    }
}
