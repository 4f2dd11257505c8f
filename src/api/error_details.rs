//! The details of an error as messages: those of `google.rpc` and those of the contract. Knows `ApiError`; no transport and never why a call failed.

use std::collections::HashMap;

use prost::Message;
use tonic_types::pb::{self, BadRequest, ErrorInfo, RetryInfo};

use super::error::{ApiError, DOMAIN, Detail};

/// All details of an error, each with the full name of its message: the reason with its metadata first, and last when to come back.
pub fn details(error: &ApiError) -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    let metadata: HashMap<String, String> =
        error.metadata.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
    let info = ErrorInfo { reason: error.reason.to_owned(), domain: DOMAIN.to_owned(), metadata };
    let retry = error.retry.map(|delay| {
        let delay = prost_types::Duration::try_from(delay).expect("a delay of seconds");
        ("google.rpc.RetryInfo", RetryInfo { retry_delay: Some(delay) }.encode_to_vec())
    });
    let first = ("google.rpc.ErrorInfo", info.encode_to_vec());
    std::iter::once(first).chain(error.details.iter().map(detail)).chain(retry)
}

fn detail(detail: &Detail) -> (&'static str, Vec<u8>) {
    match detail {
        Detail::Field { field, description } => {
            let violation = pb::bad_request::FieldViolation {
                field: field.clone(),
                description: description.clone(),
                ..Default::default()
            };
            ("google.rpc.BadRequest", BadRequest { field_violations: vec![violation] }.encode_to_vec())
        }
        Detail::Findings(report) => ("confwatch.v1.ValidationReport", report.encode_to_vec()),
        Detail::Conflicts(conflicts) => ("confwatch.v1.RevertConflicts", conflicts.encode_to_vec()),
    }
}
