//! The real program: started, stopped, killed, started again.

mod backup;
mod bucket;
mod client;
mod databases;
mod gc;
mod index;
mod jobs;
mod management;
mod program;
mod replicas;
mod trash;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use client::{Client, Image, image};
use program::Folder;

/// Longer than anything may take; only a broken test waits for it.
const PATIENCE: std::time::Duration = std::time::Duration::from_secs(30);

/// Waits until a condition holds.
fn until(what: &str, condition: impl Fn() -> bool) {
    let began = std::time::Instant::now();
    while !condition() {
        assert!(began.elapsed() < PATIENCE, "never happened: {what}");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
}

#[test]
fn an_image_is_there_again_after_the_process_ended_in_order() {
    let folder = Folder::open();
    let image = image("a", 3);
    let program = folder.start();
    program.client().push("team/app", "v1", &image).unwrap();
    assert!(program.terminate().success());
    let program = folder.start();
    program.client().expect_whole("team/app", "v1", &image);
    assert!(program.terminate().success());
}

#[test]
fn a_push_that_is_under_way_is_finished_before_the_process_ends() {
    let folder = Folder::open();
    let program = folder.start();
    let client = program.client();
    let blob = client::content("late", 3_000_000);
    let start = client.send("POST", "/v2/a/blobs/uploads/", &[], b"").expect(202);
    let target = format!("{}?digest={}", start.location(), client::digest(&blob));
    let mut upload = client.begin("PUT", &target, blob.len());
    upload.send(&blob[..2_000_000]);
    // the process has read of it
    until("the first bytes arrive", || folder.upload_bytes() > 0);
    program.signal_term();
    until("it stops listening", || !program.client().is_reachable());
    upload.send(&blob[2_000_000..]);
    upload.finish().expect(201);
    assert!(program.wait().success());
    let program = folder.start();
    let target = format!("/v2/a/blobs/{}", client::digest(&blob));
    assert_eq!(program.client().send("GET", &target, &[], b"").expect(200).body, blob);
}

#[test]
fn whatever_was_acknowledged_before_kill_9_pulls_whole_after_it() {
    const WRITERS: usize = 4;
    let folder = Folder::open();
    let acknowledged: Arc<Mutex<Vec<(String, String, Image)>>> = Arc::default();
    for round in 0..5 {
        let program = folder.start();
        let (client, total) = (program.client(), Arc::new(AtomicUsize::new(0)));
        let writers: Vec<_> = (0..WRITERS)
            .map(|writer| {
                let (client, acknowledged, total) = (client.clone(), Arc::clone(&acknowledged), Arc::clone(&total));
                std::thread::spawn(move || {
                    for number in 0.. {
                        let image = image(&format!("{round} {writer} {number}"), 2);
                        let name = format!("team/r{}", number % 3);
                        let tag = format!("t{round}-{writer}-{number}");
                        if client.push(&name, &tag, &image).is_err() {
                            return;
                        }
                        acknowledged.lock().unwrap().push((name, tag, image));
                        total.fetch_add(1, Ordering::SeqCst);
                    }
                })
            })
            .collect();
        until("images arrive", || total.load(Ordering::SeqCst) >= 5 + 7 * round);
        program.kill();
        for writer in writers {
            writer.join().unwrap();
        }
    }
    let program = folder.start();
    let client = program.client();
    let acknowledged = acknowledged.lock().unwrap();
    assert!(acknowledged.len() > 50);
    for (name, tag, image) in acknowledged.iter() {
        client.expect_whole(name, tag, image);
    }
    // and nothing that is listed is broken
    for number in 0..3 {
        let name = format!("team/r{number}");
        let list = client
            .send("GET", &format!("/v2/{name}/tags/list"), &[], b"")
            .expect(200);
        for tag in list.json()["tags"].as_array().unwrap() {
            let target = format!("/v2/{name}/manifests/{}", tag.as_str().unwrap());
            let manifest = client.send("GET", &target, &[], b"").expect(200).json();
            for layer in manifest["layers"].as_array().unwrap() {
                let target = format!("/v2/{name}/blobs/{}", layer["digest"].as_str().unwrap());
                let blob = client.send("GET", &target, &[], b"").expect(200);
                assert_eq!(client::digest(&blob.body), layer["digest"].as_str().unwrap());
            }
        }
    }
}

#[test]
fn a_second_process_stands_by_and_takes_over() {
    let folder = Folder::open();
    let (one, two) = (image("one", 2), image("two", 2));
    let first = folder.start();
    first.client().push("a", "v1", &one).unwrap();
    let second = folder.start();
    let client = second.client();
    client.expect_whole("a", "v1", &one);
    assert_eq!(client.send("GET", "/readyz", &[], b"").status, 200);
    let refused = client.send("POST", "/v2/a/blobs/uploads/", &[], b"").expect(503);
    assert!(!refused.header("retry-after").is_empty());
    // what the first one does is seen by the second one at once
    first.client().push("a", "v1", &two).unwrap();
    client.expect_whole("a", "v1", &two);
    assert!(first.terminate().success());
    until("the second process takes over", || client.push("a", "v2", &one).is_ok());
    client.expect_whole("a", "v2", &one);
    client.expect_whole("a", "v1", &two);
    assert!(second.terminate().success());
}

#[test]
fn a_password_is_reset_while_the_registry_runs_and_while_it_does_not() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "first password")]);
    let client = program.client();
    let signs_in = |client: &Client, password: &str| {
        let basic = client::basic("admin", password);
        client.send("GET", "/v2/", &[("Authorization", &basic)], b"").status
    };
    assert_eq!(signs_in(&client, "first password"), 200);
    let reset = |password: &str| {
        let config = folder.config();
        folder.run_with_input(&["admin", "reset-password", "admin", "--config", &config], password)
    };
    let done = reset("second password\n");
    assert!(done.status.success(), "{done:?}");
    assert_eq!(signs_in(&client, "first password"), 401);
    assert_eq!(signs_in(&client, "second password"), 200);
    let short = reset("short\n");
    assert!(!short.status.success());
    assert!(String::from_utf8_lossy(&short.stderr).contains("at least"), "{short:?}");
    assert!(program.terminate().success());
    assert!(reset("third password\n").status.success());
    let program = folder.start();
    assert_eq!(signs_in(&program.client(), "second password"), 401);
    assert_eq!(signs_in(&program.client(), "third password"), 200);
    // none of the passwords is in the log
    let log = program.log();
    assert!(
        !log.contains("third password") && !log.contains("first password"),
        "{log}"
    );
}

#[test]
fn a_made_up_password_is_left_in_a_file_that_only_we_can_read() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::with_accounts();
    let program = folder.start();
    let file = folder.storage().join("wharf/admin-password");
    let password = std::fs::read_to_string(&file).unwrap();
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let log = program.log();
    assert!(log.contains("admin-password"), "{log}");
    assert!(!log.contains(password.trim()), "{log}");
    let basic = client::basic("admin", password.trim());
    let client = program.client();
    assert_eq!(
        client.send("GET", "/v2/", &[("Authorization", &basic)], b"").status,
        200
    );
    assert_eq!(client.send("GET", "/v2/", &[], b"").status, 401);
    assert_eq!(client.send("POST", "/v2/a/blobs/uploads/", &[], b"").status, 401);
}

#[test]
fn environment_variables_win_over_the_file() {
    let folder = Folder::open();
    let image = image("a", 1);
    let program = folder.start_with(&[("REGISTRY_STORAGE_DELETE_ENABLED", "false")]);
    program.client().push("a", "v1", &image).unwrap();
    let refused = program
        .client()
        .send("DELETE", "/v2/a/manifests/v1", &[], b"")
        .expect(405);
    assert_eq!(refused.json()["errors"][0]["code"], "UNSUPPORTED");
    assert!(program.terminate().success());
    let program = folder.start_with(&[("REGISTRY_STORAGE_MAINTENANCE_READONLY", "{enabled: true}")]);
    program.client().expect_whole("a", "v1", &image);
    assert_eq!(
        program.client().send("POST", "/v2/a/blobs/uploads/", &[], b"").status,
        405
    );
}

#[test]
fn a_mistake_in_the_configuration_is_shown_with_its_line_and_the_nearest_key() {
    let folder = Folder::new(
        "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: STORAGE\nhttp:\n  adress: 127.0.0.1:0\n",
    );
    let refused = folder.run(&["serve", &folder.config()]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains(":6:") || text.contains("line 6"), "{text}");
    assert!(text.contains("adress") && text.contains("addr"), "{text}");
    assert!(!folder.storage().exists(), "nothing was begun");
}

#[test]
fn a_missing_configuration_names_the_path_and_what_lies_beside_it() {
    let folder = Folder::open();
    let missing = folder.config().replace("config.yml", "missing.yml");
    let refused = folder.run(&["serve", &missing]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("missing.yml") && text.contains("config.yml"), "{text}");
}

#[test]
fn a_database_that_cannot_be_there_is_named() {
    let folder = Folder::open();
    let path = format!("{}/index.db", folder.config());
    folder.append(&format!("database:\n  path: {path}\n"));
    let refused = folder.run(&["serve", &folder.config()]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains("database.path") || text.contains("index.db"), "{text}");
}

#[test]
fn a_storage_folder_that_cannot_be_written_is_named() {
    let folder = Folder::open();
    std::fs::write(folder.storage(), "a file where the folder should be").unwrap();
    let refused = folder.run(&["serve", &folder.config()]);
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    let path = folder.storage();
    assert!(text.contains(path.to_str().unwrap()), "{text}");
}

#[test]
fn a_storage_folder_with_missing_rights_is_refused_at_start_and_nothing_is_touched() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::open();
    let program = folder.start();
    program.client().push("a", "v1", &image("a", 1)).unwrap();
    assert!(program.terminate().success());
    let index = std::fs::read(folder.storage().join("wharf/index.db")).unwrap();
    for (path, mode, what) in [
        ("docker/registry/v2/blobs/sha256", 0o555, "write"),
        ("docker/registry/v2/repositories", 0o000, "read"),
        ("wharf/index.db", 0o444, "write"),
        ("wharf", 0o555, "write"),
    ] {
        let place = folder.storage().join(path);
        let before = std::fs::metadata(&place).unwrap().permissions();
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(mode)).unwrap();
        for arguments in [["serve"].as_slice(), &["index", "status", "--config"]] {
            let refused = folder.run_by_nobody(&[arguments, &[&folder.config()]].concat());
            assert!(!refused.status.success());
            let text = String::from_utf8_lossy(&refused.stderr);
            let root = folder.storage().display().to_string();
            assert!(
                text.contains(&format!(
                    "{root} cannot be used: cannot {what} {path}: permission denied"
                )),
                "{text}"
            );
            assert!(text.contains("chown -R"), "{text}");
        }
        std::fs::set_permissions(&place, before).unwrap();
    }
    assert!(std::fs::read(folder.storage().join("wharf/index.db")).unwrap() == index);
    let served = folder.run_by_nobody(&["index", "status", "--config", &folder.config()]);
    assert!(served.status.success(), "{}", String::from_utf8_lossy(&served.stderr));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let folder = Folder::open();
    let refused = folder.run_with(&["serve", &folder.config()], &[("REGISTRY_HTTP_ADDR", &address)], "");
    assert!(!refused.status.success());
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(text.contains(&address), "{text}");
}

#[test]
fn the_wrong_volume_is_not_served_until_somebody_accepts_the_loss() {
    let folder = Folder::open();
    folder.append(&format!(
        "database:\n  path: {}\n",
        folder.path("index/index.db").display()
    ));
    let image = image("a", 1);
    let program = folder.start();
    program.client().push("a", "v1", &image).unwrap();
    assert!(program.terminate().success());
    std::fs::rename(folder.storage(), folder.path("right")).unwrap();
    let program = folder.start();
    let client = program.client();
    assert_eq!(client.send("GET", "/livez", &[], b"").status, 200);
    let ready = client.send("GET", "/readyz", &[], b"");
    assert_eq!(ready.status, 503);
    let refused = client.send("GET", "/v2/a/manifests/v1", &[], b"").expect(503);
    let text = String::from_utf8_lossy(&refused.body).into_owned();
    assert!(
        text.contains("accept-storage") || program.log().contains("accept-storage"),
        "{text}"
    );
    assert!(program.terminate().success());
    // on the right folder nothing has happened
    drop(std::fs::remove_dir_all(folder.storage()));
    std::fs::rename(folder.path("right"), folder.storage()).unwrap();
    let program = folder.start();
    program.client().expect_whole("a", "v1", &image);
    assert!(program.terminate().success());
    std::fs::rename(folder.storage(), folder.path("lost")).unwrap();
    let accepted = folder.run(&["index", "accept-storage", &folder.config()]);
    assert!(accepted.status.success(), "{accepted:?}");
    let program = folder.start();
    program.client().push("a", "v2", &image).unwrap();
    assert_eq!(program.client().send("GET", "/v2/a/manifests/v1", &[], b"").status, 404);
}
