//! The index on a database server: also one that comes late, goes away and comes back.

use super::client::image;
use super::program::Folder;
use super::until;
use crate::databases::{Kind, PASSWORD, Server, is_wanted};

/// Each test on each server that is to be tested on.
fn on_each_server(test: fn(Kind)) {
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        if is_wanted(kind.name()) {
            test(kind);
        }
    }
}

fn free_address() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn images_are_there_again_after_a_clean_end_and_after_a_kill() {
    on_each_server(|kind| {
        let (folder, database) = (Folder::open(), kind.database());
        let url = database.url();
        let env = [("WHARF_DATABASE_URL", url.as_str())];
        let (one, two) = (image("one", 2), image("two", 2));
        let program = folder.start_with(&env);
        program.client().push("team/app", "v1", &one).unwrap();
        assert!(program.terminate().success());
        let program = folder.start_with(&env);
        program.client().expect_whole("team/app", "v1", &one);
        program.client().push("team/app", "v2", &two).unwrap();
        program.kill();
        let program = folder.start_with(&env);
        program.client().expect_whole("team/app", "v1", &one);
        program.client().expect_whole("team/app", "v2", &two);
        assert!(!folder.storage().join("wharf/index.db").exists(), "no second index");
        let log = program.log();
        assert!(!log.contains(PASSWORD) && !log.contains("p%40ss"), "{log}");
        assert!(program.terminate().success());
    });
}

#[test]
fn a_second_process_on_the_database_stands_by_and_takes_over() {
    on_each_server(|kind| {
        let (folder, database) = (Folder::open(), kind.database());
        folder.append(&format!("database:\n  url: {}\n", database.url()));
        let (one, two) = (image("one", 2), image("two", 2));
        let first = folder.start();
        first.client().push("a", "v1", &one).unwrap();
        let second = folder.start();
        let client = second.client();
        client.expect_whole("a", "v1", &one);
        let refused = client.send("POST", "/v2/a/blobs/uploads/", &[], b"").expect(503);
        assert!(!refused.header("retry-after").is_empty());
        first.client().push("a", "v1", &two).unwrap();
        client.expect_whole("a", "v1", &two);
        first.kill();
        until("the second process takes over", || client.push("a", "v2", &one).is_ok());
        client.expect_whole("a", "v1", &two);
        assert!(second.terminate().success());
    });
}

#[test]
fn a_database_that_is_not_up_yet_is_waited_for_and_one_that_goes_away_comes_back() {
    on_each_server(|kind| {
        let (folder, mut server, address) = (Folder::open(), Server::start(kind), free_address());
        let url = server.tcp_url(&server.create_database());
        server.kill();
        let program = folder.start_on(&address, &[("WHARF_DATABASE_URL", &url)]);
        let client = program.client();
        let status = |path: &str| client.try_send("GET", path, &[], b"").map_or(0, |answer| answer.status);
        until("it waits", || status("/livez") == 200);
        assert_eq!(status("/readyz"), 503);
        let refused = client.send("GET", "/v2/", &[], b"").expect(503);
        assert!(!refused.header("retry-after").is_empty());
        assert!(program.log().contains("waiting for the database"), "{}", program.log());

        server.start_again();
        until("it is ready", || status("/readyz") == 200);
        let (one, two) = (image("one", 2), image("two", 2));
        client.push("a", "v1", &one).unwrap();

        server.kill();
        let refused = client.send("POST", "/v2/a/blobs/uploads/", &[], b"").expect(503);
        assert!(!refused.header("retry-after").is_empty());
        until("it is not ready", || status("/readyz") == 503);
        assert_eq!(status("/livez"), 200);

        server.start_again();
        client.push("a", "v2", &two).unwrap();
        until("it is ready again", || status("/readyz") == 200);
        client.expect_whole("a", "v1", &one);
        client.expect_whole("a", "v2", &two);
        assert!(program.terminate().success());
    });
}

#[test]
fn it_stops_when_it_is_told_to_while_it_waits() {
    let folder = Folder::open();
    let (address, nobody) = (free_address(), free_address());
    let url = format!("postgresql://wharf:{PASSWORD_IN_URL}@{nobody}/wharf");
    let program = folder.start_on(&address, &[("WHARF_DATABASE_URL", &url)]);
    until("it waits", || program.client().is_reachable());
    assert!(program.terminate().success());
}

const PASSWORD_IN_URL: &str = "hidden-password";

#[test]
fn what_waiting_does_not_mend_ends_at_once_and_says_what_to_do() {
    on_each_server(|kind| {
        let (folder, database) = (Folder::open(), kind.database());
        let right = database.tcp_url();
        let wrong_password = right.replace("p%40ss%2Fword", PASSWORD_IN_URL);
        let wrong_database = right.replace(database.name(), "nowhere");
        for (url, hint) in [
            (wrong_password.as_str(), "check user and password"),
            (wrong_database.as_str(), "database"),
            ("oracle://u:hidden-password@h/d", "postgresql://"),
            ("postgresql://u:hidden-password@h/", "names no database"),
        ] {
            let refused = folder.run_with(&["serve", &folder.config()], &[("WHARF_DATABASE_URL", url)], "");
            assert!(!refused.status.success());
            let text = String::from_utf8_lossy(&refused.stderr);
            assert!(text.contains(hint), "{text}");
            assert!(!text.contains(PASSWORD_IN_URL) && !text.contains("p%40ss"), "{text}");
        }
        database.sql("create table theirs (id int)");
        let refused = folder.run_with(&["serve", &folder.config()], &[("WHARF_DATABASE_URL", &right)], "");
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(
            text.contains("not an index of wharf") && text.contains("theirs"),
            "{text}"
        );
    });
}

#[test]
fn a_url_may_lie_in_a_file_and_only_one_place_may_be_named() {
    let folder = Folder::open();
    let file = folder.path("url");
    std::fs::write(&file, "sqlite:///somewhere\n").unwrap();
    let env = [("WHARF_DATABASE_URL_FILE", file.to_str().unwrap())];
    let refused = folder.run_with(&["serve", &folder.config()], &env, "");
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("set database.path"), "{text}");
    let both = [env[0], ("WHARF_DATABASE_PATH", "/index.db")];
    let refused = folder.run_with(&["config", "check", &folder.config()], &both, "");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned() + &String::from_utf8_lossy(&refused.stdout);
    assert!(text.contains("only one of `path`, `url` and `url_file`"), "{text}");
}

#[test]
fn two_registries_with_different_images_do_not_share_a_database() {
    on_each_server(|kind| {
        let (folder, other, database) = (Folder::open(), Folder::open(), kind.database());
        let url = database.url();
        let env = [("WHARF_DATABASE_URL", url.as_str())];
        let program = folder.start_with(&env);
        let one = image("one", 1);
        program.client().push("a", "v1", &one).unwrap();
        let refused = other.run_with(&["serve", &other.config()], &env, "");
        assert!(!refused.status.success());
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(text.contains("another registry"), "{text}");
        // and the first one works on
        program.client().push("a", "v2", &one).unwrap();
        assert!(program.terminate().success());
    });
}

#[test]
fn a_user_who_may_not_make_tables_is_told_what_is_missing_and_nothing_is_made() {
    on_each_server(|kind| {
        let (folder, database) = (Folder::open(), kind.database());
        let (name, url) = (database.name(), database.tcp_url());
        let (advice, revoke) = match kind {
            Kind::Postgresql => (
                "the user must own the database",
                format!(
                    "alter database {name} owner to postgres; alter schema public owner to postgres; \
                 revoke create on schema public from public"
                ),
            ),
            Kind::Mariadb => (
                "grant the user all privileges",
                format!("revoke create on {name}.* from wharf@'%'; flush privileges"),
            ),
        };
        database.sql(&revoke);
        let refused = folder.run_with(&["serve", &folder.config()], &[("WHARF_DATABASE_URL", &url)], "");
        assert!(!refused.status.success());
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(text.contains(advice), "{text}");
        assert!(!text.contains(PASSWORD) && !text.contains("p%40ss"), "{text}");
        let tables = database.sql(
            "select table_name from information_schema.tables where table_schema in ('public', database_name())"
                .replace("database_name()", &format!("'{name}'"))
                .as_str(),
        );
        assert_eq!(tables.trim(), "");
        assert!(!folder.storage().join("docker").exists(), "nothing was begun");
    });
}

#[test]
fn an_index_of_a_later_version_is_refused_and_nothing_is_changed() {
    on_each_server(|kind| {
        let (folder, database) = (Folder::open(), kind.database());
        let url = database.url();
        let env = [("WHARF_DATABASE_URL", url.as_str())];
        let program = folder.start_with(&env);
        program.client().push("a", "v1", &image("a", 1)).unwrap();
        assert!(program.terminate().success());
        database.sql(
            "insert into schema_steps (step, name, checksum, applied_by, needs) values (99, 'later', '', '9.0.0', 99)",
        );
        let content = || database.sql("select * from counters order by name; select * from settings order by name");
        let before = content();
        let refused = folder.run_with(&["serve", &folder.config()], &env, "");
        assert!(!refused.status.success());
        let text = String::from_utf8_lossy(&refused.stderr);
        assert!(
            text.contains("of wharf 9.0.0") && text.contains("start the newer version"),
            "{text}"
        );
        assert_eq!(content(), before);
    });
}
