//! How a client connects: over TLS, and with small packets sent at once, as drivers do. sqlx's own connection would wait twice for a late
//! acknowledgement, 40 ms each, and read every CA of the machine before: that is not what is measured here.

use anyhow::ensure;
use std::{
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::SslMode, error::Severity};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
        client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    },
};
use tokio_util::task::AbortOnDropHandle;

/// What a client of `PostgreSQL` sends first to have TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

/// Where to, and as whom.
#[derive(Clone)]
pub(crate) struct Endpoint {
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) user: String,
    pub(crate) password: String,
    pub(crate) database: String,
    /// Whom to trust; whoever is there when there is none, as with peers that sign for themselves.
    pub(crate) ca_pem: Option<String>,
}

/// A session, and how often its server has warned: then a write may be on the primary alone.
pub(crate) struct Session {
    pub(crate) client: Client,
    warnings: Arc<AtomicU64>,
    _connection: AbortOnDropHandle<()>,
}

impl Session {
    pub(crate) fn warnings(&self) -> u64 {
        self.warnings.load(Ordering::SeqCst)
    }
}

impl Endpoint {
    pub(crate) async fn connect(&self) -> anyhow::Result<Session> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&SSL_REQUEST).await?;
        ensure!(stream.read_u8().await? == b'S', "no TLS");
        let stream = self.tls()?.connect(ServerName::try_from(self.host.clone())?, stream).await?;
        let mut config = Config::new();
        // The stream that it is given is encrypted already.
        config.user(&self.user).password(&self.password).dbname(&self.database).ssl_mode(SslMode::Disable);
        let (client, mut connection) = config.connect_raw(stream, NoTls).await?;
        let warnings = Arc::new(AtomicU64::new(0));
        let seen = warnings.clone();
        // It takes messages in their order, so a warning is counted before the answer that it came before is given.
        let connection = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(notice) = message
                    && notice.parsed_severity().is_none_or(|severity| severity == Severity::Warning)
                {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Session { client, warnings, _connection: AbortOnDropHandle::new(connection) })
    }

    fn tls(&self) -> anyhow::Result<TlsConnector> {
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = if let Some(pem) = &self.ca_pem {
            let mut roots = RootCertStore::empty();
            roots.add(CertificateDer::from_pem_slice(pem.as_bytes())?)?;
            config.with_root_certificates(roots)
        } else {
            config.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        };
        Ok(TlsConnector::from(Arc::new(config.with_no_client_auth())))
    }
}

/// Trusts whoever is there, once it has proved its key.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        tokio_rustls::rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
