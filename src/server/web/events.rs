//! Live pages: server-sent events with what they show.
//!
//! A stream sends what is, then every change, at most ten times a second. It ends when Granary stops, when the session
//! ends, and when what it speaks of is gone; the browser then asks again and is told why by the answer's status.

use super::{Web, errors::Failure};
use crate::{
    error::AppError,
    model::job::Snapshot,
    server::{
        auth::current::{Pass, Who},
        db::changes::{Change, Subscription},
        domain::{self, Actor},
    },
};
use axum::{
    extract::{Path, State},
    http::{HeaderName, request::Parts},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use std::{
    collections::BTreeSet,
    convert::Infallible,
    iter,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};
use tokio::{
    sync::mpsc,
    time::{Instant, Interval, interval_at, sleep, sleep_until},
};
use tokio_stream::wrappers::ReceiverStream;
use uuid::Uuid;

/// Shortest time between two messages.
const PACE: Duration = Duration::from_millis(100);
/// How often the session is looked at, and a comment keeps proxies from giving the connection up.
const BEAT: Duration = Duration::from_secs(15);
/// Pause before the metadata database is asked again after it did not answer.
const AGAIN: Duration = Duration::from_secs(1);
/// Messages that wait for a slow reader before the stream waits too.
const WAITING: usize = 4;

/// `/datastores/{id}/events`: [`Snapshot`]s of one datastore.
///
/// # Errors
/// [`AppError::NotFound`] where it does not exist or is another project's.
pub async fn datastore(State(web): State<Web>, Path(id): Path<Uuid>, parts: Parts) -> Result<Response, Failure> {
    let actor = Who::of(&parts.extensions).actor()?;
    // Before the first look: what changes after it is heard.
    let changes = web.app.changes.subscribe();
    let first = domain::datastore::snapshot(&web.app, &actor, id).await?;
    let (stream, response) = Stream::new(web, actor, &parts);
    tokio::spawn(stream.run(move |stream| follow_one(stream, changes, first)));
    Ok(response)
}

/// `/events`: [`Snapshot`]s of the project's datastores that have gone a moment ago, then of all as they change, and `resync` when the list should be read again.
///
/// # Errors
/// [`AppError::SignedOut`].
pub async fn project(State(web): State<Web>, parts: Parts) -> Result<Response, Failure> {
    let actor = Who::of(&parts.extensions).actor()?;
    let changes = web.app.changes.subscribe();
    let (stream, response) = Stream::new(web, actor, &parts);
    tokio::spawn(stream.run(move |stream| follow_all(stream, changes)));
    Ok(response)
}

/// How many streams are open.
#[derive(Debug, Clone, Default)]
pub struct Streams(Arc<AtomicU32>);

impl Streams {
    /// How many.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn enter(&self) -> Entered {
        self.0.fetch_add(1, Ordering::Relaxed);
        Entered(self.clone())
    }
}

/// Counts as one stream as long as it is held.
struct Entered(Streams);

impl Drop for Entered {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Why a stream ends is the browser's to find out: it asks again, and is answered.
struct Ended;

struct Stream {
    web: Web,
    actor: Arc<Actor>,
    pass: Pass,
    to: mpsc::Sender<Result<Event, Infallible>>,
    beat: Interval,
    /// No message before this moment.
    ready: Instant,
    _open: Entered,
}

impl Stream {
    fn new(web: Web, actor: Arc<Actor>, parts: &Parts) -> (Self, Response) {
        let (to, from) = mpsc::channel(WAITING);
        // nginx would collect events before it passes them on.
        let unbuffered = [(HeaderName::from_static("x-accel-buffering"), "no")];
        let response = (unbuffered, Sse::new(ReceiverStream::new(from)).keep_alive(KeepAlive::new().interval(BEAT))).into_response();
        let pass = Pass::of(parts, actor.me.project);
        let ready = Instant::now();
        (Self { _open: web.streams.enter(), web, actor, pass, to, beat: interval_at(ready + BEAT, BEAT), ready }, response)
    }

    /// Runs until it ends by itself, the session is ended, the reader goes, or Granary stops.
    async fn run<F: Future<Output = Result<(), Ended>>>(self, follow: impl FnOnce(Self) -> F) {
        let (web, pass, to) = (self.web.clone(), self.pass.clone(), self.to.clone());
        // Not as one of the changes that are followed: a reader who is slow would learn of it late.
        let changes = web.app.changes.subscribe();
        tokio::select! {
            () = web.shutdown.cancelled() => {}
            () = to.closed() => {}
            () = pass.ended(&web.app, changes) => {}
            _ = follow(self) => {}
        }
    }

    async fn send(&self, event: Event) -> Result<(), Ended> {
        self.to.send(Ok(event)).await.map_err(|_| Ended)
    }

    async fn send_snapshot(&self, snapshot: &Snapshot) -> Result<(), Ended> {
        self.send(Event::default().json_data(snapshot).map_err(|_| Ended)?).await
    }

    /// What is now. While the metadata database is away it is asked for again, so that no change is missed.
    async fn look(&self, id: Uuid) -> Result<Snapshot, AppError> {
        loop {
            match domain::datastore::snapshot(&self.web.app, &self.actor, id).await {
                Err(error) if error.passes() => sleep(AGAIN).await,
                seen => return seen,
            }
        }
    }

    /// Waits for a change that concerns the stream, then gives all that came until it may send again: changes come in
    /// bursts, and one look after a burst shows them all. Looks at the session meanwhile.
    async fn next(&mut self, changes: &mut Subscription, concerns: impl Fn(&Change) -> bool) -> Result<Vec<Change>, Ended> {
        let first = loop {
            tokio::select! {
                change = changes.next() => if concerns(&change) { break change },
                _ = self.beat.tick() => self.check().await?,
            }
        };
        sleep_until(self.ready).await;
        self.ready = Instant::now() + PACE;
        self.check().await?;
        Ok(iter::once(first).chain(iter::from_fn(|| changes.waiting()).filter(&concerns)).collect())
    }

    async fn check(&self) -> Result<(), Ended> {
        if self.pass.holds(&self.web.app).await { Ok(()) } else { Err(Ended) }
    }
}

async fn follow_one(mut stream: Stream, mut changes: Subscription, first: Snapshot) -> Result<(), Ended> {
    let id = first.datastore;
    let mut last = first;
    stream.send_snapshot(&last).await?;
    while last.status.is_some() {
        let concerns = |change: &Change| match change {
            Change::Datastore { datastore, .. } => *datastore == id,
            Change::Resync => true,
            Change::SessionEnded(_) => false,
        };
        stream.next(&mut changes, concerns).await?;
        match stream.look(id).await {
            Ok(seen) if seen == last => {}
            Ok(seen) => {
                stream.send_snapshot(&seen).await?;
                last = seen;
            }
            Err(AppError::NotFound) => return Err(Ended),
            // Logged where it was met; the next change leads here again.
            Err(_) => {}
        }
    }
    Ok(())
}

async fn follow_all(mut stream: Stream, mut changes: Subscription) -> Result<(), Ended> {
    let own = stream.actor.me.project;
    // What went between the drawing of the page and now is told by no change any more.
    for id in domain::datastore::gone_lately(&stream.web.app, &stream.actor).await.unwrap_or_default() {
        if let Ok(snapshot) = stream.look(id).await {
            stream.send_snapshot(&snapshot).await?;
        }
    }
    loop {
        let concerns = |change: &Change| match change {
            Change::Datastore { project, .. } => *project == own,
            Change::Resync => true,
            Change::SessionEnded(_) => false,
        };
        let burst = stream.next(&mut changes, concerns).await?;
        let mut ids = BTreeSet::new();
        for change in burst {
            match change {
                Change::Datastore { datastore, .. } => drop(ids.insert(datastore)),
                Change::Resync => stream.send(Event::default().event("resync").data("")).await?,
                Change::SessionEnded(_) => {}
            }
        }
        for id in ids {
            if let Ok(snapshot) = stream.look(id).await {
                stream.send_snapshot(&snapshot).await?;
            }
        }
    }
}
