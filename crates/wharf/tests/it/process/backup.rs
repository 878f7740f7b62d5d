//! `wharf backup`, on a registry that serves and on its files.

use std::process::Output;

use super::client::{basic, image};
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
