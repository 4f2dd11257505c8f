//! `confwatch certs`: certificates for trying TLS out. Knows files; never a server or a client.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DistinguishedName, DnType, ExtendedKeyUsagePurpose,
    IsCa, KeyPair, KeyUsagePurpose,
};
use serde::Serialize;
use time::OffsetDateTime;

use crate::cli::output::exit::{Exit, Failure, Outcome};
use crate::cli::output::streams::Output;

/// The names by which this machine calls itself.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const CLIENT_NAME: &str = "confwatch-dev-client";
const DAY_SECONDS: i64 = 24 * 3600;
const VALID_SECONDS: i64 = 365 * DAY_SECONDS;

/// Create certificates to try TLS
#[derive(Args, Debug)]
#[command(after_help = "\
Examples:
  confwatch certs dev
  confwatch certs dev --dir ./certs --name config.internal,10.0.0.7")]
pub struct CertsArgs {
    #[command(subcommand)]
    command: CertsCommand,
}

#[derive(Subcommand, Debug)]
enum CertsCommand {
    /// Create a CA, a server certificate and a client certificate for use on this machine
    #[command(after_help = "\
The server certificate is for localhost, 127.0.0.1 and ::1, and for the names of --name. All are good for a year. The key of the CA \
is not kept, so that nobody can make more certificates that are trusted: for other names, make all of them anew.

Examples:
  confwatch certs dev
  confwatch certs dev --dir ./certs --name config.internal,10.0.0.7")]
    Dev(DevArgs),
}

#[derive(Args, Debug)]
struct DevArgs {
    /// Where to put the files; made if missing
    #[arg(long, value_name = "DIR", default_value = "./confwatch-certs")]
    dir: PathBuf,
    /// Further names and addresses of the server
    #[arg(long = "name", value_name = "HOST,...", value_delimiter = ',')]
    names: Vec<String>,
}

/// What was made.
#[derive(Debug, Serialize)]
struct DevView {
    ca: PathBuf,
    server_certificate: PathBuf,
    server_key: PathBuf,
    client_certificate: PathBuf,
    client_key: PathBuf,
    server_names: Vec<String>,
    client_name: String,
    not_after: String,
}

/// The texts of the files.
struct Made {
    ca: String,
    server: (String, String),
    client: (String, String),
}

pub fn run(args: &CertsArgs, output: &Output) -> Outcome {
    let CertsCommand::Dev(args) = &args.command;
    let mut names: Vec<String> = LOCAL_NAMES.map(str::to_owned).to_vec();
    names.extend(args.names.iter().filter(|name| !LOCAL_NAMES.contains(&name.as_str())).cloned());
    let now = jiff::Timestamp::now().as_second();
    let view = DevView {
        ca: args.dir.join("ca.pem"),
        server_certificate: args.dir.join("server.pem"),
        server_key: args.dir.join("server-key.pem"),
        client_certificate: args.dir.join("client.pem"),
        client_key: args.dir.join("client-key.pem"),
        server_names: names,
        client_name: CLIENT_NAME.into(),
        not_after: jiff::Timestamp::from_second(now + VALID_SECONDS)
            .map(|at| at.to_string())
            .unwrap_or_default(),
    };
    let files =
        [&view.ca, &view.server_certificate, &view.server_key, &view.client_certificate, &view.client_key];
    if let Some(there) = files.iter().find(|path| path.symlink_metadata().is_ok()) {
        let failure = Failure::refused(format!("{} is there already", there.display()));
        return Err(failure.with("nothing was made: name another --dir, or remove what is in this one"));
    }
    let made = make(&view.server_names, now)
        .map_err(|error| Failure::usage(format!("the certificates cannot be made: {error}")))?;
    std::fs::create_dir_all(&args.dir)
        .map_err(|error| Failure::io(format!("cannot make {}", args.dir.display()), &error))?;
    write(&view.ca, &made.ca, 0o644)?;
    write(&view.server_certificate, &made.server.0, 0o644)?;
    write(&view.server_key, &made.server.1, 0o600)?;
    write(&view.client_certificate, &made.client.0, 0o644)?;
    write(&view.client_key, &made.client.1, 0o600)?;
    output.answer(&view, |output| output.document(&told(&view)))?;
    Ok(Exit::Done)
}

/// All of it, in PEM. `now` in seconds since 1970.
fn make(server_names: &[String], now: i64) -> Result<Made, Box<dyn std::error::Error>> {
    let params = |common_name: &str, names: Vec<String>| -> Result<_, Box<dyn std::error::Error>> {
        let mut params = CertificateParams::new(names)?;
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, common_name);
        // Clocks differ a little.
        params.not_before = OffsetDateTime::from_unix_timestamp(now - DAY_SECONDS)?;
        params.not_after = OffsetDateTime::from_unix_timestamp(now + VALID_SECONDS)?;
        Ok(params)
    };
    let mut ca = params("confwatch development CA", vec![])?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca = CertifiedIssuer::self_signed(ca, KeyPair::generate()?)?;

    let signed = |mut params: CertificateParams, usage| -> Result<_, Box<dyn std::error::Error>> {
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![usage];
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate()?;
        Ok((params.signed_by(&key, &ca)?.pem(), key.serialize_pem()))
    };
    Ok(Made {
        server: signed(params("confwatch", server_names.to_vec())?, ExtendedKeyUsagePurpose::ServerAuth)?,
        client: signed(params(CLIENT_NAME, vec![])?, ExtendedKeyUsagePurpose::ClientAuth)?,
        ca: ca.pem(),
    })
}

/// Never over a file that is there.
fn write(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let created: Result<File, _> = OpenOptions::new().write(true).create_new(true).mode(mode).open(path);
    created
        .and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| Failure::io(format!("cannot write {}", path.display()), &error))
}

fn told(view: &DevView) -> String {
    let DevView { server_names, client_name, not_after, .. } = view;
    let ca = quoted(&view.ca);
    let (server, server_key) = (quoted(&view.server_certificate), quoted(&view.server_key));
    let (client, client_key) = (quoted(&view.client_certificate), quoted(&view.client_key));
    let server_names = server_names.join(", ");
    format!(
        "\
{server}  for {server_names}
{client}  for {client_name}
{ca}  the CA of both; its key was not kept
They are for trying it out, and good until {not_after}.

A server that asks its clients for a certificate:
  confwatch serve --tls-cert {server} --tls-key {server_key} --tls-client-ca {ca}
A command to it:
  confwatch list --server https://localhost:7420 --tls-ca {ca} --tls-cert {client} --tls-key {client_key} \
    --token-file ./confwatch-data.keys/admin.token
All commands of this shell:
  export CONFWATCH_SERVER=https://localhost:7420 CONFWATCH_TLS_CA={ca}
  export CONFWATCH_TLS_CLIENT_CERT={client} CONFWATCH_TLS_CLIENT_KEY={client_key}
  export CONFWATCH_TOKEN_FILE=./confwatch-data.keys/admin.token
"
    )
}

/// As a shell reads it.
fn quoted(path: &Path) -> String {
    let text = path.display().to_string();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%".contains(c);
    match text.chars().all(is_plain) {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_told_as_a_shell_reads_it() {
        assert_eq!(quoted(Path::new("./certs/ca.pem")), "./certs/ca.pem");
        assert_eq!(quoted(Path::new("my certs/it's.pem")), "'my certs/it'\\''s.pem'");
    }

    #[test]
    fn a_name_that_no_certificate_can_have_is_an_error() {
        assert!(make(&["ü".into()], 0).is_err());
        assert!(make(&["config.internal".into(), "10.0.0.1".into()], 0).is_ok());
    }
}
