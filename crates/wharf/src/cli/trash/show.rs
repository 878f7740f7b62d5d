//! The trash as people read it.

use jiff::Timestamp;
use serde::Deserialize;

use crate::cli::output::{count, size, time};
use crate::cli::table::table;

#[derive(Debug, Deserialize)]
pub(super) struct ListView {
    entries: Vec<EntryView>,
    next: Option<i64>,
    usage: UsageView,
}

#[derive(Debug, Deserialize)]
struct EntryView {
    id: i64,
    kind: String,
    repository: String,
    digest: String,
    tags: Vec<String>,
    deleted_at: Timestamp,
    deleted_by: String,
    reason: String,
    expires_at: Timestamp,
}

#[derive(Debug, Deserialize)]
pub(super) struct UsageView {
    manifests: u64,
    tags: u64,
    bytes: u64,
    bytes_only_here: u64,
    keep_seconds: u64,
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoredView {
    repository: String,
    manifests: Vec<String>,
    tags: Vec<String>,
    kept_tags: Vec<KeptView>,
    absent_children: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct KeptView {
    tag: String,
    digest: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct RestoredAllView {
    manifests: u64,
    tags: u64,
    kept_tags: u64,
    failures: Vec<FailureView>,
}

#[derive(Debug, Deserialize)]
struct FailureView {
    entry: String,
    message: String,
}

#[derive(Debug, Deserialize)]
pub(super) struct PurgedView {
    manifests: u64,
    tags: u64,
}

pub(super) fn list(list: &ListView) -> String {
    let rows: Vec<[String; 7]> = list
        .entries
        .iter()
        .map(|entry| {
            let what = match (entry.kind.as_str(), entry.tags.first()) {
                ("tag", Some(tag)) => format!("{}:{tag}", entry.repository),
                _ => format!("{}@{}", entry.repository, entry.digest),
            };
            let tags = match entry.kind.as_str() {
                "tag" => String::new(),
                _ => entry.tags.join(" "),
            };
            [
                entry.id.to_string(),
                what,
                tags,
                time(entry.deleted_at),
                entry.deleted_by.clone(),
                entry.reason.clone(),
                time(entry.expires_at),
            ]
        })
        .collect();
    let mut text = String::new();
    if !rows.is_empty() {
        let titles = ["ID", "WHAT", "TAGS", "DELETED", "BY", "REASON", "GOES AT"];
        text.push_str(&table(titles, &rows));
    }
    if list.next.is_some() {
        text.push_str("and older ones: see --limit\n");
    }
    let usage = &list.usage;
    if usage.keep_seconds == 0 {
        text.push_str("what is deleted is gone at once: trash.keep is 0\n");
    }
    text.push_str(&match usage.manifests + usage.tags {
        0 => "the trash is empty\n".to_owned(),
        _ => format!("{}\n", amount(usage)),
    });
    text
}

fn amount(usage: &UsageView) -> String {
    format!(
        "{} and {} in the trash: {}, of which {} are needed by nothing else",
        count(usage.manifests, "manifest"),
        count(usage.tags, "tag"),
        size(usage.bytes),
        size(usage.bytes_only_here)
    )
}

pub(super) fn question(usage: &UsageView) -> String {
    format!(
        "{}. Nothing of it can be brought back after this. Delete it for good?",
        amount(usage)
    )
}

pub(super) fn restored(restored: &RestoredView) -> String {
    let repository = &restored.repository;
    let mut text = String::new();
    for digest in &restored.manifests {
        text.push_str(&format!("restored {repository}@{digest}\n"));
    }
    for tag in &restored.tags {
        text.push_str(&format!("restored {repository}:{tag}\n"));
    }
    for kept in &restored.kept_tags {
        let (tag, digest) = (&kept.tag, &kept.digest);
        text.push_str(&format!(
            "{repository}:{tag} points to {digest} by now and was left there: `wharf tag revert` moves it\n"
        ));
    }
    for digest in &restored.absent_children {
        text.push_str(&format!(
            "{digest}, which the index lists, is neither there nor in the trash\n"
        ));
    }
    if text.is_empty() {
        text.push_str("it is there already: nothing was to be done\n");
    }
    text
}

pub(super) fn restored_all(all: &RestoredAllView) -> String {
    let mut text = format!(
        "restored {} and {}\n",
        count(all.manifests, "manifest"),
        count(all.tags, "tag")
    );
    if all.kept_tags > 0 {
        text.push_str(&format!(
            "{} pointed to something else by now and stayed there: `wharf tag revert` moves them\n",
            count(all.kept_tags, "tag")
        ));
    }
    for failure in &all.failures {
        text.push_str(&format!("{}: {}\n", failure.entry, failure.message));
    }
    text
}

pub(super) fn purged(purged: &PurgedView) -> String {
    format!(
        "{} and {} deleted for good: garbage collection frees their bytes\n",
        count(purged.manifests, "manifest"),
        count(purged.tags, "tag")
    )
}
