//! Hands a document over: to a file, and to a command. Knows files and processes; never a watch.

use std::path::PathBuf;
use std::process::Stdio;

use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::cli::input::args::DocumentFormat;
use crate::client::file::{self, Mode};
use crate::model::text::{Format, render as render_text, render_pretty_json};
use crate::proto::v1::Document;

/// Where documents go.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub exec: Option<String>,
    pub file: Option<PathBuf>,
    pub format: Option<DocumentFormat>,
    /// The permissions of the file. `None`: those that it has, or that its content needs.
    pub mode: Option<u32>,
    /// Also documents whose secrets are masked.
    pub delivers_masked: bool,
}

/// Why a document was not handed over.
#[derive(Debug)]
pub enum Undelivered {
    /// The file is not what it should be: worth another try.
    File(String),
    /// The command has had its say.
    Command(String),
}

/// A document as of a revision.
#[derive(Debug)]
pub struct Update {
    pub revision: u64,
    pub document: Document,
}

impl Delivery {
    pub fn is_nothing(&self) -> bool {
        self.exec.is_none() && self.file.is_none()
    }

    /// What to say of a target (namespace, config, scope) that has no document, so that nothing is delivered.
    pub fn of_absent(&self, (namespace, config, scope): &(String, String, String)) -> String {
        let stays = match &self.file {
            Some(path) => format!("{} stays as it is", path.display()),
            None => "the command is not run".to_owned(),
        };
        format!("{namespace}/{config} {scope} has no document: nothing is delivered, and {stays}")
    }

    /// Writes the file, then runs the command.
    pub async fn run(&self, update: &Update) -> Result<(), Undelivered> {
        if let (false, Some(why)) = (self.delivers_masked, masked(&update.document)) {
            return Err(Undelivered::Command(why));
        }
        let text = render(&update.document.content, self.format).map_err(Undelivered::Command)?;
        if let Some(path) = self.file.clone() {
            let content = text.clone();
            let has_secrets = !update.document.revealed_pointers.is_empty();
            let mode = match (self.mode, has_secrets) {
                (Some(mode), _) => Mode::Exactly(mode),
                (None, true) => Mode::Private,
                (None, false) => Mode::Usual,
            };
            let written = tokio::task::spawn_blocking(move || {
                file::write(&path, content.as_bytes(), mode)
                    .map_err(|error| format!("cannot write {}: {error}", path.display()))
            });
            written.await.unwrap_or_else(|error| Err(error.to_string())).map_err(Undelivered::File)?;
        }
        match &self.exec {
            Some(command) => self.execute(command, update, text).await.map_err(Undelivered::Command),
            None => Ok(()),
        }
    }

    async fn execute(&self, command: &str, update: &Update, text: String) -> Result<(), String> {
        let Update { revision, document } = update;
        let failed = |error: std::io::Error| format!("cannot run {command:?}: {error}");
        let mut shell = Command::new("sh");
        shell
            .args(["-c", command])
            .env("CONFWATCH_NAMESPACE", &document.namespace)
            .env("CONFWATCH_CONFIG", &document.config)
            .env("CONFWATCH_SCOPE", &document.scope)
            .env("CONFWATCH_VERSION", document.version.to_string())
            .env("CONFWATCH_REVISION", revision.max(&document.revision).to_string())
            .env("CONFWATCH_DIGEST", &document.digest)
            .stdin(Stdio::piped());
        if let Some(path) = &self.file {
            shell.env("CONFWATCH_FILE", path);
        }
        let mut child = shell.spawn().map_err(failed)?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command need not read what it is given.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (status, ()) = tokio::join!(child.wait(), feed);
        match status.map_err(failed)? {
            status if status.success() => Ok(()),
            status => Err(format!("{command:?} failed: {status}")),
        }
    }
}

/// Why a document is not to be handed to a program: it has something else where its secrets are.
fn masked(document: &Document) -> Option<String> {
    let pointers = &document.hidden_pointers;
    let first = pointers.first().filter(|first| !first.is_empty());
    let which = match (first, pointers.len()) {
        (None, 0) => return None,
        (None, _) => "its secrets are".to_owned(),
        (Some(first), 1) => format!("the secret {first} is"),
        (Some(first), count) => format!("{count} secrets are, the first of them {first},"),
    };
    let Document { namespace, config, scope, .. } = document;
    Some(format!(
        "{namespace}/{config} {scope} is not delivered: {which} masked, because you may not reveal-secret there; \
         grant that, or deliver fingerprints by --deliver-masked"
    ))
}

/// JSON as text in a format; indented JSON if none is named.
pub fn render(json: &str, format: Option<DocumentFormat>) -> Result<String, String> {
    let value =
        serde_json::from_str(json).map_err(|error| format!("the server sent what is not JSON: {error}"))?;
    let format = match format {
        None | Some(DocumentFormat::Json) => return Ok(render_pretty_json(&value)),
        Some(DocumentFormat::Yaml) => Format::Yaml,
        Some(DocumentFormat::Toml) => Format::Toml,
    };
    render_text(&value, format).map_err(|error| error.to_string())
}
