//! The command line: one file per subcommand. Knows the client, and for `serve` and `fsck` how to start a server and open
//! a store; the engine for `validate --offline` alone.

mod commands;
mod files;
mod input;
mod login;
mod output;

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};
use tokio::runtime::Builder;

use crate::bounded_file::{self, SMALL_FILE_BYTES_MAX};
use crate::client::{Client, ConnectOptions};
use output::exit::{EXIT_CODES, Exit, Failure, Outcome};
use output::streams::{Color, Output, OutputFormat};

/// Store layered, versioned configuration, and push it to its watchers
#[derive(Parser, Debug)]
#[command(name = "confwatch", version, max_term_width = 120, after_help = EXIT_CODES)]
struct Cli {
    #[command(flatten)]
    global: GlobalArgs,
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Options of every command")]
struct GlobalArgs {
    /// Connect to this server: host:port, or https://host:port with TLS
    #[arg(
        long,
        global = true,
        env = "CONFWATCH_SERVER",
        value_name = "ADDRESS",
        default_value = "127.0.0.1:7420"
    )]
    server: String,
    #[command(flatten)]
    tls: input::tls::TlsArgs,
    #[command(flatten)]
    credential: input::credential::CredentialArgs,
    /// How to write answers; of streams, json is one object on each line
    #[arg(short, long, global = true, env = "CONFWATCH_OUTPUT", value_enum, default_value_t = OutputFormat::Table)]
    output: OutputFormat,
    /// Who makes the changes, for the history, where the server believes everybody; without it, user@host
    #[arg(long, global = true, env = "CONFWATCH_ACTOR")]
    actor: Option<String>,
    /// Show secrets in clear text where you may see them, which is recorded; without this, every secret that is printed is masked
    #[arg(long, global = true)]
    reveal: bool,
    /// Wait so long for a response
    #[arg(long, global = true, env = "CONFWATCH_TIMEOUT", value_name = "DURATION", default_value = "30s", value_parser = input::args::duration)]
    timeout: Duration,
    /// Use colours; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, global = true, value_enum, default_value_t = Color::Auto)]
    color: Color,
}

#[derive(Subcommand, Debug)]
enum Subcommands {
    Serve(Box<commands::serve::ServeArgs>),
    Get(commands::get::GetArgs),
    Set(commands::set::SetArgs),
    Apply(commands::apply::ApplyArgs),
    Export(commands::export::ExportArgs),
    Edit(commands::edit::EditArgs),
    Delete(commands::delete::DeleteArgs),
    Validate(commands::validate::ValidateArgs),
    Schema(commands::schema::SchemaArgs),
    Migrate(commands::migrate::MigrateArgs),
    Secrets(commands::secrets::SecretsArgs),
    Rollback(commands::rollback::RollbackArgs),
    Revert(commands::revert::RevertArgs),
    Restore(commands::restore::RestoreArgs),
    History(commands::history::HistoryArgs),
    Diff(commands::diff::DiffArgs),
    Search(commands::search::SearchArgs),
    Drift(commands::drift::DriftArgs),
    Explain(commands::explain::ExplainArgs),
    Blame(commands::blame::BlameArgs),
    Tag(commands::tag::TagArgs),
    List(commands::list::ListArgs),
    Watch(commands::watch::WatchArgs),
    Watchers(commands::watchers::WatchersArgs),
    Changes(commands::changes::ChangesArgs),
    Show(commands::show::ShowArgs),
    Status(commands::status::StatusArgs),
    Top(commands::top::TopArgs),
    Health(commands::health::HealthArgs),
    Version(commands::version::VersionArgs),
    Fsck(commands::fsck::FsckArgs),
    Audit(commands::audit::AuditArgs),
    Backup(commands::backup::BackupArgs),
    Login(commands::login::LoginArgs),
    Logout(commands::logout::LogoutArgs),
    Token(commands::token::TokenArgs),
    Session(commands::session::SessionArgs),
    CanI(commands::can_i::CanIArgs),
    Whoami(commands::whoami::WhoAmIArgs),
    Certs(commands::certs::CertsArgs),
    Completions(commands::completions::CompletionsArgs),
}

/// What the commands that talk to a server have.
struct Session {
    client: Client,
    output: Output,
    /// Who the client says it is.
    actor: String,
    /// Wait so long for a response.
    timeout: Duration,
    /// Secrets are to be printed in clear text.
    reveals: bool,
    /// How the server is reached, without a credential.
    options: ConnectOptions,
    /// The credential is that of `confwatch login`.
    is_logged_in: bool,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    // Ends the process itself for a command line that is wrong, with the exit code of `Exit::Usage`, and for --help.
    let matches = without_empty_variables(Cli::command()).get_matches();
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let output = Output::new(cli.global.output, cli.global.color);
    let outcome = refuse_actor_as_filter(&matches).and_then(|()| run(cli, &output));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output.failure(&failure);
            failure.exit.into()
        }
    }
}

/// A variable of the environment that is empty is as good as none, for every setting: so it is in scripts and in manifests, whose
/// variables are empty where nothing is to be set.
fn without_empty_variables(command: clap::Command) -> clap::Command {
    let is_empty = |name: &std::ffi::OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    command
        .mut_args(|argument| match argument.get_env().is_some_and(is_empty) {
            true => argument.env(clap::builder::Resettable::Reset),
            false => argument,
        })
        .mut_subcommands(without_empty_variables)
}

/// Refuses `--actor` of commands that filter by another option: without the refusal, their lists would have the changes of everybody.
fn refuse_actor_as_filter(matches: &ArgMatches) -> Result<(), Failure> {
    let Some((command, arguments)) = matches.subcommand() else { return Ok(()) };
    let filter = match command {
        "changes" | "search" | "audit" => "--by",
        "watchers" => "--of",
        _ => return Ok(()),
    };
    match arguments.value_source("actor") {
        Some(ValueSource::CommandLine) => Err(Failure::usage(format!(
            "--actor is the name under which changes are made, and `{command}` makes none"
        ))
        .with(format!("{filter} ACTOR lists what belongs to one actor"))),
        _ => Ok(()),
    }
}

fn run(cli: Cli, output: &Output) -> Outcome {
    match cli.command {
        Subcommands::Serve(args) => block_on(Builder::new_multi_thread(), commands::serve::run(*args)),
        Subcommands::Fsck(args) => commands::fsck::run(&args, output),
        Subcommands::Certs(args) => commands::certs::run(&args, output),
        Subcommands::Completions(args) => commands::completions::run(&args, Cli::command(), output),
        Subcommands::Audit(args) if args.offline().is_some() => commands::audit::run_offline(&args, output),
        Subcommands::Backup(args) if args.is_offline() => {
            let actor = cli.global.actor.unwrap_or_else(default_actor);
            commands::backup::run_offline(&args, &actor, output)
        }
        command => block_on(Builder::new_current_thread(), call(command, cli.global, *output)),
    }
}

fn block_on(mut runtime: Builder, command: impl Future<Output = Outcome>) -> Outcome {
    let runtime = runtime.enable_all().build().map_err(|error| Failure::io("cannot start", &error))?;
    let outcome = runtime.block_on(command);
    // A disk that hangs must not keep the process from ending.
    runtime.shutdown_background();
    outcome
}

/// Runs a command that talks to a server.
async fn call(command: Subcommands, global: GlobalArgs, output: Output) -> Outcome {
    let actor = global.actor.unwrap_or_else(default_actor);
    let address = global.server.clone();
    let (token, token_file) = global.credential.token()?;
    let mut options = ConnectOptions {
        address: global.server,
        tls: global.tls.options(),
        mask_secrets: !global.reveal,
        actor: Some(actor.clone()),
        timeout: Some(global.timeout),
        ..Default::default()
    };
    let without_credential = options.clone();
    (options.token, options.token_file) = (token, token_file);
    let is_logged_in = match &command {
        Subcommands::Login(_) | Subcommands::Logout(_) => false,
        _ => login::add_credential(&mut options).await?,
    };
    if options.shows_token() {
        // As curl does, it goes on: TLS may begin in a proxy beside this client.
        output.warning(&format!("the token goes to {address} in plain text, and whoever is on the way can call with it: https:// would hide it"));
    }
    let client = Client::connect(options).map_err(|error| Failure::usage(error.message()))?;
    let session = &Session {
        client,
        output,
        actor,
        timeout: global.timeout,
        reveals: global.reveal,
        options: without_credential,
        is_logged_in,
    };
    let outcome = match command {
        Subcommands::Get(args) => commands::get::run(args, session).await,
        Subcommands::Set(args) => commands::set::run(args, session).await,
        Subcommands::Apply(args) => commands::apply::run(args, session).await,
        Subcommands::Export(args) => commands::export::run(args, session).await,
        Subcommands::Edit(args) => commands::edit::run(args, session).await,
        Subcommands::Delete(args) => commands::delete::run(args, session).await,
        Subcommands::Validate(args) => commands::validate::run(args, session).await,
        Subcommands::Schema(args) => commands::schema::run(args, session).await,
        Subcommands::Migrate(args) => commands::migrate::run(args, session).await,
        Subcommands::Secrets(args) => commands::secrets::run(args, session).await,
        Subcommands::Rollback(args) => commands::rollback::run(args, session).await,
        Subcommands::Revert(args) => commands::revert::run(args, session).await,
        Subcommands::Restore(args) => commands::restore::run(args, session).await,
        Subcommands::History(args) => commands::history::run(args, session).await,
        Subcommands::Diff(args) => commands::diff::run(args, session).await,
        Subcommands::Search(args) => commands::search::run(args, session).await,
        Subcommands::Drift(args) => commands::drift::run(args, session).await,
        Subcommands::Explain(args) => commands::explain::run(args, session).await,
        Subcommands::Blame(args) => commands::blame::run(args, session).await,
        Subcommands::Tag(args) => commands::tag::run(args, session).await,
        Subcommands::List(args) => commands::list::run(args, session).await,
        Subcommands::Watch(args) => commands::watch::run(args, session).await,
        Subcommands::Watchers(args) => commands::watchers::run(args, session).await,
        Subcommands::Changes(args) => commands::changes::run(args, session).await,
        Subcommands::Show(args) => commands::show::run(args, session).await,
        Subcommands::Status(args) => commands::status::run(args, session).await,
        Subcommands::Top(args) => commands::top::run(args, session).await,
        Subcommands::Health(args) => commands::health::run(args, session).await,
        Subcommands::Version(args) => commands::version::run(args, session).await,
        Subcommands::Audit(args) => commands::audit::run(args, session).await,
        Subcommands::Backup(args) => commands::backup::run(args, session).await,
        Subcommands::Login(args) => commands::login::run(args, session).await,
        Subcommands::Logout(args) => commands::logout::run(args, session),
        Subcommands::Token(args) => commands::token::run(args, session).await,
        Subcommands::Session(args) => commands::session::run(args, session).await,
        Subcommands::CanI(args) => commands::can_i::run(args, session).await,
        Subcommands::Whoami(args) => commands::whoami::run(args, session).await,
        Subcommands::Serve(_)
        | Subcommands::Fsck(_)
        | Subcommands::Certs(_)
        | Subcommands::Completions(_) => Ok(Exit::Done),
    };
    outcome.map_err(|failure| match failure.exit {
        // It may be another one than was thought.
        Exit::Unavailable => failure.with(format!("the server that was asked: {address}")),
        Exit::Done
        | Exit::Failed
        | Exit::Usage
        | Exit::NotFound
        | Exit::Refused
        | Exit::Conflict
        | Exit::NotAllowed
        | Exit::NotConverged => failure,
    })
}

/// `user@host`, as far as the environment says.
fn default_actor() -> String {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let user = variable("USER").or_else(|| variable("LOGNAME")).unwrap_or_else(|| "unknown".into());
    let file = |path: &str| {
        bounded_file::read_text(Path::new(path), SMALL_FILE_BYTES_MAX).ok().map(|name| name.trim().to_owned())
    };
    let host =
        variable("HOSTNAME").or_else(|| file("/proc/sys/kernel/hostname")).or_else(|| file("/etc/hostname"));
    match host.filter(|host| !host.is_empty()) {
        Some(host) => format!("{user}@{host}"),
        None => user,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    /// The words of a command as a shell reads it, up to a pipe, a redirection or a second command.
    fn words(command: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (vec![], None::<String>, None);
        for character in command.chars() {
            match (character, quote) {
                ('\'' | '"', None) => {
                    quote = Some(character);
                    word.get_or_insert_default();
                }
                (_, Some(open)) if character == open => quote = None,
                ('|' | '>' | '<' | '&' | ';', None) => break,
                (' ', None) => words.extend(word.take()),
                _ => word.get_or_insert_default().push(character),
            }
        }
        words.into_iter().chain(word).collect()
    }

    #[test]
    fn every_command_and_group_has_a_doc_and_examples_that_parse() {
        fn check(command: &clap::Command) {
            for command in command.get_subcommands() {
                let name = command.get_name();
                assert!(command.get_about().is_some(), "{name} has no doc");
                let help = command.get_after_help().map(ToString::to_string).unwrap_or_default();
                let lines = help.lines().filter(|line| line.starts_with("  "));
                let examples: Vec<_> =
                    lines.filter_map(|line| Some(&line[line.find("confwatch ")?..])).collect();
                assert!((2..=4).contains(&examples.len()), "{name} has not 2 to 4 examples");
                for example in examples {
                    if let Err(error) = Cli::try_parse_from(words(example)) {
                        panic!("an example of {name} is wrong: {example}\n{error}");
                    }
                }
                check(command);
            }
        }
        check(&Cli::command());
    }
}
