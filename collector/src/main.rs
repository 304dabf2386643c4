//! callhome-collector: command line, configuration, runtime, exit code.

use std::process::ExitCode;

use callhome_collector::cli::{self, Cli, Failure};
use callhome_collector::run;
use callhome_shared::logging::lines_shown;
use clap::Parser;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(e) => {
            // Help and version are such "errors" too, with code 0.
            if e.use_stderr() {
                eprint!("{}", lines_shown(&e.to_string()));
            } else {
                let _ = e.print();
            }
            return ExitCode::from(u8::try_from(e.exit_code()).unwrap_or(cli::USAGE));
        }
    };
    match cli::run(cli, run::serve) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Failure::Configuration(problems)) => {
            eprintln!("{problems}");
            ExitCode::from(cli::BAD_CONFIGURATION)
        }
        Err(Failure::Failed(e)) => {
            eprintln!("callhome-collector: {e:#}");
            ExitCode::FAILURE
        }
    }
}
