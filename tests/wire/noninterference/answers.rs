//! Answers as text that can be compared: with what two servers cannot have in common named by number, in the order in which it came.

use std::collections::HashMap;
use std::sync::LazyLock;

use confwatch::proto::v1::*;
use prost::Message;
use regex::{Captures, Regex};
use tonic::Status;

/// What one server has answered with so far.
#[derive(Default)]
pub struct Seen {
    fingerprints: Names,
    digests: Names,
}

/// Texts in the order in which they came.
#[derive(Default)]
struct Names {
    numbers: HashMap<String, usize>,
    texts: Vec<String>,
}

impl Names {
    fn number(&mut self, text: &str) -> usize {
        let next = self.texts.len();
        let number = *self.numbers.entry(text.to_owned()).or_insert(next);
        if number == next {
            self.texts.push(text.to_owned());
        }
        number
    }

    fn get(&self, at: usize) -> Option<&String> {
        (!self.texts.is_empty()).then(|| &self.texts[at % self.texts.len()])
    }
}

static FINGERPRINT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\*\*\*:[0-9a-f]{8}").expect("a pattern"));
static DIGEST: LazyLock<Regex> = LazyLock::new(|| Regex::new("sha256:[0-9a-f]{64}").expect("a pattern"));
/// Times, and ids that are random.
static OWN: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let patterns = [
        (r"Timestamp \{ seconds: -?\d+, nanos: -?\d+ \}", "TIME"),
        (r#"hash: "[^"]*""#, "HASH"),
        // A stream that was given up may still be counted.
        (r"watchers: \d+", "WATCHERS"),
        (r#"(credential|call_id|address|watch_id|resume_token|epoch): "[^"]*""#, "$1"),
        // The epoch of a page token, and what binds it to its request. The rest is where the page ends.
        (r#"next_page_token: "[\w-]{20}"#, "next_page_token: \""),
        (r#"\\"(credential|call_id|address)\\": \\"[^"]*\\""#, "$1"),
    ];
    patterns.map(|(pattern, name)| (Regex::new(pattern).expect("a pattern"), name)).into()
});

impl Seen {
    pub fn fingerprint(&self, at: usize) -> String {
        self.fingerprints.get(at).cloned().unwrap_or_else(|| "***:00000000".into())
    }

    pub fn digest(&self, at: usize) -> String {
        self.digests.get(at).cloned().unwrap_or_default()
    }

    /// A text with numbers for what may differ.
    pub fn comparable(&mut self, text: &str) -> String {
        let mut text = text.to_owned();
        for (pattern, name) in &*OWN {
            text = pattern.replace_all(&text, *name).into_owned();
        }
        let number = |found: &Captures<'_>| format!("FINGERPRINT {}", self.fingerprints.number(&found[0]));
        let text = FINGERPRINT.replace_all(&text, number);
        let number = |found: &Captures<'_>| format!("DIGEST {}", self.digests.number(&found[0]));
        DIGEST.replace_all(&text, number).into_owned()
    }
}

/// A message of a call in words.
pub fn in_words(call: &str, bytes: &[u8]) -> String {
    fn of<M: Message + Default + std::fmt::Debug>(bytes: &[u8]) -> String {
        format!("{:?}", M::decode(bytes).expect("it is one"))
    }
    let of = match call {
        "ConfigService/Get" => of::<GetResponse>,
        "ConfigService/BatchGet" => of::<BatchGetResponse>,
        "ConfigService/List" => of::<ListResponse>,
        "ConfigService/Explain" => of::<ExplainResponse>,
        "ConfigService/Blame" => of::<BlameResponse>,
        "ConfigService/Set" => of::<SetResponse>,
        "ConfigService/Apply" => of::<ApplyResponse>,
        "ConfigService/Delete" => of::<DeleteResponse>,
        "ConfigService/Validate" => of::<ValidateResponse>,
        "ConfigService/Rollback" => of::<RollbackResponse>,
        "ConfigService/Revert" => of::<RevertResponse>,
        "ConfigService/Restore" => of::<RestoreResponse>,
        "ConfigService/ListVersions" => of::<ListVersionsResponse>,
        "ConfigService/ListChanges" => of::<ListChangesResponse>,
        "ConfigService/GetCommit" => of::<GetCommitResponse>,
        "ConfigService/Diff" => of::<DiffResponse>,
        "ConfigService/DiffNamespaces" => of::<DiffNamespacesResponse>,
        "ConfigService/Search" => of::<SearchResponse>,
        "ConfigService/ListOverrides" => of::<ListOverridesResponse>,
        "ConfigService/SetTag" => of::<SetTagResponse>,
        "ConfigService/DeleteTag" => of::<DeleteTagResponse>,
        "ConfigService/Watch" => of::<WatchResponse>,
        "ConfigService/RequestProgress" => of::<RequestProgressResponse>,
        "ConfigService/StreamChanges" => of::<StreamChangesResponse>,
        "SchemaService/Put" => of::<SchemaServicePutResponse>,
        "SchemaService/Get" => of::<SchemaServiceGetResponse>,
        "SchemaService/List" => of::<SchemaServiceListResponse>,
        "SchemaService/Delete" => of::<SchemaServiceDeleteResponse>,
        "SchemaService/Migrate" => of::<MigrateResponse>,
        "SecretService/Status" => of::<SecretServiceStatusResponse>,
        "SecretService/RotateDataKey" => of::<RotateDataKeyResponse>,
        "SecretService/RotateMasterKey" => of::<RotateMasterKeyResponse>,
        "AuthService/WhoAmI" => of::<WhoAmIResponse>,
        "AuthService/CreateToken" => of::<CreateTokenResponse>,
        "AuthService/ListTokens" => of::<ListTokensResponse>,
        "AuthService/RevokeToken" => of::<RevokeTokenResponse>,
        "AuthService/ListSessions" => of::<ListSessionsResponse>,
        "AuthService/RevokeSession" => of::<RevokeSessionResponse>,
        "AuthService/CanI" => of::<CanIResponse>,
        "AuditService/List" => of::<AuditServiceListResponse>,
        "AuditService/Stream" => of::<AuditServiceStreamResponse>,
        "AuditService/Verify" => of::<AuditServiceVerifyResponse>,
        "FleetService/ListClients" => of::<ListClientsResponse>,
        "FleetService/WaitConverged" => of::<WaitConvergedResponse>,
        "StatusService/Get" => of::<StatusServiceGetResponse>,
        "BackupService/CreateBackup" => of::<CreateBackupResponse>,
        "BackupService/ListBackups" => of::<ListBackupsResponse>,
        "BackupService/GetBackup" => of::<GetBackupResponse>,
        "BackupService/VerifyBackup" => of::<VerifyBackupResponse>,
        "BackupService/PinBackup" => of::<PinBackupResponse>,
        "BackupService/PruneBackups" => of::<PruneBackupsResponse>,
        "BackupService/UploadBackup" => of::<UploadBackupResponse>,
        call => panic!("{call} is not known here: add it, and a generator"),
    };
    of(bytes)
}

/// A refusal in words: with its details, but for when to come again, which is spread.
pub fn refusal_in_words(status: &Status) -> String {
    let details =
        tonic_types::pb::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    let details: Vec<String> = details
        .iter()
        .filter(|detail| !detail.type_url.ends_with("RetryInfo"))
        .map(|detail| match detail.type_url.ends_with("ErrorInfo") {
            // A map, in no order.
            true => {
                let info = tonic_types::pb::ErrorInfo::decode(&*detail.value).expect("it is one");
                let metadata: std::collections::BTreeMap<_, _> = info.metadata.iter().collect();
                format!("{} {metadata:?}", info.reason)
            }
            false => format!("{} {}", detail.type_url, String::from_utf8_lossy(&detail.value)),
        })
        .collect();
    format!("{:?} {} {details:?}", status.code(), status.message())
}
