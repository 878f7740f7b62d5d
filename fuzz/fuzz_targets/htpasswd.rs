//! htpasswd files, read and edited.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wharf_auth::htpasswd;

fuzz_target!(|data: &[u8]| {
    let parsed = htpasswd::parse(data);
    if let Ok(entries) = &parsed {
        assert!(entries.warnings().len() <= entries.len());
    }
    let (Ok(text), Ok(_)) = (std::str::from_utf8(data), parsed) else {
        return;
    };
    let line = "fuzz:$2y$05$abcdefghijklmnopqrstuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuuu";
    let with = htpasswd::with_line(text, "fuzz", line);
    let entries = htpasswd::parse(with.as_bytes()).expect("a line was added to a readable file");
    assert!(entries.contains("fuzz"));
    let (without, was_there) = htpasswd::without_user(&with, "fuzz");
    assert!(was_there);
    let entries = htpasswd::parse(without.as_bytes()).expect("a line was taken from a readable file");
    assert!(!entries.contains("fuzz"));
});
