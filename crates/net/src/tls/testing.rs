//! Certificates and files for the tests of TLS.

use std::path::PathBuf;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    SanType,
};

use crate::tls::options::{Options, Verify};

/// In front of a name, a URI.
pub(crate) const URN: &str = "urn:ochre:user:";

/// One who vouches for others.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// A certificate for a common name, with the URI of that name.
    pub(crate) fn issue(&self, name: &str) -> (Certificate, KeyPair) {
        let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "test");
        params.distinguished_name.push(DnType::CommonName, name);
        params.subject_alt_names.push(SanType::URI(format!("{URN}{name}").try_into().unwrap()));
        let key = KeyPair::generate().unwrap();
        (params.signed_by(&key, &self.0).unwrap(), key)
    }

    pub(crate) fn pem(&self) -> String {
        self.0.pem()
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("ochre-tls-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Files of an authority and a certificate by it, and options that name them.
    pub(crate) fn options(&self, authority: &Authority, name: &str) -> Options {
        let write = |file: String, text: String| {
            let path = self.0.join(file);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        let (certificate, key) = authority.issue(name);
        Options {
            cert_file: write(format!("{name}.crt"), certificate.pem()),
            key_file: write(format!("{name}.key"), key.serialize_pem()),
            ca_file: write(format!("{name}.ca"), authority.pem()),
            verify: Verify::Yes,
            ..Options::default()
        }
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}
