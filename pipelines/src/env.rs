//! Values from outside the file: environment variables and secret files.

use std::path::PathBuf;

/// Largest secret file, bytes.
const SECRET_BYTES_MAX: u64 = 64 << 10;

/// Where `${env:NAME}`, `{env: NAME}` and `{file: path}` look.
pub trait Environment: Send + Sync {
    /// The variable, if it is set.
    fn var(&self, name: &str) -> Option<String>;
    /// The content of a file; the error says why not.
    fn file(&self, path: &str) -> Result<String, String>;
}

/// The environment of this process; relative paths start at the folder of the pipeline file.
#[derive(Clone, Debug, Default)]
pub struct ProcessEnvironment {
    /// Folder of the pipeline file.
    pub folder: PathBuf,
}

impl Environment for ProcessEnvironment {
    fn var(&self, name: &str) -> Option<String> {
        std::env::var(name).ok()
    }

    fn file(&self, path: &str) -> Result<String, String> {
        let path = self.folder.join(path);
        let size = std::fs::metadata(&path).map_err(|error| error.to_string())?.len();
        if size > SECRET_BYTES_MAX {
            return Err(format!("it has {size} bytes, at most {SECRET_BYTES_MAX} are read"));
        }
        std::fs::read_to_string(&path).map_err(|error| error.to_string())
    }
}

/// What to do about a variable or secret file that is not there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Absent {
    /// An error: the pipeline is about to run.
    #[default]
    Fail,
    /// A warning, and the setting is not validated: the pipeline is checked away from its server.
    Warn,
}
