use std::sync::{
    Arc,
    atomic::{AtomicU8, Ordering},
};

use super::*;

struct Run {
    stdout: String,
    stderr: String,
    result: Result<(), HtpasswdCommandError>,
}

fn run_with(arguments: &[&str], stdin: &str, typed: Option<&[&str]>) -> Run {
    let arguments: Vec<_> = arguments.iter().map(|&argument| argument.to_owned()).collect();
    let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
    let is_terminal = typed.is_some();
    let mut typed = typed.map(|typed| typed.iter());
    let mut answer = |_: &str| {
        let next = typed.as_mut().and_then(Iterator::next);
        next.map(|text| Zeroizing::new((*text).to_owned()))
            .ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
    };
    let counter = AtomicU8::new(0);
    let mut console = Console {
        stdin: &mut stdin.as_bytes(),
        stdout: &mut stdout,
        stderr: &mut stderr,
        ask: if is_terminal { Some(&mut answer) } else { None },
        random: Arc::new(move |bytes| {
            bytes.fill_with(|| counter.fetch_add(1, Ordering::Relaxed));
        }),
    };
    let result = run(&arguments, &mut console);
    Run {
        stdout: String::from_utf8(stdout).unwrap(),
        stderr: String::from_utf8(stderr).unwrap(),
        result,
    }
}

fn run_quietly(arguments: &[&str]) -> Run {
    run_with(arguments, "", None)
}

fn entries(text: &str) -> htpasswd::Entries {
    htpasswd::parse(text.as_bytes()).unwrap()
}

struct Folder(tempfile::TempDir);

impl Folder {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn file(&self) -> String {
        self.0.path().join("htpasswd").to_str().unwrap().to_owned()
    }

    fn text(&self) -> String {
        fs::read_to_string(self.file()).unwrap()
    }
}

#[test]
fn the_line_of_the_documentation_works() {
    let made = run_quietly(&["-Bbn", "alice", "secret"]);
    made.result.unwrap();
    assert!(made.stdout.starts_with("alice:$2y$10$"), "{}", made.stdout);
    assert!(entries(&made.stdout).verify("alice", b"secret"));
    assert_eq!(made.stderr, "");
}

#[test]
fn options_may_be_apart_or_together() {
    for arguments in [
        &["-B", "-b", "-n", "-C", "4", "alice", "secret"][..],
        &["-bnC4", "alice", "secret"],
        &["-nbBC", "4", "alice", "secret"],
        &["-nb", "-C4", "--", "alice", "secret"],
    ] {
        let made = run_quietly(arguments);
        made.result.unwrap();
        assert!(made.stdout.starts_with("alice:$2y$04$"), "{arguments:?}");
    }
}

#[test]
fn a_password_may_begin_with_a_dash() {
    for password in ["-secret", "-h", "--help"] {
        let made = run_quietly(&["-nbC4", "alice", password]);
        made.result.unwrap();
        assert!(entries(&made.stdout).verify("alice", password.as_bytes()));
    }
}

#[test]
fn standard_input_is_read_to_the_end_of_its_line() {
    for arguments in [&["-niC4", "alice"][..], &["-nC4", "alice"]] {
        let made = run_with(arguments, "se cret\r\nmore\n", None);
        made.result.unwrap();
        assert!(entries(&made.stdout).verify("alice", b"se cret"));
    }
}

#[test]
fn a_typed_password_is_asked_for_twice() {
    let made = run_with(&["-nC4", "alice"], "", Some(&["secret", "secret"]));
    made.result.unwrap();
    assert!(entries(&made.stdout).verify("alice", b"secret"));
    let made = run_with(&["-nC4", "alice"], "", Some(&["secret", "secret2"]));
    assert_eq!(made.result.unwrap_err().code(), 3);
    assert_eq!(made.stdout, "");
}

#[test]
fn a_file_is_created_changed_checked_and_emptied_again() {
    let folder = Folder::new();
    let file = folder.file();
    let missing = run_quietly(&["-bC4", &file, "alice", "one"]).result.unwrap_err();
    assert!(missing.to_string().ends_with("does not exist; use -c to create it"));

    let made = run_quietly(&["-cbC4", &file, "alice", "one"]);
    assert_eq!(made.stderr, "Adding password for user alice\n");
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    fs::set_permissions(&file, PermissionsExt::from_mode(0o644)).unwrap();
    run_quietly(&["-bC4", &file, "bob", "two"]).result.unwrap();
    let made = run_quietly(&["-bC4", &file, "alice", "three"]);
    assert_eq!(made.stderr, "Updating password for user alice\n");
    let users = entries(&folder.text());
    assert!(users.verify("alice", b"three") && users.verify("bob", b"two"));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o644);

    let right = run_quietly(&["-vb", &file, "alice", "three"]);
    assert_eq!(right.stderr, "Password for user alice correct.\n");
    assert_eq!(
        run_quietly(&["-vb", &file, "alice", "one"]).result.unwrap_err().code(),
        3
    );
    assert_eq!(
        run_quietly(&["-vb", &file, "carol", "one"]).result.unwrap_err().code(),
        3
    );

    run_quietly(&["-D", &file, "alice"]).result.unwrap();
    assert!(!folder.text().contains("alice"));
    assert_eq!(run_quietly(&["-D", &file, "alice"]).result.unwrap_err().code(), 3);
    run_quietly(&["-cbC4", &file, "dora", "four"]).result.unwrap();
    assert_eq!(entries(&folder.text()).len(), 1);
    assert_eq!(
        fs::read_dir(folder.0.path()).unwrap().count(),
        1,
        "nothing is left beside it"
    );
}

#[test]
fn a_file_that_is_none_is_left_alone() {
    let folder = Folder::new();
    fs::write(folder.file(), "not one\n").unwrap();
    for arguments in [
        &["-bC4", &folder.file(), "alice", "one"][..],
        &["-D", &folder.file(), "alice"],
    ] {
        assert_eq!(run_quietly(arguments).result.unwrap_err().code(), 7);
    }
    assert_eq!(folder.text(), "not one\n");
}

#[test]
fn hashes_that_registries_do_not_accept_are_refused_with_the_reason() {
    for (option, kind) in [
        ("-m", "MD5"),
        ("-d", "crypt"),
        ("-s", "SHA-1"),
        ("-p", "plain text"),
        ("-5", "SHA-crypt"),
    ] {
        let error = run_quietly(&[option, "-nb", "alice", "secret"]).result.unwrap_err();
        assert_eq!(error.code(), 2);
        assert!(error.to_string().contains(kind), "{error}");
        assert!(error.to_string().contains("only bcrypt (-B)"), "{error}");
    }
}

#[test]
fn wrong_arguments_are_named() {
    for (arguments, what) in [
        (&[][..], "the file is missing"),
        (&["-n"], "the user is missing"),
        (&["-nb", "alice"], "the password is missing"),
        (&["-nb", "alice", "one", "two"], "too many arguments"),
        (&["-nc", "alice"], "-n and -c do not go together"),
        (&["-nbi", "alice", "x"], "-b and -i do not go together"),
        (&["-nx", "alice"], "unknown option -x"),
        (&["-nbC", "99", "alice", "x"], "-C needs a cost from 4 to 31"),
        (&["-nb", "-C"], "-C needs a cost from 4 to 31"),
    ] {
        let error = run_quietly(arguments).result.unwrap_err();
        assert!(error.to_string().contains(what), "{arguments:?}: {error}");
        assert_eq!(error.code(), 2);
    }
    assert_eq!(run_quietly(&["-nb", "a:b", "x"]).result.unwrap_err().code(), 6);
    assert_eq!(run_quietly(&["-nb", "a", ""]).result.unwrap_err().code(), 5);
    let long = "x".repeat(73);
    let error = run_quietly(&["-nb", "a", &long]).result.unwrap_err();
    assert_eq!(error.to_string(), "password has 73 bytes, bcrypt reads no more than 72");
}

#[test]
fn help_has_an_example() {
    assert!(run_quietly(&["--help"]).stdout.contains("htpasswd -Bbn alice secret"));
}

#[test]
fn debug_shows_no_password() {
    let arguments: Vec<_> = ["-nb", "alice", "planted"].map(str::to_owned).into();
    assert!(!format!("{:?}", parse(&arguments)).contains("planted"));
}
