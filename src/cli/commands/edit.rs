//! `confwatch edit`: opens a layer in the editor of the user. Knows the client only.

use std::io::Write;
use std::path::Path;
use std::process::Command;

use anstream::adapter::strip_str;
use clap::Args;
use tempfile::NamedTempFile;

use super::get::pretty;
use super::set::set_line;
use crate::bounded_file::{self, DOCUMENT_FILE_BYTES_MAX};
use crate::cli::Session;
use crate::cli::files::source::{LayerId, Source, Sources};
use crate::cli::input::args::{DocumentFormat, Target, TargetArgs, WriteArgs};
use crate::cli::input::confirm::ConfirmArgs;
use crate::cli::input::reach::ReachArgs;
use crate::cli::input::similar_names::warn_of_new_layer;
use crate::cli::input::wait::WaitArgs;
use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::refusal::{found, refused, show_findings_in};
use crate::cli::output::views::SetView;
use crate::client::ClientError;
use crate::model::Scope;
use crate::proto::v1::{self, change::Action};

/// Edit a layer in $VISUAL or $EDITOR
#[derive(Args, Debug)]
#[command(after_help = "\
A document that the server refuses is opened again, with the reason at the top. Closing the editor without a change gives \
up; what was written then, or could not be stored, is kept in a file. If someone else has changed the layer meanwhile, \
nothing is written (exit code 5).

Examples:
  confwatch edit payments/checkout -s /production
  confwatch edit payments/checkout --format toml --reason 'new limits'
  EDITOR='code --wait' confwatch edit payments/checkout@/staging")]
pub struct EditArgs {
    #[command(flatten)]
    target: TargetArgs,
    /// Write the layer in this format [default: the format of its last replacement, else YAML]
    #[arg(long, value_enum)]
    format: Option<DocumentFormat>,
    #[command(flatten)]
    confirm: ConfirmArgs,
    #[command(flatten)]
    reach: ReachArgs,
    #[command(flatten)]
    write: WriteArgs,
    #[command(flatten)]
    wait: WaitArgs,
}

pub async fn run(args: EditArgs, session: &Session) -> Outcome {
    let target = args.target.target()?;
    let layer = fetch(&target, args.format, session).await?;
    let format = layer.format;
    let editor = editor()?;
    if layer.version == 0 {
        warn_of_new_layer(&change(&target, &layer, format.text("{}".into())), session).await;
    }
    let mut opened = layer.text.clone();
    let mut refusal: Option<Failure> = None;
    loop {
        let text = edit(&editor, &header(&target, refusal.as_ref()), &opened, format)?;
        if text == opened {
            return match refusal {
                None => {
                    session.output.note("unchanged");
                    Ok(Exit::Done)
                }
                Some(failure) => Err(keep(&text, format, failure)),
            };
        }
        if refusal.is_some() && text == layer.text {
            session.output.note("unchanged");
            return Ok(Exit::Done);
        }
        let change = change(&target, &layer, format.text(text.clone()));
        let sources = sources(&target, &text, format);
        let mut report = None;
        // What is wrong with the change is said by the write.
        if !args.write.dry_run
            && let Ok(tried) = session.client.set(change.clone(), args.write.dry_options()).await
        {
            let asked = (tried.reach.as_ref(), tried.report.as_ref());
            if args.reach.asks(args.confirm, &change.namespace, &change.config)
                && let Err(failure) = args.reach.confirm(args.confirm, asked, &session.output)
            {
                return Err(keep(&text, format, failure));
            }
            report = tried.report;
        }
        match session.client.set(change, args.write.options()).await {
            Ok(response) => {
                show_findings_in(&sources, found(response.report.as_ref(), report.as_ref()), session).await;
                session.output.answer(&SetView::from(&response), |output| {
                    output.line(&set_line(&response, v1::LayerKind::Base, args.write.dry_run))
                })?;
                let is_new = response.changed && !args.write.dry_run;
                let revision = is_new.then_some(response.store_revision);
                return args.wait.wait(revision, session).await;
            }
            Err(error) => {
                let failure = refused(error, &sources, Some(session)).await;
                if !failure.is_refusal() {
                    return Err(keep(&text, format, failure));
                }
                (opened, refusal) = (text, Some(failure));
            }
        }
    }
}

/// Replaces the layer as it was before the edit.
fn change(target: &Target, layer: &Layer, text: v1::Text) -> v1::Change {
    v1::Change {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope: target.read_scope(),
        kind: v1::LayerKind::Base.into(),
        expected_version: Some(layer.version),
        action: Some(Action::Replace(text)),
        ..Default::default()
    }
}

/// What was written, as findings know it.
fn sources(target: &Target, text: &str, format: DocumentFormat) -> Sources {
    let layer = Scope::parse(&target.read_scope()).ok().map(|scope| LayerId {
        namespace: target.namespace.clone(),
        config: target.config.clone(),
        scope,
        kind: v1::LayerKind::Base,
    });
    Sources(vec![Source {
        field: "change.replace".into(),
        name: "the document".into(),
        format,
        text: text.into(),
        layer,
        place: String::new(),
    }])
}

/// A layer as it is before the edit.
struct Layer {
    text: String,
    format: DocumentFormat,
    /// Of its last change. 0: there is none yet.
    version: u64,
}

/// In the format that was asked for, or the one that it was written in.
async fn fetch(target: &Target, asked: Option<DocumentFormat>, session: &Session) -> Result<Layer, Failure> {
    let format = asked.unwrap_or(DocumentFormat::Yaml);
    let Some(document) = fetch_as(target, format, session).await? else {
        return Ok(Layer { text: String::new(), format, version: 0 });
    };
    let layer = document.layers.first();
    let version = layer.map_or(0, |layer| layer.version);
    let written = layer.and_then(|layer| DocumentFormat::of_wire(layer.format()));
    let (format, document) = match written.filter(|written| asked.is_none() && *written != format) {
        Some(written) => (written, fetch_as(target, written, session).await?.unwrap_or(document)),
        None => (format, document),
    };
    let text = match format {
        DocumentFormat::Json => pretty(&document.content)?,
        DocumentFormat::Yaml | DocumentFormat::Toml => document.content,
    };
    Ok(Layer { text, format, version })
}

/// `None` if there is no such layer.
async fn fetch_as(
    target: &Target,
    format: DocumentFormat,
    session: &Session,
) -> Result<Option<v1::Document>, Failure> {
    let request = v1::GetRequest {
        view: v1::View::Layer.into(),
        format: format.to_wire().into(),
        ..target.get_request()
    };
    match session.client.api().get(request).await {
        Ok(response) => Ok(response.into_inner().document),
        Err(status) => match ClientError::from(status) {
            error if error.reason() == "CONFIG_NOT_FOUND" => Ok(None),
            error => Err(error.into()),
        },
    }
}

fn editor() -> Result<String, Failure> {
    let named = ["VISUAL", "EDITOR"].iter().filter_map(|name| std::env::var(name).ok());
    let mut named = named.filter(|editor| !editor.trim().is_empty());
    named.next().ok_or_else(|| Failure::usage("no editor: set VISUAL or EDITOR"))
}

fn header(target: &Target, refusal: Option<&Failure>) -> String {
    let mut header = format!(
        "# The layer {} of {}/{}. Lines at the top that begin with # are not part of it.\n",
        target.read_scope(),
        target.namespace,
        target.config
    );
    if let Some(failure) = refusal {
        header.push_str("#\n# It was refused:\n");
        // Colours are for terminals.
        for line in strip_str(&failure.to_string()).to_string().lines() {
            header.push_str(&format!("# {line}\n"));
        }
        header.push_str("#\n# Change it and try again, or close the editor without a change to give up.\n");
    }
    header
}

/// What the editor made of the text.
fn edit(editor: &str, header: &str, text: &str, format: DocumentFormat) -> Result<String, Failure> {
    let file = temporary(&format!("{header}{text}"), format)?;
    // Editors come with arguments (`code --wait`), which the shell takes apart.
    let status = Command::new("sh")
        .args(["-c", &format!("{editor} \"$1\""), "sh"])
        .arg(file.path())
        .status()
        .map_err(|error| Failure::io(format!("cannot run {editor}"), &error))?;
    // By its path: many editors put a new file in the place of the old one.
    let edited = bounded_file::read(file.path(), DOCUMENT_FILE_BYTES_MAX)
        .map_err(|error| Failure::io(file.path().display(), &error))?;
    let edited = String::from_utf8(edited).map_err(|_| Failure::refused("the edited text is not UTF-8"))?;
    let edited = without_header(&edited).to_owned();
    if !status.success() {
        let failure = Failure::new(Exit::Failed, format!("{editor} failed ({status}), nothing is stored"));
        return Err(if edited == text { failure } else { keep(&edited, format, failure) });
    }
    Ok(edited)
}

/// The text below the lines at the top that begin with `#`.
fn without_header(text: &str) -> &str {
    let mut rest = text;
    while rest.starts_with('#') {
        rest = rest.find('\n').map_or("", |end| &rest[end + 1..]);
    }
    rest
}

/// Saves what was written, and says where.
fn keep(text: &str, format: DocumentFormat, failure: Failure) -> Failure {
    match temporary(text, format).map(|file| file.keep()) {
        Ok(Ok((_, path))) => failure.with(format!("what you wrote is in {}", path.display())),
        Ok(Err(error)) => failure.with(format!("what you wrote could not be kept: {error}")),
        Err(error) => failure.with(format!("what you wrote could not be kept: {}", error.message)),
    }
}

fn temporary(text: &str, format: DocumentFormat) -> Result<NamedTempFile, Failure> {
    let suffix = format!(".{}", format.extension());
    let file = tempfile::Builder::new().prefix("confwatch-edit-").suffix(&suffix).tempfile();
    let failed = |error: &std::io::Error| Failure::io(Path::new("a temporary file").display(), error);
    let mut file = file.map_err(|error| failed(&error))?;
    file.write_all(text.as_bytes()).and_then(|()| file.flush()).map_err(|error| failed(&error))?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_at_the_top_are_the_header() {
        assert_eq!(without_header("# a\n# b\nport: 80\n# mine\n"), "port: 80\n# mine\n");
        assert_eq!(without_header("port: 80\n"), "port: 80\n");
        assert_eq!(without_header("# a"), "");
    }

    #[test]
    fn the_header_of_a_refused_text_has_every_line_of_the_reason() {
        let target: Target = "a/b@/c".parse().expect("a target");
        let header = header(&target, Some(&Failure::refused("no").with("at /port")));
        assert!(header.lines().all(|line| line.starts_with('#')), "{header}");
        assert!(header.contains("error: no") && header.contains("at /port"), "{header}");
        assert_eq!(without_header(&format!("{header}x: 1\n")), "x: 1\n");
    }
}
