//! `wharf index verify`

use anyhow::{Context as _, Result, bail};
use clap::Args;
use http::Method;
use serde_json::{Value, json};

use super::Started;
use super::show::{self, ReportView};
use crate::app::local::Local;
use crate::cli::follow::{follow, must_be_done};
use crate::cli::output::{Output, print, print_json};

/// `wharf index verify …`
#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// Only these repositories, without their bytes; not given: all of them
    repositories: Vec<String>,
    /// Read all bytes again and compare their digests
    #[arg(long, conflicts_with = "repositories")]
    bytes: bool,
    /// Read no more bytes in a second than this
    #[arg(long, value_name = "N", requires = "bytes", value_parser = clap::value_parser!(u64).range(1..))]
    bytes_per_second: Option<u64>,
    /// Mend what can be mended without losing anything: index what only the storage has, write links
    /// that the index has promised, put damaged bytes aside so that a push brings good ones
    #[arg(long)]
    repair: bool,
    /// With --repair: forget in every repository what has lost its bytes for good; manifests whose own
    /// bytes are gone go with their tags
    #[arg(long, requires = "repair", conflicts_with = "repositories")]
    forget_missing: bool,
    /// With --repair: only say what would be done
    #[arg(long, requires = "repair")]
    dry_run: bool,
    /// How to say it
    #[arg(long, short, value_enum, default_value_t = Output::Text)]
    output: Output,
}

impl VerifyArgs {
    fn wish(&self) -> Value {
        let repair = match (self.repair, self.dry_run) {
            (false, _) => "no",
            (true, true) => "dry-run",
            (true, false) => "yes",
        };
        json!({
            "repositories": self.repositories,
            "bytes": self.bytes,
            "bytes_per_second": self.bytes_per_second,
            "repair": repair,
            "forget_missing": self.forget_missing,
        })
    }
}

pub(super) async fn run(registry: &mut Local, arguments: &VerifyArgs) -> Result<()> {
    let wish = arguments.wish();
    let started: Started = registry.call(Method::POST, "/index/verify", Some(&wish)).await?;
    let job = follow(registry, started.job).await?;
    must_be_done(&job)?;
    let mut summary = job.summary.context("the registry does not say what it found")?;
    let report: ReportView = serde_json::from_value(summary.clone())?;
    match arguments.output {
        Output::Text => print(&show::report(&report))?,
        Output::Json => {
            if let Value::Object(fields) = &mut summary {
                fields.insert("job".to_owned(), job.id.into());
            }
            print_json(&summary)?;
        }
    }
    let hint = match arguments.repair && !arguments.dry_run {
        true => "",
        false => "`wharf index verify --repair` mends what is safe, ",
    };
    match report.remaining() {
        0 => Ok(()),
        1 => bail!("1 difference remains: {hint}`wharf jobs log {}` has all of it", job.id),
        faults => bail!(
            "{faults} differences remain: {hint}`wharf jobs log {}` lists all of them",
            job.id
        ),
    }
}
