//! `wharf gc`, `registry garbage-collect` and `/api/v2.0/system/gc`, on a registry that runs and on
//! one that is stopped.

use std::process::Output;

use serde_json::{Value, json};

use super::client::{self, Answer, Image, image};
use super::program::{Folder, Program};
use super::until;

/// So that nothing has to be waited for.
const AT_ONCE: [(&str, &str); 1] = [("WHARF_TEST_GRACE_PERIOD", "0s")];

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Folder {
    fn gc(&self, arguments: &[&str]) -> Output {
        self.run(&[&["gc"], arguments, &["--config", &self.config()]].concat())
    }

    /// What `wharf gc` prints that succeeds.
    fn gc_told(&self, arguments: &[&str]) -> String {
        let output = self.gc(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn gc_json(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.gc_told(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// What `wharf gc` says that fails.
    fn gc_refused(&self, arguments: &[&str]) -> String {
        let output = self.gc(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        assert_eq!(output.stdout, b"");
        said(&output)
    }

    /// What distribution's command prints that succeeds.
    fn collected(&self, arguments: &[&str]) -> String {
        let output = self.run(&[&["garbage-collect"], arguments, &[self.config().as_str()]].concat());
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Whether the bytes of a blob are in the storage.
    fn has_bytes(&self, digest: &str) -> bool {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}/data", &hex[..2]);
        self.storage().join(path).exists()
    }

    fn has_any_of(&self, image: &Image) -> bool {
        self.has_bytes(&image.digest()) || image.blobs().iter().any(|digest| self.has_bytes(digest))
    }
}

/// One image that a tag has left, and the one it went to.
fn moved_tag(program: &Program) -> (Image, Image) {
    let (old, new) = (image("old", 2), image("new", 2));
    program.client().push("team/app", "v1", &old).unwrap();
    program.client().push("team/app", "v1", &new).unwrap();
    (old, new)
}

#[test]
fn a_running_registry_collects_when_asked_and_tells_what_went() {
    let folder = Folder::open();
    let program = folder.start();
    let (old, new) = moved_tag(&program);
    assert!(program.terminate().success());
    let program = folder.start_with(&AT_ONCE);
    until("index and folder are compared", || {
        folder.gc_json(&["status"])["is_allowed"] == true
    });
    let layer = &old.blobs()[1];
    let explained = folder.gc_told(&["explain", layer]);
    assert!(
        explained.starts_with(&format!(
            "{layer} (39.1 KiB) is needed: it stays\n  team/app\n    linked since 2"
        )),
        "{explained}"
    );
    let needed_by = format!("    needed by {}, no tag points to it\n", old.digest());
    assert!(explained.contains(&needed_by), "{explained}");
    let explained = folder.gc_told(&["explain", &new.digest()]);
    assert!(explained.contains("a manifest, pushed at 2"), "{explained}");
    assert!(explained.contains(", tagged v1\n"), "{explained}");
    // manifests without a tag stay unless somebody says otherwise
    folder.gc_told(&["run"]);
    assert!(folder.has_any_of(&old));
    let plan = folder.gc_json(&["run", "--dry-run", "--untagged"]);
    let counts = [&plan["manifests"], &plan["links"], &plan["blobs"]];
    assert_eq!(counts, [&json!(1), &json!(3), &json!(4)], "{plan}");
    let table = folder.gc_told(&["run", "--dry-run", "--untagged"]);
    assert!(table.starts_with("KIND      OBJECT "), "{table}");
    assert!(table.contains(&format!("team/app@{}", old.digest())), "{table}");
    assert!(
        table.contains("1 manifests, 3 layer links and 4 blobs would go: "),
        "{table}"
    );
    assert!(folder.has_any_of(&old), "a dry run removes nothing");
    let run = folder.gc_told(&["run", "--untagged"]);
    assert!(run.starts_with("removed 1 manifests, "), "{run}");
    // the registry may have been faster with what the first step made due
    until("the bytes are gone", || !folder.has_any_of(&old));
    program.client().expect_whole("team/app", "v1", &new);
    assert!(
        folder
            .gc_refused(&["explain", layer])
            .contains("there is no blob or manifest sha256:")
    );
    let history = folder.gc_json(&["history"]);
    let manifests: i64 = history
        .as_array()
        .unwrap()
        .iter()
        .map(|run| run["manifests"].as_i64().unwrap())
        .sum();
    assert_eq!(manifests, 1, "{history}");
    let table = folder.gc_told(&["history", "--limit", "100"]);
    assert!(table.starts_with("ID  STARTED"), "{table}");
    assert!(table.contains("operator"), "{table}");
    let status = folder.gc_told(&["status"]);
    assert!(status.contains("grace period          none\n"), "{status}");
    assert!(status.contains("last run              2"), "{status}");
    assert!(program.terminate().success());
}

#[test]
fn what_was_pushed_a_moment_ago_keeps_its_grace_period() {
    let folder = Folder::open();
    let program = folder.start();
    let (old, _) = moved_tag(&program);
    let run = folder.gc_told(&["run", "--untagged"]);
    assert!(
        run.starts_with("removed 0 manifests, 0 layer links and 0 blobs: 0 B freed\n"),
        "{run}"
    );
    assert!(
        run.contains(" are within their grace period (1h) and are looked at from 2"),
        "{run}"
    );
    // distribution's command is told the same
    let collected = folder.collected(&["--delete-untagged"]);
    assert!(
        collected.contains("\n4 blobs marked, 4 blobs and 1 manifests eligible for deletion\n"),
        "{collected}"
    );
    assert!(collected.contains(" are within their grace period (1h)"), "{collected}");
    assert!(old.blobs().iter().all(|digest| folder.has_bytes(digest)));
    let status = folder.gc_json(&["status"]);
    assert_eq!(
        (&status["grace_seconds"], &status["is_quiet"]),
        (&json!(3600), &json!(false))
    );
    let started = folder.gc_json(&["run", "--detach"])["job"].to_string();
    assert!(
        folder
            .run(&["jobs", "show", &started, "-c", &folder.config()])
            .status
            .success()
    );
    assert!(program.terminate().success());
}

#[test]
fn distributions_command_collects_at_once_while_the_registry_is_stopped() {
    let folder = Folder::open();
    let program = folder.start();
    let (old, new) = moved_tag(&program);
    // a platform of an index has no tag of its own
    let child = image("child", 1);
    program.client().push("team/app", "child", &child).unwrap();
    let descriptor = json!({
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "digest": child.digest(), "size": child.manifest().len(),
    });
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": kind, "manifests": [descriptor]}).to_string();
    let headers = [("Content-Type", kind)];
    let client = program.client();
    client
        .send("PUT", "/v2/team/app/manifests/many", &headers, index.as_bytes())
        .expect(201);
    client.push("team/app", "child", &new).unwrap();
    assert!(program.terminate().success());

    let listed = folder.collected(&["-d", "-m"]);
    assert!(
        listed.starts_with("team/app\nmanifest eligible for deletion: sha256:"),
        "{listed}"
    );
    assert!(
        listed.contains("\n8 blobs marked, 4 blobs and 1 manifests eligible for deletion\n"),
        "{listed}"
    );
    for digest in old.blobs().iter().chain([&old.digest()]) {
        assert!(
            listed.contains(&format!("blob eligible for deletion: {digest}\n")),
            "{listed}"
        );
    }
    assert!(folder.has_any_of(&old), "a dry run removes nothing");
    assert!(
        folder
            .collected(&["--dry-run=false"])
            .contains("0 blobs and 0 manifests eligible")
    );
    assert!(
        folder.has_any_of(&old),
        "manifests without a tag stay unless somebody says otherwise"
    );
    let collected = folder.collected(&["--delete-untagged=true"]);
    assert!(
        collected.ends_with("removed 1 manifests, 3 layer links and 4 blobs: 78.7 KiB freed\n"),
        "{collected}"
    );
    assert!(!folder.has_any_of(&old));
    assert_eq!(folder.collected(&["-m", "-q"]), "");

    let program = folder.start();
    program.client().expect_whole("team/app", "v1", &new);
    let target = format!("/v2/team/app/manifests/{}", child.digest());
    assert_eq!(
        program.client().send("GET", &target, &[], b"").expect(200).body,
        child.manifest()
    );
    assert!(program.terminate().success());
}

#[test]
fn a_stopped_registry_is_compared_with_its_folder_before_it_is_collected() {
    let folder = Folder::open();
    let program = folder.start();
    let (old, new) = moved_tag(&program);
    assert!(program.terminate().success());
    // another registry has tagged it meanwhile
    let tag = folder
        .storage()
        .join("docker/registry/v2/repositories/team/app/_manifests/tags/again/current");
    std::fs::create_dir_all(&tag).unwrap();
    std::fs::write(tag.join("link"), old.digest()).unwrap();
    assert!(folder.collected(&["-m"]).contains("0 blobs and 0 manifests eligible"));
    let run = folder.gc_told(&["run", "--untagged"]);
    assert!(run.starts_with("removed 0 manifests"), "{run}");
    let program = folder.start();
    program.client().expect_whole("team/app", "again", &old);
    program.client().expect_whole("team/app", "v1", &new);
}

#[test]
fn a_registry_that_takes_no_pushes_needs_no_grace_period() {
    let folder = Folder::open();
    let program = folder.start();
    let (old, new) = moved_tag(&program);
    assert!(program.terminate().success());
    let program = folder.start_with(&[("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")]);
    until("index and folder are compared", || {
        folder.gc_json(&["status"])["is_allowed"] == true
    });
    let collected = folder.collected(&["-m"]);
    assert!(
        collected.contains("removed 1 manifests, 3 layer links and 4 blobs"),
        "{collected}"
    );
    assert!(!folder.has_any_of(&old));
    program.client().expect_whole("team/app", "v1", &new);
}

#[test]
fn what_lies_in_the_trash_is_told_as_holder_and_stays() {
    let folder = Folder::open();
    let program = folder.start();
    let gone = image("gone", 2);
    program.client().push("team/app", "v1", &gone).unwrap();
    let target = format!("/v2/team/app/manifests/{}", gone.digest());
    program.client().send("DELETE", &target, &[], b"").expect(202);
    let layer = &gone.blobs()[1];
    let explained = folder.gc_told(&["explain", layer]);
    let verdict = format!("{layer} (39.1 KiB) is needed by what lies in the trash: it stays as long as that\n");
    assert!(explained.starts_with(&verdict), "{explained}");
    let holder = format!("  trash 1: team/app\n    needed by {}, deleted at 2", gone.digest());
    assert!(
        explained.contains(&holder) && explained.contains("; it is purged at 2"),
        "{explained}"
    );
    let explained = folder.gc_json(&["explain", &gone.digest()]);
    assert_eq!(explained["trash"][0]["repository"], "team/app", "{explained}");
    assert!(program.terminate().success());
    let collected = folder.collected(&["-m"]);
    assert!(
        collected.contains("\n4 blobs marked, 0 blobs and 0 manifests eligible"),
        "{collected}"
    );
    assert!(gone.blobs().iter().all(|digest| folder.has_bytes(digest)));
}

#[test]
fn what_cannot_be_explained_is_refused() {
    let folder = Folder::open();
    for is_running in [false, true] {
        let program = is_running.then(|| folder.start());
        let unknown = client::digest(b"nobody has pushed this");
        let text = folder.gc_refused(&["explain", &unknown]);
        assert_eq!(text, format!("wharf: there is no blob or manifest {unknown}\n"));
        for malformed in [
            "v1",
            "sha256:12",
            "sha256:../../etc/passwd",
            "md5:d41d8cd98f00b204e9800998ecf8427e",
            "a b?c",
        ] {
            let text = folder.gc_refused(&["explain", malformed]);
            assert!(text.contains(&format!("{malformed:?} is no digest: ")), "{text}");
        }
        let output = folder.gc(&["history", "--limit", "0"]);
        assert_eq!(output.status.code(), Some(2));
        drop(program);
    }
}

#[test]
fn nothing_is_collected_on_the_wrong_volume() {
    let folder = Folder::open();
    let index = folder.path("index/index.db");
    folder.append(&format!("database:\n  path: {}\n", index.display()));
    let program = folder.start();
    let (old, new) = moved_tag(&program);
    assert!(program.terminate().success());
    std::fs::rename(folder.storage(), folder.path("right")).unwrap();
    for is_running in [false, true] {
        let program = is_running.then(|| folder.start());
        let text = folder.gc_refused(&["run"]);
        assert!(
            text.contains("nothing may be collected before index and storage were compared"),
            "{text}"
        );
        let plan = folder.gc_told(&["run", "--dry-run"]);
        assert!(plan.contains("nothing is collected before"), "{plan}");
        let output = folder.run(&["garbage-collect", "-m", &folder.config()]);
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        drop(program);
    }
    drop(std::fs::remove_dir_all(folder.storage()));
    std::fs::rename(folder.path("right"), folder.storage()).unwrap();
    let program = folder.start();
    program.client().expect_whole("team/app", "v1", &new);
    let untagged = format!("/v2/team/app/manifests/{}", old.digest());
    program.client().send("GET", &untagged, &[], b"").expect(200);
}

#[test]
fn the_api_of_collection_has_pages_and_is_for_administrators_alone() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "first password")]);
    let basic = client::basic("admin", "first password");
    let send = |method: &str, path: &str, body: &str| -> Answer {
        let headers = [("Content-Type", "application/json"), ("Authorization", basic.as_str())];
        let path = format!("/api/v2.0/system/gc{path}");
        program.client().send(method, &path, &headers, body.as_bytes())
    };
    for path in ["", "/status", "/plan", "/blobs/sha256:12"] {
        let path = format!("/api/v2.0/system/gc{path}");
        program.client().send("GET", &path, &[], b"").expect(401);
    }
    until("index and folder are compared", || {
        send("GET", "/status", "").expect(200).json()["is_allowed"] == true
    });
    for _ in 0..3 {
        let made = send("POST", "", "{}").expect(202);
        let id = made.json()["job"].as_i64().unwrap();
        assert_eq!(made.header("location"), format!("/api/v2.0/jobs/{id}"));
        let ended = || {
            let path = format!("/api/v2.0/jobs/{id}");
            program
                .client()
                .send("GET", &path, &[("Authorization", &basic)], b"")
                .expect(200)
                .json()["state"]
                == "done"
        };
        until("the job ends", ended);
    }
    let page = send("GET", "?page_size=2", "").expect(200);
    assert_eq!(page.json().as_array().unwrap().len(), 2);
    assert_eq!(page.json()[0]["cause"], "admin");
    let link = page.header("link").to_owned();
    let next = link
        .strip_prefix("</api/v2.0/system/gc")
        .unwrap()
        .strip_suffix(">; rel=\"next\"")
        .unwrap();
    assert_eq!(send("GET", next, "").expect(200).json().as_array().unwrap().len(), 1);
    send("GET", "?page_size=0", "").expect(400);
    send("GET", "?page_size=101", "").expect(400);
    let refused = send("POST", "", r#"{"at_once": true}"#).expect(412);
    assert_eq!(refused.json()["errors"][0]["code"], "PRECONDITION");
    send("GET", "/plan?at_once=true", "").expect(412);
    send("POST", "", r#"{"at_once": "yes"}"#).expect(422);
    send("GET", "/blobs/x", "").expect(400);
}
