//! URLs as people write them.

use super::{Location, LocationError};
use crate::server::{Config, Engine, TlsMode};

fn server(url: &str) -> Config {
    match Location::parse(url) {
        Ok(Location::Server(config)) => *config,
        other => panic!("{url}: {other:?}"),
    }
}

fn refusal(url: &str) -> String {
    Location::parse(url).unwrap_err().to_string()
}

#[test]
fn every_part_of_a_url_is_read() {
    let config = server(
        "postgresql://wh%40rf:p%40ss%2Fw%3Ard@db.example.com:6432/registry?sslmode=verify-ca&sslrootcert=/ca.pem",
    );
    assert_eq!(config.engine, Engine::Postgresql);
    assert_eq!(
        (config.user.as_str(), config.password.as_deref()),
        ("wh@rf", Some("p@ss/w:rd"))
    );
    assert_eq!((config.host.as_str(), config.port), ("db.example.com", 6432));
    assert_eq!(config.database, "registry");
    assert_eq!(config.tls.mode, TlsMode::VerifyCa);
    assert_eq!(config.tls.root_certificates.as_deref(), Some("/ca.pem".as_ref()));
}

#[test]
fn ports_and_engines_follow_the_scheme() {
    assert_eq!(server("postgres://u@h/d").port, 5432);
    for url in ["mysql://u@h/d", "mariadb://u@h/d"] {
        let config = server(url);
        assert_eq!((config.engine, config.port), (Engine::Mariadb, 3306));
    }
    assert_eq!(server("postgresql://u@[::1]:99/d").host, "::1");
    assert_eq!(server("postgresql://u@[2001:db8::1]/d").port, 5432);
}

#[test]
fn sockets_are_folders_or_files() {
    let config = server("postgresql://u@/d?host=/run/postgresql");
    assert_eq!(config.socket.as_deref(), Some("/run/postgresql".as_ref()));
    let config = server("postgres://u:p@%2Frun%2Fpostgresql/d");
    assert_eq!(config.socket.as_deref(), Some("/run/postgresql".as_ref()));
    assert_eq!(config.tls.mode, TlsMode::Disable);
    let config = server("mariadb://u@localhost/d?socket=/run/mysqld/mysqld.sock");
    assert_eq!(config.socket.as_deref(), Some("/run/mysqld/mysqld.sock".as_ref()));
}

#[test]
fn the_certificate_is_checked_unless_the_server_is_this_machine_or_the_url_says_otherwise() {
    assert_eq!(server("postgresql://u@db/d").tls.mode, TlsMode::VerifyFull);
    assert_eq!(server("mariadb://u@10.0.0.7/d").tls.mode, TlsMode::VerifyFull);
    for local in ["localhost", "127.0.0.1", "127.1.2.3", "[::1]"] {
        assert_eq!(
            server(&format!("postgresql://u@{local}/d")).tls.mode,
            TlsMode::Prefer,
            "{local}"
        );
    }
    assert_eq!(server("postgresql://u@db/d?sslmode=disable").tls.mode, TlsMode::Disable);
    assert_eq!(
        server("mariadb://u@db/d?ssl-mode=VERIFY_IDENTITY").tls.mode,
        TlsMode::VerifyFull
    );
    assert_eq!(server("mariadb://u@db/d?ssl-mode=REQUIRED").tls.mode, TlsMode::Require);
    let with_authority = server("postgresql://u@db/d?sslmode=require&sslrootcert=/ca.pem");
    assert_eq!(with_authority.tls.mode, TlsMode::VerifyCa);
}

#[test]
fn a_file_is_named_with_or_without_a_leading_slash() {
    for (url, path) in [
        ("sqlite:///var/lib/wharf/index.db", "/var/lib/wharf/index.db"),
        ("sqlite://index.db", "index.db"),
        ("sqlite:with%20space.db", "with space.db"),
    ] {
        match Location::parse(url) {
            Ok(Location::Sqlite(config)) => assert_eq!(config.path.to_str(), Some(path)),
            other => panic!("{url}: {other:?}"),
        }
    }
}

#[test]
fn what_is_shown_and_what_is_refused_hides_the_password() {
    let config = server("postgresql://u:secret@db.example.com/d?application_name=x");
    assert_eq!(config.to_string(), "postgresql://u@db.example.com/d");
    assert!(!format!("{config:?}").contains("secret"));
    let location = Location::parse("mariadb://u:secret@[::1]:3307/d").unwrap();
    assert_eq!(location.to_string(), "mariadb://u@[::1]:3307/d");
    assert!(!format!("{location:?}").contains("secret"));
    for url in [
        "u:secret@db/d",
        "secret",
        "postgresql:u:secret@db/d",
        "postgresql://u:secret/more@db/d",
        "postgresql://u:secret?@db/d",
        "postgresql://u:se?secret@db/d",
        "postgresql://u:secret#@db/d",
        "postgresql://u:secret%zz@db/d",
        "postgresql://u:secret@db/d?password",
        "postgresql://:secret@db/d",
    ] {
        if let Err(error) = Location::parse(url) {
            let text = error.to_string();
            assert!(!text.contains("secret"), "{url}: {text}");
        }
    }
}

#[test]
fn refusals_say_which_part_is_wrong() {
    assert!(refusal("oracle://u@h/d").contains("not with \"oracle:\""));
    assert!(refusal("postgresql://h/d").contains("names no user"));
    assert!(refusal("postgresql://u@h").contains("names no database"));
    assert!(refusal("postgresql://u@h:0/d").contains("port"));
    assert!(
        refusal("postgresql://u:p/w@h/d").contains("%2F"),
        "a slash in a password"
    );
    assert!(refusal("postgresql://u@a,b/d").contains("several hosts"));
    assert!(refusal("postgresql://u@h/d?sslmode=allow").contains("known are disable"));
    assert!(refusal("postgresql://u@h/d?sslcert=/c.pem").contains("sslkey"));
    assert!(refusal("sqlite://").contains("names no file"));
    assert!(refusal("sqlite:///a?mode=ro").contains("no parameters"));
    assert_eq!(
        Location::parse("postgresql://u@h/d?sslmod=disable").unwrap_err(),
        LocationError::Parameter {
            name: "sslmod".to_owned(),
            known: super::PARAMETERS
        }
    );
}
