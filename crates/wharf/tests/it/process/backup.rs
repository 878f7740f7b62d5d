//! `wharf backup`, on a registry that serves and on its files.

use std::process::Output;

use super::client::{Client, basic, image};
use super::program::Folder;

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn succeeded(output: &Output) -> String {
    assert!(output.status.success(), "{}", told(output));
    told(output)
}

fn refused(output: &Output) -> String {
    assert!(!output.status.success(), "{}", told(output));
    told(output)
}

impl Folder {
    fn backup(&self, arguments: &[&str]) -> Output {
        let config = self.config();
        self.run(&[&["backup"], arguments, &["--config", &config]].concat())
    }

    fn names(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.path("")).unwrap();
        entries
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }
}

#[test]
fn an_older_backup_is_put_back_and_what_the_storage_holds_now_is_served() {
    let folder = Folder::open();
    let (old, newer, moved) = (image("old", 2), image("newer", 2), image("moved", 1));
    let program = folder.start();
    let client = program.client();
    client.push("team/app", "old", &old).unwrap();
    client.push("team/app", "latest", &old).unwrap();
    client.push("team/app", "deleted", &old).unwrap();
    succeeded(&folder.backup(&["create", "monday.backup"]));
    client.push("team/app", "newer", &newer).unwrap();
    client.push("team/app", "latest", &moved).unwrap();
    client.push("other/app", "v1", &newer).unwrap();
    client
        .send("DELETE", "/v2/team/app/manifests/deleted", &[], b"")
        .expect(202);
    assert!(refused(&folder.backup(&["restore", "monday.backup"])).contains("needs the registry to be stopped"));
    assert!(program.terminate().success());

    let index = folder.storage().join("wharf/index.db");
    let before = std::fs::read(&index).unwrap();
    assert!(refused(&folder.backup(&["restore", "monday.backup"])).contains("use --force to replace it"));
    assert!(std::fs::read(&index).unwrap() == before, "a refusal changes nothing");
    let said = succeeded(&folder.backup(&["restore", "monday.backup", "--force"]));
    assert!(said.contains("index.db.before-restore"), "{said}");
    assert!(folder.storage().join("wharf/index.db.before-restore").exists());

    let program = folder.start();
    let client = program.client();
    client.expect_whole("team/app", "old", &old);
    client.expect_whole("team/app", "newer", &newer);
    client.expect_whole("team/app", "latest", &moved);
    client.expect_whole("other/app", "v1", &newer);
    client
        .send("GET", "/v2/team/app/manifests/deleted", &[], b"")
        .expect(404);
    assert!(program.terminate().success());
}

#[test]
fn a_lost_index_is_put_back_with_its_accounts() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "correct horse")]);
    let client = program.client();
    let admin = basic("admin", "correct horse");
    client
        .send("GET", "/v2/", &[("Authorization", &admin)], b"")
        .expect(200);
    // while it serves
    succeeded(&folder.backup(&["create", "serving.backup"]));
    assert!(program.terminate().success());
    // while it is stopped
    succeeded(&folder.backup(&["create", "stopped.backup"]));
    for backup in ["serving.backup", "stopped.backup"] {
        for file in ["index.db", "index.db-wal", "index.db-shm"] {
            // the logs are there only after a crash
            drop(std::fs::remove_file(folder.storage().join("wharf").join(file)));
        }
        succeeded(&folder.backup(&["restore", backup]));
        let program = folder.start();
        program
            .client()
            .send("GET", "/v2/", &[("Authorization", &admin)], b"")
            .expect(200);
        assert!(program.terminate().success());
    }
}

#[test]
fn a_backup_of_another_storage_is_not_taken_for_this_ones() {
    let (here, there) = (Folder::open(), Folder::open());
    let program = there.start();
    program.client().push("team/app", "v1", &image("there", 1)).unwrap();
    assert!(program.terminate().success());
    assert!(here.start().terminate().success());
    let file = there.path("there.backup");
    succeeded(&there.backup(&["create", file.to_str().unwrap()]));
    let said = refused(&here.backup(&["restore", file.to_str().unwrap()]));
    assert!(said.contains("belongs to the storage"), "{said}");
}

#[test]
fn a_damaged_file_is_refused_and_everything_is_as_before() {
    let folder = Folder::open();
    let program = folder.start();
    program.client().push("team/app", "v1", &image("a", 1)).unwrap();
    assert!(program.terminate().success());
    succeeded(&folder.backup(&["create", "whole.backup"]));
    let whole = std::fs::read(folder.path("whole.backup")).unwrap();
    std::fs::write(folder.path("cut.backup"), &whole[..whole.len() - 40]).unwrap();
    let index = folder.storage().join("wharf/index.db");
    let before = std::fs::read(&index).unwrap();
    for arguments in [&["restore", "cut.backup", "--force"][..], &["inspect", "cut.backup"]] {
        let said = refused(&folder.backup(arguments));
        assert!(said.contains("its end is missing"), "{said}");
    }
    assert!(std::fs::read(&index).unwrap() == before);
    let left = std::fs::read_dir(index.parent().unwrap()).unwrap();
    let left: Vec<_> = left
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(!left.iter().any(|name| name.contains("restor")), "{left:?}");
}

#[test]
fn a_backup_for_which_there_is_no_room_leaves_nothing_behind() {
    let folder = Folder::open();
    let program = folder.start();
    for number in 0..20 {
        program
            .client()
            .push("team/app", &format!("v{number}"), &image(&format!("{number}"), 1))
            .unwrap();
    }
    // files of this shell's children end at one block
    let script = format!(
        "trap '' XFSZ; ulimit -f 1; exec {} backup create small.backup --config {}",
        env!("CARGO_BIN_EXE_wharf"),
        folder.config()
    );
    let output = std::process::Command::new("sh")
        .args(["-c", &script])
        .env_clear()
        .current_dir(folder.path(""))
        .output()
        .unwrap();
    let said = refused(&output);
    assert!(said.contains("small.backup cannot be written"), "{said}");
    assert!(
        !folder.names().iter().any(|name| name.contains("backup")),
        "{:?}",
        folder.names()
    );
}

#[test]
fn a_key_encrypts_backups_and_only_it_opens_them() {
    let folder = Folder::with_accounts();
    succeeded(&folder.backup(&["key", "one.key"]));
    succeeded(&folder.backup(&["key", "two.key"]));
    assert!(refused(&folder.backup(&["key", "one.key"])).contains("cannot be made"));
    folder.append("backup: {key_file: one.key}\n");
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "correct horse")]);
    succeeded(&folder.backup(&["create", "sealed.backup"]));
    succeeded(&folder.backup(&["create", "plain.backup", "--plain"]));
    assert!(program.terminate().success());
    let inspected = folder.backup(&["inspect", "sealed.backup", "--output", "json"]);
    succeeded(&inspected);
    let inspected: serde_json::Value = serde_json::from_slice(&inspected.stdout).unwrap();
    assert_eq!(inspected["is_encrypted"], true);
    assert_eq!(inspected["totals"]["rows"]["users"], 1);
    let said = refused(&folder.backup(&["inspect", "sealed.backup", "--key-file", "two.key"]));
    assert!(said.contains("the backup is encrypted with the key"), "{said}");
    let said = refused(&folder.run(&[
        "backup",
        "inspect",
        "sealed.backup",
        "--config",
        &Folder::open().config(),
    ]));
    assert!(said.contains("--key-file"), "{said}");
    let plain = folder.run(&[
        "backup",
        "inspect",
        "plain.backup",
        "--config",
        &Folder::open().config(),
    ]);
    succeeded(&plain);
}

#[test]
fn only_administrators_get_a_backup_over_the_network() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "correct horse")]);
    let config = folder.config();
    let made = folder.run_with_input(
        &["admin", "create-user", "alice", "--password-stdin", "--config", &config],
        "wonderland tea\n",
    );
    succeeded(&made);
    let client = program.client();
    client.send("POST", "/api/v2.0/backups", &[], b"").expect(401);
    let alice = basic("alice", "wonderland tea");
    client
        .send("POST", "/api/v2.0/backups", &[("Authorization", &alice)], b"")
        .expect(403);
    let admin = basic("admin", "correct horse");
    let answer = client
        .send("POST", "/api/v2.0/backups", &[("Authorization", &admin)], b"")
        .expect(200);
    std::fs::write(folder.path("fetched.backup"), &answer.body).unwrap();
    succeeded(&folder.backup(&["inspect", "fetched.backup"]));
}

/// A registry with accounts whose index lies on another disk than its images.
fn with_index_elsewhere() -> Folder {
    let folder = Folder::with_accounts();
    let index = folder.path("elsewhere/index.db");
    folder.append(&format!("database: {{path: {}}}\n", index.display()));
    folder
}

fn lose_the_index(folder: &Folder) {
    std::fs::remove_dir_all(folder.path("elsewhere")).unwrap();
}

const FIRST: [(&str, &str); 1] = [("WHARF_ADMIN_PASSWORD", "correct horse")];

#[test]
fn the_disk_of_the_index_is_lost_and_everybody_signs_in_and_pulls_as_before() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    folder.append("backup: {key_file: backup.key}\n");
    let (first, second) = (image("first", 2), image("second", 1));
    let admin = basic("admin", "correct horse");
    let program = folder.start_with(&FIRST);
    let config = folder.config();
    let arguments = ["admin", "create-user", "alice", "--password-stdin", "--config", &config];
    succeeded(&folder.run_with_input(&arguments, "wonderland tea\n"));
    let client = program.client().signed_in(&admin);
    client.push("team/app", "v1", &first).unwrap();
    client.push("team/app", "v1", &second).unwrap();
    assert!(program.terminate().success());
    lose_the_index(&folder);

    // another first password is not taken: there is an administrator
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "another password")]);
    assert!(program.log().contains("are back from a snapshot"), "{}", program.log());
    let other = basic("admin", "another password");
    program
        .client()
        .send("GET", "/v2/", &[("Authorization", &other)], b"")
        .expect(401);
    let alice = basic("alice", "wonderland tea");
    program
        .client()
        .send("GET", "/v2/", &[("Authorization", &alice)], b"")
        .expect(200);
    let client = program.client().signed_in(&admin);
    client.expect_whole("team/app", "v1", &second);
    // what nobody could read without signing in, nobody can now
    program
        .client()
        .send("GET", "/v2/team/app/manifests/v1", &[], b"")
        .expect(401);
    program
        .client()
        .send("GET", "/v2/team/app/manifests/v1", &[("Authorization", &alice)], b"")
        .expect(403);
}

#[test]
fn a_process_that_is_killed_loses_no_account_that_is_older_than_some_seconds() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    folder.append("backup: {key_file: backup.key}\n");
    let program = folder.start_with(&FIRST);
    let config = folder.config();
    let arguments = ["admin", "create-user", "alice", "--password-stdin", "--config", &config];
    succeeded(&folder.run_with_input(&arguments, "wonderland tea\n"));
    let listed = || {
        let listed = folder.backup(&["snapshots", "--output", "json"]);
        serde_json::from_slice::<serde_json::Value>(&listed.stdout)
            .unwrap()
            .as_array()
            .map_or(0, Vec::len)
    };
    let before = listed();
    super::until("the account is in a snapshot", || listed() > before);
    program.kill();
    lose_the_index(&folder);
    let program = folder.start();
    let alice = basic("alice", "wonderland tea");
    program
        .client()
        .send("GET", "/v2/", &[("Authorization", &alice)], b"")
        .expect(200);
}

#[test]
fn trash_and_tag_history_survive_the_loss_of_the_index() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    folder.append("backup: {key_file: backup.key, snapshot_delay: 1s}\n");
    let (first, second, gone) = (image("first", 1), image("second", 1), image("gone", 2));
    let admin = basic("admin", "correct horse");
    let program = folder.start_with(&FIRST);
    let client = program.client().signed_in(&admin);
    client.push("team/app", "v1", &first).unwrap();
    client.push("team/app", "v1", &second).unwrap();
    client.push("team/old", "v1", &gone).unwrap();
    let path = format!("/v2/team/old/manifests/{}", gone.digest());
    client.send("DELETE", &path, &[], b"").expect(202);
    let get = |client: &Client, path: &str| -> serde_json::Value {
        let answer = client.send("GET", path, &[], b"").expect(200);
        serde_json::from_slice(&answer.body).unwrap()
    };
    let history = "/api/v2.0/repositories/team%2Fapp/tags/v1/history";
    let before = get(&client, history)["changes"].clone();
    assert_eq!(before.as_array().map(Vec::len), Some(2));
    // of two snapshots that are made from now on the second one began after all of it
    let config = folder.config();
    for user in ["alice", "bob"] {
        let lists = || folder.backup(&["snapshots", "--output", "json"]).stdout;
        let before = lists();
        let arguments = ["admin", "create-user", user, "--password-stdin", "--config", &config];
        succeeded(&folder.run_with_input(&arguments, "wonderland tea\n"));
        super::until("a snapshot is made", || lists() != before);
    }
    program.kill();
    lose_the_index(&folder);

    // garbage is collected as soon as it may be
    let program = folder.start_with(&[("WHARF_TEST_GRACE_PERIOD", "0s")]);
    let client = program.client().signed_in(&admin);
    assert_eq!(get(&client, history)["changes"], before);
    client.send("GET", &path, &[], b"").expect(404);
    for _ in 0..2 {
        super::until("the collector runs", || {
            folder.run(&["gc", "run", "--config", &config]).status.success()
        });
    }
    let trash = get(&client, "/api/v2.0/trash");
    assert_eq!(trash["entries"][0]["digest"], gone.digest(), "{trash}");
    let wanted = serde_json::json!({"id": trash["entries"][0]["id"]}).to_string();
    let json = [("Content-Type", "application/json")];
    client
        .send("POST", "/api/v2.0/trash/restore", &json, wanted.as_bytes())
        .expect(200);
    client.expect_whole("team/old", "v1", &gone);
    client.expect_whole("team/app", "v1", &second);
    let back = serde_json::json!({"steps": 1}).to_string();
    let revert = "/api/v2.0/repositories/team%2Fapp/tags/v1/revert";
    client.send("POST", revert, &json, back.as_bytes()).expect(200);
    client.expect_whole("team/app", "v1", &first);
}

#[test]
fn a_lost_index_without_the_key_is_not_begun_anew_unless_the_snapshots_are_moved_away() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    let key = std::fs::read_to_string(folder.path("backup.key")).unwrap();
    let with_key = [("WHARF_BACKUP_KEY", key.trim())];
    let program = folder.start_with(&[FIRST[0], with_key[0]]);
    assert!(program.terminate().success());
    lose_the_index(&folder);
    let snapshots = folder.storage().join("wharf/snapshots");
    let before = files_below(&snapshots);
    let config = folder.config();
    let said = refused(&folder.run_with(&["serve", &config], &[("WHARF_ADMIN_PASSWORD", "another password")], ""));
    assert!(said.contains("set backup.key_file to the file of the key"), "{said}");
    assert_eq!(files_below(&snapshots), before);

    let aside = folder.path("snapshots-aside");
    std::fs::rename(&snapshots, &aside).unwrap();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "another password")]);
    assert!(program.terminate().success());
    std::fs::rename(&aside, &snapshots).unwrap();
    // what was begun is not overwritten, and the older snapshots are told of
    let program = folder.start_with(&with_key);
    let log = program.log();
    assert!(log.contains("snapshots of an older index"), "{log}");
    assert!(program.terminate().success());
    let listed = folder.backup(&["snapshots", "--output", "json"]);
    let listed: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    let oldest = listed.as_array().unwrap().last().unwrap()["name"]
        .as_str()
        .unwrap()
        .to_owned();
    succeeded(&folder.backup(&["restore", "--snapshot", &oldest, "--force", "--key-file", "backup.key"]));
    let program = folder.start_with(&with_key);
    let admin = basic("admin", "correct horse");
    program
        .client()
        .send("GET", "/v2/", &[("Authorization", &admin)], b"")
        .expect(200);
}

#[test]
fn a_snapshot_that_was_cut_off_is_passed_over_and_with_all_of_them_cut_nothing_begins() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    folder.append("backup: {key_file: backup.key}\n");
    let config = folder.config();
    let add = |name: &str| {
        let arguments = ["admin", "create-user", name, "--password-stdin", "--config", &config];
        succeeded(&folder.run_with_input(&arguments, "wonderland tea\n"));
    };
    assert!(folder.start_with(&FIRST).terminate().success());
    let program = folder.start();
    add("alice");
    assert!(program.terminate().success());
    lose_the_index(&folder);
    let snapshots = folder.storage().join("wharf/snapshots");
    let lists = || {
        let mut lists: Vec<_> = files_below(&snapshots)
            .into_keys()
            .filter(|path| path.extension().is_some_and(|extension| extension == "snapshot"))
            .collect();
        lists.sort();
        lists
    };
    let cut = |path: &std::path::Path| {
        let whole = std::fs::read(path).unwrap();
        std::fs::write(path, &whole[..whole.len() / 2]).unwrap();
    };
    cut(lists().last().unwrap());
    let program = folder.start();
    let log = program.log();
    assert!(log.contains("a newer snapshot cannot be read"), "{log}");
    let (admin, alice) = (basic("admin", "correct horse"), basic("alice", "wonderland tea"));
    for (who, status) in [(admin, 200), (alice, 401)] {
        program
            .client()
            .send("GET", "/v2/", &[("Authorization", &who)], b"")
            .expect(status);
    }
    assert!(program.terminate().success());
    lose_the_index(&folder);
    for list in lists() {
        cut(&list);
    }
    let before = files_below(&snapshots);
    let said = refused(&folder.run(&["serve", &config]));
    assert!(said.contains("no snapshot in wharf/snapshots"), "{said}");
    assert_eq!(files_below(&snapshots), before);
}

/// Every file with its bytes.
fn files_below(folder: &std::path::Path) -> std::collections::BTreeMap<std::path::PathBuf, Vec<u8>> {
    let mut found = std::collections::BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

#[test]
fn a_wrong_key_does_not_begin_anew_beside_snapshots_of_another() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "right.key"]));
    succeeded(&folder.backup(&["key", "wrong.key"]));
    let program = folder.start_with(&[FIRST[0], ("WHARF_BACKUP_KEYFILE", "right.key")]);
    assert!(program.terminate().success());
    lose_the_index(&folder);
    let config = folder.config();
    let wrong = folder.run_with(&["serve", &config], &[("WHARF_BACKUP_KEYFILE", "wrong.key")], "");
    let said = refused(&wrong);
    assert!(said.contains("the backup is encrypted with the key"), "{said}");
    assert!(
        folder
            .start_with(&[("WHARF_BACKUP_KEYFILE", "right.key")])
            .terminate()
            .success()
    );
}

#[test]
fn nothing_in_the_storage_folder_holds_a_secret_in_clear() {
    let folder = with_index_elsewhere();
    succeeded(&folder.backup(&["key", "backup.key"]));
    folder.append("backup: {key_file: backup.key}\n");
    assert!(folder.start_with(&FIRST).terminate().success());
    let found = files_below(&folder.storage());
    let snapshots = found.keys().filter(|path| path.to_str().unwrap().contains("snapshots"));
    assert!(snapshots.count() > 2);
    for (file, bytes) in found {
        let text = String::from_utf8_lossy(&bytes);
        for word in ["argon2", "PRIVATE KEY", "wharf-backup-key", "signing"] {
            assert!(!text.contains(word), "{word} in {}", file.display());
        }
    }
}

#[test]
fn an_index_is_moved_to_another_database_with_its_accounts() {
    let folder = Folder::with_accounts();
    let admin = basic("admin", "correct horse");
    let image = image("a", 1);
    let program = folder.start_with(&FIRST);
    program
        .client()
        .signed_in(&admin)
        .push("team/app", "v1", &image)
        .unwrap();
    let from = format!("sqlite://{}", folder.storage().join("wharf/index.db").display());
    let to = format!("sqlite://{}", folder.path("moved.db").display());
    let copy = |from: &str, to: &str, more: &[&str]| {
        folder.run(&[&["metadata", "copy", "--from", from, "--to", to], more].concat())
    };
    assert!(refused(&copy(&from, &to, &[])).contains("a registry runs on this database"));
    assert!(program.terminate().success());
    let said = succeeded(&copy(&from, &to, &[]));
    assert!(said.contains("copied: "), "{said}");
    assert!(refused(&copy(&from, &to, &[])).contains("--force"));
    assert!(refused(&copy(&to, &to, &["--force"])).contains("the same database"));
    assert!(refused(&copy("mongodb://x", &to, &[])).contains("--from: a database URL begins with"));
    succeeded(&copy(&from, &to, &["--force"]));
    folder.append(&format!("database: {{path: {}}}\n", folder.path("moved.db").display()));
    let program = folder.start();
    program
        .client()
        .signed_in(&admin)
        .expect_whole("team/app", "v1", &image);
}

#[test]
fn backups_are_made_by_themselves_and_the_newest_stay() {
    let folder = Folder::open();
    let backups = folder.path("backups");
    std::fs::create_dir(&backups).unwrap();
    folder.append(&format!(
        "backup: {{schedule: every 1s, folder: {}, keep: 2}}\n",
        backups.display()
    ));
    let program = folder.start();
    let names = || {
        let entries = std::fs::read_dir(&backups).unwrap().flatten();
        let mut names: Vec<_> = entries.map(|entry| entry.file_name().into_string().unwrap()).collect();
        names.retain(|name| !name.starts_with('.'));
        names.sort();
        names
    };
    super::until("two backups are made", || names().len() == 2);
    let first = names()[0].clone();
    super::until("the older one goes", || !names().contains(&first));
    assert!(program.terminate().success());
    assert!(names().len() <= 3, "{:?}", names());
    let newest = backups.join(names().last().unwrap());
    succeeded(&folder.backup(&["inspect", newest.to_str().unwrap()]));
}
