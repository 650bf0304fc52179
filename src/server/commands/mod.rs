//! The command line.

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
    /// List the database versions found on this machine, and how long each is supported.
    Engines,
}

/// Runs what the command line asks for.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let outcome = Config::from_env().map_err(anyhow::Error::from).and_then(|config| {
        logging::start(&config)?;
        run(&cli.command, config)
    });
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("granary: {error:#}");
            if error.is::<Problems>() { ASKED_WRONGLY.into() } else { ExitCode::FAILURE }
        }
    }
}

#[tokio::main]
async fn run(command: &Command, config: Config) -> anyhow::Result<()> {
    match command {
        Command::Serve { die, freeze } => serve::run(config, Faults { die: *die, freeze: *freeze }).await,
        Command::Down => down::run(config).await,
        Command::Migrate => migrate::run(&config).await,
        Command::Engines => engines::run(&config).await,
    }
}
