//! `granary doctor`: finds what is wrong with an installation, and says what to do. It only looks: it makes nothing,
//! starts nothing and mends nothing, so it may run at any time, beside `serve` as well.

mod datastores;
mod finding;
mod home;
mod issuer;
mod key;
mod leftovers;
mod machine;
mod metadata;
mod programs;
mod service;

use super::{instance, logging};
use crate::{
    model::catalogue::Catalogue,
    server::{
        config::{self, Config, Problems},
        platform::local::survey::Survey,
        state::Clock,
    },
};
use finding::Report;
use std::process::ExitCode;

/// Looks at everything and prints what was found; 0 when nothing is a problem, else 1.
pub(super) async fn run(settings: Result<Config, Problems>, json: bool) -> ExitCode {
    let report = look(settings).await;
    report.print(json);
    if report.has_problems() { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

async fn look(settings: Result<Config, Problems>) -> Report {
    let mut report = Report::default();
    match settings {
        Ok(config) => installation(&mut report, &config).await,
        Err(problems) => {
            wrong(&mut report, &problems);
            report.warning("settings", "What depends on settings was not looked at.", "Correct the settings, then run “granary doctor” again.");
            programs::of_the_system(&mut report);
        }
    }
    service::look(&mut report);
    report
}

async fn installation(report: &mut Report, config: &Config) {
    let catalogue = settings(report, config);
    let serving = instance::running(&config.home);
    let host = home::look(report, config);
    let keyring = key::look(report, config);
    let survey = Survey::of(&config.home);
    programs::of_the_system(report);
    let installed = programs::of_engines(report, config, survey.as_ref().ok()).await;
    machine::look(report, survey.as_ref().ok());
    machine::port(report, config, &serving);
    if let Some(oidc) = &config.oidc {
        issuer::look(report, oidc, Clock::System).await;
    }
    let metadata = metadata::look(report, config, !serving.is_empty()).await;
    let (Some(db), Some(host)) = (metadata, host) else {
        report.warning("datastores", "Datastores were not looked at.", "They can be once the home is made and its metadata database answers.");
        return;
    };
    let looked = async {
        key::opens(report, &db, keyring.as_ref()).await?;
        machine::addresses(report, &db, host, catalogue.as_ref()).await?;
        datastores::look(report, &db, host, !serving.is_empty(), &installed).await?;
        if let Ok(survey) = &survey {
            leftovers::look(report, &db, host, survey).await?;
        }
        anyhow::Ok(())
    };
    if let Err(error) = looked.await {
        report.problem(
            "metadata",
            format!("The metadata database could not be read: {error:#}."),
            "See what its server says, then run “granary doctor” again.",
        );
    }
    db.close().await;
}

/// Settings that could be read; those that are files are read too.
fn settings(report: &mut Report, config: &Config) -> Option<Catalogue> {
    if let Err(problem) = logging::filter(config) {
        wrong(report, &Problems(vec![problem]));
    }
    let catalogue = config::catalogue::load(config.catalogue.as_deref()).inspect_err(|problems| wrong(report, problems)).ok();
    if !report.has_problems() {
        report.ok("settings", format!("All settings are understood; people reach Granary at {}.", config.origin()));
    }
    catalogue
}

fn wrong(report: &mut Report, problems: &Problems) {
    for problem in &problems.0 {
        report.problem("settings", problem, "Correct it where the service gets its environment; the README lists all settings.");
    }
}
