//! What people read.

use serde_json::json;

use super::{eligible, explanation, plan, removed, rest, status};

#[test]
fn a_plan_lists_every_object_with_its_reason() {
    let view = json!({
        "objects": [
            {"kind": "link", "repository": "a/b", "digest": "sha256:1", "size": 10,
             "at": "2026-01-02T03:04:05Z", "reason": "no manifest needs it"},
            {"kind": "blob", "repository": null, "digest": "sha256:1", "size": 10,
             "at": "2026-01-02T03:04:05Z", "reason": "what holds it goes"},
        ],
        "manifests": 0, "links": 1, "blobs": 1, "stored_blobs": 4, "bytes": 10, "is_allowed": false,
    });
    let view = serde_json::from_value(view).unwrap();
    let text = plan(&view);
    assert!(text.contains("a/b@sha256:1"), "{text}");
    assert!(text.contains("2026-01-02 03:04:05Z  no manifest needs it"), "{text}");
    assert!(
        text.contains("0 manifests, 1 layer links and 1 blobs would go: 10 B freed\n"),
        "{text}"
    );
    assert!(
        text.ends_with(
            "nothing is collected before index and storage were compared, and while they do not belong together: see `wharf index status`\n"
        ),
        "{text}"
    );
    let listed = eligible(&view);
    let expected = "a/b\nlayer link eligible for deletion: sha256:1\n\n3 blobs marked, 1 blobs and 0 manifests eligible for \
                    deletion\nblob eligible for deletion: sha256:1\n";
    assert!(listed.starts_with(expected), "{listed}");
}

#[test]
fn a_status_says_what_waits_and_when_it_goes() {
    let view = json!({
        "grace_seconds": 3600, "untagged_after_seconds": null, "objects_per_second": 500, "bytes_per_second": null,
        "is_allowed": true, "is_quiet": false, "condemned": 2, "next_due": "2026-01-02T03:04:05Z", "last": null,
        "waiting": [{"kind": "link", "count": 3, "oldest": "2026-01-02T02:04:05Z"},
                    {"kind": "blob", "count": 0, "oldest": null}],
    });
    let view = serde_json::from_value(view).unwrap();
    let expected = "3 objects are within their grace period (1h) and are looked at from 2026-01-02 03:04:05Z on; 2 blobs are \
                    condemned\n";
    assert_eq!(rest(&view), expected);
    let text = status(&view);
    assert!(text.contains("3 links (since 2026-01-02 02:04:05Z)\n"), "{text}");
    assert!(
        text.contains("2 blobs") && text.contains("1h") && text.contains("stay"),
        "{text}"
    );
    assert!(text.contains("500 objects a second"), "{text}");
}

#[test]
fn an_explanation_names_holders_tags_and_times() {
    let view = json!({
        "digest": "sha256:1", "size": 10, "verdict": "held", "at": null, "is_allowed": true, "is_cut": false,
        "holders": [{
            "repository": "a/b", "linked_at": "2026-01-02T03:04:05Z", "link_goes_at": null, "manifest": null,
            "referenced_by": [{"digest": "sha256:2", "tags": ["v1"]}, {"digest": "sha256:3", "tags": []}],
        }],
        "trash": [{
            "id": 7, "repository": "c/d", "digest": "sha256:4", "deleted_by": "alice",
            "deleted_at": "2026-01-02T03:04:05Z", "expires_at": "2026-01-09T03:04:05Z",
        }],
    });
    let text = explanation(&serde_json::from_value(view).unwrap());
    let expected = "sha256:1 (10 B) is needed: it stays\n  a/b\n    linked since 2026-01-02 03:04:05Z\n    \
                    needed by sha256:2, tagged v1\n    needed by sha256:3, no tag points to it\n  \
                    trash 7: c/d\n    needed by sha256:4, deleted at 2026-01-02 03:04:05Z by alice; it is purged at 2026-01-09 \
                    03:04:05Z\n";
    assert_eq!(text, expected);
}

#[test]
fn a_run_says_what_it_freed() {
    let summary = json!({"manifests": 1, "links": 2, "condemned": 5, "blobs": 3, "bytes": 2048});
    assert_eq!(
        removed(&summary),
        "removed 1 manifests, 2 layer links and 3 blobs: 2.0 KiB freed\n"
    );
}
