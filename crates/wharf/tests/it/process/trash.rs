//! `wharf trash`, `wharf tag` and `wharf repository`, on a registry that runs and on one that is
//! stopped; and that what was deleted stays deleted.

use std::process::Output;

use serde_json::Value;

use super::client::{Image, image};
use super::program::{Folder, Program};

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

impl Folder {
    fn wharf(&self, arguments: &[&str]) -> Output {
        self.run(&[arguments, &["--config", &self.config()]].concat())
    }

    /// What a command prints that succeeds.
    fn prints(&self, arguments: &[&str]) -> String {
        let output = self.wharf(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn reads(&self, arguments: &[&str]) -> Value {
        serde_json::from_str(&self.prints(&[arguments, &["--output", "json"]].concat())).unwrap()
    }

    /// What a command says that fails.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.wharf(arguments);
        assert_eq!(output.status.code(), Some(1), "{arguments:?}");
        said(&output)
    }

    fn entries(&self) -> usize {
        self.reads(&["trash", "list"])["entries"].as_array().unwrap().len()
    }

    /// Pushes while it runs, and leaves it running or stopped.
    fn pushed(&self, images: &[(&str, &str, &Image)], is_running: bool) -> Option<Program> {
        let program = self.start();
        for (name, tag, image) in images {
            program.client().push(name, tag, image).unwrap();
        }
        if is_running {
            return Some(program);
        }
        assert!(program.terminate().success());
        None
    }

    fn expect_whole(&self, name: &str, tag: &str, image: &Image) {
        let program = self.start();
        program.client().expect_whole(name, tag, image);
        assert!(program.terminate().success());
    }
}

fn status(program: &Program, path: &str) -> u16 {
    program.client().send("GET", path, &[], b"").status
}

fn delete(program: &Program, path: &str) {
    program.client().send("DELETE", path, &[], b"").expect(202);
}

#[test]
fn a_deleted_tag_is_listed_restored_and_emptied() {
    for is_running in [true, false] {
        let folder = Folder::open();
        let (one, two) = (image("one", 2), image("two", 1));
        let program = folder.pushed(&[("team/app", "v1", &one), ("team/app", "v2", &two)], is_running);
        assert_eq!(folder.prints(&["trash", "list"]), "the trash is empty\n");
        let text = folder.prints(&["tag", "delete", "team/app:v1"]);
        assert!(text.starts_with("team/app:v1 is deleted: "), "{text}");
        let list = folder.reads(&["trash", "list", "--repository", "team/app"]);
        assert_eq!(list["entries"][0]["tags"][0], "v1");
        assert_eq!((&list["usage"]["tags"], &list["next"]), (&1.into(), &Value::Null));
        let table = folder.prints(&["trash", "list"]);
        assert!(table.starts_with("ID  WHAT "), "{table}");
        assert!(table.contains("team/app:v1 "), "{table}");
        assert!(table.contains("0 manifests and 1 tag in the trash: 0 B"), "{table}");

        assert_eq!(
            folder.prints(&["trash", "restore", "team/app:v1"]),
            "restored team/app:v1\n"
        );
        assert_eq!(
            folder.prints(&["trash", "restore", "team/app:v1"]),
            "it is there already: nothing was to be done\n"
        );
        folder.prints(&["tag", "delete", "team/app:v1"]);
        let text = folder.fails(&["trash", "empty"]);
        assert!(text.contains("say --yes where nobody can be asked"), "{text}");
        assert_eq!(folder.entries(), 1);
        folder.prints(&["trash", "empty", "--repository", "other", "--yes"]);
        assert_eq!(folder.entries(), 1);
        let text = folder.prints(&["trash", "empty", "--yes"]);
        assert!(text.starts_with("0 manifests and 1 tag deleted for good"), "{text}");
        assert_eq!(folder.entries(), 0);
        let text = folder.fails(&["trash", "restore", "team/app:v1"]);
        assert!(text.contains("team/app:v1") && text.contains("7 days"), "{text}");
        drop(program);
        folder.expect_whole("team/app", "v2", &two);
    }
}

#[test]
fn a_tag_that_moved_on_is_taken_back_only_by_force_and_missing_bytes_are_named() {
    for is_running in [true, false] {
        let folder = Folder::open();
        let (old, new) = (image("old", 1), image("new", 1));
        let program = folder.pushed(&[("a", "v1", &old)], true).unwrap();
        delete(&program, &format!("/v2/a/manifests/{}", old.digest()));
        program.client().push("a", "v1", &new).unwrap();
        let program = is_running.then_some(program);
        let text = folder.fails(&["trash", "restore", "a:v1"]);
        assert!(text.contains(&new.digest()), "{text}");
        assert_eq!(folder.entries(), 1);
        let text = folder.prints(&["trash", "restore", "a:v1", "--force"]);
        assert!(
            text.contains("restored a:v1\n") && text.contains(&old.digest()),
            "{text}"
        );
        folder.prints(&["tag", "delete", "a:v1"]);
        drop(program);

        let program = folder.start();
        delete(&program, &format!("/v2/a/manifests/{}", old.digest()));
        let program = is_running.then_some(program);
        let layer = old.blobs().last().unwrap().clone();
        let hex = layer.strip_prefix("sha256:").unwrap();
        let path = format!("docker/registry/v2/blobs/sha256/{}/{hex}", &hex[..2]);
        std::fs::remove_dir_all(folder.storage().join(path)).unwrap();
        let text = folder.fails(&["trash", "restore", &format!("a@{}", old.digest())]);
        assert!(text.contains(&layer), "{text}");
        let output = folder.wharf(&["trash", "restore", "--repository", "a"]);
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains(&layer));
        drop(program);
    }
}

#[test]
fn a_tag_knows_where_it_was_and_goes_back() {
    for is_running in [true, false] {
        let folder = Folder::open();
        let (first, second, gone) = (image("first", 1), image("second", 1), image("gone", 1));
        let pushes = [
            ("a", "latest", &gone),
            ("a", "latest", &first),
            ("a", "latest", &second),
        ];
        let program = folder.pushed(&pushes, true).unwrap();
        delete(&program, &format!("/v2/a/manifests/{}", gone.digest()));
        let program = is_running.then_some(program);
        let list = folder.reads(&["tag", "list", "a"]);
        assert_eq!(list["tags"][0]["digest"], second.digest());
        assert!(folder.prints(&["tag", "list", "a"]).contains("latest  sha256:"));
        let table = folder.prints(&["tag", "history", "a:latest"]);
        assert!(table.starts_with(&format!("now at {}\n", second.digest())), "{table}");
        let of_gone = table.lines().find(|line| line.contains(&gone.digest())).unwrap();
        assert!(of_gone.contains("in the trash until "), "{table}");
        let history = folder.reads(&["tag", "history", "a:latest"]);
        assert_eq!(history["changes"].as_array().unwrap().len(), 3);

        let text = folder.prints(&["tag", "revert", "a:latest", "--to", &first.digest()]);
        assert!(
            text.starts_with(&format!("a:latest points to {}", first.digest())),
            "{text}"
        );
        let text = folder.fails(&["tag", "revert", "a:latest", "--to", &gone.digest()]);
        assert!(text.contains("wharf trash restore"), "{text}");
        folder.prints(&["trash", "empty", "--yes"]);
        let text = folder.fails(&["tag", "revert", "a:latest", "--to", &gone.digest()]);
        assert!(
            text.contains(&gone.digest()) && text.contains("push it again"),
            "{text}"
        );
        let text = folder.fails(&["tag", "revert", "a:latest", "--steps", "9"]);
        assert!(text.contains("does not reach back so far"), "{text}");
        folder.prints(&["tag", "delete", "a:latest", "--purge"]);
        assert_eq!(folder.entries(), 0);
        // also when it is gone
        folder.prints(&["tag", "revert", "a:latest", "--steps", "1"]);
        assert!(folder.fails(&["tag", "history", "a:never"]).contains("never"));
        assert!(folder.fails(&["tag", "history", "a"]).contains("write REPOSITORY:TAG"));
        drop(program);
        folder.expect_whole("a", "latest", &first);
    }
}

#[test]
fn a_repository_is_deleted_and_comes_back_or_is_gone_for_good() {
    for is_running in [true, false] {
        let folder = Folder::open();
        let (one, two) = (image("one", 1), image("two", 1));
        let pushes = [
            ("team/app", "v1", &one),
            ("team/app", "v2", &two),
            ("team/app/sub", "v1", &one),
        ];
        let program = folder.pushed(&pushes, is_running);
        assert_eq!(folder.prints(&["repository", "list"]), "team/app\nteam/app/sub\n");
        let text = folder.fails(&["repository", "delete", "team/app"]);
        assert!(text.contains("say --yes"), "{text}");
        assert!(
            folder
                .fails(&["repository", "delete", "team/none"])
                .contains("team/none")
        );
        let text = folder.prints(&["repository", "delete", "team/app", "--yes"]);
        assert!(text.starts_with("team/app is deleted with 2 manifests: "), "{text}");
        assert_eq!(folder.prints(&["repository", "list"]), "team/app/sub\n");
        let text = folder.prints(&["trash", "restore", "--repository", "team/app"]);
        assert_eq!(text, "restored 2 manifests and 2 tags\n");
        let text = folder.fails(&["trash", "restore", "--repository", "team/app"]);
        assert!(text.contains("nothing of team/app is in the trash"), "{text}");
        drop(program);
        folder.expect_whole("team/app", "v1", &one);
        folder.expect_whole("team/app", "v2", &two);

        let program = is_running.then(|| folder.start());
        let deleted = folder.reads(&["repository", "delete", "team/app", "--purge", "--yes"]);
        assert_eq!(
            (&deleted["manifests"], &deleted["expires_at"]),
            (&2.into(), &Value::Null)
        );
        assert_eq!(folder.entries(), 0);
        drop(program);
        folder.expect_whole("team/app/sub", "v1", &one);
    }
}

#[test]
fn what_has_expired_is_purged_by_a_job() {
    let folder = Folder::open();
    folder.append("trash:\n  keep: 1s\n");
    let program = folder.pushed(&[("a", "v1", &image("a", 1))], true).unwrap();
    delete(&program, "/v2/a/manifests/v1");
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    assert_eq!(
        folder.prints(&["jobs", "run", "trash_expiry"]),
        "manifests: 0\ntags: 1\n"
    );
    assert_eq!(folder.entries(), 0);
}

/// Whether anything that was deleted can be seen.
fn expect_gone(program: &Program, deleted: &[String]) {
    for path in deleted {
        assert_eq!(status(program, path), 404, "{path}");
    }
    let tags = program.client().send("GET", "/v2/a/tags/list", &[], b"").expect(200);
    assert_eq!(tags.json()["tags"], serde_json::json!(["kept"]));
    let catalog = program.client().send("GET", "/v2/_catalog", &[], b"").expect(200);
    assert_eq!(catalog.json()["repositories"], serde_json::json!(["a"]));
}

#[test]
fn acknowledged_deletes_hold_over_kills_restarts_and_a_lost_index() {
    let folder = Folder::open();
    let images: Vec<Image> = (0..4).map(|number| image(&format!("image {number}"), 1)).collect();
    let kept = image("kept", 1);
    let pushes = [
        ("a", "kept", &kept),
        ("a", "tag", &kept),
        ("a", "manifest", &images[0]),
        ("a", "purged", &images[1]),
        ("whole", "v1", &images[2]),
        ("purged", "v1", &images[3]),
    ];
    let mut program = folder.pushed(&pushes, true).unwrap();
    let manifest = format!("/v2/a/manifests/{}", images[0].digest());
    let blob = format!("/v2/a/blobs/{}", images[0].blobs()[1]);
    let purged = format!("/v2/a/manifests/{}", images[1].digest());
    // each is killed right after its answer; the link may not have become durable by then
    for path in ["/v2/a/manifests/tag", &manifest, &blob] {
        delete(&program, path);
        drop(program);
        program = folder.start();
        assert_eq!(status(&program, path), 404, "{path}");
    }
    folder.prints(&["tag", "delete", "a:purged", "--purge"]);
    drop(program);
    program = folder.start();
    delete(&program, &purged);
    drop(program);
    for (name, purge) in [("whole", &[][..]), ("purged", &["--purge"][..])] {
        program = folder.start();
        folder.prints(&[&["repository", "delete", name, "--yes"], purge].concat());
        drop(program);
    }
    let deleted = [
        "/v2/a/manifests/tag".to_owned(),
        manifest,
        blob,
        "/v2/a/manifests/purged".to_owned(),
        purged,
        "/v2/whole/tags/list".to_owned(),
        "/v2/whole/manifests/v1".to_owned(),
        "/v2/purged/tags/list".to_owned(),
    ];
    let program = folder.start();
    expect_gone(&program, &deleted);
    assert!(program.terminate().success());
    let program = folder.start();
    expect_gone(&program, &deleted);
    drop(program);

    for file in ["index.db", "index.db-wal", "index.db-shm"] {
        // the logs are there only after a crash
        drop(std::fs::remove_file(folder.storage().join("wharf").join(file)));
    }
    // what the trash holds is not lost either, also for a command that comes first
    assert!(folder.entries() >= 3);
    let program = folder.start();
    expect_gone(&program, &deleted);
    folder.prints(&["trash", "restore", "a:manifest"]);
    folder.prints(&["trash", "restore", "whole:v1"]);
    program.client().expect_whole("whole", "v1", &images[2]);
    assert!(program.terminate().success());
    folder.expect_whole("a", "kept", &kept);
}
