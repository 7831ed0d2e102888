//! Where the API is and with which key: flags and variables first, then the file the server wrote into its data folder.

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::args::Global;
use crate::exit::{Exit, Failure};

/// The file in the data folder, mode 0600, that lets commands on the same machine in.
pub const CREDENTIALS_FILE: &str = "api-credentials.json";
const URL_DEFAULT: &str = "http://127.0.0.1:8080";
const DATA_DIR_DEFAULT: &str = "weir-data";

/// What a server writes for the commands on its machine.
#[derive(Clone, Deserialize)]
pub struct Credentials {
    /// Address of the API; empty until the server listened for the first time.
    #[serde(default)]
    pub url: String,
    /// Key id.
    pub app_id: String,
    /// Key secret.
    pub app_secret: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials").field("url", &self.url).field("app_id", &self.app_id).finish_non_exhaustive()
    }
}

/// Where to go, as whom, and what to say when that does not work.
pub(crate) struct Target {
    pub(crate) url: String,
    pub(crate) credentials: Option<(String, String)>,
    /// Where credentials were looked for.
    pub(crate) searched: String,
}

impl Target {
    pub(crate) fn find(global: &Global) -> Result<Self, Failure> {
        let folder = global.data_dir.clone().unwrap_or_else(|| PathBuf::from(DATA_DIR_DEFAULT));
        let path = folder.join(CREDENTIALS_FILE);
        let file = read(&path)?;
        let url_of_file = file.as_ref().map(|file| file.url.as_str()).filter(|url| !url.is_empty());
        let url = global.url.as_deref().or(url_of_file).unwrap_or(URL_DEFAULT).trim_end_matches('/').to_owned();
        let credentials = match (&global.app_id, &global.app_secret, &file) {
            (Some(id), Some(secret), _) => Some((id.clone(), secret.clone())),
            (Some(_), None, _) | (None, Some(_), _) => {
                return Err(Failure::new(
                    Exit::Usage,
                    "--app-id and --app-secret (or WEIR_APP_ID and WEIR_APP_SECRET) go together",
                ));
            }
            // The local key must not travel to another machine because somebody gave a --url.
            (None, None, Some(file)) if url_of_file == Some(url.as_str()) || is_loopback(&url) => {
                Some((file.app_id.clone(), file.app_secret.clone()))
            }
            (None, None, _) => None,
        };
        Ok(Self { url, credentials, searched: path.display().to_string() })
    }
}

fn read(path: &Path) -> Result<Option<Credentials>, Failure> {
    match std::fs::read_to_string(path) {
        Ok(text) => serde_json::from_str(&text).map(Some).map_err(|error| {
            Failure::new(Exit::Failed, format!("{} is not what a server writes: {error}", path.display()))
        }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Failure::new(Exit::Failed, format!("cannot read {}: {error}", path.display()))),
    }
}

pub(crate) fn is_loopback(url: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(url) else { return false };
    match url.host_str() {
        Some("localhost") => true,
        Some(host) => host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|ip| ip.is_loopback()),
        None => false,
    }
}
