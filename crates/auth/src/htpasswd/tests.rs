use proptest::prelude::proptest;

use super::*;
use crate::test_tools::random;

/// The password is `secret`.
const HASH: &str = "$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6";

#[test]
fn blank_lines_comments_and_crlf_are_accepted() {
    let text = format!("\u{feff}# users\r\n\r\n  \n alice:{HASH} \r\n#bob:x\nbob:{HASH}");
    let entries = parse(text.as_bytes()).unwrap();
    assert_eq!(entries.len(), 2);
    assert!(entries.verify("alice", b"secret"));
    assert!(entries.verify("bob", b"secret"));
    assert!(!entries.verify("alice", b"Secret"));
    assert!(entries.warnings().is_empty());
}

#[test]
fn a_line_without_a_colon_is_named_but_not_shown() {
    let text = format!("alice:{HASH}\n\nplanted-secret\n");
    let error = parse(text.as_bytes()).unwrap_err();
    assert_eq!(error.to_string(), "line 3 has no ':' between user and hash");
}

#[test]
fn hashes_other_than_bcrypt_never_match_and_are_named_once() {
    let text = "a:$apr1$x$planted\nb:{SHA}planted\nc:secret\nd:\ne:$6$x$planted\nf:$2y$05$short\n";
    let entries = parse(text.as_bytes()).unwrap();
    for user in ["a", "b", "c", "d", "e", "f"] {
        assert!(!entries.verify(user, b"secret"), "{user}");
        assert!(!entries.verify(user, b""), "{user}");
    }
    let warnings: Vec<_> = entries.warnings().iter().map(ToString::to_string).collect();
    assert_eq!(warnings.len(), 6);
    assert_eq!(
        warnings[0],
        "line 1: user \"a\" has an MD5 hash, only bcrypt (htpasswd -B) can sign in"
    );
    assert!(!warnings.join("").contains("planted"));
    assert!(!format!("{entries:?}").contains("planted"));
}

#[test]
fn the_last_line_of_a_user_counts() {
    let entries = parse(format!("alice:{HASH}\nalice:$apr1$x$y\n").as_bytes()).unwrap();
    assert!(!entries.verify("alice", b"secret"));
    let entries = parse(format!("alice:$apr1$x$y\nalice:{HASH}\n").as_bytes()).unwrap();
    assert!(entries.verify("alice", b"secret"));
    assert!(
        entries.warnings().is_empty(),
        "a line that does not count needs no warning"
    );
}

#[test]
fn an_unknown_user_costs_what_the_dearest_known_one_does() {
    let entries = parse(format!("alice:{HASH}\nbob:{}\n", HASH.replace("$05$", "$08$")).as_bytes()).unwrap();
    let (hash, counts) = entries.hash_of("mallory");
    assert_eq!((password::bcrypt_cost(&hash), counts), (Some(8), false));
    assert_eq!(password::bcrypt_cost(&Entries::default().hash_of("x").0), Some(10));
}

#[test]
fn lines_made_here_are_read_here() {
    let line = line("jürgen", b"pass:word", 4, &random()).unwrap();
    let entries = parse(line.as_bytes()).unwrap();
    assert!(entries.verify("jürgen", b"pass:word"));
}

#[test]
fn changing_one_user_leaves_everything_else_as_it_is() {
    let text = "# mine\nalice:1\r\n\nbob:2\n#alice:old\nalice:3";
    assert_eq!(
        with_line(text, "alice", "alice:9"),
        "# mine\n\nbob:2\n#alice:old\nalice:9\n"
    );
    assert_eq!(with_line("bob:2", "alice", "alice:9"), "bob:2\nalice:9\n");
    assert_eq!(with_line("", "alice", "alice:9"), "alice:9\n");
    let without = without_user("a:1\nbob:2\na:3\n", "a");
    assert_eq!(without, ("bob:2\n".to_owned(), true));
    assert!(!without_user("a:1\n", "b").1);
}

#[test]
fn names_that_could_not_be_read_back_are_refused() {
    for name in ["", "a:b", "a\nb", "#a", " a", "a "] {
        assert!(check_user_name(name).is_err(), "{name:?}");
    }
    for name in ["a", "a b", "jürgen", "robot$ci", "a#"] {
        assert_eq!(check_user_name(name), Ok(()), "{name:?}");
    }
}

proptest! {
    #[test]
    fn nothing_panics(text: Vec<u8>) {
        let _ = parse(&text);
    }

    #[test]
    fn every_accepted_name_is_read_back(name in "\\PC{1,12}") {
        if check_user_name(&name).is_ok() {
            let entries = parse(format!("{name}:{HASH}\n").as_bytes()).unwrap();
            assert!(entries.contains(&name));
        }
    }
}
