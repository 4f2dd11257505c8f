//! The files in which programs for S3 share credentials and settings: `~/.aws/credentials` and `~/.aws/config`, or those that
//! `AWS_SHARED_CREDENTIALS_FILE` and `AWS_CONFIG_FILE` name, and in them the profile `AWS_PROFILE`, or `default`. Knows no request.

use std::collections::BTreeMap;
use std::env;
use std::fmt;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::Arc;

use object_store::CredentialProvider;
use object_store::aws::AwsCredential;

use crate::bounded_file::{SMALL_FILE_BYTES_MAX, read_text};

/// A profile, by the files that may have it.
#[derive(Clone)]
pub struct Profile {
    /// Files that may have it, the first one first, and its section in each.
    files: Vec<(PathBuf, String)>,
}

/// The credentials of a profile. Read again with each request, so that those of a file that is replaced are in use at once.
pub struct ProfileCredentials(Profile);

type Section = BTreeMap<String, String>;

impl Profile {
    pub fn of_environment() -> io::Result<Profile> {
        let variable = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
        let named = variable("AWS_PROFILE");
        let home = variable("HOME").map(|home| Path::new(&home).join(".aws"));
        let file = |name: &str, default: &str| {
            variable(name).map(PathBuf::from).or_else(|| Some(home.as_ref()?.join(default)))
        };
        let name = named.clone().unwrap_or_else(|| "default".to_owned());
        let config_section = if name == "default" { name.clone() } else { format!("profile {name}") };
        let credentials = file("AWS_SHARED_CREDENTIALS_FILE", "credentials").map(|path| (path, name.clone()));
        let config = file("AWS_CONFIG_FILE", "config").map(|path| (path, config_section));
        let profile = Profile { files: credentials.into_iter().chain(config).collect() };
        if named.is_some() && profile.sections()?.is_empty() {
            let message = format!("there is no profile {name}, which AWS_PROFILE names");
            return Err(io::Error::new(ErrorKind::NotFound, message));
        }
        Ok(profile)
    }

    /// `None`: the profile has no credentials of its own.
    pub fn credentials(&self) -> io::Result<Option<ProfileCredentials>> {
        Ok(self.credential()?.map(|_| ProfileCredentials(self.clone())))
    }

    pub fn setting(&self, name: &str) -> io::Result<Option<String>> {
        Ok(self.sections()?.iter().find_map(|section| section.get(name)).cloned())
    }

    fn credential(&self) -> io::Result<Option<AwsCredential>> {
        for section in self.sections()? {
            if let (Some(key_id), Some(secret_key)) =
                (section.get("aws_access_key_id"), section.get("aws_secret_access_key"))
            {
                let token = section.get("aws_session_token").cloned();
                return Ok(Some(AwsCredential {
                    key_id: key_id.clone(),
                    secret_key: secret_key.clone(),
                    token,
                }));
            }
        }
        Ok(None)
    }

    /// The sections of the profile that there are.
    fn sections(&self) -> io::Result<Vec<Section>> {
        let mut found = vec![];
        for (path, name) in &self.files {
            match read_text(path, SMALL_FILE_BYTES_MAX) {
                Ok(text) => found.extend(section(&text, name)),
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => {
                    return Err(io::Error::new(error.kind(), format!("{}: {error}", path.display())));
                }
            }
        }
        Ok(found)
    }
}

/// One section of a file: lines `name = value` after `[section]`. `None`: the file does not have it.
fn section(text: &str, name: &str) -> Option<Section> {
    let mut found: Option<Section> = None;
    let mut is_within = false;
    for line in text.lines() {
        // The lines of a nested setting are indented.
        let is_nested = line.starts_with(char::is_whitespace);
        let line = line.trim();
        if let Some(title) = line.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
            is_within = title.split_whitespace().eq(name.split_whitespace());
            if is_within {
                found.get_or_insert_default();
            }
        } else if is_within
            && !is_nested
            && !line.starts_with(['#', ';'])
            && let Some((name, value)) = line.split_once('=')
        {
            found.get_or_insert_default().insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        }
    }
    found
}

impl ProfileCredentials {
    fn read(&self) -> object_store::Result<Arc<AwsCredential>> {
        let found = self.0.credential().and_then(|found| {
            found
                .ok_or_else(|| io::Error::new(ErrorKind::NotFound, "the profile has no credentials any more"))
        });
        let failed = |source| object_store::Error::Generic { store: "profile", source: Box::new(source) };
        found.map(Arc::new).map_err(failed)
    }
}

type Found<'a> = Pin<Box<dyn Future<Output = object_store::Result<Arc<AwsCredential>>> + Send + 'a>>;

impl CredentialProvider for ProfileCredentials {
    type Credential = AwsCredential;

    fn get_credential<'this, 'found>(&'this self) -> Found<'found>
    where
        'this: 'found,
        Self: 'found,
    {
        Box::pin(async move { self.read() })
    }
}

impl fmt::Debug for ProfileCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ProfileCredentials").field(&self.0.files).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\
# of the machine
[default]
region = eu-west-1
s3 =
  max_concurrent_requests = 20
[profile backup]
AWS_Access_Key_Id=AKIA  
aws_secret_access_key = a=b
; aws_session_token = c
endpoint_url = http://127.0.0.1:9000
";

    #[test]
    fn a_section_has_its_own_lines_alone() {
        let default = section(TEXT, "default").expect("it is there");
        assert_eq!(default.get("region").map(String::as_str), Some("eu-west-1"));
        assert!(!default.contains_key("max_concurrent_requests") && !default.contains_key("endpoint_url"));
        let backup = section(TEXT, "profile backup").expect("it is there");
        assert_eq!(backup.get("aws_access_key_id").map(String::as_str), Some("AKIA"));
        assert_eq!(backup.get("aws_secret_access_key").map(String::as_str), Some("a=b"));
        assert!(!backup.contains_key("aws_session_token") && !backup.contains_key("region"));
        assert_eq!(section(TEXT, "profile other"), None);
    }

    #[test]
    fn the_credentials_of_a_file_that_was_replaced_are_the_new_ones() {
        let dir = tempfile::tempdir().expect("a directory");
        let [credentials, config] = ["credentials", "config"].map(|name| dir.path().join(name));
        let write = |path: &Path, text: &str| std::fs::write(path, text).expect("written");
        write(&credentials, "[default]\naws_access_key_id = a\naws_secret_access_key = b\n");
        write(&config, "[default]\nregion = eu-west-1\naws_access_key_id = other\n");
        let profile =
            Profile { files: vec![(credentials.clone(), "default".into()), (config, "default".into())] };
        assert_eq!(profile.setting("region").expect("read"), Some("eu-west-1".to_owned()));
        let key = |profile: &Profile| profile.credential().expect("read").map(|found| found.key_id);
        assert_eq!(key(&profile), Some("a".to_owned()));
        write(&credentials, "[default]\naws_access_key_id = c\naws_secret_access_key = d\n");
        assert_eq!(key(&profile), Some("c".to_owned()));
        std::fs::remove_file(&credentials).expect("removed");
        assert_eq!(key(&profile), None);
    }
}
