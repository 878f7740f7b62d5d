//! Tasks of the people who work on Wharf.

mod cargo;
mod documents;
mod release;
mod tidy;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context as _, Result};

const TASKS: &str = "Tasks:
  tidy       check the rules of the house that no compiler checks; cargo test runs the same checks
  docs       write the generated parts of docs/reference again
  release    build the program with the dist profile, pack it with checksums and an SBOM into dist/

Examples:
  cargo xtask tidy
  cargo xtask docs && git diff docs
  cargo xtask release && ls dist
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let outcome = match words.as_slice() {
        [] | ["help" | "--help" | "-h"] => {
            say(TASKS);
            Ok(())
        }
        ["tidy"] => tidy::run(),
        ["docs"] => documents::run(),
        ["release"] => release::run(),
        _ => {
            complain(&format!("unknown task: {}\n\n{TASKS}", words.join(" ")));
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("error: {error:#}\n"));
            ExitCode::FAILURE
        }
    }
}

/// Writes to standard output.
fn say(text: &str) {
    // a closed pipe is the reader's wish
    let _ = std::io::stdout().write_all(text.as_bytes());
}

/// Writes to standard error.
fn complain(text: &str) {
    // there is nobody else to tell
    let _ = std::io::stderr().write_all(text.as_bytes());
}

/// The folder of the workspace.
fn root() -> Result<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let parent = here.parent().context("xtask does not lie in a workspace")?;
    Ok(parent.to_owned())
}
