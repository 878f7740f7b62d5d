//! The storage folder holds exactly what live manifests need.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::content::sha256;
use crate::model::Snapshot;
use crate::report::Report;

/// What is, or should be, in the folder: path below `docker/registry/v2` -> size of a blob; zero for links.
type Files = BTreeMap<String, u64>;

/// Compares every file below `docker/`.
pub fn check(folder: &Path, snapshot: &Snapshot, when: &str, report: &mut Report) {
    let root = folder.join("docker/registry/v2");
    let mut found = Files::new();
    let mut problems = Vec::new();
    if let Err(error) = walk(&root, "", &mut found, &mut problems) {
        problems.push(format!("the folder cannot be read: {error}"));
    }
    report.check(
        &format!("{when}: every blob on disk has the digest that its path says"),
        &problems,
    );
    let (uploads, found): (Files, Files) = found.into_iter().partition(|(path, _)| path.contains("/_uploads/"));
    let (history, found): (Files, Files) = found.into_iter().partition(|(path, _)| path.contains("/index/sha"));
    let expected = expected(snapshot);
    let is_blob = |path: &&String| path.starts_with("blobs/");
    let bytes = |files: &Files| files.values().sum::<u64>();

    let missing: Vec<String> = expected
        .keys()
        .filter(|path| !found.contains_key(*path))
        .cloned()
        .collect();
    report.check(
        &format!("{when}: nothing that images need is missing on disk"),
        &missing,
    );
    let extra: Vec<String> = found
        .keys()
        .filter(|path| !expected.contains_key(*path))
        .cloned()
        .collect();
    let (blobs, links): (Vec<String>, Vec<String>) = extra.into_iter().partition(|path| is_blob(&path));
    report.check(
        &format!(
            "{when}: {} bytes of blobs on disk, each held by an image",
            bytes(&found)
        ),
        &blobs,
    );
    report.check(&format!("{when}: {} links, each of a live image", found.len()), &links);
    let revisions: BTreeSet<&String> = expected.keys().collect();
    let stale: Vec<String> = history
        .keys()
        .filter(|path| {
            let (repository, rest) = path.split_once("/_manifests/").unwrap_or_default();
            let digest = rest.split_once("/index/").map_or("", |(_, digest)| digest);
            !revisions.contains(&format!("{repository}/_manifests/revisions/{digest}"))
        })
        .cloned()
        .collect();
    report.check(
        &format!(
            "{when}: {} entries of tag histories, each of a live image",
            history.len()
        ),
        &stale,
    );
    let left: Vec<String> = uploads.keys().cloned().collect();
    report.check(
        &format!("{when}: nothing is left of uploads that came to nothing"),
        &left,
    );
}

fn expected(snapshot: &Snapshot) -> Files {
    let mut files = Files::new();
    for kept in &snapshot.live {
        let repository = format!("repositories/{}", kept.repository);
        for member in &kept.members {
            let size = u64::try_from(member.bytes.len()).unwrap_or(0);
            files.insert(data(&member.digest), size);
            files.insert(
                format!("{repository}/_manifests/revisions/{}/link", slashed(&member.digest)),
                0,
            );
            for blob in &member.blobs {
                files.insert(data(&blob.stored), u64::try_from(blob.size).unwrap_or(0));
                for name in [&blob.stored, &blob.digest] {
                    files.insert(format!("{repository}/_layers/{}/link", slashed(name)), 0);
                }
            }
        }
    }
    for tagged in &snapshot.tags {
        let path = format!(
            "repositories/{}/_manifests/tags/{}/current/link",
            tagged.repository, tagged.tag
        );
        files.insert(path, 0);
    }
    files
}

fn slashed(digest: &str) -> String {
    digest.replace(':', "/")
}

fn data(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or_default();
    format!("blobs/{algorithm}/{}/{hex}/data", &hex[..2])
}

fn walk(folder: &Path, below: &str, files: &mut Files, problems: &mut Vec<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let path = if below.is_empty() {
            name
        } else {
            format!("{below}/{name}")
        };
        if entry.file_type()?.is_dir() {
            walk(&entry.path(), &path, files, problems)?;
            continue;
        }
        let mut size = 0;
        if path.starts_with("blobs/") {
            let bytes = std::fs::read(entry.path())?;
            size = u64::try_from(bytes.len()).unwrap_or(0);
            if data(&sha256(&bytes)) != path {
                problems.push(format!("{path} holds {size} bytes of something else"));
            }
        }
        files.insert(path, size);
    }
    Ok(())
}
