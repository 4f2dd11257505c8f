//! Reads names from a client certificate. Knows no TLS: it has verified the certificate before.

use std::fmt::Write;

use rustls::pki_types::CertificateDer;
use sha2::{Digest, Sha256};
use x509_parser::asn1_rs::{Oid, Tag, ToDer};
use x509_parser::oid_registry as oid;
use x509_parser::prelude::{FromDer, GeneralName, X509Certificate};
use x509_parser::x509::{AttributeTypeAndValue, X509Name};

use crate::api::guard::peer::PeerCertificate;
use crate::model::Timestamp;

/// The attributes that RFC 4514 has names for.
static ATTRIBUTES: [(Oid<'static>, &str); 9] = [
    (oid::OID_X509_COMMON_NAME, "CN"),
    (oid::OID_X509_LOCALITY_NAME, "L"),
    (oid::OID_X509_STATE_OR_PROVINCE_NAME, "ST"),
    (oid::OID_X509_ORGANIZATION_NAME, "O"),
    (oid::OID_X509_ORGANIZATIONAL_UNIT, "OU"),
    (oid::OID_X509_COUNTRY_NAME, "C"),
    (oid::OID_X509_STREET_ADDRESS, "STREET"),
    (oid::OID_DOMAIN_COMPONENT, "DC"),
    (oid::OID_USERID, "UID"),
];

/// A certificate that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("the certificate cannot be read: {0}")]
pub(in crate::server) struct Unreadable(String);

/// Reads a certificate.
pub(in crate::server) fn read(certificate: &CertificateDer<'_>) -> Result<PeerCertificate, Unreadable> {
    let unreadable = |error: &dyn std::fmt::Display| Unreadable(error.to_string());
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|error| unreadable(&error))?;
    let names = parsed.subject_alternative_name().map_err(|error| unreadable(&error))?;
    let names = names.map(|names| names.value.general_names.as_slice()).unwrap_or_default();
    let common_name = parsed.subject().iter_common_name().last();
    Ok(PeerCertificate {
        subject: rfc4514(parsed.subject()),
        common_name: common_name.and_then(|name| name.as_str().ok()).map(str::to_owned),
        names: names.iter().filter_map(host_or_mail).collect(),
        uris: names.iter().filter_map(uri).collect(),
        fingerprint: Sha256::digest(certificate).into(),
        not_after: Timestamp(parsed.validity().not_after.timestamp().saturating_mul(1_000_000)),
    })
}

fn host_or_mail(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => Some((*name).to_owned()),
        GeneralName::URI(_)
        | GeneralName::OtherName(..)
        | GeneralName::X400Address(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EDIPartyName(_)
        | GeneralName::IPAddress(_)
        | GeneralName::RegisteredID(_)
        | GeneralName::Invalid(..) => None,
    }
}

fn uri(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::URI(uri) => Some((*uri).to_owned()),
        _ => None,
    }
}

/// The name as RFC 4514 writes it, so that no value can pass for more than one: the last part first, and what has a meaning escaped.
fn rfc4514(name: &X509Name<'_>) -> String {
    let part = |part: &x509_parser::x509::RelativeDistinguishedName<'_>| {
        part.iter().map(attribute).collect::<Vec<_>>().join("+")
    };
    let parts: Vec<String> = name.iter_rdn().map(part).collect();
    parts.into_iter().rev().collect::<Vec<_>>().join(",")
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    let known = ATTRIBUTES.iter().find(|(oid, _)| oid == attribute.attr_type());
    let value = attribute.attr_value();
    let is_text = [Tag::Utf8String, Tag::PrintableString, Tag::Ia5String].contains(&value.tag());
    match (known, attribute.as_str()) {
        (Some((_, name)), Ok(text)) if is_text => format!("{name}={}", escaped(text)),
        // By the bytes, as there is no text that all agree on.
        (known, _) => {
            let name = known.map_or_else(|| attribute.attr_type().to_id_string(), |(_, name)| (*name).into());
            format!("{name}=#{}", hex::encode(value.to_der_vec().unwrap_or_default()))
        }
    }
}

fn escaped(text: &str) -> String {
    let last = text.chars().count().saturating_sub(1);
    let mut escaped = String::with_capacity(text.len());
    for (at, c) in text.chars().enumerate() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => escaped.extend(['\\', c]),
            ' ' if at == 0 || at == last => escaped.push_str("\\ "),
            '#' if at == 0 => escaped.push_str("\\#"),
            c if c.is_control() => {
                let mut bytes = [0; 4];
                for byte in c.encode_utf8(&mut bytes).bytes() {
                    write!(escaped, "\\{byte:02X}").expect("text takes everything");
                }
            }
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::*;

    /// A certificate of its own, changed.
    fn certificate(change: impl FnOnce(&mut CertificateParams)) -> CertificateDer<'static> {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        params.self_signed(&key).expect("a certificate").der().clone()
    }

    fn subject(parts: &[(DnType, &str)]) -> String {
        let certificate = certificate(|params| {
            for (kind, value) in parts {
                params.distinguished_name.push(kind.clone(), *value);
            }
        });
        read(&certificate).expect("it is read").subject
    }

    #[test]
    fn a_certificate_says_whom_it_is_of() {
        let certificate = certificate(|params| {
            params.distinguished_name.push(DnType::OrganizationName, "Example");
            params.distinguished_name.push(DnType::CommonName, "deploy");
            params.not_after = rcgen::date_time_ymd(2031, 5, 6);
            params.subject_alt_names = vec![
                SanType::DnsName("deploy.internal".try_into().expect("a name")),
                SanType::IpAddress("10.0.0.1".parse().expect("an address")),
                SanType::URI("spiffe://example.com/deploy".try_into().expect("a URI")),
                SanType::Rfc822Name("deploy@example.com".try_into().expect("an address")),
            ];
        });
        let read = read(&certificate).expect("it is read");
        assert_eq!(read.subject, "CN=deploy,O=Example");
        assert_eq!(read.common_name.as_deref(), Some("deploy"));
        assert_eq!(read.names, ["deploy.internal", "deploy@example.com"]);
        assert_eq!(read.uris, ["spiffe://example.com/deploy"]);
        assert_eq!(read.not_after.to_string(), "2031-05-06T00:00:00Z");
        assert_eq!(read.fingerprint[..], Sha256::digest(&certificate)[..]);
    }

    #[test]
    fn no_value_passes_for_another_part_of_the_subject() {
        assert_eq!(subject(&[(DnType::CommonName, "a,O=admins")]), "CN=a\\,O=admins");
        assert_eq!(subject(&[(DnType::CommonName, "a+OU=b\\")]), "CN=a\\+OU=b\\\\");
        assert_eq!(subject(&[(DnType::CommonName, " # ")]), "CN=\\ #\\ ");
        assert_eq!(subject(&[(DnType::CommonName, "#a")]), "CN=\\#a");
        assert_eq!(subject(&[(DnType::CommonName, "a\nb\u{85}")]), "CN=a\\0Ab\\C2\\85");
        assert_eq!(subject(&[(DnType::CommonName, "Zoë")]), "CN=Zoë");
    }

    #[test]
    fn an_attribute_without_a_name_is_told_by_its_number() {
        let title = DnType::from_oid(&[2, 5, 4, 12]);
        assert_eq!(subject(&[(title, "Dr")]), "2.5.4.12=#0c024472");
    }

    #[test]
    fn a_certificate_without_a_subject_has_an_empty_one() {
        let read = read(&certificate(|_| {})).expect("it is read");
        assert_eq!((read.subject.as_str(), read.common_name, read.names), ("", None, vec![]));
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        assert!(read(&CertificateDer::from(vec![1, 2, 3])).is_err());
    }
}
