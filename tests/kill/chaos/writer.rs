//! Somebody who writes: increasing numbers through the primary endpoint, one a transaction, connecting again at once.

use anyhow::ensure;
use granary::{
    model::datastore::EndpointKind,
    server::{
        domain::{self, Actor},
        state::App,
    },
};
use std::{
    collections::HashSet,
    future::poll_fn,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::{sleep, timeout},
};
use tokio_postgres::{AsyncMessage, Client, Config, NoTls, config::SslMode};
use tokio_rustls::{
    TlsConnector,
    rustls::{
        ClientConfig, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

/// What a client of `PostgreSQL` sends first to have TLS.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
/// How long a client waits before it tries anew.
const PATIENCE: Duration = Duration::from_secs(2);
/// Between two writes: what chaos is about is not how many there are.
const PAUSE: Duration = Duration::from_millis(2);
/// Between two attempts to connect.
const AGAIN: Duration = Duration::from_millis(5);

/// Where to write.
#[derive(Clone)]
struct Target {
    host: String,
    port: u16,
    config: Config,
    tls: TlsConnector,
}

/// A session, and how often its server has remarked on something: then a write may be on the primary alone.
struct Session {
    client: Client,
    remarks: Arc<AtomicUsize>,
    _connection: AbortOnDropHandle<()>,
}

impl Target {
    async fn of(app: &App, actor: &Actor, id: Uuid) -> Self {
        let c = domain::access::connection(app, actor, id, EndpointKind::Primary, true).await.unwrap();
        let pem: String = sqlx::query_scalar("SELECT ca_certificate FROM datastores WHERE id = $1").bind(id).fetch_one(&app.db).await.unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let tls = ClientConfig::builder_with_provider(ring::default_provider().into()).with_safe_default_protocol_versions().unwrap();
        let tls = TlsConnector::from(Arc::new(tls.with_root_certificates(roots).with_no_client_auth()));
        let mut config = Config::new();
        // The stream it is given is encrypted already.
        config.user(&c.user).dbname(&c.database).password(c.password.unwrap()).application_name("chaos").ssl_mode(SslMode::Disable);
        Self { host: c.host, port: c.port, config, tls }
    }

    async fn open(&self) -> anyhow::Result<Session> {
        let mut stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        stream.write_all(&SSL_REQUEST).await?;
        ensure!(stream.read_u8().await? == b'S', "no TLS");
        let stream = self.tls.connect(ServerName::try_from(self.host.clone())?, stream).await?;
        let (client, mut connection) = self.config.connect_raw(stream, NoTls).await?;
        let remarks = Arc::new(AtomicUsize::new(0));
        let seen = remarks.clone();
        // It takes messages in their order, so a remark is counted before the answer that it came before is given.
        let connection = tokio::spawn(async move {
            while let Some(Ok(message)) = poll_fn(|cx| connection.poll_message(cx)).await {
                if let AsyncMessage::Notice(_) = message {
                    seen.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        Ok(Session { client, remarks, _connection: AbortOnDropHandle::new(connection) })
    }

    /// As soon as there is a session.
    async fn open_at_last(&self) -> Session {
        let begun = Instant::now();
        loop {
            match timeout(PATIENCE, self.open()).await {
                Ok(Ok(session)) => return session,
                why => assert!(begun.elapsed() < super::super::PATIENCE, "nobody is let in: {:?}", why.map(|why| why.err())),
            }
            sleep(AGAIN).await;
        }
    }
}

impl Session {
    /// Whether the server has acknowledged it, without a word more.
    async fn write(&self, n: i64) -> bool {
        let remarks = self.remarks.load(Ordering::SeqCst);
        let done = timeout(PATIENCE, self.client.execute("INSERT INTO chaos VALUES ($1)", &[&n])).await;
        matches!(done, Ok(Ok(1))) && self.remarks.load(Ordering::SeqCst) == remarks
    }
}

struct Shared {
    stop: AtomicBool,
    /// Whether writes are promised to last now: not while commits wait for nobody.
    unpromised: AtomicBool,
    acknowledged: Mutex<Vec<i64>>,
    /// The last acknowledgement, and the longest time between two since [`Writer::begin`].
    pace: Mutex<(Instant, Duration)>,
}

/// See the module's documentation.
pub(super) struct Writer {
    target: Target,
    shared: Arc<Shared>,
    task: JoinHandle<()>,
}

impl Writer {
    pub(super) async fn start(app: &App, actor: &Actor, id: Uuid) -> Self {
        let target = Target::of(app, actor, id).await;
        target.open_at_last().await.client.batch_execute("CREATE TABLE chaos (id bigint PRIMARY KEY)").await.unwrap();
        let shared = Shared {
            stop: AtomicBool::new(false),
            unpromised: AtomicBool::new(false),
            acknowledged: Mutex::default(),
            pace: Mutex::new((Instant::now(), Duration::ZERO)),
        };
        let shared = Arc::new(shared);
        let task = tokio::spawn(write(target.clone(), shared.clone()));
        Self { target, shared, task }
    }

    /// Measures pauses anew.
    pub(super) fn begin(&self) {
        *self.shared.pace.lock().unwrap() = (Instant::now(), Duration::ZERO);
    }

    /// The longest time without an acknowledged write.
    pub(super) fn longest(&self) -> Duration {
        let (last, longest) = *self.shared.pace.lock().unwrap();
        longest.max(last.elapsed())
    }

    /// How many rows were acknowledged under the promise.
    pub(super) fn acknowledged(&self) -> usize {
        self.shared.acknowledged.lock().unwrap().len()
    }

    /// When the last row was acknowledged, promised or not.
    pub(super) fn last(&self) -> Instant {
        self.shared.pace.lock().unwrap().0
    }

    /// Whether what is acknowledged from now on must never be lost.
    pub(super) fn promise(&self, promised: bool) {
        self.shared.unpromised.store(!promised, Ordering::SeqCst);
    }

    /// How many rows were acknowledged, and which of them are not there any more.
    pub(super) async fn end(self) -> (usize, Vec<i64>) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.task.await.unwrap();
        let rows = self.target.open_at_last().await.client.query("SELECT id FROM chaos", &[]).await.unwrap();
        let there: HashSet<i64> = rows.iter().map(|row| row.get(0)).collect();
        let acknowledged = std::mem::take(&mut *self.shared.acknowledged.lock().unwrap());
        (acknowledged.len(), acknowledged.into_iter().filter(|n| !there.contains(n)).collect())
    }
}

async fn write(target: Target, shared: Arc<Shared>) {
    let mut session = None;
    for n in 0.. {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let open = match session.take() {
            Some(open) => open,
            None => match timeout(PATIENCE, target.open()).await {
                Ok(Ok(open)) => open,
                _ => {
                    sleep(AGAIN).await;
                    continue;
                }
            },
        };
        let promised = !shared.unpromised.load(Ordering::SeqCst);
        if open.write(n).await {
            {
                let (last, longest) = &mut *shared.pace.lock().unwrap();
                *longest = last.elapsed().max(*longest);
                *last = Instant::now();
            }
            if promised && !shared.unpromised.load(Ordering::SeqCst) {
                shared.acknowledged.lock().unwrap().push(n);
            }
            session = Some(open);
            sleep(PAUSE).await;
        }
    }
}
