//! `wharf index`: how the index stands to the storage, on a registry that runs and on one that is
//! stopped.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::{Value, json};

use super::client::{Client, Image, basic, digest, image};
use super::program::{Folder, Program};
use super::until;

const ADMIN: &str = "correct horse battery";

impl Folder {
    fn index(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        self.run(&[&["index"], arguments, &["--config", &config]].concat())
    }

    /// What a verification says in JSON, and whether it ended well.
    fn verified(&self, arguments: &[&str]) -> (Value, bool) {
        let output = self.index(&[&["verify", "--output", "json"], arguments].concat());
        let report = serde_json::from_slice(&output.stdout);
        let report = report.unwrap_or_else(|_| panic!("{}", said(&output)));
        (report, output.status.success())
    }

    fn status(&self) -> Value {
        let output = self.index(&["status", "--output", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn layout(&self) -> PathBuf {
        self.storage().join("docker/registry/v2")
    }

    fn repository_path(&self, name: &str) -> PathBuf {
        self.layout().join("repositories").join(name)
    }

    fn blob_file(&self, bytes: &[u8]) -> PathBuf {
        let digest = digest(bytes);
        let hex = digest.trim_start_matches("sha256:");
        self.layout()
            .join("blobs/sha256")
            .join(&hex[..2])
            .join(hex)
            .join("data")
    }

    fn tag_link(&self, name: &str, tag: &str) -> PathBuf {
        self.repository_path(name)
            .join("_manifests/tags")
            .join(tag)
            .join("current/link")
    }

    /// As another program tags an image that is there.
    fn tag_by_hand(&self, name: &str, tag: &str, image: &Image) {
        let link = self.tag_link(name, tag);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        fs::write(link, digest(&image.manifest)).unwrap();
    }

    fn lose_index(&self) {
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            // the logs are there only after a crash
            drop(fs::remove_file(self.storage().join("wharf").join(file)));
        }
    }

    /// Starts it and waits until all of the storage is read.
    fn start_settled(&self, env: &[(&str, &str)]) -> Program {
        let program = self.start_with(env);
        until("the storage is read", || {
            let status = self.status();
            status["state"] == "complete" && status["adoption"]["phase"] == "complete"
        });
        program
    }
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn printed(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// How much was found of each kind.
fn counts(report: &Value) -> Value {
    let findings = report["findings"].as_array().unwrap();
    let counts = findings
        .iter()
        .map(|finding| (finding["kind"].as_str().unwrap().to_owned(), finding["count"].clone()));
    Value::Object(counts.collect())
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    bytes[1000] ^= 1;
    fs::write(file, bytes).unwrap();
}

fn truncate(file: &Path) {
    let bytes = fs::read(file).unwrap();
    fs::write(file, &bytes[..bytes.len() / 2]).unwrap();
}

fn status_of(client: &Client, target: &str, credentials: Option<(&str, &str)>) -> u16 {
    let basic = credentials.map(|(name, password)| basic(name, password));
    let headers: Vec<_> = basic.iter().map(|basic| ("Authorization", basic.as_str())).collect();
    client.send("GET", target, &headers, b"").status
}

/// A registry that serves, with `team/app:v1` and `:v2` and `team/other:v1`, and damage of every
/// kind: a flipped byte, a blob cut short, links that were removed, a tag that somebody wrote.
fn damaged(one: &Image, two: &Image) -> (Folder, Program) {
    let folder = Folder::open();
    let program = folder.start();
    program.client().push("team/app", "v1", one).unwrap();
    program.client().push("team/app", "v2", two).unwrap();
    program.client().push("team/other", "v1", one).unwrap();
    assert!(program.terminate().success());
    let program = folder.start_settled(&[]);
    let (report, is_whole) = folder.verified(&["--bytes"]);
    assert!(is_whole, "{report}");
    assert_eq!((counts(&report), &report["tags"]), (json!({}), &json!(3)));
    flip(&folder.blob_file(&one.blobs[1]));
    truncate(&folder.blob_file(&two.blobs[1]));
    fs::remove_file(folder.tag_link("team/app", "v2")).unwrap();
    folder.tag_by_hand("team/app", "by-hand", one);
    fs::remove_dir_all(folder.repository_path("team/other/_manifests/revisions")).unwrap();
    (folder, program)
}

#[test]
fn every_kind_of_damage_is_found_and_nothing_is_changed() {
    let (one, two) = (image("one", 2), image("two", 2));
    let (folder, _program) = damaged(&one, &two);
    // without the bytes, a flipped one is not seen
    let (report, is_whole) = folder.verified(&[]);
    assert!(!is_whole);
    let found = json!({"wrong-size": 1, "unindexed-tag": 1, "unlinked-tag": 1, "unlinked-manifest": 1});
    assert_eq!(counts(&report), found);
    let (report, is_whole) = folder.verified(&["team/app"]);
    assert!(!is_whole);
    assert_eq!(counts(&report), json!({"unindexed-tag": 1, "unlinked-tag": 1}));
    let output = folder.index(&["verify", "--bytes"]);
    assert_eq!(output.status.code(), Some(1));
    let (table, log) = (printed(&output), said(&output));
    for line in ["wrong-bytes", "wrong-size", "unindexed-tag", "unlinked-tag"] {
        assert!(table.contains(line), "{table}");
    }
    assert!(table.contains("team/app tag/by-hand"), "{table}");
    assert!(
        log.contains("5 differences remain") && log.contains("--repair"),
        "{log}"
    );
    let (report, is_whole) = folder.verified(&["--repair", "--dry-run", "--bytes"]);
    assert!(!is_whole && report["actions"].as_u64() >= Some(4), "{report}");
    assert!(folder.blob_file(&one.blobs[1]).exists());
    assert!(!folder.tag_link("team/app", "v2").exists());
}

#[test]
fn repair_mends_what_is_safe_and_pushes_bring_back_what_the_disk_has_lost() {
    let (one, two) = (image("one", 2), image("two", 2));
    let (folder, program) = damaged(&one, &two);
    let client = program.client();
    // damaged bytes are put aside: only who has the right ones can bring them back
    let (report, is_whole) = folder.verified(&["--repair", "--bytes"]);
    assert!(!is_whole);
    assert_eq!(counts(&report["remaining"]), json!({"missing-blob": 2}));
    let link = fs::read_to_string(folder.tag_link("team/app", "v2")).unwrap();
    assert_eq!(link, digest(&two.manifest));
    let aside = fs::read_dir(folder.storage().join("wharf/quarantine")).unwrap();
    assert_eq!(aside.count(), 2);
    let by_hand = client.send("GET", "/v2/team/app/manifests/by-hand", &[], b"");
    assert_eq!(by_hand.expect(200).body, one.manifest);
    let status = folder.status();
    assert_eq!(status["damaged"]["count"], 2);
    assert_eq!(status["last"]["verify"]["faults"], 2);
    let text = printed(&folder.index(&["status"]));
    assert!(text.contains(&digest(&two.blobs[1])), "{text}");

    client.push("team/app", "v1", &one).unwrap();
    client.push("team/app", "v2", &two).unwrap();
    let (report, is_whole) = folder.verified(&["--bytes"]);
    assert!(is_whole, "{report}");
    assert_eq!(folder.status()["damaged"]["count"], 0);
    client.expect_whole("team/other", "v1", &one);
    assert!(program.terminate().success());
    // and storage alone says the same
    folder.lose_index();
    let program = folder.start();
    program.client().expect_whole("team/app", "v2", &two);
    program.client().expect_whole("team/app", "by-hand", &one);
    program.client().expect_whole("team/other", "v1", &one);
}

#[test]
fn a_stopped_registry_is_compared_without_a_change_and_repaired_as_a_start_would_see_it() {
    let folder = Folder::open();
    let image = image("a", 2);
    let program = folder.start();
    for tag in ["v1", "v2"] {
        program.client().push("team/app", tag, &image).unwrap();
    }
    assert!(program.terminate().success());
    // as registry:2 does while Wharf is away
    let tags = folder.repository_path("team/app/_manifests/tags");
    fs::remove_dir_all(tags.join("v1")).unwrap();
    folder.tag_by_hand("team/app", "v3", &image);
    for _ in 0..2 {
        let (report, is_whole) = folder.verified(&[]);
        assert!(!is_whole);
        assert_eq!(counts(&report), json!({"unindexed-tag": 1, "unlinked-tag": 1}));
    }
    let (report, is_whole) = folder.verified(&["--repair"]);
    assert!(is_whole, "{report}");
    assert!(!tags.join("v1").exists(), "a tag that was deleted stays deleted");
    let program = folder.start();
    let client = program.client();
    let list = client.send("GET", "/v2/team/app/tags/list", &[], b"").expect(200);
    assert_eq!(list.json()["tags"], json!(["v2", "v3"]));
    let unknown = folder.index(&["verify", "team/unheard-of"]);
    assert_eq!(unknown.status.code(), Some(1));
    assert!(
        said(&unknown).contains("neither the index nor the storage has a repository team/unheard-of"),
        "{}",
        said(&unknown)
    );
    let wrong = folder.index(&["verify", "Team/App"]);
    assert!(said(&wrong).contains("is no name of a repository"), "{}", said(&wrong));
    let wrong = folder.index(&["verify", "--forget-missing"]);
    assert_eq!(wrong.status.code(), Some(2));
}

#[test]
fn bytes_that_are_gone_for_good_are_forgotten_only_when_that_is_said() {
    let folder = Folder::open();
    let (one, two) = (image("one", 1), image("two", 1));
    let program = folder.start();
    program.client().push("a", "v1", &one).unwrap();
    program.client().push("a", "v2", &two).unwrap();
    assert!(program.terminate().success());
    let program = folder.start_settled(&[]);
    fs::remove_file(folder.blob_file(&one.manifest)).unwrap();
    let (report, is_whole) = folder.verified(&["--repair"]);
    assert!(!is_whole);
    assert_eq!(counts(&report), json!({"missing-blob": 1}));
    let (report, is_whole) = folder.verified(&["--repair", "--forget-missing"]);
    assert!(is_whole, "{report}");
    let client = program.client();
    let list = client.send("GET", "/v2/a/tags/list", &[], b"").expect(200);
    assert_eq!(list.json()["tags"], json!(["v2"]));
    client.expect_whole("a", "v2", &two);
}

#[test]
fn the_index_is_made_anew_from_the_storage_while_it_serves_and_while_it_is_stopped() {
    let folder = Folder::open();
    let image = image("a", 2);
    let program = folder.start();
    program.client().push("team/app", "v1", &image).unwrap();
    assert!(program.terminate().success());
    let program = folder.start_settled(&[]);
    let refused = folder.index(&["rebuild"]);
    assert!(!refused.status.success());
    assert!(said(&refused).contains("--yes"), "{}", said(&refused));
    folder.tag_by_hand("team/app", "v2", &image);
    fs::remove_dir_all(folder.repository_path("team/app/_manifests/tags/v1")).unwrap();
    let rebuild = || {
        let output = folder.index(&["rebuild", "--yes"]);
        assert!(output.status.success(), "{}", said(&output));
        let text = printed(&output);
        assert!(text.starts_with("read 1 repositories, 1 tags, 1 manifests"), "{text}");
        for what in ["members", "tag history", "wharf backup restore", "private"] {
            assert!(text.contains(what), "{text}");
        }
        assert_eq!(folder.status()["state"], "complete");
    };
    rebuild();
    program.client().expect_whole("team/app", "v2", &image);
    let gone = program.client().send("GET", "/v2/team/app/manifests/v1", &[], b"");
    assert_eq!(gone.status, 404);
    assert_eq!(folder.status()["last"]["rebuild"]["state"], "done");
    assert!(program.terminate().success());
    rebuild();
    folder.lose_index();
    assert_eq!(folder.status()["state"], "incomplete");
    rebuild();
    let program = folder.start();
    program.client().expect_whole("team/app", "v2", &image);
}

#[test]
fn a_scrub_finds_what_the_disk_has_changed_and_says_so_everywhere() {
    let folder = Folder::open();
    folder.append("scrub: {bytes_per_second: 100MiB}\n");
    let config = fs::read_to_string(folder.config()).unwrap();
    let debug = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let listener = format!("http:\n  debug: {{addr: '{debug}', prometheus: {{enabled: true}}}}\n");
    fs::write(folder.config(), config.replace("http:\n", &listener)).unwrap();
    let image = image("a", 2);
    let program = folder.start();
    program.client().push("team/app", "v1", &image).unwrap();
    flip(&folder.blob_file(&image.blobs[2]));
    let config = folder.config();
    let scrubbed = folder.run(&["jobs", "run", "scrub", "--config", &config]);
    assert!(scrubbed.status.success(), "{}", said(&scrubbed));
    let status = folder.status();
    assert_eq!(status["damaged"]["count"], 1);
    assert_eq!(status["damaged"]["blobs"][0]["digest"], digest(&image.blobs[2]));
    assert_eq!(status["last"]["scrub"]["faults"], 1);
    let log = program.log();
    assert!(
        log.contains("found damage") && log.contains(&digest(&image.blobs[2])),
        "{log}"
    );
    let metrics = Client::new(&debug.to_string()).send("GET", "/metrics", &[], b"");
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains("wharf_damaged_blobs 1"), "{metrics}");
    assert!(metrics.contains("wharf_adoption_complete 1"), "{metrics}");
    // who has the right bytes brings them back
    program.client().push("team/app", "v1", &image).unwrap();
    program.client().expect_whole("team/app", "v1", &image);
    let text = printed(&folder.run(&["jobs", "schedules", "--config", &config]));
    assert!(text.contains("scrub") && text.contains("0 0 1 * * UTC"), "{text}");
}

#[test]
fn a_lost_index_costs_no_image_tag_or_referrer_and_makes_nothing_readable() {
    let folder = Folder::with_accounts();
    let env = [("WHARF_ADMIN_PASSWORD", ADMIN)];
    let program = folder.start_with(&env);
    let config = folder.config();
    let create = |name: &str| {
        let arguments = ["admin", "create-user", name, "--password-stdin", "--config", &config];
        let made = folder.run_with_input(&arguments, "wonderland tea\n");
        assert!(made.status.success(), "{}", said(&made));
    };
    create("alice");
    create("bob");
    let (admin, alice, bob) = (
        Some(("admin", ADMIN)),
        Some(("alice", "wonderland tea")),
        Some(("bob", "wonderland tea")),
    );
    let client = program.client().signed_in(&basic("alice", "wonderland tea"));
    let (one, two) = (image("one", 2), image("two", 2));
    client.push("alice/app", "v1", &one).unwrap();
    client.push("alice/app", "v2", &two).unwrap();
    let referrer = client.refer("alice/app", &one);
    let shared = program.client().signed_in(&basic("admin", ADMIN));
    shared.push("shop/web", "v1", &two).unwrap();
    assert!(program.terminate().success());
    // everybody may read the shop
    let index = folder.storage().join("wharf/index.db");
    let metadata = wharf_metadata::Metadata::open_sqlite(wharf_metadata::sqlite::Config::new(index)).unwrap();
    let made = metadata.write_blocking(|tx| {
        wharf_metadata::repositories::set_visibility(tx, "shop", wharf_access::Visibility::Public)
    });
    assert!(made.unwrap());
    metadata.close();
    let program = folder.start_settled(&env);
    let client = program.client();
    let targets = ["/v2/alice/app/manifests/v1", "/v2/shop/web/manifests/v1"];
    let readable = |client: &Client| {
        let who = [None, alice, bob, admin];
        targets.map(|target| who.map(|who| status_of(client, target, who) == 200))
    };
    let before = readable(&client);
    assert_eq!(before, [[false, true, false, true], [true; 4]]);
    assert!(program.terminate().success());

    folder.lose_index();
    let program = folder.start_settled(&env);
    let client = program.client();
    // neither password is known any more, and nothing is open
    assert_eq!(readable(&client), [[false, false, false, true]; 2]);
    create("alice");
    create("bob");
    assert_eq!(
        readable(&client),
        [[false, true, false, true], [false, false, false, true]]
    );
    let client = client.signed_in(&basic("admin", ADMIN));
    client.expect_whole("alice/app", "v1", &one);
    client.expect_whole("alice/app", "v2", &two);
    client.expect_whole("shop/web", "v1", &two);
    let target = format!("/v2/alice/app/referrers/{}", digest(&one.manifest));
    let referrers = client.send("GET", &target, &[], b"").expect(200).json();
    assert_eq!(referrers["manifests"][0]["digest"], referrer);
    let (report, is_whole) = folder.verified(&["--bytes"]);
    assert!(is_whole, "{report}");
}

#[test]
fn a_restored_backup_and_a_verification_close_the_gap_to_the_storage() {
    let folder = Folder::open();
    let (old, newer, moved) = (image("old", 2), image("newer", 2), image("moved", 1));
    let program = folder.start();
    let client = program.client();
    for tag in ["old", "latest", "deleted"] {
        client.push("team/app", tag, &old).unwrap();
    }
    let config = folder.config();
    let backup = |arguments: &[&str]| {
        let output = folder.run(&[&["backup"], arguments, &["--config", &config]].concat());
        assert!(output.status.success(), "{}", said(&output));
    };
    backup(&["create", "monday.backup"]);
    client.push("team/app", "newer", &newer).unwrap();
    client.push("team/app", "latest", &moved).unwrap();
    client.push("other/app", "v1", &newer).unwrap();
    client
        .send("DELETE", "/v2/team/app/manifests/deleted", &[], b"")
        .expect(202);
    assert!(program.terminate().success());
    backup(&["restore", "monday.backup", "--force"]);
    // what the backup does not know, and what the storage does not have any more
    let (report, is_whole) = folder.verified(&[]);
    assert!(!is_whole);
    let found = counts(&report);
    for kind in ["unindexed-repository", "unindexed-tag", "different-tag", "unlinked-tag"] {
        assert_eq!(found[kind], 1, "{kind} in {report}");
    }
    let (report, is_whole) = folder.verified(&["--repair", "--bytes"]);
    assert!(is_whole, "{report}");
    let program = folder.start_settled(&[]);
    let client = program.client();
    client.expect_whole("team/app", "old", &old);
    client.expect_whole("team/app", "latest", &moved);
    client.expect_whole("other/app", "v1", &newer);
    let deleted = client.send("GET", "/v2/team/app/manifests/deleted", &[], b"");
    assert_eq!(deleted.status, 404);
    assert!(folder.verified(&["--bytes"]).1);
}

#[test]
fn only_administrators_ask_about_the_index_over_the_network() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", ADMIN)]);
    let client = program.client();
    assert_eq!(status_of(&client, "/api/v2.0/index", None), 401);
    assert_eq!(status_of(&client, "/api/v2.0/index", Some(("admin", ADMIN))), 200);
    for target in ["/api/v2.0/index/verify", "/api/v2.0/index/rebuild"] {
        client.send("POST", target, &[], b"{}").expect(401);
    }
    let admin = basic("admin", ADMIN);
    let headers = [("Authorization", admin.as_str()), ("Content-Type", "application/json")];
    let refused = client
        .send("POST", "/api/v2.0/index/verify", &headers, br#"{"repair": "perhaps"}"#)
        .expect(400);
    assert!(
        refused.json()["errors"][0]["message"]
            .as_str()
            .unwrap()
            .contains("no, dry-run or yes")
    );
    let started = client
        .send("POST", "/api/v2.0/index/verify", &headers, b"{}")
        .expect(202);
    assert!(started.header("location").starts_with("/api/v2.0/jobs/"), "{started:?}");
}

#[test]
fn an_index_of_a_later_version_is_refused_and_not_touched() {
    let folder = Folder::open();
    let program = folder.start();
    program.client().push("a", "v1", &image("a", 1)).unwrap();
    assert!(program.terminate().success());
    let index = folder.storage().join("wharf/index.db");
    let database = rusqlite::Connection::open(&index).unwrap();
    let later =
        "insert into schema_steps (step, name, checksum, applied_by, needs) values (99, 'later', '', '9.0.0', 99)";
    database.execute(later, ()).unwrap();
    drop(database);
    let before = fs::read(&index).unwrap();
    for arguments in [
        &["serve"][..],
        &["index", "status", "--config"],
        &["jobs", "list", "--config"],
    ] {
        let config = folder.config();
        let refused = folder.run(&[arguments, &[&config]].concat());
        assert!(!refused.status.success());
        let said = said(&refused);
        assert!(
            said.contains("of wharf 9.0.0") && said.contains("start the newer version"),
            "{said}"
        );
    }
    assert!(fs::read(&index).unwrap() == before, "nothing was touched");
}

#[test]
fn on_a_storage_that_is_not_its_own_the_index_says_so_and_nothing_is_changed() {
    let folder = Folder::open();
    let database = folder.path("index/index.db").display().to_string();
    folder.append(&format!("database:\n  path: {database}\n"));
    let config = folder.config();
    let command = |arguments: &[&str]| folder.run(&[arguments, &["--config", &config]].concat());
    let image = image("a", 1);
    let program = folder.start();
    let client = program.client();
    client.push("a", "v1", &image).unwrap();
    client.push("a", "v2", &image).unwrap();
    assert!(command(&["tag", "delete", "a:v2"]).status.success());
    assert!(program.terminate().success());
    fs::rename(folder.storage(), folder.path("right")).unwrap();
    // another registry's folder, with a repository of the same name
    let theirs = folder.repository_path("a/_manifests/tags/theirs/current/link");
    fs::create_dir_all(theirs.parent().unwrap()).unwrap();
    fs::write(&theirs, digest(&image.manifest)).unwrap();
    let refusals = || {
        assert_eq!(folder.status()["state"], "refused");
        for arguments in [&["verify", "--repair"][..], &["rebuild", "--yes"]] {
            let refused = folder.index(arguments);
            assert_eq!(refused.status.code(), Some(1));
            assert!(said(&refused).contains("accept-storage"), "{}", said(&refused));
        }
        for arguments in [
            &["repository", "list"][..],
            &["repository", "delete", "a", "--yes"],
            &["tag", "list", "a"],
            &["tag", "delete", "a:v1"],
            &["trash", "restore", "a:v2"],
            &["trash", "empty", "--yes"],
        ] {
            let refused = command(arguments);
            assert_eq!(refused.status.code(), Some(1), "{arguments:?}: {}", said(&refused));
            assert!(
                said(&refused).contains("accept-storage"),
                "{arguments:?}: {}",
                said(&refused)
            );
        }
        assert!(theirs.exists());
    };
    refusals();
    let program = folder.start();
    refusals();
    assert!(program.terminate().success());
    fs::remove_dir_all(folder.storage()).unwrap();
    fs::rename(folder.path("right"), folder.storage()).unwrap();
    let program = folder.start_settled(&[]);
    program.client().expect_whole("a", "v1", &image);
    assert!(folder.verified(&["--bytes"]).1);
    let restored = command(&["trash", "restore", "a:v2"]);
    assert!(restored.status.success(), "{}", said(&restored));
    program.client().expect_whole("a", "v2", &image);
}

#[test]
fn what_was_deleted_stays_deleted_through_repair_rebuild_and_a_lost_index() {
    let folder = Folder::open();
    let (kept, deleted) = (image("kept", 2), image("deleted", 2));
    let program = folder.start_settled(&[]);
    let client = program.client();
    client.push("a", "kept", &kept).unwrap();
    client.push("a", "deleted", &deleted).unwrap();
    let manifest = format!("/v2/a/manifests/{}", digest(&deleted.manifest));
    client.send("DELETE", &manifest, &[], b"").expect(202);
    let still_gone = |client: &Client| {
        for target in [manifest.as_str(), "/v2/a/manifests/deleted"] {
            client.send("GET", target, &[], b"").expect(404);
        }
        client.expect_whole("a", "kept", &kept);
    };
    assert!(folder.verified(&["--repair", "--bytes"]).1);
    still_gone(&client);
    assert!(folder.index(&["rebuild", "--yes"]).status.success());
    still_gone(&client);
    assert!(folder.verified(&[]).1);
    assert!(program.terminate().success());
    folder.lose_index();
    let program = folder.start_settled(&[]);
    still_gone(&program.client());
    let (report, is_whole) = folder.verified(&["--repair", "--bytes"]);
    assert!(is_whole, "{report}");
    still_gone(&program.client());
}
