//! Datastores of this machine: their state, their work, their certificates, their programs.

use super::finding::Report;
use crate::{
    model::engine::EngineKind,
    server::{db::checkup, engine::Installed, jobs::kind::JobKind, platform::local::survey},
};
use sqlx::PgPool;
use std::collections::BTreeMap;
use uuid::Uuid;

/// Certificates are renewed 30 days before their end: one that ends earlier is not being renewed.
const NEAR_DAYS: i32 = 20;
/// How long a job that could run may wait.
const LONG_SECONDS: f64 = 120.0;

/// `serving` says whether a Granary of this home runs, without which nobody looks and nobody works.
pub(super) async fn look(
    report: &mut Report,
    db: &PgPool,
    host: Uuid,
    serving: bool,
    installed: &BTreeMap<EngineKind, Vec<Installed>>,
) -> anyhow::Result<()> {
    let before = report.len();
    let known = checkup::known(db, host).await?;
    for datastore in &known.datastores {
        needs(report, datastore, installed);
    }
    states(report, &checkup::unwell(db, host).await?, serving);
    jobs(report, db, host, serving).await?;
    for (name, end) in checkup::ending_certificates(db, host, NEAR_DAYS).await? {
        let what = format!("The certificate of “{name}” ends on {}.", end.date());
        report.warning("certificates", what, "It should have been renewed: see its Activity tab, and Retry the job that failed.");
    }
    if report.len() == before {
        report.ok("datastores", format!("All {} are as they should be.", known.datastores.len()));
    }
    Ok(())
}

fn needs(report: &mut Report, datastore: &checkup::Datastore, installed: &BTreeMap<EngineKind, Vec<Installed>>) {
    let checkup::Datastore { id, name, engine, version, made } = datastore;
    let kind = EngineKind::ALL.into_iter().find(|kind| kind.id() == engine);
    if !kind.and_then(|kind| installed.get(&kind)).is_some_and(|found| found.iter().any(|i| i.major == *version)) {
        let package = kind.map_or_else(|| engine.clone(), |kind| kind.package(Some(version)));
        let what = format!("“{name}” needs {engine} {version}, whose programs are not installed.");
        report.problem("programs", what, format!("Install them again (on Debian: apt install {package}); no other version can open it."));
    }
    if *made && let Err(error) = survey::check_user(*id) {
        let what = format!("The system user of “{name}” is not right: {error:#}.");
        report.problem("users", what, "Put its line back into /etc/passwd from a backup of that file; its files belong to that user's id.");
    }
}

fn states(report: &mut Report, unwell: &[checkup::Unwell], serving: bool) {
    for checkup::Unwell { name, observed, detail, age } in unwell {
        match age {
            Some(age) if *age < checkup::FRESH_SECONDS => {
                report.problem(
                    "datastores",
                    format!("“{name}” is {observed}: {detail}."),
                    "Its Activity tab says what is done about it; its node's log says why.",
                );
            }
            age if serving => {
                let age = age.map_or_else(|| "never".to_owned(), |age| format!("not for {age:.0} s"));
                report.problem(
                    "datastores",
                    format!("“{name}” was looked at {age}, though Granary runs."),
                    "See Granary's log: what keeps the monitor?",
                );
            }
            _ => report.warning("datastores", format!("Nobody looks at “{name}”, since Granary does not run."), "“granary serve” starts it."),
        }
    }
}

async fn jobs(report: &mut Report, db: &PgPool, host: Uuid, serving: bool) -> sqlx::Result<()> {
    for job in checkup::failed_jobs(db, host).await? {
        let label = job.kind.parse().map_or(job.kind.clone(), |kind: JobKind| kind.label().to_owned());
        let what = format!("“{label}” of “{}” failed at the step {}: {}", job.name, job.step, job.error);
        report.problem("jobs", what, "Mend the cause, then Retry on the datastore's page, or Abandon.");
    }
    for (name, kind, seconds) in checkup::waiting_jobs(db, host, LONG_SECONDS).await? {
        let advice = if serving { "See Granary's log: what do its workers do?" } else { "“granary serve” does it." };
        report.warning("jobs", format!("The job “{kind}” of “{name}” has waited for {seconds:.0} s."), advice);
    }
    Ok(())
}
