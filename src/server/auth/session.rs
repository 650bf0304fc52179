//! Sessions in the metadata database: the browser has the id, the table only its hash.
//!
//! Requests of one session run at the same time, and each reads it whole. What one changed is therefore found by comparing
//! with what it read, and only that is written, entry by entry of the objects in it: nobody's change is lost.

use super::trouble;
use crate::server::{
    config::Config,
    db::sessions::{self, IdHash, Lifetimes},
    state::{App, Clock},
};
use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use sqlx::PgPool;
use std::{collections::BTreeSet, fmt, time::Duration};
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
/// Key of the issuer's name for its session, which has a column too.
pub const ISSUER_SESSION: &str = "issuer_session";
/// Key under which a request keeps the session as it read it; never stored.
const READ: &str = "as read";

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
            let session = to_row(record.data.clone())?;
            let lifetimes = if session.person.is_some() { self.lifetimes } else { self.lifetimes.at_most(VISITOR) };
            if sessions::create(&self.db, &hash(record.id), &session, self.clock.now(), lifetimes).await.map_err(backend)? {
                return Ok(());
            }
            record.id = Id::default();
        }
    }

    async fn save(&self, record: &Record) -> Result<()> {
        let mut data = record.data.clone();
        let Some(Value::Object(read)) = data.remove(READ) else {
            // It was cleared: all that is there goes.
            return self.replace(record.id, to_row(data)?).await;
        };
        let (read, new) = (to_row(read)?, to_row(data)?);
        if read == new {
            return Ok(());
        }
        let change = |project: &mut Option<Uuid>, data: &mut Map<String, Value>| {
            if read.project != new.project {
                *project = new.project;
            }
            merge(data, &read.data, &new.data);
        };
        written(sessions::edit(&self.db, &hash(record.id), change).await)
    }

    async fn load(&self, id: &Id) -> Result<Option<Record>> {
        let now = self.clock.now();
        let found = sessions::load(&self.db, &hash(*id), now, self.lifetimes.idle).await.map_err(backend)?;
        Ok(found.map(|session| from_row(*id, session, now)))
    }

    async fn delete(&self, id: &Id) -> Result<()> {
        sessions::delete(&self.db, &hash(*id)).await.map_err(backend)
    }
}

impl Store {
    async fn replace(&self, id: Id, new: sessions::Session) -> Result<()> {
        let change = |project: &mut Option<Uuid>, data: &mut Map<String, Value>| (*project, *data) = (new.project, new.data);
        written(sessions::edit(&self.db, &hash(id), change).await)
    }
}

/// A change that a page can do without is left when the database takes none.
fn written(done: sqlx::Result<()>) -> Result<()> {
    match done {
        Err(error) if trouble::may_be_left(&error) => Ok(()),
        done => done.map_err(backend),
    }
}

/// Does to `current` what was done to `read` to make it `new`. Of objects in it, each entry counts for itself.
fn merge(current: &mut Map<String, Value>, read: &Map<String, Value>, new: &Map<String, Value>) {
    let nothing = Map::new();
    let object = |value: Option<&Value>| value.map_or(Some(nothing.clone()), |value| value.as_object().cloned());
    let keys: BTreeSet<&String> = read.keys().chain(new.keys()).filter(|key| read.get(*key) != new.get(*key)).collect();
    for key in keys {
        match (object(current.get(key)), object(read.get(key)), object(new.get(key)), new.get(key)) {
            (Some(mut inner), Some(read), Some(new), kept) => {
                merge(&mut inner, &read, &new);
                if kept.is_none() && inner.is_empty() {
                    current.remove(key);
                } else {
                    current.insert(key.clone(), Value::Object(inner));
                }
            }
            (.., Some(value)) => drop(current.insert(key.clone(), value.clone())),
            (.., None) => drop(current.remove(key)),
        }
    }
}

fn to_row(data: impl IntoIterator<Item = (String, Value)>) -> Result<sessions::Session> {
    let mut data: Map<String, Value> = data.into_iter().collect();
    data.remove(READ);
    let (person, project, issuer_session) = (column(&mut data, PERSON)?, column(&mut data, PROJECT)?, column(&mut data, ISSUER_SESSION)?);
    Ok(sessions::Session { person, project, issuer_session, data })
}

/// Takes out what has a column of its own.
fn column<T: DeserializeOwned>(data: &mut Map<String, Value>, key: &str) -> Result<Option<T>> {
    serde_json::from_value(data.remove(key).unwrap_or_default()).map_err(|e| Error::Encode(format!("{key}: {e}")))
}

fn from_row(id: Id, session: sessions::Session, now: OffsetDateTime) -> Record {
    let columns = [(PERSON, session.person), (PROJECT, session.project)];
    let columns = columns.into_iter().filter_map(|(key, value)| Some((key.to_owned(), Value::from(value?.to_string()))));
    let data: Map<String, Value> = session.data.into_iter().chain(columns).collect();
    let read = (READ.to_owned(), Value::Object(data.clone()));
    // When it ends stands in the table; the layer above does not judge it.
    Record { id, data: data.into_iter().chain([read]).collect(), expiry_date: now }
}

fn backend(error: sqlx::Error) -> Error {
    let text = error.to_string();
    trouble::note(error);
    Error::Backend(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn changes_made_at_the_same_time_are_both_kept() {
        let map = |value: Value| value.as_object().unwrap().clone();
        let merged = |current: Value, read: Value, new: Value| {
            let mut current = map(current);
            merge(&mut current, &map(read), &map(new));
            Value::Object(current)
        };
        // Two add to the same object, one of them to nothing.
        assert_eq!(merged(json!({ "a": { "x": 1 } }), json!({}), json!({ "a": { "y": 2 } })), json!({ "a": { "x": 1, "y": 2 } }));
        // One takes out what it read while another adds and changes.
        let read = json!({ "a": { "x": 1, "y": 1 }, "b": 1 });
        assert_eq!(merged(json!({ "a": { "x": 1, "y": 2, "z": 3 }, "b": 2 }), read.clone(), json!({ "b": 1 })), json!({ "a": { "z": 3 }, "b": 2 }));
        assert_eq!(merged(json!({}), read.clone(), json!({ "a": { "x": 1, "y": 1 } })), json!({}));
        // The same entry: the later one counts.
        assert_eq!(merged(json!({ "b": 2 }), read.clone(), json!({ "a": read["a"], "b": 3 })), json!({ "b": 3 }));
        assert_eq!(merged(json!({ "b": { "x": 1 } }), read.clone(), json!({ "b": 3 })), json!({ "b": 3 }));
    }
}
