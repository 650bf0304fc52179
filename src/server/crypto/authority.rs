//! The certificate authority of a datastore, and the certificates of its nodes.

use super::random;
use anyhow::Context;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, SanType,
};
use secrecy::{ExposeSecret, SecretString, zeroize::Zeroizing};
use sha2::{Digest, Sha256};
use std::net::IpAddr;
use time::{Duration, OffsetDateTime};

/// Life of a datastore's CA. Clients pin it, so it is long; its key is sealed and used only to issue.
const AUTHORITY_DAYS: i64 = 3650;
/// Life of a node's certificate, as the public web has it; a job renews it well before.
const CERTIFICATE_DAYS: i64 = 90;
/// Certificates are valid from a little before now: the clocks of clients differ.
const CLOCK_SKEW: Duration = Duration::minutes(5);
/// Longest common name that X.509 knows (RFC 5280, ub-common-name), in characters.
const COMMON_NAME_MAX: usize = 64;

/// A new authority.
#[derive(Debug)]
pub struct Authority {
    /// Its certificate: clients verify with it.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: SecretString,
    /// SHA-256 of the certificate's DER form, lower-case hex.
    pub fingerprint: String,
}

/// What a certificate is to be good for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateRequest {
    /// Who it speaks of; cut at 64 characters. Engines that know users by certificate compare this.
    pub common_name: String,
    /// DNS names under which clients reach it.
    pub names: Vec<String>,
    /// IP addresses under which clients reach it.
    pub addresses: Vec<IpAddr>,
}

/// A certificate that an authority issued.
#[derive(Debug)]
pub struct Issued {
    /// The certificate.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: SecretString,
    /// When it ends.
    pub not_after: OffsetDateTime,
}

impl Authority {
    /// Makes the authority of a datastore: ECDSA P-256, ten years, may issue certificates but no further authorities.
    ///
    /// # Errors
    /// When the operating system gives no randomness.
    pub fn create(datastore_name: &str, now: OffsetDateTime) -> anyhow::Result<Self> {
        let key = Zeroizing::new(KeyPair::generate()?);
        let mut params = params(&format!("Granary CA of {datastore_name}"), now, AUTHORITY_DAYS);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&*key)?;
        Ok(Self {
            certificate_pem: certificate.pem(),
            key_pem: key.serialize_pem().into(),
            fingerprint: format!("{:x}", Sha256::digest(certificate.der())),
        })
    }
}

/// Issues a certificate with a new key, for a server and for a client alike: a node is both to its peers. 90 days.
///
/// # Errors
/// When the authority's certificate or key cannot be read, or a name is not ASCII.
pub fn issue(ca_certificate_pem: &str, ca_key_pem: &SecretString, request: &CertificateRequest, now: OffsetDateTime) -> anyhow::Result<Issued> {
    let ca_key = Zeroizing::new(KeyPair::from_pem(ca_key_pem.expose_secret()).context("the CA's key cannot be read")?);
    let issuer = Issuer::from_ca_cert_pem(ca_certificate_pem, &*ca_key).context("the CA's certificate cannot be read")?;
    let key = Zeroizing::new(KeyPair::generate()?);
    let mut params = params(&request.common_name, now, CERTIFICATE_DAYS);
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.subject_alt_names = alternative_names(request)?;
    let certificate = params.signed_by(&*key, &issuer)?;
    Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem().into(), not_after: params.not_after })
}

fn params(common_name: &str, now: OffsetDateTime, days: i64) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name.chars().take(COMMON_NAME_MAX).collect::<String>());
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    params.not_before = now - CLOCK_SKEW;
    params.not_after = now + Duration::days(days);
    // 127 random bits: positive, and within the 20 bytes that RFC 5280 allows.
    let mut serial = random::bytes::<16>();
    serial[0] &= 0x7f;
    params.serial_number = Some(serial.to_vec().into());
    params
}

/// Addresses stand as names too: libpq before 15 compares an address only with those.
fn alternative_names(request: &CertificateRequest) -> anyhow::Result<Vec<SanType>> {
    let texts = request.names.iter().cloned().chain(request.addresses.iter().map(ToString::to_string));
    let names = texts.map(|text| {
        let name = text.clone().try_into().with_context(|| format!("“{text}” cannot stand in a certificate: it is not ASCII"))?;
        Ok(SanType::DnsName(name))
    });
    names.chain(request.addresses.iter().map(|address| Ok(SanType::IpAddress(*address)))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path, process::Command};

    const NOW: OffsetDateTime = time::macros::datetime!(2026-11-20 18:00 UTC);

    fn request() -> CertificateRequest {
        CertificateRequest {
            common_name: "orders".to_owned(),
            names: vec!["orders".to_owned(), "localhost".to_owned()],
            addresses: vec!["127.61.9.8".parse().unwrap(), "::1".parse().unwrap()],
        }
    }

    /// What the real `openssl` says of these files.
    fn openssl(directory: &Path, args: &[&str]) -> (bool, String) {
        let output = Command::new("openssl").args(args).current_dir(directory).output().unwrap();
        (output.status.success(), String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned())
    }

    fn on_disk() -> (tempfile::TempDir, Authority) {
        let home = tempfile::tempdir().unwrap();
        let authority = Authority::create("orders", NOW).unwrap();
        let issued = issue(&authority.certificate_pem, &authority.key_pem, &request(), NOW).unwrap();
        fs::write(home.path().join("ca.pem"), &authority.certificate_pem).unwrap();
        fs::write(home.path().join("node.pem"), &issued.certificate_pem).unwrap();
        fs::write(home.path().join("node.key"), issued.key_pem.expose_secret()).unwrap();
        (home, authority)
    }

    fn verify(directory: &Path, at: OffsetDateTime, args: &[&str]) -> (bool, String) {
        let at = at.unix_timestamp().to_string();
        let fixed = ["verify", "-x509_strict", "-attime", &at, "-CAfile", "ca.pem"];
        openssl(directory, &[&fixed[..], args, &["node.pem"]].concat())
    }

    #[test]
    fn r036_openssl_accepts_a_nodes_certificate_for_every_name_and_both_purposes() {
        let (home, _) = on_disk();
        for purpose in ["sslserver", "sslclient"] {
            for (kind, name) in [
                ("-verify_ip", "127.61.9.8"),
                ("-verify_ip", "::1"),
                ("-verify_hostname", "orders"),
                ("-verify_hostname", "localhost"),
                // What libpq before 15 asks for.
                ("-verify_hostname", "127.61.9.8"),
            ] {
                let (good, says) = verify(home.path(), NOW, &["-purpose", purpose, kind, name]);
                assert!(good, "{purpose} {name}: {says}");
            }
        }
        assert!(!verify(home.path(), NOW, &["-verify_ip", "127.61.9.9"]).0);
        assert!(!verify(home.path(), NOW, &["-verify_hostname", "other"]).0);
    }

    #[test]
    fn r036_a_certificate_holds_from_five_minutes_ago_until_ninety_days_are_over() {
        let (home, _) = on_disk();
        for (at, good) in [
            (NOW - Duration::minutes(5), true),
            (NOW - Duration::minutes(6), false),
            (NOW + Duration::days(90) - Duration::seconds(1), true),
            (NOW + Duration::days(90), false),
        ] {
            assert_eq!(verify(home.path(), at, &[]).0, good, "{at}");
        }
    }

    #[test]
    fn r036_the_fingerprint_is_what_openssl_shows() {
        let (home, authority) = on_disk();
        let (_, shown) = openssl(home.path(), &["x509", "-in", "ca.pem", "-noout", "-fingerprint", "-sha256"]);
        assert_eq!(shown.trim().split_once('=').unwrap().1.replace(':', "").to_lowercase(), authority.fingerprint);
    }

    #[test]
    fn a_node_cannot_issue_certificates_and_another_authority_is_not_ours() {
        let (home, authority) = on_disk();
        let node = fs::read_to_string(home.path().join("node.pem")).unwrap();
        let key = SecretString::from(fs::read_to_string(home.path().join("node.key")).unwrap());
        let forged = issue(&node, &key, &request(), NOW).unwrap();
        fs::write(home.path().join("chain.pem"), node).unwrap();
        fs::write(home.path().join("node.pem"), forged.certificate_pem).unwrap();
        let (good, says) = verify(home.path(), NOW, &["-untrusted", "chain.pem"]);
        assert!(!good && says.contains("invalid CA certificate"), "{says}");

        let other = Authority::create("orders", NOW).unwrap();
        let foreign = issue(&other.certificate_pem, &other.key_pem, &request(), NOW).unwrap();
        fs::write(home.path().join("node.pem"), foreign.certificate_pem).unwrap();
        assert!(!verify(home.path(), NOW, &[]).0);
        assert_ne!(authority.fingerprint, other.fingerprint);
    }

    #[test]
    fn serials_and_keys_are_new_each_time_and_long_names_are_cut() {
        let authority = Authority::create(&"d".repeat(64), NOW).unwrap();
        let issue = || issue(&authority.certificate_pem, &authority.key_pem, &request(), NOW).unwrap();
        let (one, two) = (issue(), issue());
        assert_ne!(one.key_pem.expose_secret(), two.key_pem.expose_secret());
        assert_ne!(one.certificate_pem, two.certificate_pem);
        let home = tempfile::tempdir().unwrap();
        fs::write(home.path().join("ca.pem"), &authority.certificate_pem).unwrap();
        fs::write(home.path().join("node.pem"), one.certificate_pem).unwrap();
        let (good, says) = verify(home.path(), NOW, &[]);
        assert!(good, "{says}");
    }

    #[test]
    fn a_name_that_is_not_ascii_is_refused_with_its_text() {
        let authority = Authority::create("orders", NOW).unwrap();
        let request = CertificateRequest { names: vec!["bücher".to_owned()], ..request() };
        let failure = issue(&authority.certificate_pem, &authority.key_pem, &request, NOW).unwrap_err();
        assert!(format!("{failure:#}").contains("bücher"));
    }
}
