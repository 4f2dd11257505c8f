//! That every way to say a setting is heard, and that what makes no sense is refused.

use std::time::Duration;

use clap::{CommandFactory, Parser};

use super::*;
use crate::model::limits::Limits;
use crate::model::quota::Quotas;

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    args: ServeArgs,
}

fn parse(flags: &[&str]) -> Result<Settings, String> {
    let flags = ["serve"].iter().chain(flags);
    let program = Program::try_parse_from(flags).map_err(|error| error.to_string())?;
    program.args.settings().map_err(|error| error.to_string())
}

fn file(text: &str) -> (tempfile::TempDir, String) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("confwatch.toml");
    std::fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (directory, path)
}

#[test]
fn without_a_word_everything_is_as_by_default() {
    assert_eq!(parse(&[]).unwrap(), Settings::default());
}

#[test]
fn flags_win_over_the_file_and_the_file_over_defaults() {
    let (_directory, path) = file(
        "listen = \"0.0.0.0:1\"\nfsync = \"never\"\ndrain_timeout = \"1m 30s\"\nretain_revisions = 7\n\
         [limits]\nwatchers_max = 5\npage_size_max = 6\n",
    );
    let flags = ["--config", &path, "--listen", "[::1]:0", "--limits", "watchers_max=9"];
    let settings = parse(&flags).unwrap();
    let limits = Limits { watchers_max: 9, page_size_max: 6, ..Limits::default() };
    let expected = Settings {
        listen: "[::1]:0".into(),
        fsync: Fsync::Never,
        drain_timeout: Duration::from_secs(90),
        retain_revisions: Some(7),
        limits,
        ..Settings::default()
    };
    assert_eq!(settings, expected);
}

#[test]
fn what_is_wrong_in_a_file_is_said_with_file_and_key() {
    let check = |text: &str, expected: &[&str]| {
        let (_directory, path) = file(text);
        let error = parse(&["--config", &path]).unwrap_err();
        assert!(error.starts_with(&path), "{error}");
        for expected in expected {
            assert!(error.contains(expected), "{expected:?} is not in {error:?}");
        }
    };
    check("dat_dir = \"x\"", &["line 1", "unknown field `dat_dir`", "data_dir"]);
    check("\nfsync = 3", &["line 2", "fsync"]);
    check("drain_timeout = \"soon\"", &["line 1", "drain_timeout", "\"soon\" is not a length of time"]);
    check("config = \"other\"", &["unknown field `config`"]);
    check("[limits]\nwatcher_max = 1", &["limits", "unknown field `watcher_max`", "watchers_max"]);
    check("[limits]\nwatchers_max = 0", &["limits", "watchers_max is 0"]);
    check("[limits]\nwatchers_max = -1", &["watchers_max"]);
    check("[limits]\ndocument_bytes_max = 4000000", &["document_bytes_max", "3145728"]);
}

#[test]
fn a_file_that_is_not_there_is_said_by_name() {
    let error = parse(&["--config", "/nowhere/confwatch.toml"]).unwrap_err();
    assert!(error.starts_with("cannot read /nowhere/confwatch.toml: "), "{error}");
}

#[test]
fn a_flag_that_makes_no_sense_is_refused() {
    for flags in [
        ["--drain-timeout", "0s"],
        ["--drain-timeout", "-1s"],
        ["--fsync", "maybe"],
        ["--limits", "watchers_max"],
        ["--limits", "watchers=1"],
    ] {
        assert!(parse(&flags).is_err(), "{flags:?}");
    }
}

#[test]
fn what_is_out_of_its_range_is_refused_with_the_range_whoever_says_it() {
    let check = |name: &str, value: &str, range: &str| {
        let flag = format!("--{}", name.replace('_', "-"));
        let error = parse(&[&flag, value]).unwrap_err();
        assert!(error.contains(range), "{error}");
        let quoted = if value.ends_with(|last: char| last.is_alphabetic()) {
            format!("{value:?}")
        } else {
            value.to_owned()
        };
        let (_directory, path) = file(&format!("{name} = {quoted}"));
        let error = parse(&["--config", &path]).unwrap_err();
        assert!(error.contains(name) && error.contains(range), "{error}");
    };
    check("otlp_sampled", "7", "from 0 to 1");
    check("audit_bytes_max", "1", "from 1048576 to ");
    check("retain_revisions", "0", "from 1 to ");
    check("store_cache_bytes", "1", "from 65536 to ");
    check("document_cache_bytes", "9223372036854775807", "from 0 to ");
    check("requests_unfinished_bytes_max", "0", "from 65536 to ");
    check("responses_unread_bytes_max", "1", "from 65536 to ");
    check("header_bytes_max", "4294967295", "from 1024 to 1048576");
    check("streams_per_connection_max", "4294967296", "from 1 to ");
    check("connections_max", "100000000", "from 1 to ");
    check("audit_retention_days", "4294967295", "from 1 to 36500");
    for name in ["drain_timeout", "keepalive_interval", "request_timeout", "tls_reload_interval"] {
        check(name, "999999999h", "from 1ms to 1d");
    }
    check("retain_for", "999999999h", "from 1ms to 36500d");
    assert_eq!("90d".parse(), Ok(Period(Duration::from_secs(90 * 24 * 3600))));
}

#[test]
fn tls_is_set_by_files_and_clients_are_asked_for_a_certificate_where_there_is_a_ca() {
    let files =
        |client_ca| Some(TlsFiles { certificate: "cert.pem".into(), key: "key.pem".into(), client_ca });
    let ca = |auth| Some(ClientCa { file: "ca.pem".into(), auth });
    let both = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
    let tls = |flags: &[&str]| parse(&[&both, flags].concat()).unwrap().tls;
    assert_eq!(tls(&[]), files(None));
    assert_eq!(tls(&["--tls-client-ca", "ca.pem"]), files(ca(ClientAuth::Required)));
    let optional = ["--tls-client-ca", "ca.pem", "--tls-client-auth", "optional"];
    assert_eq!(tls(&optional), files(ca(ClientAuth::Optional)));

    let (_directory, path) = file(
        "tls_cert = \"cert.pem\"\ntls_key = \"x\"\ntls_client_ca = \"ca.pem\"\ntls_client_auth = \"optional\"\n",
    );
    let settings = parse(&["--config", &path, "--tls-key", "key.pem"]).unwrap();
    assert_eq!(settings.tls, files(ca(ClientAuth::Optional)));
}

#[test]
fn half_of_tls_is_refused_with_what_is_missing() {
    let check = |flags: &[&str], expected: &str| assert_eq!(parse(flags).unwrap_err(), expected);
    check(&["--tls-cert", "x"], "--tls-cert needs --tls-key");
    check(&["--tls-key", "x"], "--tls-key needs --tls-cert");
    check(&["--tls-client-ca", "x"], "--tls-client-ca needs --tls-cert and --tls-key");
    let both = ["--tls-cert", "x", "--tls-key", "x", "--tls-client-auth", "optional"];
    check(&both, "--tls-client-auth needs --tls-client-ca");
}

#[test]
fn limits_of_connections_are_settings_like_others() {
    let (_directory, path) = file(
        "insecure = true\nhandshake_timeout = \"1s\"\nconnections_max = 7\nconnections_per_address_max = 5\n\
         connection_age_max = \"1h\"\ntls_reload_interval = \"1m\"\n",
    );
    let settings = parse(&["--config", &path, "--connections-max", "9"]).unwrap();
    let expected = Settings {
        insecure: true,
        handshake_timeout: Duration::from_secs(1),
        connections_max: 9,
        connections_per_address_max: 5,
        connection_age_max: Some(Duration::from_secs(3600)),
        tls_reload_interval: Duration::from_secs(60),
        ..Settings::default()
    };
    assert_eq!(settings, expected);
    assert!(!parse(&["--config", &path, "--insecure=false"]).unwrap().insecure);
    assert!(parse(&["--insecure"]).unwrap().insecure);
    assert!(parse(&["--connections-max", "0"]).is_err());
}

#[test]
fn every_flag_has_its_environment_variable() {
    for argument in Program::command().get_arguments() {
        let Some(flag) = argument.get_long().filter(|flag| *flag != "help") else { continue };
        let expected = match flag {
            // Under this name every collector is set.
            "otlp-endpoint" => "OTEL_EXPORTER_OTLP_ENDPOINT".to_owned(),
            _ => format!("CONFWATCH_{}", flag.replace('-', "_").to_uppercase()),
        };
        assert_eq!(argument.get_env().and_then(|name| name.to_str()), Some(expected.as_str()));
    }
}

#[test]
fn every_limit_is_named_in_the_help() {
    let help = Program::command().render_long_help().to_string();
    let limits = serde_json::to_value(Limits::default()).unwrap();
    for name in limits.as_object().unwrap().keys() {
        assert!(help.contains(name.as_str()), "{name}");
    }
}

#[test]
fn whose_tokens_are_good_is_said_whole() {
    let jwt = ["--jwt-keys", "keys.json", "--jwt-issuer", "https://issuer", "--jwt-audience", "a, b"];
    let settings = parse(&jwt).unwrap();
    let issuer = settings.jwt.expect("an issuer");
    assert_eq!((issuer.keys.as_str(), issuer.issuer.as_str()), ("keys.json", "https://issuer"));
    assert_eq!(issuer.audiences, ["a", "b"]);
    assert!(issuer.groups_claims.is_empty());
    for part in [&jwt[..2], &jwt[..4], &["--jwt-groups-claim", "groups"]] {
        assert!(parse(part).unwrap_err().contains("go together"), "{part:?}");
    }
}

#[test]
fn whether_callers_are_checked_is_left_to_the_address_unless_it_is_said() {
    assert_eq!(parse(&[]).unwrap().auth, None);
    assert_eq!(parse(&["--auth", "off"]).unwrap().auth, Some(AuthMode::Off));
    assert!(parse(&["--auth", "maybe"]).is_err());
}

#[test]
fn the_help_has_the_quotas_of_a_namespace() {
    let declared = declared::ServeArgs::declared();
    let help = declared.iter().find(|setting| setting.name == "quotas").and_then(|setting| setting.without);
    let parsed = parse(&["--quotas", help.expect("described")]).expect("the help shows a valid value");
    assert_eq!(parsed.quotas, Quotas::default());
}
