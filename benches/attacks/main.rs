//! What attacks do to those who use the server as it is meant: delivery and memory under each, beside an idle run of the same server in the
//! same minute, and beside the same attack on another server of the machine.
//!
//! `cargo bench --bench attacks`; `-- NAME` runs those with that in their name. `docs/security.md` has the result.

mod attack;
mod bare;
mod server;
mod watchers;

use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use attack::{ALL, Attack, Target};
use bare::BareServer;
use server::Server;
use watchers::{Delivered, Watchers};

/// Of a run without an attack, and of what comes after one.
const IDLE: Duration = Duration::from_secs(3);
const AFTER: Duration = Duration::from_millis(1500);
const FILES_WANTED: u64 = 100_000;
/// An attack that does not end by itself is ended.
const PATIENCE: Duration = Duration::from_secs(60);

fn main() -> ExitCode {
    raise_file_limit();
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["--attack", name, address, token, tenant, files] => {
            attack_alone(name, address, token, tenant, files)
        }
        [bare::ARGUMENT] => {
            bare::serve();
            ExitCode::SUCCESS
        }
        wanted => measure(wanted),
    }
}

/// In a process of its own: what it costs is not to be taken for what the server costs.
#[tokio::main(flavor = "current_thread")]
async fn attack_alone(name: &str, address: &str, token: &str, tenant: &str, files: &str) -> ExitCode {
    let attack = ALL.iter().find(|attack| attack.name == name).expect("an attack");
    let files = (!files.is_empty()).then(|| files.into());
    let (address, token, tenant) =
        (address.parse().expect("an address"), token.to_owned(), tenant.to_owned());
    let target = Target { address, files, token, tenant };
    println!("{}", attack.run(&target, attack.size).await);
    ExitCode::SUCCESS
}

#[tokio::main]
async fn measure(wanted: &[&str]) -> ExitCode {
    let begin = Instant::now();
    println!(
        "| attack | reached | p50 idle → attacked | p99 idle → beside → attacked | p99 of Set | delivered | cores | waiting | RSS before / peak / after, MiB |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    let is_wanted =
        |attack: &&Attack| wanted.is_empty() || wanted.iter().any(|part| attack.name.contains(part));
    for attack in ALL.iter().filter(is_wanted) {
        println!("{}", row(attack).await);
    }
    println!("\nall of it took {:.0} s", begin.elapsed().as_secs_f64());
    ExitCode::SUCCESS
}

async fn row(attack: &Attack) -> String {
    let server = Server::start(attack.with_tls, attack.arguments).await;
    let watchers = Watchers::open(&server).await;
    let (waited, begin) = (server.waited(), Instant::now());
    let idle = watchers.while_(sleep(IDLE)).await;
    let waiting_idle = waiting(&server, waited, begin);
    let beside = match attack.with_tls {
        true => None,
        false => Some(watchers.while_(attack_on_another(attack, &server)).await),
    };
    let before = server.resident_bytes();
    let (mut reached, mut peak) = (String::new(), before);
    let (cpu, waited, begin) = (server.cpu(), server.waited(), Instant::now());
    let target = server.target();
    let attacked =
        watchers.while_(async { (reached, peak) = attack_beside(attack, &target, &server).await }).await;
    let cores = (server.cpu() - cpu).as_secs_f64() / begin.elapsed().as_secs_f64();
    let waiting_attacked = waiting(&server, waited, begin);
    sleep(AFTER).await;
    let after = server.resident_bytes();
    let milliseconds = |of: Duration| of.as_secs_f64() * 1e3;
    let both = |of: fn(&Delivered) -> Duration| {
        let (idle, attacked) = (milliseconds(of(&idle)), milliseconds(of(&attacked)));
        format!("{idle:.1} → {attacked:.1} ms ({:.1}×)", attacked / idle)
    };
    let all = |of: fn(&Delivered) -> Duration| {
        let (idle, attacked) = (milliseconds(of(&idle)), milliseconds(of(&attacked)));
        let beside =
            beside.as_ref().map_or("–".into(), |beside| format!("{:.1}", milliseconds(of(beside))));
        format!("{idle:.1} → {beside} → {attacked:.1} ms ({:.1}×)", attacked / idle)
    };
    format!(
        "| {} | {reached} | {} | {} | {} | {:.1} % | {cores:.1} | {waiting_idle:.2} → {waiting_attacked:.2} | {} / {} / {} |",
        attack.name,
        both(|delivered| delivered.p50),
        all(|delivered| delivered.p99),
        all(|delivered| delivered.set_p99),
        100.0 * attacked.share(),
        before >> 20,
        peak >> 20,
        after >> 20,
    )
}

/// How many threads of the server waited for a processor, on average since it had waited so long.
fn waiting(server: &Server, waited: Duration, begin: Instant) -> f64 {
    server.waited().saturating_sub(waited).as_secs_f64() / begin.elapsed().as_secs_f64()
}

/// Runs an attack on a server that is not measured, on the same machine.
async fn attack_on_another(attack: &Attack, server: &Server) {
    let bare = BareServer::start();
    let target = Target { address: bare.address, ..server.target() };
    attack_beside(attack, &target, server).await;
}

/// Runs an attack, and looks at the memory of the server meanwhile.
async fn attack_beside(attack: &Attack, target: &Target, server: &Server) -> (String, u64) {
    let files = target.files.as_ref().and_then(|files| files.to_str()).unwrap_or_default();
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args([
        "--attack",
        attack.name,
        &target.address.to_string(),
        &target.token,
        &target.tenant,
        files,
    ]);
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    server::die_with_parent(&mut command);
    // Attackers have machines of their own; here they share one with those who are measured, and give way to them.
    // SAFETY: a system call, which is allowed between fork and exec.
    unsafe {
        command.pre_exec(|| {
            libc::setpriority(libc::PRIO_PROCESS, 0, 19);
            Ok(())
        });
    }
    let mut child = command.spawn().expect("this program");
    let (begin, mut peak) = (Instant::now(), 0);
    while child.try_wait().expect("it was started").is_none() {
        if begin.elapsed() > PATIENCE {
            let _ = child.kill();
        }
        peak = peak.max(server.resident_bytes());
        sleep(Duration::from_millis(20)).await;
    }
    let output = child.wait_with_output().expect("it has ended");
    (String::from_utf8_lossy(&output.stdout).trim().to_owned(), peak)
}

/// For this process, and those that it starts.
fn raise_file_limit() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: they read and write `limit` alone.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit);
        limit.rlim_cur = limit.rlim_max.min(FILES_WANTED);
        libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
    }
}
