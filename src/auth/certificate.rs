//! Maps client certificates to callers. Knows the names in a certificate; TLS has verified it before.

use std::sync::Arc;

use super::{Caller, Credential, Principal, Subject, SubjectError, SubjectKind};
use crate::model::Timestamp;

/// The prefix of SPIFFE ids.
const SPIFFE: &str = "spiffe://";

/// The names of the holder in a certificate whose chain was verified.
#[derive(Clone, Debug)]
pub struct Holder<'a> {
    /// The common name, or the whole subject; may be empty.
    pub subject: &'a str,
    /// The alternative names that are host names or e-mail addresses, in their order.
    pub names: &'a [String],
    /// The alternative names that are URIs, in their order.
    pub uris: &'a [String],
    /// SHA-256 of the certificate.
    pub fingerprint: &'a [u8; 32],
    pub not_after: Timestamp,
}

/// The caller of a certificate: `certificate:NAME`. The name is the SPIFFE id, which workloads have; else the subject; else the first
/// host name or e-mail address; else the URI. A certificate that names nobody is refused, and so is one whose name could be taken for
/// another: several URIs and no other name, a SPIFFE id beside other URIs (SPIFFE X.509-SVID section 2 allows exactly one), a host name or a subject that has the form of
/// a SPIFFE id, a name with unprintable characters.
pub fn caller(holder: &Holder<'_>) -> Result<Arc<Caller>, SubjectError> {
    let workload = holder.uris.iter().find(|uri| is_spiffe(uri)).map(String::as_str);
    if workload.is_some() && holder.uris.len() > 1 {
        return Err(SubjectError::SeveralUris(holder.uris.len()));
    }
    let subject = Some(holder.subject).filter(|subject| !subject.trim().is_empty());
    let other = subject.or(holder.names.first().map(String::as_str));
    if workload.is_none() && other.is_some_and(is_spiffe) {
        return Err(SubjectError::NoSpiffeId);
    }
    let name = match (workload.or(other), holder.uris) {
        (Some(name), _) => name,
        (None, [uri]) => uri,
        (None, []) => "",
        (None, several) => return Err(SubjectError::SeveralUris(several.len())),
    };
    let principal = Principal::new(Subject::new(SubjectKind::Certificate, name)?, vec![])?;
    Ok(Caller::new(principal, Credential::of_certificate(holder.fingerprint), Some(holder.not_after)))
}

/// Whether a name has the form of a SPIFFE id.
fn is_spiffe(name: impl AsRef<str>) -> bool {
    let scheme = name.as_ref().get(..SPIFFE.len());
    scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SPIFFE))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(subject: &str, names: &[&str], uris: &[&str]) -> Result<String, SubjectError> {
        let owned = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<String>>();
        let (names, uris) = (owned(names), owned(uris));
        let holder =
            Holder { subject, names: &names, uris: &uris, fingerprint: &[0xab; 32], not_after: Timestamp(7) };
        caller(&holder).map(|caller| caller.actor().to_owned())
    }

    #[test]
    fn a_holder_is_named_by_workload_subject_or_first_name() {
        let check = |subject, names: &[&str], uris: &[&str], expected: &str| {
            assert_eq!(name(subject, names, uris).as_deref(), Ok(expected));
        };
        check("alice", &["a.example"], &[], "certificate:alice");
        check("alice", &["a.example"], &["spiffe://shop/checkout"], "certificate:spiffe://shop/checkout");
        check(" ", &["a.example", "b.example"], &["https://a.example"], "certificate:a.example");
        check("", &[], &["https://a.example"], "certificate:https://a.example");
        check("alice", &[], &["https://a.example", "https://b.example"], "certificate:alice");
        assert_eq!(name("", &[], &[]), Err(SubjectError::Empty));
    }

    #[test]
    fn a_certificate_that_could_pass_for_another_holder_is_refused() {
        let spiffe = "spiffe://shop/checkout";
        for uris in
            [[spiffe, "spiffe://shop/other"], [spiffe, "https://a.example"], ["https://a.example", spiffe]]
        {
            assert_eq!(name("alice", &["a.example"], &uris), Err(SubjectError::SeveralUris(2)), "{uris:?}");
        }
        let uris = ["https://a.example", "https://b.example"];
        assert_eq!(
            name("", &[], &uris),
            Err(SubjectError::SeveralUris(2)),
            "the first one is as good as the second"
        );
        for (subject, names) in
            [(spiffe, vec![]), ("SPIFFE://shop/checkout", vec!["a.example"]), ("", vec![spiffe])]
        {
            assert_eq!(name(subject, &names, &[]), Err(SubjectError::NoSpiffeId), "{subject} {names:?}");
        }
        for subject in ["alice\n", " alice", "alice\u{202e}", "al\u{200b}ice"] {
            assert_eq!(name(subject, &[], &[]), Err(SubjectError::Character), "{subject:?}");
        }
    }

    #[test]
    fn a_certificate_is_logged_by_the_head_of_its_fingerprint() {
        let holder =
            Holder { subject: "a", names: &[], uris: &[], fingerprint: &[0xab; 32], not_after: Timestamp(7) };
        let caller = caller(&holder).expect("a caller");
        assert_eq!(caller.credential().to_string(), "certificate:abababababababab");
        assert!(caller.is_expired(Timestamp(7)) && !caller.is_expired(Timestamp(6)));
    }
}
