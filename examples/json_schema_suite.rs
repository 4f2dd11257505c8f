//! Runs the JSON-Schema-Test-Suite through Validate of a running server, and tells how many of its required cases pass for each draft.
//!
//! `cargo run --release --example json_schema_suite -- DIRECTORY [ADDRESS]`, where DIRECTORY is a clone of
//! <https://github.com/json-schema-org/JSON-Schema-Test-Suite>.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use confwatch::proto::v1::config_service_client::ConfigServiceClient;
use confwatch::proto::v1::{Format, Text, ValidateRequest};
use serde_json::Value;

const DRAFTS: [(&str, &str); 5] = [
    ("draft4", "http://json-schema.org/draft-04/schema#"),
    ("draft6", "http://json-schema.org/draft-06/schema#"),
    ("draft7", "http://json-schema.org/draft-07/schema#"),
    ("draft2019-09", "https://json-schema.org/draft/2019-09/schema"),
    ("draft2020-12", "https://json-schema.org/draft/2020-12/schema"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let directory = PathBuf::from(arguments.next().context("usage: json_schema_suite DIRECTORY [ADDRESS]")?);
    let address = arguments.next().unwrap_or_else(|| "127.0.0.1:7420".to_owned());
    let mut client = ConfigServiceClient::connect(format!("http://{address}")).await?;
    for (draft, uri) in DRAFTS {
        let (mut cases, mut passed) = (0, 0);
        let mut failed: BTreeMap<String, usize> = BTreeMap::new();
        for file in files(&directory.join("tests").join(draft))? {
            let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let groups: Vec<Value> = serde_json::from_str(&fs::read_to_string(&file)?)?;
            for group in groups {
                let schema = with_draft(&group["schema"], uri);
                for case in group["tests"].as_array().into_iter().flatten() {
                    cases += 1;
                    let valid = validate(&mut client, &schema, &case["data"]).await;
                    match valid.is_some() && valid == case["valid"].as_bool() {
                        true => passed += 1,
                        false => *failed.entry(name.clone()).or_default() += 1,
                    }
                }
            }
        }
        println!("{draft}: {passed} of {cases} required cases pass");
        failed.iter().for_each(|(file, count)| println!("  {count} do not in {file}"));
    }
    Ok(())
}

/// Whether the server calls the document valid. `None`: it cannot tell, as it does not take the schema.
async fn validate(
    client: &mut ConfigServiceClient<tonic::transport::Channel>,
    schema: &Value,
    document: &Value,
) -> Option<bool> {
    let text = |value: &Value| Some(Text { content: value.to_string(), format: Format::Json.into() });
    let request = ValidateRequest { schema: text(schema), document: text(document), ..Default::default() };
    let report = client.validate(request).await.ok()?.into_inner().report?;
    let is_of_schema = |code: &str| {
        [
            "SCHEMA_INVALID",
            "SCHEMA_DRAFT",
            "SCHEMA_REFERENCE",
            "SCHEMA_LOOP",
            "SCHEMA_REGEX",
            "SCHEMA_KEYWORD",
            "SCHEMA_TOO_LARGE",
            "SCHEMA_TOO_COMPLEX",
        ]
        .contains(&code)
    };
    (!report.findings.iter().any(|finding| is_of_schema(&finding.code))).then_some(report.valid)
}

/// The schema as one of this draft, where it does not say.
fn with_draft(schema: &Value, uri: &str) -> Value {
    match schema {
        Value::Object(members) if !members.contains_key("$schema") => {
            let mut members = members.clone();
            members.insert("$schema".to_owned(), uri.into());
            Value::Object(members)
        }
        other => other.clone(),
    }
}

/// The files of required cases, sorted.
fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).with_context(|| directory.display().to_string())?;
    let mut files: Vec<PathBuf> = entries.map(|entry| Ok(entry?.path())).collect::<std::io::Result<_>>()?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    Ok(files)
}
