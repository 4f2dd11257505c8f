//! Asks before a write that reaches far: more configs, scopes or watchers than a threshold; and before one that has history compacted. Knows no command.

use std::str::FromStr;

use clap::Args;

use super::confirm::{ConfirmArgs, Question};
use crate::cli::output::exit::{Exit, Failure};
use crate::cli::output::streams::{Output, printable};
use crate::model::SystemConfig;
use crate::proto::v1;

/// The code of a finding about history that would be compacted.
const HISTORY_CUT: &str = "HISTORY_CUT";

/// Of commands that write.
#[derive(Args, Clone, Debug)]
pub struct ReachArgs {
    /// Ask before a write that reaches more configs, scopes or watchers than this; `off` never asks. What is left out has its default
    #[arg(
        long,
        env = "CONFWATCH_ASK_ABOVE",
        value_name = "configs=N,scopes=N,watchers=N",
        default_value = "configs=100,scopes=1000,watchers=1000"
    )]
    ask_above: Threshold,
}

/// The furthest that a write reaches without a question. `None`: any write is made without a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Threshold(Option<Limits>);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    configs: u64,
    scopes: u64,
    watchers: u64,
}

impl FromStr for Threshold {
    type Err = String;

    fn from_str(text: &str) -> Result<Threshold, String> {
        if text == "off" {
            return Ok(Threshold(None));
        }
        let mut limits = Limits { configs: 100, scopes: 1000, watchers: 1000 };
        for part in text.split(',') {
            let (name, number) = part.split_once('=').unwrap_or((part, ""));
            let limit = match name.trim() {
                "configs" => &mut limits.configs,
                "scopes" => &mut limits.scopes,
                "watchers" => &mut limits.watchers,
                _ => {
                    return Err(
                        "expected `off`, or limits such as configs=100,scopes=1000,watchers=1000".into()
                    );
                }
            };
            *limit = number.trim().parse().map_err(|_| format!("{number:?} is not a number"))?;
        }
        Ok(Threshold(Some(limits)))
    }
}

impl ReachArgs {
    /// Whether it must be known what a write to a config leads to before the write is made.
    pub fn asks(&self, confirm: ConfirmArgs, namespace: &str, config: &str) -> bool {
        (self.ask_above.0.is_some() || governs_history(namespace, config)) && !confirm.yes
    }

    /// Why somebody should decide about a write, one line for each threshold that its reach exceeds.
    pub fn reasons(&self, reach: Option<&v1::Reach>) -> Vec<String> {
        let (Some(limits), Some(reach)) = (self.ask_above.0, reach) else { return vec![] };
        if reach.unknown {
            return vec!["it reaches more than can be counted".to_owned()];
        }
        let counted = [
            ("configs", reach.configs, limits.configs),
            ("scopes", reach.scopes, limits.scopes),
            ("watchers", reach.watchers, limits.watchers),
        ];
        let exceeded = counted.into_iter().filter(|(_, found, limit)| found > limit);
        exceeded.map(|(what, found, limit)| format!("it reaches {found} {what}, more than {limit}")).collect()
    }

    /// Asks about a write that reaches far or has history compacted, as a dry run has told. Fails if the answer is no. Returns whether there was a
    /// question.
    pub fn confirm(
        &self,
        confirm: ConfirmArgs,
        (reach, report): (Option<&v1::Reach>, Option<&v1::ValidationReport>),
        output: &Output,
    ) -> Result<bool, Failure> {
        let (far, cuts) = (self.reasons(reach), history_cuts(report));
        let refusal = match (far.is_empty(), cuts.is_empty()) {
            (true, true) => return Ok(false),
            (_, true) => "nothing was written: the change reaches far, so someone should look at it first",
            (_, false) => {
                "nothing was written: history would be compacted, so someone should look at it first"
            }
        };
        let reasons: Vec<String> = far.into_iter().chain(cuts).collect();
        let question = Question { reasons: &reasons, text: "write it all the same?", refusal };
        match confirm.confirm(&question, output)? {
            true => Ok(true),
            false => Err(Failure::new(Exit::Failed, "nothing was written")),
        }
    }
}

/// Whether a config says which history is kept.
fn governs_history(namespace: &str, config: &str) -> bool {
    let id = SystemConfig::Retention.id();
    namespace == id.namespace.as_str() && config == id.config.as_str()
}

/// Why somebody should decide about a write: the history that it would have compacted, one line for each namespace.
pub fn history_cuts(report: Option<&v1::ValidationReport>) -> Vec<String> {
    let findings = report.map(|report| report.findings.as_slice()).unwrap_or_default();
    findings.iter().filter(|found| found.code == HISTORY_CUT).map(|found| printable(&found.message)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_threshold_has_limits_or_is_off() {
        let limits = |configs, scopes, watchers| Ok(Threshold(Some(Limits { configs, scopes, watchers })));
        assert_eq!("off".parse(), Ok(Threshold(None)));
        assert_eq!("configs=1".parse(), limits(1, 1000, 1000));
        assert_eq!("watchers=0,scopes=2, configs=3".parse(), limits(3, 2, 0));
        for text in ["", "configs", "configs=x", "configs=-1", "layers=1"] {
            assert!(text.parse::<Threshold>().is_err(), "{text}");
        }
    }

    #[test]
    fn only_what_exceeds_a_limit_is_a_reason() {
        let args = ReachArgs { ask_above: "configs=1,scopes=1,watchers=1".parse().expect("limits") };
        let reach = |configs, scopes, watchers| v1::Reach { configs, scopes, watchers, unknown: false };
        assert!(args.reasons(Some(&reach(1, 1, 1))).is_empty());
        assert!(args.reasons(None).is_empty());
        assert_eq!(args.reasons(Some(&v1::Reach { unknown: true, ..reach(0, 0, 0) })).len(), 1);
        assert_eq!(args.reasons(Some(&reach(2, 1, 5))).len(), 2);
        let off = ReachArgs { ask_above: Threshold(None) };
        assert!(off.reasons(Some(&reach(9, 9, 9))).is_empty());
    }
}
