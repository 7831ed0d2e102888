//! TLS of every connector that brings its own: rustls with aws-lc-rs, the system's authorities or those of one file.
//!
//! Invariant: certificate and host name are always verified; there is no switch.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

use crate::{Error, ErrorKind};

/// A client configuration that trusts the authorities of `ca_file` (PEM), or the system's.
///
/// # Errors
/// The file cannot be read, or holds no certificate.
pub fn client_config(ca_file: Option<&str>) -> Result<ClientConfig, Error> {
    let mut roots = RootCertStore::empty();
    match ca_file {
        Some(file) => {
            let unreadable = |error: &dyn std::fmt::Display| {
                Error::permanent(ErrorKind::Config, format!("ca_file {file}: {error}; it must be a PEM file"))
            };
            for certificate in CertificateDer::pem_file_iter(Path::new(file)).map_err(|error| unreadable(&error))? {
                roots.add(certificate.map_err(|error| unreadable(&error))?).map_err(|error| unreadable(&error))?;
            }
            if roots.is_empty() {
                return Err(unreadable(&"holds no certificate"));
            }
        }
        None => {
            // Systems carry odd certificates; those that rustls cannot read are left out, as its own verifier does.
            let (_, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    Ok(ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| Error::permanent(ErrorKind::Internal, "TLS cannot be set up").with_source(error))?
        .with_root_certificates(roots)
        .with_no_client_auth())
}
