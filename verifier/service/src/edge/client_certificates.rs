//! The client certificates of a resource as the settings list them, in the check's own words.

use countersign_edge::{CertificateAuthorities, ClientCertificates, SetupError};

use crate::settings::{ClientCertificateSettings, LastDay, ResourceSettings};

/// The list of these settings, which were checked before; its authorities are read from their files now.
pub(super) fn client_certificates_of(settings: &ResourceSettings) -> Result<ClientCertificates, SetupError> {
    let mut list = ClientCertificates::default();
    for entry in &settings.client_certificates {
        add(&mut list, entry)?;
    }
    Ok(list)
}

fn add(list: &mut ClientCertificates, entry: &ClientCertificateSettings) -> Result<(), SetupError> {
    let refused = || SetupError::ClientCertificate(format!("the entry of {} cannot be used", entry.app));
    let (app, scopes) = (entry.app.as_str(), entry.scopes.clone());
    let end = entry.not_after.as_ref().map(LastDay::end);
    let added = match (entry.thumbprint, end, entry.name()) {
        (Some(thumbprint), Some(end), _) => list.allow_thumbprint(app, thumbprint.bytes(), scopes, end),
        (None, end, Some(name)) => {
            let authorities = match &entry.ca_file {
                Some(file) => {
                    ClientCertificateSettings::authorities(file).map_err(SetupError::ClientCertificate)?
                }
                None => CertificateAuthorities::default(),
            };
            list.allow_name(app, name, authorities, scopes, end)
        }
        _ => return Err(refused()),
    };
    added.map_err(|_| refused())
}
