//! What only an index on a server has: a server that refuses, goes away and comes back.

use wharf_metadata::error::Kind;
use wharf_metadata::{Error, Location, Metadata, Timestamp, settings};

use super::ENGINE;
use crate::databases::{self, Server};
use crate::fixture::{Engine, Fixture};

fn kind() -> Option<databases::Kind> {
    match ENGINE {
        Engine::Server(kind) if databases::is_wanted(kind.name()) => Some(kind),
        _ => None,
    }
}

#[expect(clippy::unwrap_used, reason = "a URL of a test that is none must fail it")]
fn open(url: &str) -> Result<Metadata, Error> {
    Metadata::open(Location::parse(url).unwrap())
}

#[test]
fn an_index_is_reached_through_the_network_as_through_the_socket() {
    let Some(kind) = kind() else { return };
    let database = kind.database();
    let through_socket = open(&database.url()).unwrap();
    through_socket.write_blocking(|tx| settings::set(tx, "a", b"1")).unwrap();
    let through_network = open(&database.tcp_url()).unwrap();
    let seen = through_network.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(seen.as_deref(), Some("1"));
    let shown = format!("{through_network:?}");
    assert!(!shown.contains(databases::PASSWORD) && !shown.contains("p%40ss"), "{shown}");
}

#[test]
fn refusals_tell_a_person_what_to_do_and_hide_the_password() {
    let Some(kind) = kind() else { return };
    let database = kind.database();
    let right = database.tcp_url();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let closed = nobody.local_addr().unwrap().port();
    drop(nobody);
    let port = kind.server().port;
    for (url, expected, hint) in [
        (right.replace("p%40ss", "wrong"), Kind::Denied, "check user and password"),
        (right.replace(database.name(), "nowhere"), Kind::Denied, "nowhere"),
        (right.replace(&port.to_string(), &closed.to_string()), Kind::Unavailable, "refused"),
        (right.clone() + "?sslmode=verify-full", Kind::Denied, "sslmode=disable"),
    ] {
        let error = open(&url).unwrap_err();
        assert_eq!(error.kind(), expected, "{error}");
        let text = error.to_string();
        assert!(text.contains(hint), "{text}");
        assert!(!text.contains("wrong") && !text.contains(databases::PASSWORD), "{text}");
    }
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let Some(kind) = kind() else { return };
    let database = kind.database();
    database.sql("create table theirs (id int)");
    let error = open(&database.url()).unwrap_err();
    assert_eq!(error.kind(), Kind::Corrupt);
    assert!(error.to_string().contains("theirs"), "{error}");
    let tables = "select count(*) from information_schema.tables where table_schema in ('public', ";
    assert_eq!(database.sql(&format!("{tables}'{}')", database.name())).trim(), "1");
}

#[test]
fn standing_by_an_empty_database_waits_for_its_owner() {
    let Some(kind) = kind() else { return };
    let database = kind.database();
    let Location::Server(config) = Location::parse(&database.url()).unwrap() else {
        panic!("a server's URL");
    };
    let error = Metadata::open_server(config.standby()).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
}

#[test]
fn several_that_start_at_once_on_an_empty_database_migrate_it_once() {
    let Some(kind) = kind() else { return };
    let database = kind.database();
    let url = database.url();
    std::thread::scope(|scope| {
        let starts: Vec<_> = (0..4).map(|_| scope.spawn(|| open(&url).map(drop))).collect();
        for start in starts {
            start.join().unwrap().unwrap();
        }
    });
    let steps = database.sql("select count(*) from schema_steps");
    let distinct = database.sql("select count(distinct step) from schema_steps");
    assert_eq!(steps, distinct);
    open(&url).unwrap().write_blocking(|tx| settings::set(tx, "a", b"1")).unwrap();
}

#[test]
fn a_server_that_goes_away_is_reached_again_when_it_is_back() {
    let Some(kind) = kind() else { return };
    let mut server = Server::start(kind);
    let metadata = open(&server.url(&server.create_database())).unwrap();
    let set = |value: &'static [u8]| metadata.write_blocking(move |tx| settings::set(tx, "a", value));
    set(b"1").unwrap();
    server.kill();
    let error = set(b"2").unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    let error = metadata.read_blocking(|tx| settings::get(tx, "a")).unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable, "{error}");
    server.start_again();
    let seen = metadata.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(seen.as_deref(), Some("1"), "what was not acknowledged was not made");
    set(b"3").unwrap();
    // its connections are all dead now, although nobody has noticed
    server.kill();
    server.start_again();
    set(b"4").unwrap();
    assert_eq!(
        metadata.read_blocking(|tx| settings::get_text(tx, "a")).unwrap().as_deref(),
        Some("4")
    );
}

/// The connection is cut while the job is under way: it runs again on another one.
#[test]
fn a_job_whose_connection_is_cut_runs_again_from_its_beginning() {
    let Some(kind) = kind() else { return };
    let fixture = Fixture::on(ENGINE);
    let mut runs = 0;
    let database = fixture.database().name().to_owned();
    let server = kind.server();
    let answer = fixture.metadata.write_blocking(move |tx| {
        runs += 1;
        settings::set(tx, "runs", runs.to_string().as_bytes())?;
        if runs == 1 {
            server.cut_connections(&database);
        }
        settings::get_text(tx, "runs")
    });
    assert_eq!(answer.unwrap().as_deref(), Some("2"));
    let kept = fixture.read(|tx| settings::get_text(tx, "runs"));
    assert_eq!(kept.as_deref(), Some("2"));
}

#[test]
fn a_commit_that_is_cut_off_is_not_answered_as_done() {
    let Some(kind) = kind() else { return };
    let fixture = Fixture::on(ENGINE);
    let database = fixture.database().name().to_owned();
    let server = kind.server();
    let error = fixture
        .metadata
        .write_blocking(move |tx| {
            settings::set(tx, "a", b"1")?;
            // nothing is asked any more before the commit
            server.cut_connections(&database);
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Unavailable);
    assert!(error.to_string().contains("whether the change was made is unknown"), "{error}");
    assert!(fixture.metadata.doubts().are_open());
    assert_eq!(fixture.read(|tx| settings::get(tx, "a")), None);
}

#[test]
fn a_failed_statement_that_a_job_passes_over_undoes_the_job() {
    let Some(_) = kind() else { return };
    let fixture = Fixture::on(ENGINE);
    let user = |tx: &mut wharf_metadata::Tx<'_>| {
        let new = wharf_metadata::users::NewUser {
            name: "alice",
            password_hash: "hash",
            is_admin: false,
            must_change: false,
        };
        wharf_metadata::users::create(tx, new, Timestamp(1))
    };
    fixture.write(user);
    let error = fixture
        .metadata
        .write_blocking(move |tx| {
            settings::set(tx, "a", b"1")?;
            drop(user(tx));
            Ok::<_, Error>(())
        })
        .unwrap_err();
    assert_eq!(error.kind(), Kind::Other, "{error}");
    assert_eq!(fixture.read(|tx| settings::get(tx, "a")), None);
}

#[test]
fn values_with_special_characters_come_back_as_they_went_in() {
    let fixture = Fixture::on(ENGINE);
    let value = "a ' \" \\ ? $1 % \u{1f433} \n\u{e9}".to_owned();
    let line = wharf_metadata::audit_log::Line {
        id: 0,
        at: Timestamp(i64::MAX),
        actor: value.clone(),
        action: "test".to_owned(),
        subject: value.clone(),
        detail: value.repeat(10_000),
        address: String::new(),
        result: "ok".to_owned(),
    };
    let written = line.clone();
    fixture.write(move |tx| wharf_metadata::audit_log::append(tx, &written));
    let found = fixture.read(|tx| wharf_metadata::audit_log::page(tx, None, 1)).remove(0);
    assert_eq!(found, wharf_metadata::audit_log::Line { id: found.id, ..line });
    let bytes: Vec<u8> = (0..=255).collect();
    let stored = bytes.clone();
    fixture.write(move |tx| settings::set(tx, "bytes", &stored));
    assert_eq!(fixture.read(|tx| settings::get(tx, "bytes")), Some(bytes));
}
