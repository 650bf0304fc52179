//! `granary serve`

use super::instance::Instance;
use crate::server::{
    assemble,
    config::Config,
    db::{metadata, sessions},
    jobs::{faults::Faults, runner::Runner},
    measures, monitor,
    state::App,
    web::{Web, router::router},
};
use anyhow::Context;
use axum::serve::ListenerExt;
use std::{net::SocketAddr, time::Duration};
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    time::{interval, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long requests and steps of jobs may go on after the signal to end.
const DRAIN: Duration = Duration::from_secs(10);
/// How often sessions that have ended are removed.
const SWEEP: Duration = Duration::from_mins(10);
/// How often numbers are put together, so that they do not pile up where nobody reads them.
const UPKEEP: Duration = Duration::from_secs(5);

/// Serves until SIGTERM or SIGINT.
///
/// # Errors
/// Says what is missing for a start.
pub(super) async fn run(config: Config, faults: Faults) -> anyhow::Result<()> {
    assemble::make_home(&config.home)?;
    // First, because this is where a second Granary by mistake fails.
    let listen = config.listen;
    let listener = TcpListener::bind(listen).await.with_context(|| format!("GRANARY_LISTEN {listen} cannot be listened on"))?;
    let _instance = Instance::enter(&config.home)?;
    let shutdown = CancellationToken::new();
    end_on_signal(&shutdown)?;
    let own = config.database_url.is_none().then(|| metadata::own_server(&config));
    let options = metadata::reach(&config).await?;
    metadata::migrate(&options).await?;
    let app = assemble::assemble(config, options).await?;
    let web = Web::new(app.clone(), shutdown.clone())?;
    let runner = Runner::start(app.clone(), faults).await?;
    let tasks = TaskTracker::new();
    tasks.spawn(monitor::run::run(app.clone(), shutdown.clone()));
    tasks.spawn(monitor::spares::run(app.clone(), shutdown.clone()));
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(look_after(app.clone())));
    let auth = web.auth.clone();
    tasks.spawn(shutdown.clone().run_until_cancelled_owned(async move { auth.client.warm_up().await }));
    if let Some(server) = own {
        tasks.spawn(metadata::watch(server, shutdown.clone()));
    }
    tasks.close();
    println!("Granary is at {} (home: {})", app.config.origin(), app.config.home.display());
    tokio::join!(serve(listener, web, shutdown.clone()), end_runner(runner, shutdown));
    // Whatever they wait for, it is not worth more time.
    let _ = timeout(Duration::from_secs(1), tasks.wait()).await;
    tracing::info!("ended; the databases go on");
    Ok(())
}

/// Answers until told to end, then lets what was begun end within [`DRAIN`].
async fn serve(listener: TcpListener, web: Web, shutdown: CancellationToken) {
    let service = router(web).into_make_service_with_connect_info::<SocketAddr>();
    // Or the first event of a stream, which follows the answer's head, waits 40 ms for a reader that acknowledges late.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    let serving = axum::serve(listener, service).with_graceful_shutdown(shutdown.clone().cancelled_owned()).into_future();
    let late = async {
        shutdown.cancelled().await;
        tokio::time::sleep(DRAIN).await;
    };
    tokio::select! {
        outcome = serving => if let Err(error) = outcome { tracing::error!(%error, "the listener failed") },
        () = late => tracing::warn!("some requests did not end in time and were cut"),
    }
    // However it ended, the rest ends with it.
    shutdown.cancel();
}

async fn end_runner(runner: Runner, shutdown: CancellationToken) {
    shutdown.cancelled().await;
    runner.shut_down(DRAIN).await;
}

fn end_on_signal(shutdown: &CancellationToken) -> anyhow::Result<()> {
    for kind in [SignalKind::terminate(), SignalKind::interrupt()] {
        let mut signals = signal(kind)?;
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            if signals.recv().await.is_some() {
                tracing::info!("asked to end");
                shutdown.cancel();
            }
        });
    }
    Ok(())
}

/// Small work that comes again and again.
async fn look_after(app: App) {
    let (mut sweep, mut upkeep) = (interval(SWEEP), interval(UPKEEP));
    loop {
        tokio::select! {
            _ = sweep.tick() => {
                if let Err(error) = sessions::sweep(&app.db, app.clock.now()).await {
                    tracing::warn!(%error, "ended sessions could not be removed");
                }
            }
            _ = upkeep.tick() => {
                if let Some(recorder) = measures::recorder() {
                    recorder.run_upkeep();
                }
            }
        }
    }
}
