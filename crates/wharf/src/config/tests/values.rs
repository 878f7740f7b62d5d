//! Scalars as Go and YAML 1.1 read them.

use std::time::Duration;

use crate::config::keys::{Kind, Status, all};
use crate::config::resolve::Value;
use crate::config::scalar::{boolean, duration, duration_text, integer, size, size_text};
use crate::config::{defaults, snippet};

#[test]
fn bools_are_those_of_yaml_1_1() {
    for text in ["true", "True", "TRUE", "yes", "Yes", "on", "ON", "y", "Y"] {
        assert_eq!(boolean(text), Some(true), "{text}");
    }
    for text in ["false", "no", "NO", "off", "Off", "n", "N"] {
        assert_eq!(boolean(text), Some(false), "{text}");
    }
    for text in ["", "1", "0", "tRUE", "enabled"] {
        assert_eq!(boolean(text), None, "{text}");
    }
}

#[test]
fn numbers_are_those_of_yaml_1_1() {
    let cases = [
        ("0", Some(0)),
        ("100", Some(100)),
        ("-7", Some(-7)),
        ("+7", Some(7)),
        ("1_000", Some(1000)),
        ("0x1F", Some(31)),
        ("0b101", Some(5)),
        ("0o17", Some(15)),
        ("0755", Some(493)),
        ("08", Some(8)),
        ("1e3", Some(1000)),
        ("2.0", Some(2)),
        ("1.5", None),
        ("", None),
        ("-", None),
        ("0x", None),
        ("0x-1", None),
        ("1e99", None),
        ("ten", None),
        ("nan", None),
        ("99999999999999999999", None),
    ];
    for (text, value) in cases {
        assert_eq!(integer(text), value, "{text:?}");
    }
}

#[test]
fn durations_are_those_of_go() {
    let cases = [
        ("30s", Some(30_000)),
        ("168h", Some(604_800_000)),
        ("1h30m", Some(5_400_000)),
        ("1.5h", Some(5_400_000)),
        (".5s", Some(500)),
        ("1.s", Some(1_000)),
        ("100ms", Some(100)),
        ("1h2m3s4ms", Some(3_723_004)),
        ("0", Some(0)),
        ("+5s", Some(5_000)),
        ("5000000", Some(5)),
        ("", None),
        ("s", None),
        (".s", None),
        ("1.2.3s", None),
        ("5 s", None),
        ("1d", None),
        ("-5s", None),
        ("-5", None),
        ("99999999999h", None),
    ];
    for (text, milliseconds) in cases {
        assert_eq!(
            duration(text).map(|parsed| parsed.value),
            milliseconds.map(Duration::from_millis),
            "{text:?}"
        );
    }
    assert!(duration("60").is_some_and(|parsed| parsed.bare));
    assert!(duration("0").is_some_and(|parsed| !parsed.bare));
    for text in ["1h30m", "2m", "1s500ms", "0s", "7ns"] {
        assert_eq!(
            duration(text).map(|parsed| duration_text(parsed.value)).as_deref(),
            Some(text)
        );
    }
}

#[test]
fn a_bare_number_as_a_duration_is_nanoseconds_and_warned_about() {
    let file = super::with("http:\n  draintimeout: 60\n");
    assert_eq!(
        super::config(&file, &[]).http.drain_timeout,
        Some(Duration::from_nanos(60))
    );
    assert_eq!(
        super::warnings(&file, &[]),
        [
            "config.yml:4:17: `http.draintimeout`: a bare number is nanoseconds, as in distribution: write 60s if you \
          mean seconds"
        ]
    );
}

#[test]
fn sizes_are_bytes_with_a_unit() {
    for (text, bytes) in [
        ("4MiB", 4 << 20),
        ("512KiB", 512 << 10),
        ("1GiB", 1 << 30),
        ("10", 10),
        ("2 kb", 2000),
    ] {
        assert_eq!(size(text), Some(bytes));
    }
    for text in ["", "MiB", "4M", "-1", "1.5MiB", "99999999999999999999GiB"] {
        assert_eq!(size(text).filter(|_| !text.is_empty()), None, "{text}");
    }
    assert_eq!(size_text(4 << 20), "4MiB");
    assert_eq!(size_text(1001), "1001B");
}

#[test]
fn every_default_of_the_table_can_be_read() {
    for key in all().filter(|key| !key.default.is_empty()) {
        assert_ne!(defaults::value(key), Value::Unset, "{}", key.path);
    }
}

#[test]
fn every_key_of_the_table_has_a_section_above_it_and_is_there_once() {
    let paths: Vec<&str> = all().map(|key| key.path).collect();
    for (at, path) in paths.iter().enumerate() {
        assert!(!paths[..at].contains(path), "{path} is there twice");
        let Some((section, _)) = path.rsplit_once('.') else {
            continue;
        };
        let above = all().find(|key| key.path == section.trim_end_matches("[]"));
        let above = above.unwrap_or_else(|| panic!("{path} stands under nothing"));
        let wanted = if section.ends_with("[]") {
            above.kind == Kind::Sections
        } else {
            matches!(above.kind, Kind::Section | Kind::OneOf | Kind::Params)
        };
        assert!(wanted, "{path} cannot stand under {section}");
    }
}

#[test]
fn keys_that_sound_like_secrets_are_marked_as_such() {
    for key in all().filter(|key| matches!(key.kind, Kind::Text) && key.status == Status::Honoured) {
        let harmless = ["http.debug.prometheus.path"].contains(&key.path)
            || key.path.ends_with("url")
            || key.path.ends_with("keyid")
            || key.path.ends_with("keypairid");
        assert!(
            key.secret || harmless || !snippet::sounds_secret(key.name()),
            "{}",
            key.path
        );
    }
}
