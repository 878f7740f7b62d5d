//! One batch of each kind of review.

use wharf_metadata::garbage_collection::{self as queue, Counts, Decision, DueManifest, Pass, Reason, Removed};
use wharf_metadata::manifests::Manifest;
use wharf_metadata::trash::{self, Deleted, Deletion};
use wharf_metadata::{Entry, Timestamp, Tx, audit_log, repositories};
use wharf_oci::Reference;

use super::{BATCH, LONGEST_WRITING, Run, Step, micros};
use crate::deletion::forget;
use crate::{Error, Result};

/// Who deletes manifests, in histories and in the audit log.
const ACTOR: &str = "garbage-collection";

/// A manifest that went, and what storage is to follow.
struct Gone {
    repository_id: i64,
    deleted: Deleted,
}

impl<G: FnMut(&Counts) -> bool + Send> Run<'_, G> {
    /// One batch; answers how many were looked at, `None` when nothing may be collected.
    pub(super) async fn step(&mut self, step: Step, pass: &Pass) -> Result<Option<usize>> {
        match step {
            Step::Manifests => self.manifests(pass).await,
            Step::Links => self.links(pass).await,
            Step::LeftOver => self.left_over(pass).await,
            Step::Blobs => self.blobs(pass).await,
        }
    }

    async fn manifests(&mut self, pass: &Pass) -> Result<Option<usize>> {
        let parts = &self.collector.parts;
        let (pass, limit) = (pass.clone(), self.pace.batch());
        // who asks for it by hand wants the space; what goes by itself can be brought back
        let expires_at = match self.request.with_untagged {
            true => None,
            false => self.collector.policy.keep.until(pass.now),
        };
        let reviewed = parts.metadata.write(move |tx| {
            let due = queue::due_manifests(tx, &pass, limit)?;
            let mut gone = Vec::new();
            for due in &due {
                match queue::review_manifest(tx, &pass, due)? {
                    None => return Ok(None),
                    Some(Decision::Stays) => {}
                    Some(Decision::Goes(manifest, reason)) => {
                        gone.extend(remove(tx, (&pass, expires_at), due, (&manifest, reason))?);
                    }
                }
            }
            Ok::<_, wharf_metadata::Error>(Some((due.len(), gone)))
        });
        let Some((looked_at, gone)) = reviewed.await? else {
            return Ok(None);
        };
        let manifests = gone.len() as u64;
        for gone in gone {
            self.follow_manifest(gone).await;
        }
        let removed = Counts {
            manifests,
            ..Counts::default()
        };
        self.removed(removed).await?;
        Ok(Some(looked_at))
    }

    /// The storage follows; what it refuses is tried again by the mirror.
    async fn follow_manifest(&self, gone: Gone) {
        let parts = &self.collector.parts;
        for entry in &gone.deleted.entries {
            let reference = match entry {
                Entry::Tag(tag) => Reference::Tag(tag.clone()),
                Entry::Revision(digest) => Reference::Digest(*digest),
                Entry::Layer(_) => continue,
            };
            parts.caches.forget_manifest(gone.repository_id, &reference);
        }
        let settled = parts.mirror.settle_deleted(gone.repository_id, gone.deleted).await;
        report_refused(settled);
    }

    async fn links(&mut self, pass: &Pass) -> Result<Option<usize>> {
        self.collector.touches.flush().await?;
        let parts = &self.collector.parts;
        let (pass, limit) = (pass.clone(), self.pace.batch());
        let reviewed = parts.metadata.write(move |tx| {
            let Some(reviewed) = queue::review_links(tx, &pass, limit)? else {
                return Ok(None);
            };
            for removed in &reviewed.removed {
                for entry in entries(removed) {
                    wharf_metadata::mirror::raise(tx, removed.repository_id, &entry)?;
                }
            }
            Ok::<_, wharf_metadata::Error>(Some(reviewed))
        });
        let Some(reviewed) = reviewed.await? else {
            return Ok(None);
        };
        // all of them before the first wait: nobody may be told that one is still there
        for removed in &reviewed.removed {
            forget(
                &parts.caches,
                removed.repository_id,
                &entries(removed).collect::<Vec<_>>(),
            );
        }
        for removed in &reviewed.removed {
            for entry in entries(removed) {
                report_refused(parts.mirror.settle(&(removed.repository_id, entry)).await);
            }
        }
        let removed = Counts {
            links: reviewed.removed.len() as u64,
            ..Counts::default()
        };
        self.removed(removed).await?;
        Ok(Some(reviewed.looked_at))
    }

    /// Rows of bytes that never came, and deletions whose owner died or hangs.
    async fn left_over(&mut self, pass: &Pass) -> Result<Option<usize>> {
        let shortest = micros(LONGEST_WRITING).max(pass.grace);
        let before = pass.now.plus(-shortest);
        let queued = self
            .collector
            .parts
            .metadata
            .write(move |tx| queue::queue_stale_writing(tx, before, BATCH));
        let _queued: usize = queued.await?;
        self.overdue(pass).await.map(Some)
    }
}

/// Removes a manifest in the transaction that decided so. One without a tag goes to the trash until
/// `expires_at`; what followed its subject there is of no use without it.
fn remove(
    tx: &mut Tx<'_>,
    (pass, expires_at): (&Pass, Option<Timestamp>),
    due: &DueManifest,
    (manifest, reason): (&Manifest, Reason),
) -> std::result::Result<Option<Gone>, wharf_metadata::Error> {
    let repository_id = due.repository_id;
    let Some(repository) = repositories::by_id(tx, repository_id)? else {
        return Ok(None);
    };
    let deletion = Deletion {
        by: ACTOR.to_owned(),
        at: pass.now,
        reason: match reason {
            Reason::SubjectGone => "subject gone".to_owned(),
            Reason::Untagged => "untagged".to_owned(),
        },
        expires_at: expires_at.filter(|_| reason == Reason::Untagged),
    };
    let place = (repository_id, &repository.name);
    let Some(deleted) = trash::delete_manifest(tx, place, &manifest.sha256, &deletion)? else {
        return Ok(None);
    };
    let line = audit_log::Line {
        id: 0,
        at: pass.now,
        actor: ACTOR.to_owned(),
        action: "manifest.delete".to_owned(),
        subject: format!("{}@{}", repository.name, manifest.digest()),
        detail: match (reason, &manifest.subject) {
            (Reason::SubjectGone, Some(subject)) => format!("its subject {subject} is gone"),
            (Reason::SubjectGone, None) => "its subject is gone".to_owned(),
            (Reason::Untagged, _) => "no tag points to it".to_owned(),
        },
        address: String::new(),
        result: "ok".to_owned(),
    };
    audit_log::append(tx, &line)?;
    Ok(Some(Gone { repository_id, deleted }))
}

/// The storage entries of a link, under all its names.
fn entries(removed: &Removed) -> impl Iterator<Item = Entry> + use<> {
    let link = &removed.link;
    let alias = link.sha512.filter(|_| link.is_alias);
    std::iter::once(link.sha256).chain(alias).map(Entry::Layer)
}

fn report_refused(settled: Result<bool>) {
    if let Err(error) = settled {
        let error: Error = error;
        tracing::warn!(%error, "a link that was collected is still in the storage; it is tried again");
    }
}
