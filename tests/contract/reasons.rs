//! Every reason of an error is in the comments of the proto files and in docs/clients.md. Knows the source of the table.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Where errors get their reasons: the tables, and the codes of documents that they take over.
const TABLES: [&str; 4] =
    ["src/api/error.rs", "src/api/engine_errors.rs", "src/api/call_errors.rs", "src/api/backup_errors.rs"];
/// The table of requests over HTTP, of which the contract of gRPC knows nothing.
const HTTP_TABLE: &str = "src/api/http/errors.rs";
const DOCUMENT_CODES: &str = "src/model/document_error.rs";

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The texts in UPPER_SNAKE of a source file, without its tests.
fn reasons_of(path: &str) -> BTreeSet<String> {
    let source = read(path);
    let source = source.split("#[cfg(test)]").next().expect("there is a first part");
    let texts = source.split('"').skip(1).step_by(2);
    let is_reason = |text: &&str| {
        text.len() > 3
            && text.starts_with(|c: char| c.is_ascii_uppercase())
            && text.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    texts.filter(is_reason).map(str::to_owned).collect()
}

fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).collect()
}

#[test]
fn every_reason_is_in_the_proto_comments_and_in_the_page_for_clients() {
    let mut reasons: BTreeSet<String> = TABLES.into_iter().flat_map(reasons_of).collect();
    reasons.extend(reasons_of(DOCUMENT_CODES));
    assert!(reasons.len() > 50, "the table was read: {reasons:?}");
    let proto: String = super::names::files()
        .iter()
        .map(|file| read(&format!("proto/{}", file.name())))
        .collect::<Vec<_>>()
        .join("\n");
    let page = read("docs/clients.md");
    let (proto, page) = (words(&proto), words(&page));
    let missing = |from: &BTreeSet<&str>, reasons: &BTreeSet<String>| {
        reasons.iter().filter(|reason| !from.contains(reason.as_str())).cloned().collect::<Vec<_>>()
    };
    assert_eq!(
        missing(&proto, &reasons),
        Vec::<String>::new(),
        "say in proto/ what these mean and what to do"
    );
    reasons.extend(reasons_of(HTTP_TABLE));
    assert_eq!(missing(&page, &reasons), Vec::<String>::new(), "add these to the table of docs/clients.md");
}
