//! What is on this machine of datastores that nobody knows. It is named, never removed: whose data it is, a person decides.

use super::finding::Report;
use crate::server::{db::checkup, platform::local::survey::Survey};
use sqlx::PgPool;
use std::collections::HashSet;
use uuid::Uuid;

const AREA: &str = "leftovers";

/// What is found first is compared with what is known afterwards, and looked for once more: work goes on meanwhile.
pub(super) async fn look(report: &mut Report, db: &PgPool, host: Uuid, survey: &Survey) -> anyhow::Result<()> {
    let before = report.len();
    let (first, known) = (survey.remains(), checkup::known(db, host).await?);
    let mut ids: HashSet<Uuid> = known.datastores.iter().map(|d| d.id).collect();
    ids.extend(known.nodes.iter().chain(&known.volumes));
    let again: HashSet<_> = survey.remains().into_iter().collect();
    for remain in first.into_iter().filter(|remain| !ids.contains(&remain.of) && again.contains(remain)) {
        let what = format!("{} is of nothing that Granary knows.", remain.what);
        report.warning(AREA, what, remain.advice);
    }
    if report.len() == before {
        report.ok(AREA, "Nothing is left of datastores that are gone.");
    }
    Ok(())
}
