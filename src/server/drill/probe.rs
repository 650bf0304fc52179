//! Writes through the primary endpoint as an application does: one row after another, connecting again whenever the session breaks.

use super::tally::Tally;
use crate::{
    model::engine::EngineKind,
    server::{
        db::{
            self,
            plan::{Plan, Purpose},
        },
        engine::probing::{Access, Probe},
        platform::ListenerKind,
        state::App,
    },
};
use anyhow::Context;
use std::{
    net::{IpAddr, SocketAddr},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpSocket, TcpStream},
    time::{MissedTickBehavior, interval, sleep, timeout},
};
use tokio_util::{sync::CancellationToken, task::AbortOnDropHandle};

/// From one attempt to the next; later only when the last one took longer.
const PERIOD: Duration = Duration::from_millis(20);
/// How long a connection, and how long a write may take.
const CONNECT: Duration = Duration::from_secs(1);
const WRITE: Duration = Duration::from_secs(2);
/// How long reading everything again may take.
const READ: Duration = Duration::from_secs(15);

/// The way of an application to the primary.
#[derive(Clone)]
pub(super) struct Way {
    app: App,
    engine: EngineKind,
    from: IpAddr,
    to: SocketAddr,
    access: Access,
}

impl Way {
    pub(super) async fn new(app: &App, plan: &Plan) -> anyhow::Result<Self> {
        let to = plan.address(Purpose::Listener(ListenerKind::Primary)).context("the datastore has no primary endpoint")?;
        let from = plan.probe_address().context("the probe has no address to come from")?;
        let purpose = db::secrets::PROBE_PASSWORD;
        let sealed = db::secrets::get(&app.db, plan.id, purpose).await?.context("the probe has no password")?;
        let password = app.keyring.open_sealed(&db::secrets::context(plan.id, purpose), &sealed)?;
        let ca_pem = plan.ca_pem.clone().context("the datastore has no CA")?;
        Ok(Self { app: app.clone(), engine: plan.engine, from, to, access: Access { server: to.ip(), ca_pem, password } })
    }

    async fn open(&self) -> anyhow::Result<Box<dyn Probe>> {
        let probing = self.app.engine(self.engine)?.probing().context("this engine has no failover drill")?;
        let open = async { probing.open_probe(Box::new(dial(self.from, self.to).await?), &self.access).await };
        timeout(CONNECT, open).await.with_context(|| format!("no session within {} s", CONNECT.as_secs()))?
    }

    /// All numbers that are there, over a session of its own.
    pub(super) async fn read(&self) -> anyhow::Result<Vec<i64>> {
        let begun = Instant::now();
        loop {
            let read = async { self.open().await?.read().await };
            match timeout(READ, read).await.context("the rows were not read in time").flatten() {
                Err(_) if begun.elapsed() < READ => sleep(PERIOD).await,
                read => return read,
            }
        }
    }
}

/// Comes from the one address that is trusted for it.
async fn dial(from: IpAddr, to: SocketAddr) -> anyhow::Result<TcpStream> {
    let socket = if to.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.bind(SocketAddr::new(from, 0))?;
    let stream = socket.connect(to).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A probe that goes on until it is ended, or dropped.
pub(super) struct Running {
    tally: Arc<Mutex<Tally>>,
    stop: CancellationToken,
    task: AbortOnDropHandle<()>,
}

impl Running {
    pub(super) fn start(way: Way) -> Self {
        let (tally, stop) = (Arc::<Mutex<Tally>>::default(), CancellationToken::new());
        let task = AbortOnDropHandle::new(tokio::spawn(write(way, tally.clone(), stop.clone())));
        Self { tally, stop, task }
    }

    /// What it saw until now.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        lock(&self.tally)
    }

    /// Lets the write that is under way end, and begins none after it.
    pub(super) async fn end(self) -> Arc<Mutex<Tally>> {
        self.stop.cancel();
        let _ = self.task.await;
        self.tally
    }
}

/// Nothing that is done under this lock can fail halfway.
pub(super) fn lock(tally: &Mutex<Tally>) -> MutexGuard<'_, Tally> {
    tally.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn write(way: Way, tally: Arc<Mutex<Tally>>, stop: CancellationToken) {
    let mut pace = interval(PERIOD);
    pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut session = None;
    // Never the same number twice: of one whose answer did not come nobody knows whether it is there.
    for number in 1.. {
        if stop.run_until_cancelled(pace.tick()).await.is_none() {
            return;
        }
        if session.is_none() {
            match way.open().await {
                Ok(opened) => {
                    lock(&tally).connected();
                    session = Some(opened);
                }
                Err(error) => lock(&tally).failed(format!("{error:#}")),
            }
        }
        let Some(opened) = session.as_ref() else { continue };
        match timeout(WRITE, opened.write(number)).await {
            Ok(Ok(true)) => lock(&tally).acknowledged(number, Instant::now()),
            Ok(Ok(false)) => lock(&tally).failed("a write was acknowledged with a warning only".to_owned()),
            Ok(Err(error)) => {
                lock(&tally).failed(format!("{error:#}"));
                session = None;
            }
            Err(_) => {
                lock(&tally).failed(format!("no answer to a write within {} s", WRITE.as_secs()));
                session = None;
            }
        }
    }
}
