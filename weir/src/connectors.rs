//! Every connector of this binary. The only file of the project that names concrete systems.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use connector::{Client, Config, Connector, Error, Field, Registry, Spec};

/// The folder of the default lake inside the data folder.
pub(crate) const LAKE_FOLDER: &str = "lake";

/// The connectors. A lake without a path lies in `data_dir`.
pub(crate) fn registry(data_dir: &Path) -> Registry {
    Registry::new([
        file::connector(),
        kafka::connector(),
        embedded_lake(data_dir),
        postgresql::connector(),
        webhook::connector(),
    ])
}

/// The lake with a default for its path, which only the server knows.
struct EmbeddedLake {
    inner: Arc<dyn Connector>,
    spec: &'static Spec,
}

#[async_trait]
impl Connector for EmbeddedLake {
    fn spec(&self) -> &'static Spec {
        self.spec
    }

    async fn open(&self, config: &Config) -> Result<Arc<dyn Client>, Error> {
        self.inner.open(config).await
    }
}

fn embedded_lake(data_dir: &Path) -> Arc<dyn Connector> {
    let inner = lake::connector();
    let path = std::path::absolute(data_dir).unwrap_or_else(|_| data_dir.to_path_buf()).join(LAKE_FOLDER);
    // Specifications live as long as the process; this one is made once.
    let path: &'static str = Box::leak(path.display().to_string().into_boxed_str());
    let fields: Vec<Field> = inner
        .spec()
        .fields
        .iter()
        .map(
            |field| {
                if field.name == "path" { Field { default: Some(path), required: false, ..*field } } else { *field }
            },
        )
        .collect();
    let spec = Spec { fields: Box::leak(fields.into_boxed_slice()), ..*inner.spec() };
    Arc::new(EmbeddedLake { inner, spec: Box::leak(Box::new(spec)) })
}
