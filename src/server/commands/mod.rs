//! The command line.

mod doctor;
mod down;
mod engines;
mod instance;
mod logging;
mod migrate;
mod serve;

use super::{
    config::{Config, Problems},
    jobs::faults::{Faults, Place},
};
use clap::{Parser, Subcommand};
use std::process::ExitCode;

const ABOUT: &str = "A database service on your own machines. Settings come from GRANARY_* variables and DATABASE_URL; the README lists them.";

/// The exit code that says that Granary was asked wrongly, as clap's own.
const ASKED_WRONGLY: u8 = 2;

/// What may be asked for.
#[derive(Debug, Parser)]
#[command(name = "granary", version, about = ABOUT, long_about = None)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve the dashboard and look after the datastores. Databases go on when it ends.
    Serve {
        /// For tests: die as by kill -9 at a step, such as “before:start-node”.
        #[arg(long, hide = true, value_name = "MOMENT:STEP")]
        die: Option<Place>,
        /// For tests: stop, as by kill -STOP, at a step.
        #[arg(long, hide = true, value_name = "MOMENT:STEP")]
        freeze: Option<Place>,
    },
    /// Stop everything of this home: Granary, the datastores, then the metadata database. “serve” brings it all back.
    Down,
    /// Bring the metadata database up to date, as “serve” does at its start.
    Migrate,
    /// Say what is wrong with this installation, and what to do. Changes nothing. Ends with 1 when there is a problem.
    Doctor {
        /// For programs.
        #[arg(long)]
        json: bool,
    },
    /// List the database versions found on this machine, and how long each is supported.
    Engines,
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    run(&Cli::parse().command).unwrap_or_else(|error| {
        eprintln!("granary: {error:#}");
        if error.is::<Problems>() { ASKED_WRONGLY.into() } else { ExitCode::FAILURE }
    })
}

#[tokio::main]
async fn run(command: &Command) -> anyhow::Result<ExitCode> {
    match command {
        Command::Serve { die, freeze } => serve::run(settings()?, Faults { die: *die, freeze: *freeze }).await?,
        Command::Down => down::run(settings()?).await?,
        Command::Migrate => migrate::run(&settings()?).await?,
        Command::Engines => engines::run(&settings()?).await?,
        // Wrong settings are among what it finds.
        Command::Doctor { json } => return Ok(doctor::run(Config::from_env(), *json).await),
    }
    Ok(ExitCode::SUCCESS)
}

/// Reads the settings and begins to log as they say.
fn settings() -> anyhow::Result<Config> {
    let config = Config::from_env()?;
    logging::start(&config)?;
    Ok(config)
}
