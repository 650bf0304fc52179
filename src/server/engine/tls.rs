//! TLS as an application has it: the server must show a certificate of the datastore's CA for the address that was dialled.

use crate::server::platform::Stream;
use std::{
    future::Future,
    io,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_postgres::tls::{ChannelBinding, TlsConnect, TlsStream};
use tokio_rustls::{
    TlsConnector, client,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

/// Verifies one server.
pub(super) struct Verified {
    config: Arc<ClientConfig>,
    server: ServerName<'static>,
}

impl Verified {
    /// Trusts this CA alone, and this address.
    pub(super) fn new(ca_pem: &str, server: IpAddr) -> anyhow::Result<Self> {
        Ok(Self { config: trusting(ca_pem)?, server: server.into() })
    }

    /// Secures a stream, once the server has proved who it is.
    pub(super) async fn connect<'a>(self, stream: Box<dyn Stream + 'a>) -> io::Result<Secured<'a>> {
        TlsConnector::from(self.config).connect(self.server, stream).await.map(Secured)
    }
}

impl<'a> TlsConnect<Box<dyn Stream + 'a>> for Verified {
    type Stream = Secured<'a>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<Secured<'a>>> + Send + 'a>>;

    fn connect(self, stream: Box<dyn Stream + 'a>) -> Self::Future {
        Box::pin(Verified::connect(self, stream))
    }
}

/// A stream to a server that was verified.
pub(super) struct Secured<'a>(client::TlsStream<Box<dyn Stream + 'a>>);

impl TlsStream for Secured<'_> {
    // The certificate is verified, so nobody stands between to whom the password could be proved.
    fn channel_binding(&self) -> ChannelBinding {
        ChannelBinding::none()
    }
}

impl AsyncRead for Secured<'_> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Secured<'_> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

/// Trusts this CA alone.
pub(super) fn trusting(ca_pem: &str) -> anyhow::Result<Arc<ClientConfig>> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(ca_pem.as_bytes())?)?;
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider())).with_safe_default_protocol_versions()?;
    Ok(Arc::new(config.with_root_certificates(roots).with_no_client_auth()))
}
