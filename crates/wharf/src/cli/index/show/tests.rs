use serde_json::{Value, json};

fn told(change: &[(&str, Value)]) -> String {
    let mut status = json!({
        "state": "indexing", "repositories": 120, "tags": 2400, "manifests": 2400, "blobs": 31000,
        "adoption": {
            "phase": "repositories", "total": 5000, "repositories": 120, "failed_repositories": 0, "tags": 2400, "blobs": 0,
            "changes": 33400, "seconds": 0.124, "tags_per_second": 19354.8, "seconds_left": 5.04,
        },
        "findings": [], "damaged": { "count": 0, "blobs": [] },
        "last": { "verify": null, "scrub": null, "rebuild": null },
    });
    for (pointer, value) in change {
        *status.pointer_mut(pointer).unwrap() = value.clone();
    }
    super::status(&serde_json::from_value(status).unwrap())
}

#[test]
fn a_storage_that_is_being_read_shows_how_far_that_is_how_fast_and_how_long_it_takes() {
    let text = told(&[]);
    assert!(text.starts_with("state     indexing: "), "{text}");
    let compared = "compared  120 of 5000 repositories, 2400 tags in 0.1 s (19355 tags/s), 33400 changes, 5 s left\n";
    assert!(text.contains(compared), "{text}");
    let text = told(&[("/adoption/failed_repositories", json!(2))]);
    assert!(text.contains("2 repositories cannot be read"), "{text}");
    let text = told(&[
        ("/adoption/phase", json!("blobs")),
        ("/adoption/seconds_left", Value::Null),
    ]);
    assert!(text.contains("; looking for bytes that no repository names"), "{text}");
    let text = told(&[
        ("/adoption/phase", json!("names")),
        ("/adoption/seconds_left", Value::Null),
    ]);
    assert!(text.contains("looking for repositories: 5000 so far"), "{text}");
}

#[test]
fn what_is_wrong_is_a_table_and_litter_is_told_from_faults() {
    let finding = |kind: &str, side: &str, is_fault: bool, examples: &[&str]| json!({"kind": kind, "side": side, "is_fault": is_fault, "count": 12, "examples": examples});
    let findings = json!([
        finding("dangling-tag", "storage", true, &["a tag/x", "a tag/y"]),
        finding("foreign", "storage", false, &["lost+found"]),
    ]);
    let text = told(&[("/findings", findings)]);
    let table = "DIFFERENCE    WHERE                COUNT  SUCH AS\n\
                 dangling-tag  only in the storage  12     a tag/x\n";
    assert!(text.contains(table), "{text}");
    assert!(text.contains("12     lost+found\n"), "{text}");
    assert!(
        text.lines().any(|line| line.starts_with("foreign       litter ")),
        "{text}"
    );
    assert!(text.lines().any(|line| line.trim() == "a tag/y"), "{text}");
}

#[test]
fn the_last_jobs_say_what_came_of_them() {
    let job = |state: &str, faults: Value, error: Value| {
        json!({
            "job": 7, "state": state, "creation_time": "2026-11-21T03:00:00Z", "end_time": null,
            "progress": { "done": 3, "total": 256, "text": "folders of blobs" }, "faults": faults, "error": error,
        })
    };
    for (told_of, words) in [
        (
            job("running", Value::Null, Value::Null),
            "runs: 3 of 256 folders of blobs",
        ),
        (job("done", json!(0), Value::Null), "nothing was wrong"),
        (job("done", json!(1), Value::Null), "1 difference remained"),
        (job("done", json!(4), Value::Null), "4 differences remained"),
        (
            job("failed", Value::Null, json!("the disk is gone")),
            "failed: the disk is gone",
        ),
    ] {
        let text = told(&[("/last/scrub", told_of)]);
        let line = format!("scrubbed  2026-11-21T03:00:00Z: {words} (job 7)\n");
        assert!(text.contains(&line), "{line} is missing in\n{text}");
    }
}
