//! The configuration: distribution's `config.yml` of 2.8 and of 3 with its `REGISTRY_*` environment, and
//! Wharf's own sections. Nothing here reads the process environment or writes a log: both are the caller's.
//!
//! One table (`keys`) says what exists. A file becomes a tree that knows its lines (`yaml`), the environment is
//! laid over it (`overlay`), the storage driver is picked (`select`), the tree is compared with the table
//! (`resolve`), and the effective values become [`Config`] (`build`).

mod build;
mod defaults;
mod error;
mod json_schema;
mod keys;
mod nearest;
mod overlay;
mod places;
mod print;
mod read;
mod reference;
mod resolve;
mod scalar;
mod select;
mod settings;
mod snippet;
#[cfg(test)]
mod tests;
mod types;
mod yaml;

use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use error::{Error, Problem, Severity, Source, Warning};
pub use json_schema::json_schema;
pub use places::{PLACE_OF_2, PLACE_OF_3};
pub use print::Format;
pub use reference::reference;
pub use types::{
    Access, AccessKey, Admin, Auth, Backup, ClientAuth, CloudFront, Config, ContainerToken, Credentials, Database,
    Debug, FileCheck, ForeignWriters, GarbageCollection, Health, Http, HttpCheck, IndexPlatforms, JobSettings, Limits,
    Listen, Log, LogFormatter, LogLevel, ManifestValidation, Origin, S3, ScheduledBackup, Scrub, Secret, Storage,
    StorageCheck, StorageDriver, StorageMiddleware, TcpCheck, Tls, TlsSettings, TlsVersion, TokenAuth, Traces, Trash,
    UploadPurging, Validation,
};

use self::build::Builder;
use self::settings::Settings;
use self::snippet::Finding;
use self::yaml::{Input, Node};

/// A configuration that can be started.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// what to run with
    pub config: Config,
    /// what to tell the user at start
    pub warnings: Vec<Warning>,
    settings: Settings,
}

/// Finds, reads and checks the configuration: `file`, else `REGISTRY_CONFIGURATION_PATH` of `env`, else
/// [`PLACE_OF_3`], else [`PLACE_OF_2`], else the built-in defaults.
///
/// # Errors
///
/// The file is missing, unreadable or wrong.
pub fn load(file: Option<&Path>, env: &[(String, String)]) -> Result<Loaded, Error> {
    load_from(file, env, &[Path::new(PLACE_OF_3), Path::new(PLACE_OF_2)])
}

/// As [`load`], with `places` instead of the two of distribution's images.
///
/// # Errors
///
/// The file is missing, unreadable or wrong.
pub fn load_from(file: Option<&Path>, env: &[(String, String)], places: &[&Path]) -> Result<Loaded, Error> {
    let Some(found) = places::find(file, env, places) else {
        return check(&defaults::without_file(env), Origin::Defaults, env, Vec::new());
    };
    let text = places::read(&found.path)?;
    check(&text, Origin::File(found.path), env, found.warnings)
}

/// Checks the text of a configuration file with the environment `env`. Places are named `config.yml`.
///
/// # Errors
///
/// The text or the environment is wrong.
pub fn load_str(yaml: &str, env: &[(String, String)]) -> Result<Loaded, Error> {
    check(yaml, Origin::File(PathBuf::from("config.yml")), env, Vec::new())
}

fn check(text: &str, origin: Origin, env: &[(String, String)], mut warnings: Vec<Warning>) -> Result<Loaded, Error> {
    let input = match &origin {
        Origin::File(path) => Input::File(Arc::from(path.to_string_lossy())),
        Origin::Defaults => Input::Default,
    };
    let mut findings = Vec::new();
    let outcome = parse(text, &input, &mut warnings).map(|mut root| {
        overlay::apply(&mut root, env, &mut warnings, &mut findings);
        select::select(&mut root, &mut warnings, &mut findings);
        let resolved = resolve::resolve(&root);
        warnings.extend(resolved.warnings);
        findings.extend(resolved.findings);
        let mut settings = Settings::new(resolved.settings);
        let mut builder = Builder {
            settings: &settings,
            env,
            findings: Vec::new(),
            warnings: Vec::new(),
        };
        let config = builder.config(origin);
        warnings.append(&mut builder.warnings);
        findings.append(&mut builder.findings);
        settings.fill("access.accounts", resolve::Value::Bool(config.access.accounts));
        (config, settings)
    });
    match outcome {
        Ok((config, settings)) if findings.is_empty() => Ok(Loaded {
            config,
            warnings,
            settings,
        }),
        Ok(_) => Err(invalid(findings, warnings, text)),
        Err(finding) => Err(invalid(vec![finding], warnings, text)),
    }
}

fn parse(text: &str, input: &Input, warnings: &mut Vec<Warning>) -> Result<Node, Finding> {
    let (root, second) = yaml::parse(text, input)?;
    if let Some(source) = second {
        warnings.push(Warning {
            severity: Severity::Warning,
            message: "a second document begins here and is ignored, as distribution does".to_owned(),
            source,
        });
    }
    Ok(root)
}

fn invalid(findings: Vec<Finding>, warnings: Vec<Warning>, text: &str) -> Error {
    let mut problems: Vec<Problem> = findings.into_iter().map(|finding| finding.into_problem(text)).collect();
    // By place, as a reader goes through the file; the sort keeps the order of the rest.
    problems.sort_by_key(|problem| match &problem.source {
        Source::Default => (0, 0, 0),
        Source::File { line, column, .. } => (1, *line, *column),
        Source::Env(_) => (2, 0, 0),
    });
    Error::Invalid { problems, warnings }
}
