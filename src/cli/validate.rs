//! `confwatch validate`: what a server would say of a change. Knows the client and the directory form.

use std::path::PathBuf;

use clap::Args;

use super::Session;
use super::apply::{changes_of, check_size, namespace_of, read_tree};
use super::args::Target;
use super::change::ChangeArgs;
use super::exit::{Exit, Failure, Outcome};
use super::output::{counted, printable};
use super::refusal::severity_name;
use super::views::ApplyView;
use crate::proto::v1;

/// Check a change, or a directory, against the server without storing anything; exit code 4 if it is refused
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch validate -f payments/
  confwatch validate payments/checkout -s /production --file production.yaml
  confwatch validate payments/checkout -s /production limits.max=30 -o json")]
pub struct ValidateArgs {
    /// The config, when one layer is checked
    #[arg(value_name = "NAMESPACE/CONFIG", required_unless_present = "directory")]
    target: Option<Target>,
    /// The scope, such as /production/checkout
    #[arg(short, long)]
    scope: Option<String>,
    #[command(flatten)]
    change: ChangeArgs,
    /// Check this directory, as `confwatch apply` would load it
    #[arg(short = 'f', long, value_name = "DIR", conflicts_with_all = ["target", "scope"])]
    directory: Option<PathBuf>,
    /// With --directory: the namespace; without it, the name of the directory
    #[arg(long, requires = "directory")]
    namespace: Option<String>,
}

pub async fn run(args: ValidateArgs, session: &Session) -> Outcome {
    let changes = match (&args.directory, &args.target) {
        (Some(_), _) if !args.change.is_empty() => {
            return Err(Failure::usage("either --directory or one change, not both"));
        }
        (Some(directory), _) => {
            let namespace = namespace_of(directory, args.namespace.as_deref())?;
            changes_of(&read_tree(directory, &session.output)?, &namespace)
        }
        (None, Some(target)) => vec![args.change.change(&target.at_scope(args.scope.as_deref())?)?],
        (None, None) => return Err(Failure::usage("give NAMESPACE/CONFIG or --directory")),
    };
    check_size(&changes)?;
    let count = counted(changes.len(), "layer");
    let request = v1::ValidateRequest { changes };
    let response = session.client.api().validate(request).await?.into_inner();
    let report = response.report.clone().unwrap_or_default();
    session.output.answer(&ApplyView::from(&response), |output| {
        if !report.findings.is_empty() {
            let rows = report.findings.iter().map(row).collect();
            output.table(["SEVERITY", "CODE", "CONFIG", "SCOPE", "POINTER", "MESSAGE"], rows)?;
        }
        output.line(&match (report.valid, response.changed) {
            (true, true) => format!("valid: {count}, and something would change"),
            (true, false) => format!("valid: {count}, and nothing would change"),
            (false, _) => "invalid".to_owned(),
        })
    })?;
    Ok(if report.valid { Exit::Done } else { Exit::Refused })
}

fn row(finding: &v1::Finding) -> [String; 6] {
    let suggestion = match finding.suggestion.as_str() {
        "" => String::new(),
        suggestion => format!(" ({suggestion})"),
    };
    [
        severity_name(finding.severity()).to_owned(),
        finding.code.clone(),
        format!("{}/{}", finding.namespace, finding.config),
        finding.scope.clone(),
        printable(&finding.pointer),
        printable(&format!("{}{suggestion}", finding.message)),
    ]
}
