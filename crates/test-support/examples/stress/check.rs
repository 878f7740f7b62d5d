//! After the clients have ended: what was acknowledged is there, and nothing else.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::Value;

use crate::content::{digest_like, sha256};
use crate::disk;
use crate::http::{Connection, Request, Trouble, told};
use crate::model::{Kept, Snapshot, locked};
use crate::report::Report;
use crate::{CheckOptions, Target};

const THREADS: usize = 8;
/// Of what is gone, so many are asked for.
const SAMPLE: usize = 20_000;

/// Compares a registry with the model.
pub fn check(options: &CheckOptions, snapshot: &Snapshot) -> Report {
    let mut report = Report::default();
    let when = &options.when;
    let target = &options.target;
    let problems = each(target, &snapshot.live, pull_whole);
    let count: usize = snapshot.live.iter().map(|kept| kept.members.len()).sum();
    report.check(&format!("{when}: {count} acknowledged manifests pull whole"), &problems);

    let problems = each(target, &snapshot.tags, |connection, tagged| {
        let path = format!("/v2/{}/manifests/{}", tagged.repository, tagged.tag);
        let request = Request::new("GET", &path);
        let answer = connection.expect(&[200], request)?;
        match sha256(&answer.body) == tagged.digest {
            true => Ok(()),
            false => Err(Trouble::Failed(format!(
                "not {}: {}",
                tagged.digest,
                told(request, &answer)
            ))),
        }
    });
    let count = snapshot.tags.len();
    report.check(
        &format!("{when}: {count} tags name what was acknowledged last"),
        &problems,
    );

    let repositories = tags_by_repository(snapshot);
    let problems = each(target, &repositories, |connection, (repository, tags)| {
        let found = list(connection, &format!("/v2/{repository}/tags/list"), "tags")?;
        match found == *tags {
            true => Ok(()),
            false => Err(Trouble::Failed(format!(
                "the tags of {repository} are {found:?}, not {tags:?}"
            ))),
        }
    });
    let count = repositories.len();
    report.check(
        &format!("{when}: the tag lists of {count} repositories are right"),
        &problems,
    );

    let step = snapshot.gone.len() / SAMPLE + 1;
    let gone: Vec<_> = snapshot.gone.iter().step_by(step).collect();
    let problems = each(target, &gone, |connection, (repository, digest)| {
        is_gone(connection, repository, digest)
    });
    report.check(
        &format!("{when}: {} deleted manifests stay deleted", gone.len()),
        &problems,
    );

    if options.collected {
        check_collected(options, snapshot, &mut report);
    }
    if let Some(folder) = &options.data {
        disk::check(folder, snapshot, when, &mut report);
    }
    report
}

/// What only the collector takes.
fn check_collected(options: &CheckOptions, snapshot: &Snapshot, report: &mut Report) {
    let problems = each(&options.target, &snapshot.doomed, |connection, (repository, digest)| {
        is_gone(connection, repository, digest)
    });
    let name = format!(
        "{}: {} signatures went with their images",
        options.when,
        snapshot.doomed.len()
    );
    report.check(&name, &problems);

    let expected: BTreeSet<String> = snapshot.live.iter().map(|kept| kept.repository.clone()).collect();
    let mut connection = options.target.connect();
    let problems = match list(&mut connection, "/v2/_catalog", "repositories") {
        Ok(mut found) => {
            found.retain(|name| name.starts_with("stress/"));
            match found == expected {
                true => Vec::new(),
                false => vec![format!("{found:?} are listed, but {expected:?} have images")],
            }
        }
        Err(trouble) => vec![trouble.to_string()],
    };
    report.check(
        &format!("{}: the catalog lists the repositories that have images", options.when),
        &problems,
    );
}

fn tags_by_repository(snapshot: &Snapshot) -> Vec<(String, BTreeSet<String>)> {
    let mut repositories: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for kept in &snapshot.live {
        repositories.entry(kept.repository.clone()).or_default();
    }
    for tagged in &snapshot.tags {
        repositories
            .entry(tagged.repository.clone())
            .or_default()
            .insert(tagged.tag.clone());
    }
    repositories.into_iter().collect()
}

fn pull_whole(connection: &mut Connection, kept: &Kept) -> Result<(), Trouble> {
    for member in &kept.members {
        let target = format!("/v2/{}/manifests/{}", kept.repository, member.digest);
        let request = Request::new("GET", &target);
        let answer = connection.expect(&[200], request)?;
        if answer.body != member.bytes.as_bytes() || answer.header("content-type") != Some(member.media_type.as_str()) {
            return Err(Trouble::Failed(format!(
                "not what was pushed: {}",
                told(request, &answer)
            )));
        }
        for blob in &member.blobs {
            let target = format!("/v2/{}/blobs/{}", kept.repository, blob.digest);
            let answer = connection.expect(&[200], Request::new("GET", &target))?;
            if digest_like(&blob.digest, &answer.body) != blob.digest {
                return Err(Trouble::Failed(format!("GET {target} brought other bytes")));
            }
        }
        if let Some(subject) = &member.subject {
            let target = format!("/v2/{}/referrers/{subject}", kept.repository);
            let request = Request::new("GET", &target);
            let answer = connection.expect(&[200], request)?;
            if !String::from_utf8_lossy(&answer.body).contains(&member.digest) {
                return Err(Trouble::Failed(format!(
                    "{} is not in: {}",
                    member.digest,
                    told(request, &answer)
                )));
            }
        }
    }
    Ok(())
}

fn is_gone(connection: &mut Connection, repository: &str, digest: &str) -> Result<(), Trouble> {
    let target = format!("/v2/{repository}/manifests/{digest}");
    connection.expect(&[404], Request::new("GET", &target)).map(drop)
}

/// All pages of a list.
fn list(connection: &mut Connection, target: &str, key: &str) -> Result<BTreeSet<String>, Trouble> {
    let mut names = BTreeSet::new();
    let mut last = String::new();
    loop {
        let page = format!("{target}?n=500&last={last}");
        let answer = connection.expect(&[200], Request::new("GET", &page))?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let listed = body[key].as_array().cloned().unwrap_or_default();
        names.extend(listed.iter().filter_map(|name| name.as_str().map(str::to_owned)));
        match listed.last().and_then(Value::as_str) {
            Some(name) if listed.len() == 500 => last = name.to_owned(),
            _ => return Ok(names),
        }
    }
}

/// Runs a check on each item, several at a time, and collects what is wrong.
fn each<T: Sync>(
    target: &Target,
    items: &[T],
    check: impl Fn(&mut Connection, &T) -> Result<(), Trouble> + Sync,
) -> Vec<String> {
    let problems = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut connection = target.connect();
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(trouble) = check(&mut connection, item) {
                        locked(&problems).push(trouble.to_string());
                    }
                }
            });
        }
    });
    problems.into_inner().unwrap_or_default()
}
