//! Sessions in the metadata database: the browser has the id, the table only its hash.

use super::trouble;
use crate::server::{
    config::Config,
    db::sessions::{self, IdHash, Lifetimes},
    state::{App, Clock},
};
use async_trait::async_trait;
use serde_json::Value;
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::{fmt, time::Duration};
use time::OffsetDateTime;
use tower_sessions::{
    Expiry, SessionManagerLayer, SessionStore,
    cookie::SameSite,
    session::{Id, Record},
    session_store::{Error, Result},
};
use uuid::Uuid;

/// Key of the person's id. It has a column of its own and is fixed when a session is made: signing in makes a new one.
pub const PERSON: &str = "person";
/// Key of the project's id, which has a column too.
pub const PROJECT: &str = "project";

/// How long a session lasts in which nobody is signed in: anybody can have one made.
const VISITOR: Duration = Duration::from_hours(1);

/// Name of the cookie. The prefix binds it to this host and to https, where there is https.
#[must_use]
pub fn cookie_name(config: &Config) -> &'static str {
    if config.is_https() { "__Host-granary" } else { "granary" }
}

/// Gives each request its session. Nothing is stored for a visitor until there is something to keep.
#[must_use]
pub fn layer(app: &App) -> SessionManagerLayer<Store> {
    let lifetimes = Lifetimes { idle: app.config.session_idle, absolute: app.config.session_absolute };
    let store = Store { db: app.db.clone(), clock: app.clock, lifetimes };
    // The browser may keep the cookie for as long as any session lives; when it ends is the server's to say.
    let keep = time::Duration::try_from(lifetimes.absolute).unwrap_or(time::Duration::MAX);
    SessionManagerLayer::new(store)
        .with_name(cookie_name(&app.config))
        .with_secure(app.config.is_https())
        // Strict would not be sent when the issuer leads the browser back here.
        .with_same_site(SameSite::Lax)
        .with_expiry(Expiry::OnInactivity(keep))
}

/// The hash under which a session is stored. The id has 128 random bits, so a plain hash cannot be turned round.
#[must_use]
pub fn hash(id: Id) -> IdHash {
    Sha256::digest(id.0.to_le_bytes()).into()
}

/// The table `sessions`.
#[derive(Clone)]
pub struct Store {
    db: PgPool,
    clock: Clock,
    lifetimes: Lifetimes,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Store").field("lifetimes", &self.lifetimes).finish_non_exhaustive()
    }
}

#[async_trait]
impl SessionStore for Store {
    async fn create(&self, record: &mut Record) -> Result<()> {
        loop {
            let session = to_row(record)?;
            let lifetimes = if session.person.is_some() { self.lifetimes } else { self.lifetimes.at_most(VISITOR) };
            if sessions::create(&self.db, &hash(record.id), &session, self.clock.now(), lifetimes).await.map_err(backend)? {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        match sessions::save(&self.db, &hash(record.id), &to_row(record)?).await {
            Err(error) if trouble::may_be_left(&error) => Ok(()),
            done => done.map_err(backend),
        }
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.clock.now();
        let found = sessions::load(&self.db, &hash(*id), now, self.lifetimes.idle).await.map_err(backend)?;
        found.map(|session| from_row(*id, session, now)).transpose()
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        sessions::delete(&self.db, &hash(*id)).await.map_err(backend)
    }
}

fn to_row(record: &Record) -> Result<sessions::Session> {
    let mut data = record.data.clone();
    let mut column = |key: &str| match data.remove(key) {
        None => Ok(None),
        Some(value) => serde_json::from_value::<Uuid>(value).map(Some).map_err(|e| Error::Encode(format!("{key}: {e}"))),
    };
    Ok(sessions::Session { person: column(PERSON)?, project: column(PROJECT)?, data: Value::Object(data.into_iter().collect()) })
}

fn from_row(id: Id, session: sessions::Session, now: OffsetDateTime) -> Result<Record> {
    let Value::Object(data) = session.data else { return Err(Error::Decode("a session's data is not an object".to_owned())) };
    let columns = [(PERSON, session.person), (PROJECT, session.project)];
    let columns = columns.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.to_string()))));
    // When it ends stands in the table; the layer above does not judge it.
    Ok(Record { id, data: data.into_iter().chain(columns).collect(), expiry_date: now })
}

fn backend(error: sqlx::Error) -> Error {
    let text = error.to_string();
    trouble::note(error);
    Error::Backend(text)
}
