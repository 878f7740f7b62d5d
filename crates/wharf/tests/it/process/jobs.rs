//! `wharf jobs` and `/api/v2.0/jobs`, on a registry that runs and on one that is stopped.

use std::process::Output;

use serde_json::Value;

use super::client::{self, Answer};
use super::program::{Folder, Program};
use super::until;

/// With uploads that are old at once.
fn folder() -> Folder {
    Folder::new(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: STORAGE\n  maintenance:\n    uploadpurging:\n      \
         enabled: true\n      age: 1s\n      interval: 24h\n      dryrun: false\nhttp:\n  addr: 127.0.0.1:0\n",
    )
}

impl Folder {
    fn jobs(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        self.run(&[&["jobs"], arguments, &["--config", &config]].concat())
    }

    /// What a command prints that succeeds.
    fn told(&self, arguments: &[&str]) -> String {
        let output = self.jobs(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn listed(&self, arguments: &[&str]) -> Vec<Value> {
        let text = self.told(&[arguments, &["--output", "json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// The schedule of one kind.
    fn schedule_of(&self, kind: &str) -> Value {
        let kinds = self.listed(&["schedules"]);
        kinds.into_iter().find(|found| found["kind"] == kind).unwrap()
    }

    /// What a command says that fails.
    fn refused(&self, arguments: &[&str]) -> String {
        let output = self.jobs(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        said(&output)
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// An upload that nobody continues, older than a second.
fn abandon(program: &Program, folder: &Folder) {
    let client = program.client();
    let start = client.send("POST", "/v2/a/blobs/uploads/", &[], b"").expect(202);
    client.send("PATCH", &start.location(), &[], b"0123456789").expect(202);
    assert_eq!(folder.upload_bytes(), 10);
    std::thread::sleep(std::time::Duration::from_millis(1_100));
}

#[test]
fn a_job_is_started_watched_listed_and_shown() {
    let folder = folder();
    let program = folder.start();
    abandon(&program, &folder);
    assert_eq!(
        folder.told(&["run", "upload_purge"]),
        "bytes: 10\ndry_run: false\nuploads: 1\n"
    );
    assert_eq!(folder.upload_bytes(), 0);
    let list = folder.listed(&["list", "--kind", "upload_purge"]);
    assert_eq!(list.len(), 1);
    assert_eq!((&list[0]["state"], &list[0]["attempts"]), (&"done".into(), &1.into()));
    assert_eq!(list[0]["summary"]["uploads"], 1);
    let id = list[0]["id"].to_string();
    let table = folder.told(&["list"]);
    let mut lines = table.lines();
    assert!(
        lines.next().unwrap().starts_with("ID  KIND          STATE  SINCE"),
        "{table}"
    );
    assert!(lines.next().unwrap().contains("upload_purge  done"), "{table}");
    let shown = folder.told(&["show", &id]);
    assert!(shown.contains("state        done\n"), "{shown}");
    assert!(shown.contains("payload      {}\n"), "{shown}");
    assert_eq!(folder.told(&["log", &id, "--follow"]), "");
    assert_eq!(folder.listed(&["list", "--state", "failed"]), [] as [Value; 0]);
    let log = program.log();
    for line in ["job begins", "job ends"] {
        assert!(
            log.lines()
                .any(|found| found.contains(line) && found.contains("upload_purge")),
            "{line} is missing in\n{log}"
        );
    }
    assert!(program.terminate().success());
}

#[test]
fn a_command_on_a_stopped_registry_runs_the_job_itself_and_nothing_else() {
    let folder = folder();
    let program = folder.start();
    abandon(&program, &folder);
    assert!(program.terminate().success());
    // even what nobody waits for is run: nobody else would
    let output = folder.jobs(&["run", "upload_purge", "--detach"]);
    assert!(output.status.success(), "{}", said(&output));
    assert_eq!(folder.upload_bytes(), 0);
    let list = folder.listed(&["list"]);
    assert_eq!(list.len(), 1);
    assert_eq!(list[0]["state"], "done");
    // it shows in the registry that runs next
    let program = folder.start();
    assert_eq!(folder.listed(&["list"]), list);
    drop(program);
}

#[test]
fn uploads_are_purged_when_distributions_keys_say_so() {
    let folder = Folder::new(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: STORAGE\n  maintenance:\n    uploadpurging:\n      \
         enabled: true\n      age: 1s\n      interval: 1s\n      dryrun: false\nhttp:\n  addr: 127.0.0.1:0\n",
    );
    let program = folder.start();
    abandon(&program, &folder);
    until("the upload is purged", || folder.upload_bytes() == 0);
    assert_eq!(folder.schedule_of("upload_purge")["schedule"], "every 1s");
}

#[test]
fn schedules_are_changed_disabled_and_taken_back() {
    let folder = folder();
    for is_running in [false, true] {
        let program = is_running.then(|| folder.start());
        let table = folder.told(&["schedules"]);
        let row = |kind: &str| {
            table
                .lines()
                .find(|line| line.starts_with(kind))
                .unwrap_or_default()
                .to_owned()
        };
        assert!(row("job_purge").contains(" 0 0 * * * UTC "), "{table}");
        assert!(row("upload_purge").contains(" every 24h "), "{table}");
        let output = folder.jobs(&["schedule", "job_purge", "30 3 * * MON-FRI Europe/Berlin"]);
        let text = said(&output);
        assert!(
            text.starts_with("job_purge: 30 3 * * MON-FRI Europe/Berlin (set), next at 2"),
            "{text}"
        );
        let text = said(&folder.jobs(&["schedule", "job_purge", "--disable"]));
        assert_eq!(text, "job_purge: 30 3 * * MON-FRI Europe/Berlin (set) (disabled)\n");
        let kind = folder.schedule_of("job_purge");
        assert_eq!((&kind["enabled"], &kind["startable"]), (&false.into(), &true.into()));
        assert_eq!(kind["configured_schedule"], "0 0 * * * UTC");
        assert!(folder.jobs(&["schedule", "job_purge", "--enable"]).status.success());
        let text = said(&folder.jobs(&["schedule", "job_purge", "--reset"]));
        assert!(text.starts_with("job_purge: 0 0 * * * UTC, next at 2"), "{text}");
        drop(program);
    }
}

#[test]
fn what_cannot_be_is_refused_with_what_there_is() {
    let folder = folder();
    let program = folder.start();
    let text = folder.refused(&["run", "garbage"]);
    let begin = "there is no kind of jobs called \"garbage\"; known are: garbage_collection, ";
    assert!(text.contains(begin) && text.contains(", upload_purge"), "{text}");
    let text = folder.refused(&["schedule", "job_purge", "sometimes"]);
    assert!(text.contains("\"sometimes\" is no schedule: write never,"), "{text}");
    assert!(folder.refused(&["show", "4711"]).contains("there is no job 4711"));
    assert!(folder.refused(&["log", "4711"]).contains("there is no job 4711"));
    assert!(folder.refused(&["cancel", "4711"]).contains("there is no job 4711"));
    let text = folder.refused(&["list", "--state", "lost"]);
    assert!(
        text.contains("they are waiting, running, done, failed, cancelled"),
        "{text}"
    );
    folder.told(&["run", "upload_purge"]);
    let text = folder.refused(&["cancel", "1"]);
    assert!(text.contains("job 1 is done already"), "{text}");
    drop(program);
}

#[test]
fn the_api_has_pages_and_is_for_administrators_alone() {
    let folder = folder();
    folder.append("access:\n  accounts: true\n");
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "first password")]);
    let basic = client::basic("admin", "first password");
    let json = ("Content-Type", "application/json");
    let send = |method: &str, path: &str, body: &str| -> Answer {
        let headers = [json, ("Authorization", basic.as_str())];
        let path = format!("/api/v2.0{path}");
        program.client().send(method, &path, &headers, body.as_bytes())
    };
    program.client().send("GET", "/api/v2.0/jobs", &[], b"").expect(401);
    let mut ids = Vec::new();
    for _ in 0..3 {
        let made = send("POST", "/jobs", r#"{"kind": "upload_purge"}"#).expect(201);
        assert_eq!(made.json()["requested_by"], "admin");
        let id = made.json()["id"].as_i64().unwrap();
        assert_eq!(made.header("location"), format!("/api/v2.0/jobs/{id}"));
        until("it is done", || {
            send("GET", &format!("/jobs/{id}"), "").expect(200).json()["state"] == "done"
        });
        ids.push(id);
    }
    let page = send("GET", "/jobs?page_size=2&kind=upload_purge&state=done", "").expect(200);
    let listed = |answer: &Answer| -> Vec<i64> {
        let jobs = answer.json();
        jobs.as_array()
            .unwrap()
            .iter()
            .map(|job| job["id"].as_i64().unwrap())
            .collect()
    };
    assert_eq!(listed(&page), [ids[2], ids[1]]);
    let link = page.header("link").to_owned();
    let next = link
        .strip_prefix("</api/v2.0")
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap();
    let last = send("GET", next, "").expect(200);
    assert_eq!(listed(&last), [ids[0]]);
    send("GET", "/jobs?page_size=0", "").expect(400);
    send("GET", "/jobs?state=lost", "").expect(400);
    send("GET", "/jobs/x", "").expect(404);
    send("POST", "/jobs", r#"{"kind": "x"}"#).expect(404);
    send("POST", "/jobs", "{}").expect(422);
    send("PUT", "/jobs/schedules/job_purge", "{}").expect(400);
    send("PUT", "/jobs/schedules/job_purge", r#"{"schedule": "x"}"#).expect(400);
    send("PUT", "/jobs/schedules/x", r#"{"enabled": false}"#).expect(404);
    send("POST", &format!("/jobs/{}/cancel", ids[0]), "").expect(409);
}
