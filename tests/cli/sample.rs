//! Samples of what a version of the program has left behind: a data directory, a backup of it, and what commands answered then. They are kept
//! in `tests/samples/`, so that later versions are tested with the bytes of earlier ones. Knows files and commands; no claims.
//!
//! `data.tar.zst` is the directory of a stopped server, with the master key and the tokens in `keys`: test keys, which open nothing else. Any
//! tar reads it. `CONFWATCH_MAKE_SAMPLE=1 cargo test --test cli upgrades` makes the sample of this version.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use confwatch::store::codec;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tempfile::TempDir;

use crate::harness::{GuardedServer, Server, confwatch, finish, text};

/// What the data directory is said to have in the sled tree `meta`.
const META: &str = "meta";
const BLOCK_BYTES: usize = 512;

/// A sample, unpacked.
pub struct Sample {
    pub name: String,
    pub data: TempDir,
    pub backup: PathBuf,
    pub expected: Expected,
}

/// What was true when the sample was made.
#[derive(Debug, Serialize, Deserialize)]
pub struct Expected {
    pub formats: Formats,
    /// The hash of the newest commit.
    pub hash: String,
    /// A token that may read the namespace `shop`, and nothing else.
    pub reader_token: String,
    pub reads: Vec<Read>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Formats {
    pub data_directory: u64,
    pub commits: u64,
    pub backup: u64,
}

/// A command of the administrator, and the JSON that it printed.
#[derive(Debug, Serialize, Deserialize)]
pub struct Read {
    pub args: Vec<String>,
    pub answer: Value,
}

/// All samples that are kept.
pub fn samples() -> Vec<Sample> {
    let mut names: Vec<PathBuf> =
        fs::read_dir(samples_dir()).expect("samples").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    names.iter().map(|dir| Sample::unpack(dir)).collect()
}

/// Of the newest version.
pub fn newest() -> Sample {
    samples().pop().expect("there are samples")
}

/// What this program writes.
pub fn formats_of_this_program() -> Formats {
    let mut server = Server::start();
    server.stop();
    Formats {
        data_directory: data_format(server.data.path()),
        commits: codec::FORMAT,
        backup: confwatch::backup::FORMAT.into(),
    }
}

/// The format number of the data directory of a stopped server.
pub fn data_format(data: &Path) -> u64 {
    with_meta(data, |meta| {
        let value = meta.get("format").expect("read").expect("a format");
        u64::from_be_bytes(value.as_ref().try_into().expect("8 bytes"))
    })
}

pub fn set_data_format(data: &Path, format: u64) {
    with_meta(data, |meta| {
        meta.insert("format", &format.to_be_bytes()).expect("written");
        meta.flush().expect("flushed");
    });
}

fn with_meta<T>(data: &Path, run: impl FnOnce(&sled::Tree) -> T) -> T {
    let open = || sled::Config::new().path(data.join("db")).segment_size(8 << 20).open();
    // sled lets go of its files some time after it is closed.
    let db = std::iter::repeat_with(open).find_map(Result::ok).expect("sooner or later");
    run(&db.open_tree(META).expect("a tree"))
}

impl Sample {
    fn unpack(dir: &Path) -> Sample {
        let data = TempDir::new().expect("a directory");
        let packed = fs::read(dir.join("data.tar.zst")).expect("a sample has data.tar.zst");
        unpack(&zstd::decode_all(&packed[..]).expect("zstd"), data.path());
        let expected = fs::read(dir.join("expected.json")).expect("a sample has expected.json");
        Sample {
            name: dir.file_name().and_then(|name| name.to_str()).expect("a name").to_owned(),
            data,
            backup: dir.join("backup.cwb"),
            expected: serde_json::from_slice(&expected).expect("what was expected"),
        }
    }

    /// Starts a server on the data.
    pub fn open(self) -> (GuardedServer, Expected) {
        (GuardedServer::start_in(self.data, &[]), self.expected)
    }
}

/// Makes the sample of this version: a bit of everything that a store keeps.
pub fn make() {
    let mut opened = GuardedServer::start(&[]);
    let files = TempDir::new().expect("a directory");
    let schema = files.path().join("schema.json");
    fs::write(
        &schema,
        r#"{"type": "object", "properties": {"retries": {"type": "integer", "maximum": 10}, "password": {"type": "string", "x-secret": true}}}"#,
    )
    .expect("written");
    let policy = r#"bindings=[
        {"subjects":["user:admin"],"role":"admin","namespace":"*","config":"*","scope":"/"},
        {"subjects":["token:service"],"role":"viewer","namespace":"shop","config":"*","scope":"/"}]"#;
    let writes: [&[&str]; 18] = [
        &["set", "confwatch/policy", policy],
        &["set", "shop/checkout", "timeout_ms=800", "retries=3", "-m", "first settings"],
        &["set", "shop/checkout@/production", "timeout_ms=1200", "limits.max=20", "-m", "the bank is slow"],
        &["schema", "put", "shop/checkout", "-f", text(&schema), "-m", "the schema"],
        &["set", "shop/checkout", r#"password={"$secret":"hunter2"}"#, "-m", "the password"],
        &["set", "shop/checkout@/production", "--override", "limits.max=5", "-m", "until it is found"],
        &["tag", "set", "shop/checkout", "stable", "--version", "2"],
        &["set", "shop/mail", "from=\"shop@example.com\"", "annotation=1"],
        &["set", "shop/mail", "annotation=2", "--request-id", "5ca1ab1e-0000-4000-8000-000000000001"],
        &["tag", "set", "shop", "release-1"],
        &["set", "shop/mail@/staging", "from=\"staging@example.com\""],
        &["set", "shop/cart", "limit=10"],
        &["set", "shop/cart", "limit=12"],
        &["delete", "shop/cart", "--yes"],
        &["rollback", "shop/mail", "--to-version", "1"],
        &["set", "shop/search", "limit=1"],
        &["set", "shop/search", "results=50"],
        &["set", "shop/search", "limit=2", "-m", "wrong"],
    ];
    for args in writes {
        opened.ok(args);
    }
    let last = opened.json(&["changes", "shop", "--count", "1"])["revision"].to_string();
    opened.ok(&["revert", &last, "--reason", "it was wrong"]);
    let token = opened.json(&["token", "create", "service"])["token"].as_str().expect("a token").to_owned();

    let reads: [&[&str]; 14] = [
        &["get", "shop/checkout@/production"],
        &["get", "shop/checkout@/production", "--reveal"],
        &["get", "shop/checkout", "--tag", "stable"],
        &["get", "shop/mail", "--version", "2"],
        &["get", "shop/mail@/staging"],
        &["get", "shop/search"],
        &["history", "shop/checkout", "--content"],
        &["history", "shop/mail"],
        &["history", "shop/cart"],
        &["changes", "shop", "--since", "2000-01-01T00:00:00Z"],
        &["explain", "shop/checkout@/production"],
        &["blame", "shop/search"],
        &["tag", "list", "shop"],
        &["schema", "get", "shop/checkout"],
    ];
    let reads = reads.map(|args| Read {
        args: args.iter().map(|&arg| arg.to_owned()).collect(),
        answer: opened.json(args),
    });
    let sample = samples_dir().join(format!("{}-commits-{}", env!("CARGO_PKG_VERSION"), codec::FORMAT));
    fs::create_dir_all(&sample).expect("made");
    let backup = sample.join("backup.cwb");
    let _ = fs::remove_file(&backup);
    opened.ok(&["backup", "create", "-f", text(&backup), "--note", "a sample"]);
    opened.server.stop();
    let data = opened.server.data.path();
    let proof = finish(confwatch(&["audit", "verify", "--data-dir", text(data), "-o", "json"]));
    let proof: Value = serde_json::from_str(&proof.stdout).expect("JSON");
    let expected = Expected {
        formats: Formats {
            data_directory: data_format(data),
            commits: codec::FORMAT,
            backup: confwatch::backup::FORMAT.into(),
        },
        hash: proof["commits"]["hash"].as_str().expect("a hash").to_owned(),
        reader_token: token,
        reads: reads.into(),
    };
    let packed = zstd::encode_all(&pack(data)[..], 19).expect("zstd");
    fs::write(sample.join("data.tar.zst"), packed).expect("written");
    let expected = serde_json::to_string(&expected).expect("JSON");
    // A line for each command.
    fs::write(sample.join("expected.json"), expected.replace("{\"args\"", "\n{\"args\"") + "\n")
        .expect("written");
}

fn samples_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples")
}

/// A directory as a tar archive, sorted, without owners and times.
fn pack(dir: &Path) -> Vec<u8> {
    let mut entries = BTreeMap::new();
    list(dir, dir, &mut entries);
    let mut archive = Vec::new();
    for (name, content) in entries {
        let size = content.as_ref().map_or(0, Vec::len);
        let (mode, kind) = if content.is_some() { ("0000600", b'0') } else { ("0000700", b'5') };
        let mut header = [0; BLOCK_BYTES];
        let mut field = |at: usize, text: &[u8]| header[at..at + text.len()].copy_from_slice(text);
        field(0, name.as_bytes());
        field(100, mode.as_bytes());
        field(124, format!("{size:011o}").as_bytes());
        field(136, b"00000000000");
        field(148, b"        ");
        field(156, &[kind]);
        field(257, b"ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend_from_slice(&header);
        archive.extend_from_slice(&content.unwrap_or_default());
        archive.resize(archive.len().next_multiple_of(BLOCK_BYTES), 0);
    }
    archive.resize(archive.len() + 2 * BLOCK_BYTES, 0);
    archive
}

/// The content of files by their names; `None` for directories.
fn list(root: &Path, dir: &Path, entries: &mut BTreeMap<String, Option<Vec<u8>>>) {
    for entry in fs::read_dir(dir).expect("a directory") {
        let path = entry.expect("an entry").path();
        let name = text(path.strip_prefix(root).expect("below the root")).to_owned();
        if path.is_dir() {
            entries.insert(name + "/", None);
            list(root, &path, entries);
        } else {
            entries.insert(name, Some(fs::read(&path).expect("read")));
        }
    }
}

fn unpack(archive: &[u8], dir: &Path) {
    let mut rest = archive;
    while let Some((header, after)) = rest.split_at_checked(BLOCK_BYTES).filter(|(header, _)| header[0] != 0)
    {
        let field = |range: std::ops::Range<usize>| {
            let bytes = header[range].split(|byte| *byte == 0).next().expect("a field");
            str::from_utf8(bytes).expect("UTF-8").trim()
        };
        let size = usize::from_str_radix(field(124..136), 8).expect("octal");
        let path = dir.join(field(0..100));
        match header[156] {
            b'5' => fs::create_dir_all(&path).expect("made"),
            _ => fs::write(&path, &after[..size]).expect("written"),
        }
        rest = &after[size.next_multiple_of(BLOCK_BYTES)..];
    }
}
