//! Callers who are known by their client certificate. Knows what one says; never how it was checked: that is TLS.

use std::sync::Arc;

use super::{Caller, Credential, Principal, Subject, SubjectError, SubjectKind};
use crate::model::Timestamp;

/// What a certificate whose chain was verified says of its holder.
#[derive(Clone, Debug)]
pub struct Holder<'a> {
    /// The common name, or the whole subject; may be empty.
    pub subject: &'a str,
    /// The alternative names in their order: DNS names, URIs, addresses.
    pub names: &'a [String],
    /// SHA-256 of the certificate.
    pub fingerprint: &'a [u8; 32],
    pub not_after: Timestamp,
}

/// Who holds the certificate: `certificate:NAME`. The name is the first SPIFFE id, which workloads have; else the subject; else the first
/// alternative name. A certificate that names nobody is refused.
pub fn caller(holder: &Holder<'_>) -> Result<Arc<Caller>, SubjectError> {
    let workload = holder.names.iter().find(|name| name.starts_with("spiffe://")).map(String::as_str);
    let subject = Some(holder.subject.trim()).filter(|subject| !subject.is_empty());
    let first = holder.names.first().map(String::as_str);
    let name = workload.or(subject).or(first).unwrap_or_default();
    let principal = Principal::new(Subject::new(SubjectKind::Certificate, name)?, vec![])?;
    Ok(Caller::new(principal, Credential::of_certificate(holder.fingerprint), Some(holder.not_after)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(subject: &str, names: &[&str]) -> Result<String, SubjectError> {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let holder = Holder { subject, names: &names, fingerprint: &[0xab; 32], not_after: Timestamp(7) };
        caller(&holder).map(|caller| caller.actor().to_owned())
    }

    #[test]
    fn a_holder_is_named_by_workload_subject_or_first_name() {
        let check = |subject, names: &[&str], expected: &str| {
            assert_eq!(name(subject, names).as_deref(), Ok(expected));
        };
        check("alice", &["a.example"], "certificate:alice");
        check("alice", &["a.example", "spiffe://shop/checkout"], "certificate:spiffe://shop/checkout");
        check(" ", &["a.example", "b.example"], "certificate:a.example");
        assert_eq!(name("", &[]), Err(SubjectError::Empty));
    }

    #[test]
    fn a_certificate_is_logged_by_the_head_of_its_fingerprint() {
        let holder = Holder { subject: "a", names: &[], fingerprint: &[0xab; 32], not_after: Timestamp(7) };
        let caller = caller(&holder).expect("a caller");
        assert_eq!(caller.credential().to_string(), "certificate:abababababababab");
        assert!(caller.is_expired(Timestamp(7)) && !caller.is_expired(Timestamp(6)));
    }
}
