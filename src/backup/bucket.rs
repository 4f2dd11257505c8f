//! A bucket of S3, or of a server with the same protocol. Knows objects by their names; not the content of a file.
//!
//! Address and credentials are those that programs for S3 share: the variables `AWS_…` and the files of a profile (`bucket/profile.rs`). The
//! client of the bucket repeats requests that fail. Its requests run on a thread of the bucket's own, and the caller waits: callers are
//! threads that may block.

mod download;
mod profile;
mod tasks;
mod upload;

use std::fmt;
use std::io::{self, ErrorKind};
use std::path::Path as FilePath;
use std::sync::Arc;
use std::time::Duration;

use futures_util::stream::{self, StreamExt};
use object_store::aws::{AmazonS3, AmazonS3Builder, AmazonS3ConfigKey};
use object_store::path::Path;
use object_store::{
    BackoffConfig, ClientConfigKey, GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutPayload,
    RetryConfig,
};

pub use self::download::Download;
use self::profile::Profile;
use self::tasks::Tasks;
pub use self::upload::Upload;

const SCHEME: &str = "s3://";
/// How often a request is repeated, and for how long: a backup keeps history from being compacted meanwhile.
const RETRIES_MAX: usize = 8;
const RETRY_TIME_MAX: Duration = Duration::from_secs(60);
const RETRY_PAUSE_MAX: Duration = Duration::from_secs(10);
/// The longest that a request may take, which may carry a part of a backup.
const REQUEST_TIME_MAX: &str = "120s";
const CONNECT_TIME_MAX: &str = "5s";
/// Notes that are read at the same time.
const READS_AT_ONCE: usize = 16;

/// The objects of a bucket whose names begin with a prefix.
pub struct Bucket {
    store: Arc<AmazonS3>,
    bucket: String,
    /// Empty, or ends with a slash.
    prefix: String,
    tasks: Arc<Tasks>,
}

impl Bucket {
    /// What follows `s3://` in a location. `None`: the location is no bucket.
    pub fn url(location: &FilePath) -> Option<&str> {
        location.to_str()?.strip_prefix(SCHEME)
    }

    /// Opens `BUCKET` or `BUCKET/PREFIX`. Nothing is sent.
    pub fn open(url: &str) -> io::Result<Bucket> {
        let (bucket, prefix) = url.split_once('/').unwrap_or((url, ""));
        let prefix = prefix.trim_matches('/');
        let invalid = |what: String| io::Error::new(ErrorKind::InvalidInput, what);
        let is_bucket = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if bucket.is_empty() || !bucket.chars().all(is_bucket) {
            return Err(invalid(format!(
                "{bucket:?} is not the name of a bucket: s3://BUCKET/PREFIX is expected"
            )));
        }
        Path::parse(prefix).map_err(|error| invalid(error.to_string()))?;
        let prefix = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let store = builder(bucket)?.build().map_err(|error| invalid(error.to_string()))?;
        Ok(Bucket { store: Arc::new(store), bucket: bucket.to_owned(), prefix, tasks: Tasks::start()? })
    }

    /// Logs an error if the bucket cannot be used. Does not wait for it: a server starts without its bucket.
    pub fn check(&self) {
        let (store, name) = (self.store.clone(), self.to_string());
        let prefix = self.prefix_path();
        self.tasks.run_in_background(async move {
            if let Err(error) = store.list_with_delimiter(prefix.as_ref()).await {
                let error = tasks::io_error(error);
                tracing::error!("no backup can be kept in {name} now: {error}");
            }
        });
    }

    /// Ends calls early once `is_stopped` returns true.
    pub fn stop_when(&self, is_stopped: impl Fn() -> bool + Send + Sync + 'static) {
        self.tasks.stop_when(Box::new(is_stopped));
    }

    /// The names of all objects after the prefix.
    pub fn names(&self) -> io::Result<Vec<String>> {
        let (store, prefix) = (self.store.clone(), self.prefix_path());
        let listed = self.tasks.run(async move { store.list_with_delimiter(prefix.as_ref()).await })?;
        let names = listed.objects.iter().filter_map(|object| object.location.filename());
        Ok(names.map(ToOwned::to_owned).collect())
    }

    pub fn exists(&self, name: &str) -> io::Result<bool> {
        let (store, path) = (self.store.clone(), self.path(name)?);
        match self.tasks.run(async move { store.head(&path).await }) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Begins an object, which appears when it is complete.
    pub fn create(&self, name: &str) -> io::Result<Upload> {
        Upload::begin(self.store.clone(), self.path(name)?, self.tasks.clone())
    }

    /// Opens an object for reading.
    pub fn read(&self, name: &str) -> io::Result<Download> {
        Download::begin(self.store.clone(), self.path(name)?, self.tasks.clone())
    }

    /// Reads small objects, in the order of their names. An object that does not exist is `None`; of one that is longer than `bytes_max`, the
    /// rest is missing.
    pub fn read_all(&self, names: &[String], bytes_max: u64) -> io::Result<Vec<Option<Vec<u8>>>> {
        let paths: Vec<Path> = names.iter().map(|name| self.path(name)).collect::<io::Result<_>>()?;
        let store = self.store.clone();
        self.tasks.run(async move {
            let reads = paths.into_iter().map(|path| {
                let store = store.clone();
                async move {
                    let options =
                        GetOptions { range: Some(GetRange::Bounded(0..bytes_max)), ..Default::default() };
                    match store.get_opts(&path, options).await {
                        Ok(found) => found.bytes().await.map(|bytes| Some(bytes.to_vec())),
                        Err(object_store::Error::NotFound { .. }) => Ok(None),
                        Err(error) => Err(error),
                    }
                }
            });
            let read: Vec<_> = stream::iter(reads).buffered(READS_AT_ONCE).collect().await;
            read.into_iter().collect()
        })
    }

    /// Replaces an object, at once.
    pub fn replace(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let (store, path, payload) =
            (self.store.clone(), self.path(name)?, PutPayload::from(content.to_vec()));
        self.tasks.run(async move { store.put(&path, payload).await }).map(drop)
    }

    pub fn remove(&self, name: &str) -> io::Result<()> {
        let (store, path) = (self.store.clone(), self.path(name)?);
        self.tasks.run(async move { store.delete(&path).await })
    }

    /// `None`: the prefix is empty.
    fn prefix_path(&self) -> Option<Path> {
        Path::parse(&self.prefix).ok().filter(|_| !self.prefix.is_empty())
    }

    fn path(&self, name: &str) -> io::Result<Path> {
        Path::parse(format!("{}{name}", self.prefix))
            .map_err(|error| io::Error::new(ErrorKind::InvalidInput, error.to_string()))
    }
}

/// The client of a bucket, as the environment describes it.
fn builder(bucket: &str) -> io::Result<AmazonS3Builder> {
    let mut builder = AmazonS3Builder::from_env();
    let profile = Profile::of_environment()?;
    let is_set = |builder: &AmazonS3Builder, keys: &[AmazonS3ConfigKey]| {
        keys.iter().any(|key| builder.get_config_value(key).is_some_and(|value| !value.is_empty()))
    };
    let elsewhere = [
        AmazonS3ConfigKey::AccessKeyId,
        AmazonS3ConfigKey::WebIdentityTokenFile,
        AmazonS3ConfigKey::ContainerCredentialsRelativeUri,
        AmazonS3ConfigKey::ContainerCredentialsFullUri,
    ];
    if !is_set(&builder, &elsewhere)
        && let Some(credentials) = profile.credentials()?
    {
        builder = builder.with_credentials(Arc::new(credentials));
    }
    if !is_set(&builder, &[AmazonS3ConfigKey::Region])
        && let Some(region) = profile.setting("region")?
    {
        builder = builder.with_region(region);
    }
    let endpoints = [AmazonS3ConfigKey::S3Endpoint, AmazonS3ConfigKey::Endpoint];
    if !is_set(&builder, &endpoints)
        && let Some(endpoint) = profile.setting("endpoint_url")?
    {
        builder = builder.with_endpoint(endpoint);
    }
    // A server in the same network may have no certificate. Whoever names it by http:// says so.
    let endpoint = endpoints.iter().find_map(|key| builder.get_config_value(key));
    if endpoint.is_some_and(|endpoint| endpoint.starts_with("http://")) {
        builder = builder.with_allow_http(true);
    }
    let retries = RetryConfig {
        backoff: BackoffConfig { max_backoff: RETRY_PAUSE_MAX, ..BackoffConfig::default() },
        max_retries: RETRIES_MAX,
        retry_timeout: RETRY_TIME_MAX,
    };
    Ok(builder
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::Timeout), REQUEST_TIME_MAX)
        .with_config(AmazonS3ConfigKey::Client(ClientConfigKey::ConnectTimeout), CONNECT_TIME_MAX)
        .with_bucket_name(bucket)
        // Servers other than that of AWS may lack the deletion of many objects at once.
        .with_disable_bulk_delete(true)
        .with_retry(retries))
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{SCHEME}{}/{}", self.bucket, self.prefix)
    }
}
