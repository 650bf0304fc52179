//! People, as their issuer names them, and the projects they act in.

use crate::model::{catalogue::Quota, person::Role};
use sqlx::PgPool;
use time::OffsetDateTime;
use uuid::Uuid;

/// What an issuer says of somebody who signs in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The issuer.
    pub issuer: String,
    /// Who it is there, for ever.
    pub subject: String,
    /// Mail address, for people to read.
    pub email: Option<String>,
    /// Name, for people to read.
    pub name: Option<String>,
}

impl Identity {
    /// What to call them.
    #[must_use]
    pub fn label(&self) -> &str {
        self.name.as_deref().or(self.email.as_deref()).unwrap_or(&self.subject)
    }
}

/// A person in a project.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Membership {
    /// The person.
    pub person: Uuid,
    /// What to call them.
    pub name: String,
    /// The project.
    pub project: Uuid,
    /// Its name.
    pub project_name: String,
    /// The person's role in it.
    pub role: Role,
}

/// Finds the person, or makes them with a project of their own; notes what the issuer says today. Returns their id.
///
/// # Errors
/// When the database cannot.
pub async fn sign_in(db: &PgPool, identity: &Identity, quota: Quota, now: OffsetDateTime) -> sqlx::Result<Uuid> {
    let mut tx = db.begin().await?;
    // Two first sign-ins at the same moment make one person: the second waits here.
    let name = format!("{} {}", identity.issuer, identity.subject);
    sqlx::query!("SELECT pg_advisory_xact_lock(hashtextextended($1, 0))", name).execute(&mut *tx).await?;
    let known = sqlx::query_scalar!(
        "UPDATE people SET email = $3, name = $4, last_sign_in_at = $5 WHERE issuer = $1 AND subject = $2 RETURNING id",
        identity.issuer,
        identity.subject,
        identity.email,
        identity.name,
        now,
    )
    .fetch_optional(&mut *tx)
    .await?;
    let person = match known {
        Some(person) => person,
        None => make(&mut tx, identity, quota, now).await?,
    };
    tx.commit().await?;
    Ok(person)
}

async fn make(tx: &mut sqlx::PgTransaction<'_>, identity: &Identity, quota: Quota, now: OffsetDateTime) -> sqlx::Result<Uuid> {
    let (person, project) = (Uuid::now_v7(), Uuid::now_v7());
    sqlx::query!(
        "INSERT INTO projects (id, name, quota_instances, quota_ram_mb, quota_storage_gb, created_at) VALUES ($1, $2, $3, $4, $5, $6)",
        project,
        format!("{}’s project", identity.label()),
        // One beyond the column is as good as none.
        i32::try_from(quota.instances).unwrap_or(i32::MAX),
        i64::try_from(quota.ram_mb).unwrap_or(i64::MAX),
        i64::try_from(quota.storage_gb).unwrap_or(i64::MAX),
        now,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!(
        "INSERT INTO people (id, issuer, subject, email, name, personal_project, created_at, last_sign_in_at)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $7)",
        person,
        identity.issuer,
        identity.subject,
        identity.email,
        identity.name,
        project,
        now,
    )
    .execute(&mut **tx)
    .await?;
    sqlx::query!("INSERT INTO members (project_id, person_id, role, created_at) VALUES ($1, $2, 'owner', $3)", project, person, now)
        .execute(&mut **tx)
        .await?;
    Ok(person)
}

/// The person in this project, or in their own when none is given or they are no longer a member of it.
///
/// # Errors
/// When the database cannot.
pub async fn membership(db: &PgPool, person: Uuid, project: Option<Uuid>) -> sqlx::Result<Option<Membership>> {
    let row = sqlx::query!(
        r#"SELECT coalesce(people.name, people.email, people.subject) AS "name!", projects.id AS project, projects.name AS project_name, members.role
           FROM people
           JOIN members ON members.person_id = people.id
           JOIN projects ON projects.id = members.project_id
           WHERE people.id = $1 AND members.project_id IN ($2, people.personal_project)
           ORDER BY members.project_id = $2 DESC NULLS LAST
           LIMIT 1"#,
        person,
        project,
    )
    .fetch_optional(db)
    .await?;
    row.map(|row| {
        let role = match row.role.as_str() {
            "owner" => Role::Owner,
            "member" => Role::Member,
            "viewer" => Role::Viewer,
            other => return Err(sqlx::Error::Decode(format!("“{other}” is not a role").into())),
        };
        Ok(Membership { person, name: row.name, project: row.project, project_name: row.project_name, role })
    })
    .transpose()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{server::state::Clock, tests::support};

    const QUOTA: Quota = Quota { instances: 20, ram_mb: 65_536, storage_gb: 500 };

    fn ada() -> Identity {
        Identity { issuer: "https://id.example.org".into(), subject: "1".into(), email: Some("ada@example.org".into()), name: Some("Ada".into()) }
    }

    #[tokio::test]
    async fn r001_a_first_sign_in_makes_one_person_with_a_capped_project() {
        let db = support::database().await;
        let now = Clock::System.now();
        let ada = ada();
        let (first, second) = tokio::join!(sign_in(&db.pool, &ada, QUOTA, now), sign_in(&db.pool, &ada, QUOTA, now));
        let person = first.unwrap();
        assert_eq!(person, second.unwrap());
        let me = membership(&db.pool, person, None).await.unwrap().unwrap();
        assert_eq!((me.name.as_str(), me.project_name.as_str(), me.role), ("Ada", "Ada’s project", Role::Owner));
        let quotas = "SELECT quota_instances, quota_ram_mb, quota_storage_gb FROM projects WHERE id <> $1";
        let quotas: Vec<(i32, i64, i64)> = sqlx::query_as(quotas).bind(super::super::spares::PROJECT).fetch_all(&db.pool).await.unwrap();
        assert_eq!(quotas, [(20, 65_536, 500)], "one project was made, with its cap");
    }

    #[tokio::test]
    async fn r001_a_subject_of_another_issuer_or_with_the_same_mail_is_somebody_else() {
        let db = support::database().await;
        let now = Clock::System.now();
        let person = sign_in(&db.pool, &ada(), QUOTA, now).await.unwrap();
        let elsewhere = Identity { issuer: "https://other.example.org".into(), ..ada() };
        let namesake = Identity { subject: "2".into(), ..ada() };
        assert_ne!(person, sign_in(&db.pool, &elsewhere, QUOTA, now).await.unwrap());
        assert_ne!(person, sign_in(&db.pool, &namesake, QUOTA, now).await.unwrap());
        let renamed = Identity { name: Some("Ada Lovelace".into()), ..ada() };
        assert_eq!(person, sign_in(&db.pool, &renamed, QUOTA, now).await.unwrap());
        assert_eq!(membership(&db.pool, person, None).await.unwrap().unwrap().name, "Ada Lovelace");
    }

    #[tokio::test]
    async fn a_project_one_is_not_a_member_of_gives_way_to_ones_own() {
        let db = support::database().await;
        let now = Clock::System.now();
        let ada = sign_in(&db.pool, &ada(), QUOTA, now).await.unwrap();
        let bob = sign_in(&db.pool, &Identity { subject: "2".into(), ..self::ada() }, QUOTA, now).await.unwrap();
        let bobs = membership(&db.pool, bob, None).await.unwrap().unwrap().project;
        let own = membership(&db.pool, ada, Some(bobs)).await.unwrap().unwrap();
        assert_ne!(own.project, bobs);
        sqlx::query!("INSERT INTO members (project_id, person_id, role) VALUES ($1, $2, 'viewer')", bobs, ada).execute(&db.pool).await.unwrap();
        let guest = membership(&db.pool, ada, Some(bobs)).await.unwrap().unwrap();
        assert_eq!((guest.project, guest.role), (bobs, Role::Viewer));
        assert_eq!(membership(&db.pool, ada, None).await.unwrap().unwrap(), own);
    }
}
