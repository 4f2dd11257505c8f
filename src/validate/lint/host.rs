//! Hosts by their syntax, and URLs that go over the wire in plain text. Knows texts; resolves nothing.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::credential::is_reference;
use super::words::{Words, is_one_of};

/// `host`, `db_hostname`, `hosts`.
pub(super) fn is_host(name: &Words) -> bool {
    is_one_of(&["host", "hostname", "hosts", "hostnames"], name.last())
}

/// Why no resolver can make anything of a text. Takes what people write in such places: a host, with a port, in a URL, in a list.
pub(super) fn wrong_host(text: &str) -> Option<&'static str> {
    let is_other =
        text.is_empty() || is_reference(text) || text.contains(['*', '<']) || text.starts_with("unix:");
    if is_other {
        return None;
    }
    text.split(',').find_map(|part| {
        let part = if text.contains(',') { part.trim() } else { part };
        let part = part.split_once("://").map_or(part, |(_, rest)| rest);
        let authority = part.split(['/', '?', '#']).next().unwrap_or_default();
        let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
        wrong_authority(host)
    })
}

fn wrong_authority(text: &str) -> Option<&'static str> {
    if text.is_empty() {
        return Some("it is empty");
    }
    if text.contains(char::is_whitespace) {
        return Some("it has white space in it");
    }
    if let Some(rest) = text.strip_prefix('[') {
        let Some((address, port)) = rest.split_once(']') else { return Some("\"]\" is missing") };
        let is_address = address.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_ok();
        return if is_address { wrong_port(port) } else { Some("what is in brackets is no IPv6 address") };
    }
    if text.matches(':').count() > 1 {
        let is_address = text.split('%').next().unwrap_or_default().parse::<Ipv6Addr>().is_ok();
        return (!is_address).then_some("it is no IPv6 address, and has more than one colon");
    }
    let (host, port) = text.find(':').map_or((text, ""), |at| text.split_at(at));
    wrong_name(host).or_else(|| wrong_port(port))
}

/// With its colon; none is right.
fn wrong_port(text: &str) -> Option<&'static str> {
    let Some(port) = text.strip_prefix(':') else {
        return (!text.is_empty()).then_some("something follows the address");
    };
    port.parse::<u16>().is_err().then_some("its port is not from 0 to 65535")
}

fn wrong_name(host: &str) -> Option<&'static str> {
    let name = host.strip_suffix('.').unwrap_or(host);
    let last = name.rsplit('.').next().unwrap_or_default();
    if !last.is_empty() && last.bytes().all(|b| b.is_ascii_digit()) && name.contains('.') {
        return name.parse::<Ipv4Addr>().is_err().then_some("it is no IPv4 address, and ends with a number");
    }
    if name.len() > 253 {
        return Some("it is longer than 253 characters");
    }
    name.split('.').find_map(|label| {
        if label.is_empty() {
            Some("a part between dots is empty")
        } else if label.len() > 63 && label.is_ascii() {
            Some("a part between dots is longer than 63 characters")
        } else if label.starts_with('-') || label.ends_with('-') {
            Some("a part between dots starts or ends with \"-\"")
        } else {
            // Names beyond ASCII are written otherwise on the wire; underscores are not right, and frequent.
            let is_wrong = |b: u8| b.is_ascii() && !b.is_ascii_alphanumeric() && !matches!(b, b'-' | b'_');
            label.bytes().any(is_wrong).then_some("it has a character that no host has")
        }
    })
}

/// A URL of a public host without encryption. Not those that only name something, such as XML namespaces.
pub(super) fn is_plain_http(name: &Words, text: &str) -> bool {
    let Some(rest) =
        text.get(..7).filter(|scheme| scheme.eq_ignore_ascii_case("http://")).map(|_| &text[7..])
    else {
        return false;
    };
    let authority = rest.split(['/', '?', '#', ' ', ',']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let is_name_only = name.has(&["schema", "xmlns", "namespace", "ns", "id", "type", "license", "vocab"])
        || ["www.w3.org", "json-schema.org", "purl.org", "schemas.xmlsoap.org", "xmlns.com"].contains(&host)
        || host.starts_with("schemas.");
    !is_name_only && !host.contains(['$', '{', '<', '%']) && is_public(host)
}

fn is_public(host: &str) -> bool {
    if host.starts_with('[') || host.is_empty() {
        // An IPv6 address; most in configs are of the own network.
        return false;
    }
    let host = host.split(':').next().unwrap_or_default();
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return !(address.is_loopback()
            || address.is_private()
            || address.is_link_local()
            || address.is_unspecified());
    }
    let last = host.trim_end_matches('.').rsplit('.').next().unwrap_or_default();
    // Without a dot, it is a name of the own network.
    host.contains('.')
        && ![
            "local",
            "localhost",
            "internal",
            "svc",
            "lan",
            "test",
            "home",
            "corp",
            "intranet",
            "localdomain",
        ]
        .iter()
        .any(|private| last.eq_ignore_ascii_case(private))
        && !host.contains(".svc.")
}
