//! The power is cut right after the first start: what it made and acknowledged is there, with the names of all directories above it. Knows the wire
//! and paths; no FUSE.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use confwatch::proto::v1::change::Action;
use confwatch::proto::v1::*;
use tokio::process::Command;
use tonic::Request;

use super::disk::Disk;
use super::model::{Names, Survives};
use super::seeded;
use super::server::{Server, Starting};

const SECRET: &str = r#"{"a":{"$secret":"one"}}"#;

/// Starts a server with authentication, which keeps its keys beside its data.
async fn start(data: &Path) -> Server {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confwatch"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("CONFWATCH_")) {
        command.env_remove(name);
    }
    command.args(["serve", "--listen", "127.0.0.1:0", "--log", "error", "--auth", "on", "--data-dir"]);
    let process = command.arg(data).stdout(Stdio::piped()).kill_on_drop(true).spawn();
    Starting { process: process.expect("the binary was built with this test") }.ready().await
}

fn token_of(data: &Path) -> PathBuf {
    data.with_file_name("data.keys").join("admin.token")
}

/// A request of the first administrator.
fn bearing<T>(token: &str, message: T) -> Request<T> {
    let mut request = Request::new(message);
    let credential = format!("Bearer {}", token.trim()).parse().expect("a token is ASCII");
    request.metadata_mut().insert("authorization", credential);
    request
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_first_start_makes_survives_a_power_cut_with_the_names_of_its_directories() {
    let mut rng = seeded();
    // Directories above the data: made by this start, or left by one that was killed before they were durable.
    for are_left in [false, true] {
        let Some(disk) = Disk::mount(Names::Posix, Duration::ZERO) else { return };
        let data = disk.path().join("above/further/data");
        if are_left {
            std::fs::create_dir_all(data.parent().expect("it is below the disk")).expect("made");
        }
        let mut server = start(&data).await;
        let token = std::fs::read_to_string(token_of(&data)).expect("the first administrator has a token");
        let change = Change {
            namespace: "test".into(),
            config: "app".into(),
            action: Some(Action::Replace(Text { content: SECRET.into(), format: Format::Json.into() })),
            ..Default::default()
        };
        let set = SetRequest { change: Some(change), options: None };
        server.client().await.set(bearing(&token, set)).await.expect("acknowledged");

        disk.fail();
        server.process.start_kill().expect("it runs");
        disk.cut(&Survives::Nothing, &mut rng);
        server.process.wait().await.expect("it was started here");
        disk.turn_on();

        let server = start(&data).await;
        let again = std::fs::read_to_string(token_of(&data)).expect("the token is still there");
        assert_eq!(again, token, "are left: {are_left}");
        let get = GetRequest { namespace: "test".into(), config: "app".into(), ..Default::default() };
        let got = server.client().await.get(bearing(&token, get)).await.expect("it is there").into_inner();
        assert_eq!(got.document.expect("a document").content, r#"{"a":"one"}"#, "are left: {are_left}");
    }
}
