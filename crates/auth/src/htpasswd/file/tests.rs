use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;
use crate::test_tools::{ManualClock, random};

const HASH: &str = "$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6";

struct Desk {
    folder: tempfile::TempDir,
    clock: ManualClock,
}

impl Desk {
    fn new() -> Self {
        Self {
            folder: tempfile::tempdir().unwrap(),
            clock: ManualClock::new(),
        }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("htpasswd")
    }

    fn write(&self, text: &str) {
        fs::write(self.path(), text).unwrap();
    }

    fn open(&self) -> HtpasswdFile {
        HtpasswdFile::open(&self.path(), self.clock.clock(), &random())
            .unwrap()
            .0
    }
}

#[test]
fn a_missing_file_is_made_with_one_user_that_only_we_can_read() {
    let desk = Desk::new();
    let path = desk.folder.path().join("new/folder/htpasswd");
    let (file, made) = HtpasswdFile::open(&path, desk.clock.clock(), &random()).unwrap();
    let made = made.unwrap();
    assert_eq!(made.user, "docker");
    assert!(made.password.len() >= 43);
    assert!(file.current().0.verify("docker", made.password.as_bytes()));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!fs::read_to_string(&path).unwrap().contains(made.password.as_str()));
    assert!(!format!("{made:?}").contains(made.password.as_str()));
    let (_, again) = HtpasswdFile::open(&path, desk.clock.clock(), &random()).unwrap();
    assert!(again.is_none());
}

#[test]
fn a_changed_file_is_read_again_within_a_second() {
    let desk = Desk::new();
    desk.write(&format!("alice:{HASH}\n"));
    let file = desk.open();
    let before = file.generation();
    desk.write(&format!("bob:{HASH}\n"));
    assert!(file.current().0.contains("alice"), "not looked at yet");
    desk.clock.advance(1000);
    let (entries, after) = file.current();
    assert!(entries.contains("bob") && !entries.contains("alice"));
    assert!(after > before);
}

#[test]
fn a_touched_file_with_the_same_content_changes_nothing() {
    let desk = Desk::new();
    desk.write(&format!("alice:{HASH}\n"));
    let file = desk.open();
    let before = file.generation();
    fs::remove_file(desk.path()).unwrap();
    desk.write(&format!("alice:{HASH}\n"));
    desk.clock.advance(1000);
    assert_eq!(file.generation(), before);
}

#[test]
fn a_kubernetes_secret_swap_is_seen() {
    let desk = Desk::new();
    for (name, user) in [("v1", "alice"), ("v2", "carol")] {
        fs::create_dir(desk.folder.path().join(name)).unwrap();
        fs::write(
            desk.folder.path().join(name).join("htpasswd"),
            format!("{user}:{HASH}\n"),
        )
        .unwrap();
    }
    symlink("v1", desk.folder.path().join("..data")).unwrap();
    symlink("..data/htpasswd", desk.path()).unwrap();
    let file = desk.open();
    symlink("v2", desk.folder.path().join("..new")).unwrap();
    fs::rename(desk.folder.path().join("..new"), desk.folder.path().join("..data")).unwrap();
    desk.clock.advance(1000);
    assert!(file.current().0.contains("carol"));
}

#[test]
fn a_broken_or_missing_new_file_keeps_the_users_and_says_so() {
    let desk = Desk::new();
    desk.write(&format!("alice:{HASH}\n"));
    let file = desk.open();
    desk.write("planted-secret\n");
    desk.clock.advance(1000);
    assert!(file.current().0.contains("alice"));
    assert_eq!(file.problem().unwrap(), "line 1 has no ':' between user and hash");
    fs::remove_file(desk.path()).unwrap();
    desk.clock.advance(1000);
    assert!(file.current().0.contains("alice"));
    assert!(file.problem().unwrap().contains("No such file"));
    desk.write(&format!("alice:{HASH}\n"));
    desk.clock.advance(1000);
    assert!(file.current().0.contains("alice"));
    assert_eq!(file.problem(), None);
}

#[test]
fn a_broken_file_at_the_start_is_an_error_with_its_path_and_line() {
    let desk = Desk::new();
    desk.write("alice\n");
    let error = HtpasswdFile::open(&desk.path(), desk.clock.clock(), &random()).unwrap_err();
    let shown = error.to_string();
    assert!(shown.contains("htpasswd: line 1 has no ':'"), "{shown}");
    let error = HtpasswdFile::open(desk.folder.path(), desk.clock.clock(), &random()).unwrap_err();
    assert!(error.to_string().starts_with("cannot read htpasswd file"));
}
