//! A relay from TCP to TLS with ALPN `h2`, on a thread of its own.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread;

use rustls::ClientConfig;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsConnector;

/// Starts it, and answers with where it listens.
///
/// # Panics
///
/// If the loopback has no port left.
pub(crate) fn start(server: SocketAddr) -> SocketAddr {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port of the loopback");
    listener.set_nonblocking(true).expect("a listener that polls");
    let address = listener.local_addr().expect("an address");
    thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(accept(listener, server));
    });
    address
}

async fn accept(listener: std::net::TcpListener, server: SocketAddr) {
    let mut config = ClientConfig::builder()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(Any))
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    let listener = TcpListener::from_std(listener).expect("a listener");
    while let Ok((mut plain, _)) = listener.accept().await {
        let connector = connector.clone();
        tokio::spawn(async move {
            let Ok(socket) = TcpStream::connect(server).await else { return };
            let _ = socket.set_nodelay(true);
            let name = ServerName::try_from("localhost").expect("a name");
            match connector.connect(name, socket).await {
                Ok(mut sealed) if sealed.get_ref().1.alpn_protocol() == Some(b"h2") => {
                    // However either side ends: the suite sees the end of the other.
                    let _ = copy_bidirectional(&mut plain, &mut sealed).await;
                }
                Ok(_) => eprintln!("the server does not choose HTTP/2"),
                Err(error) => eprintln!("no TLS: {error}"),
            }
        });
    }
}

/// Takes any certificate: the server's own is self-signed.
#[derive(Debug)]
struct Any;

impl ServerCertVerifier for Any {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}
