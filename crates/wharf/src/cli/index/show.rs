//! The index for people's eyes.

use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::table::table;

/// Examples of one kind that are shown.
const MOST_EXAMPLES: usize = 5;

/// What `/index` answers.
#[derive(Debug, Deserialize)]
pub(super) struct StatusView {
    state: String,
    repositories: u64,
    tags: u64,
    manifests: u64,
    blobs: u64,
    adoption: Option<AdoptionView>,
    findings: Vec<FindingView>,
    damaged: DamagedView,
    last: LastViews,
}

#[derive(Debug, Deserialize)]
struct AdoptionView {
    phase: String,
    total: u64,
    repositories: u64,
    failed_repositories: u64,
    tags: u64,
    blobs: u64,
    changes: u64,
    seconds: f64,
    tags_per_second: f64,
    seconds_left: Option<f64>,
}

/// What was found of one kind.
#[derive(Debug, Deserialize)]
pub(super) struct FindingView {
    kind: String,
    side: String,
    is_fault: bool,
    count: u64,
    examples: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct DamagedView {
    count: u64,
    blobs: Vec<DamagedBlobView>,
}

#[derive(Debug, Deserialize)]
struct DamagedBlobView {
    digest: String,
    damage: String,
    detail: String,
    found_time: Timestamp,
}

#[derive(Debug, Deserialize)]
struct LastViews {
    verify: Option<LastView>,
    scrub: Option<LastView>,
    rebuild: Option<LastView>,
}

#[derive(Debug, Deserialize)]
struct LastView {
    job: i64,
    state: String,
    creation_time: Timestamp,
    end_time: Option<Timestamp>,
    progress: crate::cli::follow::ProgressView,
    faults: Option<u64>,
    error: Option<String>,
}

/// What a verification answers.
#[derive(Debug, Deserialize)]
pub(super) struct ReportView {
    repositories: u64,
    tags: u64,
    manifests: u64,
    layers: u64,
    blobs: u64,
    bytes: u64,
    faults: u64,
    findings: Vec<FindingView>,
    actions: u64,
    first_actions: Vec<String>,
    remaining: Option<Box<Self>>,
}

/// What a rebuild answers.
#[derive(Debug, Deserialize)]
pub(super) struct RebuiltView {
    repositories: u64,
    tags: u64,
    manifests: u64,
    layers: u64,
    changes: u64,
    findings: Vec<FindingView>,
    note: String,
}

impl ReportView {
    /// Differences that are left.
    pub(super) fn remaining(&self) -> u64 {
        self.remaining
            .as_ref()
            .map_or(self.faults, |remaining| remaining.faults)
    }
}

/// How the index stands to the storage.
pub(super) fn status(status: &StatusView) -> String {
    let holds = format!(
        "{} repositories, {} tags, {} manifests, {} blobs",
        status.repositories, status.tags, status.manifests, status.blobs
    );
    let mut lines = vec![
        ("state", stands(&status.state).to_owned()),
        ("index", holds),
        ("compared", status.adoption.as_ref().map(compared).unwrap_or_default()),
        (
            "damaged",
            match status.damaged.count {
                0 => "nothing that is known".to_owned(),
                count => format!("{count} blobs"),
            },
        ),
        ("verified", status.last.verify.as_ref().map_or_else(never, last)),
        ("scrubbed", status.last.scrub.as_ref().map_or_else(never, last)),
    ];
    lines.extend(status.last.rebuild.as_ref().map(|job| ("rebuilt", last(job))));
    let mut text: String = lines
        .iter()
        .filter(|(_, value)| !value.is_empty())
        .map(|(name, value)| format!("{name:<10}{value}\n"))
        .collect();
    if !status.findings.is_empty() {
        text.push_str("\nwrong in the storage, as of the last look:\n");
        text.push_str(&findings(&status.findings));
    }
    if !status.damaged.blobs.is_empty() {
        text.push_str("\ndamaged blobs:\n");
        text.push_str(&damaged(&status.damaged));
    }
    text
}

fn stands(state: &str) -> &str {
    match state {
        "complete" => "complete: the index knows all that the storage holds",
        "indexing" => "indexing: what is asked for is read first; nothing is collected until all is read",
        "failed" => "failed: the storage could not be read to its end; the log says why",
        "incomplete" => "incomplete: the next start reads the storage again",
        "standing-by" => "standing by: another process owns the index",
        "refused" => "refused: the storage is not the one that the index knows; the log says what was expected",
        other => other,
    }
}

fn compared(adoption: &AdoptionView) -> String {
    let mut text = match adoption.phase.as_str() {
        "waiting" => return "not yet".to_owned(),
        "names" => format!("looking for repositories: {} so far", adoption.total),
        _ => format!("{} of {} repositories", adoption.repositories, adoption.total),
    };
    text.push_str(&format!(
        ", {} tags in {:.1} s ({:.0} tags/s), {} changes",
        adoption.tags, adoption.seconds, adoption.tags_per_second, adoption.changes
    ));
    if let Some(left) = adoption.seconds_left {
        text.push_str(&format!(", {left:.0} s left"));
    }
    if adoption.failed_repositories > 0 {
        text.push_str(&format!(
            ", {} repositories cannot be read",
            adoption.failed_repositories
        ));
    }
    if adoption.phase == "blobs" {
        text.push_str(&format!(
            "; looking for bytes that no repository names: {} blobs so far",
            adoption.blobs
        ));
    }
    text
}

fn never() -> String {
    "never".to_owned()
}

fn last(job: &LastView) -> String {
    let at = job.end_time.unwrap_or(job.creation_time);
    let outcome = match (job.state.as_str(), job.faults, &job.error) {
        ("done", None, _) => "done".to_owned(),
        ("done", Some(0), _) => "nothing was wrong".to_owned(),
        ("done", Some(1), _) => "1 difference remained".to_owned(),
        ("done", Some(faults), _) => format!("{faults} differences remained"),
        ("running", ..) => match job.progress.total {
            Some(total) => format!("runs: {} of {total} {}", job.progress.done, job.progress.text),
            None => format!("runs: {}", job.progress.text),
        },
        (state, _, Some(error)) => format!("{state}: {error}"),
        (state, ..) => state.to_owned(),
    };
    format!("{at:.0}: {outcome} (job {})", job.job)
}

/// What a verification found, did and left.
pub(super) fn report(report: &ReportView) -> String {
    let mut text = format!(
        "compared {} repositories, {} tags, {} manifests, {} layers, {} blobs",
        report.repositories, report.tags, report.manifests, report.layers, report.blobs
    );
    if report.bytes > 0 {
        text.push_str(&format!("; read {} bytes", report.bytes));
    }
    text.push('\n');
    if report.findings.is_empty() {
        text.push_str("no differences\n");
    } else {
        text.push_str(&findings(&report.findings));
    }
    for action in &report.first_actions {
        text.push_str(&format!("repair: {action}\n"));
    }
    let more = report.actions.saturating_sub(report.first_actions.len() as u64);
    if more > 0 {
        text.push_str(&format!("repair: {more} more\n"));
    }
    match report.remaining.as_deref() {
        Some(remaining) if remaining.findings.is_empty() => text.push_str("no differences remain\n"),
        Some(remaining) => {
            text.push_str("remaining:\n");
            text.push_str(&findings(&remaining.findings));
        }
        None => {}
    }
    text
}

/// What a rebuild found, and what it cannot bring back.
pub(super) fn rebuilt(rebuilt: &RebuiltView) -> String {
    let mut text = format!(
        "read {} repositories, {} tags, {} manifests, {} layers; {} entries of the index changed\n",
        rebuilt.repositories, rebuilt.tags, rebuilt.manifests, rebuilt.layers, rebuilt.changes
    );
    if !rebuilt.findings.is_empty() {
        text.push_str("wrong in the storage:\n");
        text.push_str(&findings(&rebuilt.findings));
    }
    text.push_str(&rebuilt.note);
    text.push('\n');
    text
}

fn findings(findings: &[FindingView]) -> String {
    let mut rows = Vec::new();
    for finding in findings {
        let mut first = [
            finding.kind.clone(),
            where_it_is(finding).to_owned(),
            finding.count.to_string(),
            String::new(),
        ];
        for example in finding.examples.iter().take(MOST_EXAMPLES) {
            first[3].clone_from(example);
            rows.push(std::mem::replace(&mut first, [" ", " ", " ", ""].map(str::to_owned)));
        }
        if finding.examples.is_empty() {
            rows.push(first);
        }
    }
    table(["DIFFERENCE", "WHERE", "COUNT", "SUCH AS"], &rows)
}

/// In words of people.
fn where_it_is(finding: &FindingView) -> &str {
    match finding.side.as_str() {
        _ if !finding.is_fault => "litter",
        "index" => "only in the index",
        "storage" => "only in the storage",
        _ => "both differ",
    }
}

fn damaged(damaged: &DamagedView) -> String {
    let rows: Vec<[String; 4]> = damaged
        .blobs
        .iter()
        .map(|blob| {
            [
                blob.digest.clone(),
                blob.damage.clone(),
                format!("{:.0}", blob.found_time),
                blob.detail.clone(),
            ]
        })
        .collect();
    table(["BLOB", "DAMAGE", "FOUND", "DETAIL"], &rows)
}

#[cfg(test)]
mod tests;
