//! Random requests: each call of the contract has a generator. What a request repeats of earlier answers (fingerprints, digests, positions)
//! is named by its number, since two servers that differ in secrets answer with different ones.

use confwatch::proto::v1::*;
use prost::Message;

use super::answers::Seen;
use crate::support::json;

/// Values that requests draw from.
pub struct Pool {
    pub configs: &'static [&'static str],
    pub scopes: &'static [&'static str],
    pub pointers: &'static [&'static str],
    /// Places that may hold what is hidden.
    pub inner: &'static [&'static str],
    /// Documents of governing configs, by the name of the config.
    pub governing: &'static [(&'static str, &'static str)],
    /// What secrets may be. They are proposed only where nothing is stored of it: that a guess which is stored shows whether it was good,
    /// by the fingerprint, is an exception in docs/security.md.
    pub guesses: &'static [&'static str],
    /// Whether writes are stored. Who may write a scope, and not read those above it, sees what it inherits once nothing there replaces it.
    pub stores: bool,
}

/// Draws requests. A clone draws the same.
#[derive(Clone)]
pub struct Draw<'a> {
    pub random: fastrand::Rng,
    pub pool: &'a Pool,
    pub seen: &'a Seen,
    /// Nothing is stored of it.
    pub is_proposal: bool,
}

type Make = fn(&mut Draw<'_>) -> Vec<u8>;

/// Every call, how often it is drawn, and what makes a request for it.
pub const CALLS: &[(&str, u32, Make)] = &[
    ("ConfigService/Get", 8, |draw| draw.get().encode_to_vec()),
    ("ConfigService/BatchGet", 2, |draw| {
        BatchGetRequest { requests: (0..3).map(|_| draw.get()).collect(), ..Default::default() }
            .encode_to_vec()
    }),
    ("ConfigService/List", 2, |draw| draw.list().encode_to_vec()),
    ("ConfigService/Explain", 6, |draw| draw.explain().encode_to_vec()),
    ("ConfigService/Blame", 4, |draw| {
        let pointer = if draw.chance(3) { draw.pointer() } else { String::new() };
        let (config, scope) = (draw.config(), draw.scope());
        BlameRequest { namespace: "test".into(), config, scope, pointer }.encode_to_vec()
    }),
    ("ConfigService/Set", 6, |draw| {
        draw.storing(|draw, options| {
            SetRequest { change: Some(draw.change()), options: Some(options) }.encode_to_vec()
        })
    }),
    ("ConfigService/Apply", 4, |draw| {
        draw.storing(|draw, options| {
            ApplyRequest { changes: draw.changes(), options: Some(options) }.encode_to_vec()
        })
    }),
    ("ConfigService/Delete", 2, |draw| draw.storing(|draw, options| draw.delete(options).encode_to_vec())),
    ("ConfigService/Validate", 24, |draw| {
        draw.is_proposal = true;
        draw.validate().encode_to_vec()
    }),
    ("ConfigService/Rollback", 2, |draw| {
        draw.storing(|draw, options| draw.rollback(options).encode_to_vec())
    }),
    ("ConfigService/Revert", 4, |draw| {
        draw.storing(|draw, options| {
            let revisions = (0..draw.random.usize(1..3)).map(|_| draw.random.u64(1..16)).collect();
            RevertRequest { revisions, options: Some(options) }.encode_to_vec()
        })
    }),
    ("ConfigService/Restore", 4, |draw| {
        draw.storing(|draw, options| {
            let config = if draw.chance(3) { String::new() } else { draw.config() };
            let to = match draw.chance(3) {
                true => restore_request::To::Tag(draw.tag()),
                false => restore_request::To::Revision(draw.random.u64(1..16)),
            };
            RestoreRequest {
                namespace: "test".into(),
                config,
                scope: draw.chance(2).then(|| draw.scope()),
                to: Some(to),
                expected_revision: draw.chance(4).then(|| draw.random.u64(1..16)),
                options: Some(options),
                backup_id: if draw.chance(6) { draw.backup() } else { String::new() },
                upload_id: if draw.chance(6) { "none".into() } else { String::new() },
            }
            .encode_to_vec()
        })
    }),
    ("ConfigService/ListVersions", 4, |draw| draw.versions().encode_to_vec()),
    ("ConfigService/ListChanges", 4, |draw| draw.list_changes().encode_to_vec()),
    ("ConfigService/GetCommit", 3, |draw| {
        let (revision, include_content) = (draw.random.u64(1..16), draw.chance(2));
        GetCommitRequest { revision, include_content }.encode_to_vec()
    }),
    ("ConfigService/Diff", 4, |draw| {
        DiffRequest {
            older: Some(draw.get()),
            newer: Some(draw.get()),
            format: draw.of(&[0, 1, 2, 3]),
            context_lines: None,
        }
        .encode_to_vec()
    }),
    ("ConfigService/DiffNamespaces", 4, |draw| {
        let scoped = draw.chance(2);
        let side = |draw: &mut Draw<'_>| {
            let at = match draw.random.u32(..3) {
                0 => Some(namespace_side::At::Revision(draw.random.u64(1..16))),
                1 => Some(namespace_side::At::Tag(draw.tag())),
                _ => None,
            };
            NamespaceSide { namespace: "test".into(), scope: scoped.then(|| draw.scope()), at }
        };
        let (older, newer) = (Some(side(draw)), Some(side(draw)));
        let (include_governing, page_size) = (draw.chance(2), 1 + draw.random.u32(..5));
        DiffNamespacesRequest { older, newer, include_governing, page_size, ..Default::default() }
            .encode_to_vec()
    }),
    ("ConfigService/Search", 6, |draw| {
        let key = match draw.random.u32(..3) {
            0 => draw.of(&["*", "p*", "token", "db"]).into(),
            1 => draw.pointer(),
            _ => String::new(),
        };
        let guess = draw.of(draw.pool.guesses);
        let value = match draw.random.u32(..4) {
            0 => Some(format!("{guess:?}")),
            1 => Some(draw.value(2)),
            2 => Some(format!("{:?}", draw.fingerprint())),
            _ => None,
        };
        let text = if value.is_none() || draw.chance(4) {
            draw.of(&["", "*", "e", guess]).into()
        } else {
            String::new()
        };
        SearchRequest {
            namespace: if draw.chance(3) { String::new() } else { "test".into() },
            scope: draw.chance(3).then(|| draw.scope()),
            key,
            value,
            text,
            at: draw.chance(3).then(|| search_request::At::Revision(draw.random.u64(1..16))),
            page_size: 1 + draw.random.u32(..5),
            ..Default::default()
        }
        .encode_to_vec()
    }),
    ("ConfigService/ListOverrides", 2, |draw| {
        let config = if draw.chance(2) { String::new() } else { draw.config() };
        let (scope, only_endless) = (draw.chance(2).then(|| draw.scope()), draw.chance(3));
        ListOverridesRequest { namespace: "test".into(), config, scope, only_endless, ..Default::default() }
            .encode_to_vec()
    }),
    ("ConfigService/SetTag", 1, |draw| {
        draw.storing(|draw, options| {
            let (namespace, config) = ("test".into(), draw.config());
            let (tag, options) = (draw.tag(), Some(options));
            match draw.chance(3) {
                true => SetTagRequest { namespace, tag, options, ..Default::default() }.encode_to_vec(),
                false => {
                    let version = draw.small();
                    SetTagRequest { namespace, config, tag, version, options, ..Default::default() }
                        .encode_to_vec()
                }
            }
        })
    }),
    ("ConfigService/DeleteTag", 1, |draw| {
        draw.storing(|draw, options| {
            let config = if draw.chance(3) { String::new() } else { draw.config() };
            let (namespace, tag) = ("test".into(), draw.tag());
            DeleteTagRequest { namespace, config, tag, options: Some(options) }.encode_to_vec()
        })
    }),
    ("ConfigService/Watch", 4, |draw| draw.watch().encode_to_vec()),
    ("ConfigService/RequestProgress", 1, |_| {
        RequestProgressRequest { watch_id: "unknown".into() }.encode_to_vec()
    }),
    ("ConfigService/StreamChanges", 2, |draw| draw.stream_changes().encode_to_vec()),
    ("SchemaService/Put", 3, |draw| {
        draw.storing(|draw, options| {
            let (_, schema) = *draw.governing();
            let (namespace, config) = ("test".into(), draw.config());
            let schema = Some(json(schema));
            let (up, down) = (draw.steps(), String::new());
            let accept_existing = draw.chance(3);
            let options = Some(options);
            SchemaServicePutRequest {
                namespace,
                config,
                schema,
                up,
                down,
                accept_existing,
                expected_number: None,
                options,
            }
            .encode_to_vec()
        })
    }),
    ("SchemaService/Get", 1, |draw| {
        let (namespace, config, number) = ("test".into(), draw.config(), draw.small());
        SchemaServiceGetRequest { namespace, config, number, format: 0 }.encode_to_vec()
    }),
    ("SchemaService/List", 1, |_| {
        SchemaServiceListRequest { namespace: "test".into(), ..Default::default() }.encode_to_vec()
    }),
    ("SchemaService/Delete", 1, |draw| {
        draw.storing(|draw, mut options| {
            // What they leave unchecked is checked by the next call otherwise.
            options.validate_only = true;
            let (namespace, config) = ("test".into(), draw.config());
            SchemaServiceDeleteRequest { namespace, config, expected_number: None, options: Some(options) }
                .encode_to_vec()
        })
    }),
    ("SchemaService/Migrate", 3, |draw| {
        draw.storing(|draw, options| {
            let (namespace, config, to_number) = ("test".into(), draw.config(), 0);
            MigrateRequest { namespace, config, to_number, options: Some(options) }.encode_to_vec()
        })
    }),
    ("SecretService/Status", 1, |_| SecretServiceStatusRequest {}.encode_to_vec()),
    ("SecretService/RotateDataKey", 1, |_| RotateDataKeyRequest { namespace: "test".into() }.encode_to_vec()),
    ("SecretService/RotateMasterKey", 1, |_| RotateMasterKeyRequest {}.encode_to_vec()),
    ("AuthService/WhoAmI", 1, |_| WhoAmIRequest {}.encode_to_vec()),
    ("AuthService/CreateToken", 1, |_| {
        CreateTokenRequest { name: "x".into(), ..Default::default() }.encode_to_vec()
    }),
    ("AuthService/ListTokens", 1, |_| ListTokensRequest::default().encode_to_vec()),
    ("AuthService/RevokeToken", 1, |_| {
        RevokeTokenRequest { id: "000000000000".into(), ..Default::default() }.encode_to_vec()
    }),
    ("AuthService/ListSessions", 1, |_| ListSessionsRequest::default().encode_to_vec()),
    ("AuthService/RevokeSession", 1, |_| {
        RevokeSessionRequest { id: "000000000000".into(), ..Default::default() }.encode_to_vec()
    }),
    ("AuthService/CanI", 1, |draw| {
        let (verb, namespace, config, scope) =
            ("reveal-secret".into(), "test".into(), draw.config(), draw.scope());
        CanIRequest { verb, namespace, config, scope, ..Default::default() }.encode_to_vec()
    }),
    ("AuditService/List", 1, |_| AuditServiceListRequest::default().encode_to_vec()),
    ("AuditService/Stream", 1, |_| {
        AuditServiceStreamRequest { from_revision: 1, ..Default::default() }.encode_to_vec()
    }),
    ("AuditService/Verify", 1, |_| AuditServiceVerifyRequest {}.encode_to_vec()),
    // Streams that were given up may still be listed: only which answer there is can be compared, and that those of others are not there.
    ("BackupService/ListBackups", 1, |_| ListBackupsRequest::default().encode_to_vec()),
    ("BackupService/GetBackup", 1, |draw| GetBackupRequest { id: draw.backup() }.encode_to_vec()),
    ("BackupService/VerifyBackup", 1, |draw| VerifyBackupRequest { id: draw.backup() }.encode_to_vec()),
    ("BackupService/PinBackup", 1, |draw| {
        PinBackupRequest { id: draw.backup(), pinned: draw.chance(2) }.encode_to_vec()
    }),
    ("BackupService/PruneBackups", 1, |draw| {
        PruneBackupsRequest { keep_count: draw.small(), ..Default::default() }.encode_to_vec()
    }),
    // Ids of uploads are random.
    ("BackupService/UploadBackup", 1, |_| {
        UploadBackupRequest { upload_id: "none".into(), ..Default::default() }.encode_to_vec()
    }),
    ("BackupService/CreateBackup", 2, |draw| {
        let (namespace, config) = match draw.chance(2) {
            true => ("test".into(), if draw.chance(2) { draw.config() } else { String::new() }),
            false => Default::default(),
        };
        let kind = draw.of(&[0, 1, 2, 3]);
        let since =
            BackupPosition { epoch: "0".repeat(16), revision: draw.small(), chain_hash: String::new() };
        let since = draw.chance(2).then_some(since);
        CreateBackupRequest { kind, namespace, config, since, ..Default::default() }.encode_to_vec()
    }),
    ("FleetService/ListClients", 2, |draw| {
        let config = if draw.chance(3) { String::new() } else { draw.config() };
        let client_id = "unknown".into();
        let (namespace, scope) = (draw.of(&["test", "test", "elsewhere"]).into(), draw.scope());
        ListClientsRequest { namespace, config, scope, client_id, ..Default::default() }.encode_to_vec()
    }),
    // Of what no stream follows, as streams that were given up may still be counted.
    ("FleetService/WaitConverged", 2, |draw| {
        let (namespace, config) = (draw.of(&["test", "test", "elsewhere"]).into(), "unwatched".into());
        let targets = vec![ConvergenceTarget { namespace, config, scope: draw.scope() }];
        WaitConvergedRequest { revision: draw.small(), targets, timeout: None }.encode_to_vec()
    }),
    ("StatusService/Get", 1, |_| StatusServiceGetRequest {}.encode_to_vec()),
];

impl Draw<'_> {
    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.random.usize(..choices.len())]
    }

    /// True once in so many times.
    pub fn chance(&mut self, in_so_many: u32) -> bool {
        self.random.u32(..in_so_many) == 0
    }

    /// The id of no backup.
    fn backup(&mut self) -> String {
        ["", "none", "../none", "20261129T033000-full-00000000"][self.random.usize(..4)].to_owned()
    }

    fn small(&mut self) -> u64 {
        self.random.u64(..5)
    }

    fn config(&mut self) -> String {
        self.of(self.pool.configs).into()
    }

    fn scope(&mut self) -> String {
        self.of(self.pool.scopes).into()
    }

    fn pointer(&mut self) -> String {
        self.of(self.pool.pointers).into()
    }

    fn tag(&mut self) -> String {
        self.of(&["stable", "old"]).into()
    }

    fn governing(&mut self) -> &'static (&'static str, &'static str) {
        &self.pool.governing[self.random.usize(..self.pool.governing.len())]
    }

    fn steps(&mut self) -> String {
        self.of(&[
            "",
            "",
            r#"[{"rename": {"at": "/token", "to": "moved"}}]"#,
            r#"[{"move": {"from": "/db/password", "to": "/plain"}}]"#,
            r#"[{"convert": {"at": "/token", "expression": "value"}}]"#,
            r#"[{"convert": {"at": "/plain", "expression": "string(config.token)"}}]"#,
        ])
        .into()
    }

    /// A write: what is stored proposes no secret.
    fn storing(&mut self, make: impl FnOnce(&mut Self, WriteOptions) -> Vec<u8>) -> Vec<u8> {
        self.is_proposal = !self.chance(3) || !self.pool.stores;
        let options = WriteOptions { validate_only: self.is_proposal, ..Default::default() };
        make(self, options)
    }

    fn get(&mut self) -> GetRequest {
        let at = match self.random.u32(..8) {
            0 => Some(get_request::At::Version(self.small())),
            1 => Some(get_request::At::Tag(self.tag())),
            2 => Some(get_request::At::Revision(self.small() + 2)),
            _ => None,
        };
        GetRequest {
            namespace: "test".into(),
            config: self.config(),
            scope: self.scope(),
            view: self.of(&[0, 1, 2, 3, 4]),
            format: self.of(&[0, 1, 2, 3]),
            pointer: if self.chance(3) { self.pointer() } else { String::new() },
            if_none_match: if self.chance(4) { self.digest() } else { String::new() },
            min_revision: 0,
            apply_defaults: self.chance(4),
            at,
        }
    }

    fn digest(&mut self) -> String {
        let at = self.random.usize(..1000);
        self.seen.digest(at)
    }

    fn fingerprint(&mut self) -> String {
        let at = self.random.usize(..1000);
        self.seen.fingerprint(at)
    }

    fn list(&mut self) -> ListRequest {
        let (include_deleted, include_governing) = (self.chance(2), self.chance(2));
        ListRequest {
            namespace: "test".into(),
            include_deleted,
            include_governing,
            page_size: 2,
            ..Default::default()
        }
    }

    fn explain(&mut self) -> ExplainRequest {
        let at = self.chance(5).then(|| explain_request::At::Version(self.small()));
        let pointer = if self.chance(3) { self.pointer() } else { String::new() };
        ExplainRequest { namespace: "test".into(), config: self.config(), scope: self.scope(), at, pointer }
    }

    fn versions(&mut self) -> ListVersionsRequest {
        let scope = (!self.chance(3)).then(|| self.scope());
        ListVersionsRequest {
            namespace: "test".into(),
            config: self.config(),
            include_content: true,
            page_size: 3,
            scope,
            ..Default::default()
        }
    }

    fn list_changes(&mut self) -> ListChangesRequest {
        ListChangesRequest {
            namespace: if self.chance(4) { String::new() } else { "test".into() },
            scope: self.chance(3).then(|| self.scope()),
            oldest_first: self.chance(2),
            include_content: self.chance(2),
            include_differences: !self.chance(3),
            page_size: 1 + self.random.u32(..5),
            ..Default::default()
        }
    }

    fn watch(&mut self) -> WatchRequest {
        let target = |draw: &mut Self| WatchTarget {
            namespace: "test".into(),
            config: if draw.chance(3) { "*".into() } else { draw.config() },
            scope: draw.scope(),
            view: draw.of(&[0, 1, 2]),
            format: draw.of(&[0, 1, 2]),
            if_none_match: if draw.chance(4) { draw.digest() } else { String::new() },
            apply_defaults: draw.chance(4),
            ..Default::default()
        };
        WatchRequest { targets: vec![target(self)], ..Default::default() }
    }

    fn stream_changes(&mut self) -> StreamChangesRequest {
        let (from_revision, config) =
            (self.small() + 1, if self.chance(2) { self.config() } else { String::new() });
        let progress_interval = Some(prost_types::Duration { seconds: 0, nanos: 100_000_000 });
        StreamChangesRequest {
            from_revision,
            namespace: "test".into(),
            config,
            include_content: true,
            progress_interval,
            resume_token: String::new(),
        }
    }

    fn delete(&mut self, options: WriteOptions) -> DeleteRequest {
        let scope = (!self.chance(4)).then(|| self.scope());
        let options = Some(options);
        DeleteRequest {
            namespace: "test".into(),
            config: self.config(),
            scope,
            options,
            ..Default::default()
        }
    }

    fn rollback(&mut self, options: WriteOptions) -> RollbackRequest {
        let to = match self.chance(3) {
            true => rollback_request::To::Tag(self.tag()),
            false => rollback_request::To::Version(self.small()),
        };
        let scope = (!self.chance(3)).then(|| self.scope());
        let (config, options) = (self.config(), Some(options));
        RollbackRequest {
            namespace: "test".into(),
            config,
            to: Some(to),
            scope,
            options,
            expected_version: None,
        }
    }

    fn validate(&mut self) -> ValidateRequest {
        let pointer = if self.chance(4) { self.pointer() } else { String::new() };
        match self.random.u32(..8) {
            0 => {
                let config = if self.chance(2) { self.config() } else { String::new() };
                ValidateRequest { namespace: "test".into(), config, pointer, ..Default::default() }
            }
            1 => {
                let (_, schema) = *self.governing();
                let references = json(r#"{"properties": {"color": {"$ref": "schema:common"}}}"#);
                let schema = if self.chance(2) { json(schema) } else { references };
                let document = Some(json(r#"{"color": "blue", "token": 1}"#));
                let namespace = if self.chance(2) { "test".into() } else { String::new() };
                ValidateRequest { namespace, schema: Some(schema), document, pointer, ..Default::default() }
            }
            _ => ValidateRequest { changes: self.changes(), pointer, ..Default::default() },
        }
    }

    fn changes(&mut self) -> Vec<Change> {
        (0..self.random.usize(1..4)).map(|_| self.change()).collect()
    }

    fn change(&mut self) -> Change {
        // A proposal of governance, which would change what all others find if it were stored.
        if self.is_proposal && self.chance(4) {
            let (config, content) = *self.governing();
            // As it is stored.
            let content = match config.starts_with("schema:") {
                true => format!(r#"{{"active":1,"versions":[{{"number":1,"schema":{content}}}]}}"#),
                false => content.to_owned(),
            };
            let content = content.as_str();
            let action = Some(change::Action::Replace(json(content)));
            return Change { namespace: "test".into(), config: config.into(), action, ..Default::default() };
        }
        let kind = if self.chance(4) { LayerKind::Override } else { LayerKind::Base };
        let action = match self.random.u32(..8) {
            0 => change::Action::Delete(()),
            1 | 2 => change::Action::Replace(json(&self.object(3))),
            3 | 4 => change::Action::MergePatch(json(&self.object(3))),
            5 | 6 => change::Action::JsonPatch(json(&self.patch())),
            _ => {
                let values = (0..self.random.usize(1..3)).map(|_| (self.pointer(), self.value(2)));
                change::Action::Assign(Assignments { values: values.collect() })
            }
        };
        let expected_version = self.chance(6).then(|| self.small());
        Change {
            namespace: "test".into(),
            config: self.config(),
            scope: self.scope(),
            kind: kind.into(),
            action: Some(action),
            expected_version,
            ttl: None,
            must_exist: false,
        }
    }

    fn patch(&mut self) -> String {
        // Most that is drawn does not apply: half of the patches try one thing, at a place that may be there.
        if self.chance(2) {
            let (from, to) = (self.of(self.pool.inner), self.of(&["/new", "/plain", "/extra"]));
            return match self.random.u32(..4) {
                0 => format!(r#"[{{"op":"copy","from":"{from}","path":"{to}"}}]"#),
                1 => format!(r#"[{{"op":"move","from":"{from}","path":"{to}"}}]"#),
                2 => format!(r#"[{{"op":"test","path":"{from}","value":{:?}}}]"#, self.of(self.pool.guesses)),
                _ => {
                    let guess = self.of(self.pool.guesses);
                    format!(r#"[{{"op":"test","path":"{from}","value":{{"$secret":{guess:?}}}}}]"#)
                }
            };
        }
        let operations = (0..self.random.usize(1..4)).map(|_| {
            let (path, from) = (self.pointer(), self.pointer());
            match self.random.u32(..6) {
                0 => format!(r#"{{"op":"copy","from":"{from}","path":"{path}"}}"#),
                1 => format!(r#"{{"op":"move","from":"{from}","path":"{path}"}}"#),
                2 | 3 => format!(r#"{{"op":"test","path":"{path}","value":{}}}"#, self.value(2)),
                4 => format!(r#"{{"op":"remove","path":"{path}"}}"#),
                _ => format!(r#"{{"op":"add","path":"{path}","value":{}}}"#, self.value(2)),
            }
        });
        format!("[{}]", operations.collect::<Vec<_>>().join(","))
    }

    fn object(&mut self, depth: u32) -> String {
        let names = ["token", "db", "password", "list", "plain", "pin", "extra", "color"];
        let mut members = std::collections::BTreeMap::new();
        for _ in 0..self.random.usize(..4) {
            let name = self.of(&names);
            members.insert(name, self.member(name, depth));
        }
        let members: Vec<String> =
            members.into_iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        format!("{{{}}}", members.join(","))
    }

    /// Guesses stand at any place of a proposal, and where nothing is secret of what is stored.
    fn member(&mut self, name: &str, depth: u32) -> String {
        if name == "plain" && self.chance(2) {
            return format!("{:?}", self.of(self.pool.guesses));
        }
        self.value(depth)
    }

    fn value(&mut self, depth: u32) -> String {
        match self.random.u32(..12) {
            0 if depth > 0 => self.object(depth - 1),
            1 if depth > 0 => format!("[{},{}]", self.value(depth - 1), self.value(0)),
            2 if depth > 0 => format!(r#"{{"$secret":{}}}"#, self.value(0)),
            3 | 4 if self.is_proposal => {
                format!("{:?}", self.of(self.pool.guesses))
            }
            5 if self.is_proposal => {
                format!(r#"{{"$secret":{:?}}}"#, self.of(self.pool.guesses))
            }
            6 => format!("{:?}", self.fingerprint()),
            7 => "null".into(),
            8 => "true".into(),
            9 => self.random.u32(..2000).to_string(),
            _ => format!("\"word{}\"", self.random.u32(..100)),
        }
    }
}
