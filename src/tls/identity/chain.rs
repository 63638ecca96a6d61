//! What an operator should know about a chain of certificates, although the server could serve it.

#![forbid(unsafe_code)]

use std::path::Path;

use rustls::pki_types::CertificateDer;

use super::error::CredentialsError;
use super::x509::Parsed;

const DAY: i64 = 86_400;

/// How long before its end a certificate is worth a warning, in seconds.
const SOON: i64 = 7 * DAY;

/// Looks at the chain that the file at `path` holds, leaf first, at `now` in seconds since 1970: a
/// warning for each thing that some or all clients will not accept.
///
/// # Errors
/// The certificates are in the wrong order.
pub(super) fn examine(
    path: &Path,
    chain: &[CertificateDer<'_>],
    now: i64,
) -> Result<Vec<String>, CredentialsError> {
    let mut warnings = Vec::new();
    let mut parsed = Vec::with_capacity(chain.len());
    for (index, certificate) in chain.iter().enumerate() {
        match Parsed::parse(certificate) {
            Ok(certificate) => parsed.push(certificate),
            Err(error) => {
                let number = index + 1;
                warnings.push(format!(
                    "{}: certificate {number} is not checked: {error}",
                    path.display()
                ));
                break;
            }
        }
    }
    warnings.extend(check_order(path, &parsed)?);
    if let Some(leaf) = parsed.first() {
        warnings.extend(missing_intermediate(path, leaf, chain.len()));
        warnings.extend(names(path, leaf));
        warnings.extend(validity(path, leaf, now));
    }
    Ok(warnings)
}

/// Each certificate should be issued by the one after it: clients may rely on that order. If
/// the issuer is elsewhere in the file, the order is wrong; if it is not there at all, that is
/// worth a warning only.
fn check_order(path: &Path, chain: &[Parsed<'_>]) -> Result<Option<String>, CredentialsError> {
    for (index, pair) in chain.windows(2).enumerate() {
        let [first, second] = pair else { continue };
        if first.issuer() == second.subject() {
            continue;
        }
        let position = index + 1;
        if chain.iter().any(|other| other.subject() == first.issuer()) {
            return Err(CredentialsError::Order { path: path.to_owned(), position });
        }
        return Ok(Some(format!(
            "{}: certificate {position} is not issued by certificate {}, and its issuer is not in \
             the file; some clients may refuse it. Add the missing certificate between the two.",
            path.display(),
            position + 1
        )));
    }
    Ok(None)
}

/// A leaf alone is enough only if clients know its issuer, as those of a private authority do. A
/// leaf that says where its issuer's certificate can be had is issued by an intermediate authority.
fn missing_intermediate(path: &Path, leaf: &Parsed<'_>, length: usize) -> Option<String> {
    let is_alone = length == 1 && leaf.issuer() != leaf.subject();
    (is_alone && leaf.names_its_issuers_certificate()).then(|| {
        format!(
            "{}: the file holds the server's certificate alone, without the intermediate \
             certificate that issued it; many clients will refuse it. Use the full chain \
             (certbot: fullchain.pem).",
            path.display()
        )
    })
}

fn names(path: &Path, leaf: &Parsed<'_>) -> Option<String> {
    let path = path.display();
    match leaf.names() {
        Ok(names) if names.is_empty() => Some(format!(
            "{path}: the certificate has no name in subjectAltName; clients will refuse it, \
             whatever its common name is. Issue it again with subjectAltName."
        )),
        Ok(_) => None,
        Err(error) => Some(format!("{path}: subjectAltName of the certificate: {error}")),
    }
}

fn validity(path: &Path, leaf: &Parsed<'_>, now: i64) -> Option<String> {
    let path = path.display();
    if leaf.not_after() < now {
        let days = (now - leaf.not_after()) / DAY;
        return Some(format!(
            "{path}: the certificate expired {days} days ago; clients will refuse it. Renew it."
        ));
    }
    if leaf.not_before() > now {
        return Some(format!(
            "{path}: the certificate is not valid yet; clients will refuse it. Check this host's \
             clock."
        ));
    }
    if leaf.not_after() - now < SOON {
        let hours = (leaf.not_after() - now) / 3600;
        return Some(format!("{path}: the certificate expires in {hours} hours. Renew it."));
    }
    None
}
