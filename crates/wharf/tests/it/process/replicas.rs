//! Several processes on one database and one storage: any of them takes any request, and any of them
//! may go at any moment.

use std::collections::HashMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::client::{self, Answer, Client, Image, image};
use super::program::{Folder, Program};
use super::until;
use crate::databases::{Database, Kind, is_wanted};

/// A storage and a database that any number of processes share.
struct Shared {
    folder: Folder,
    url: String,
    _database: Database,
}

impl Shared {
    fn on(kind: Kind) -> Self {
        let database = kind.database();
        Self {
            folder: Folder::open(),
            url: database.url(),
            _database: database,
        }
    }

    fn start(&self) -> Program {
        // a folder counts as a bucket: processes of tests share its machine
        self.folder
            .start_with(&[("WHARF_DATABASE_URL", &self.url), ("WHARF_TEST_SHARED_STORAGE", "1")])
    }

    /// What the link of a tag says.
    fn link(&self, name: &str, tag: &str) -> Option<String> {
        let path = format!("docker/registry/v2/repositories/{name}/_manifests/tags/{tag}/current/link");
        std::fs::read_to_string(self.folder.storage().join(path)).ok()
    }
}

/// Each test on each server that is to be tested on.
fn on_each_server(test: impl Fn(Shared)) {
    for kind in [Kind::Postgresql, Kind::Mariadb] {
        if is_wanted(kind.name()) {
            test(Shared::on(kind));
        }
    }
}

/// A request, sent again as docker does while the answer is one that says to come again, or none.
fn persist(clients: &Mutex<Vec<Client>>, send: impl Fn(&Client) -> std::io::Result<Answer>) -> Answer {
    let mut last = String::new();
    for attempt in 0..400 {
        let client = {
            let clients = clients.lock().unwrap();
            clients[attempt % clients.len()].clone()
        };
        match send(&client) {
            Ok(answer) if answer.status < 500 => return answer,
            Ok(answer) => {
                assert!(!answer.header("retry-after").is_empty(), "{answer:?}");
                last = format!("{answer:?} {}", String::from_utf8_lossy(&answer.body));
            }
            Err(error) => last = error.to_string(),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    panic!("it never succeeded: {last}");
}

#[test]
fn two_processes_that_start_together_on_nothing_both_serve_and_write() {
    on_each_server(|shared| {
        let (a, b) = std::thread::scope(|scope| {
            let other = scope.spawn(|| shared.start());
            (shared.start(), other.join().unwrap())
        });
        let (one, two) = (image("one", 2), image("two", 2));
        for (first, second) in [(&a, &b), (&b, &a)] {
            first.client().push("team/app", "latest", &one).unwrap();
            second.client().expect_whole("team/app", "latest", &one);
            second.client().push("team/app", "latest", &two).unwrap();
            first.client().expect_whole("team/app", "latest", &two);
            let gone = second
                .client()
                .send("DELETE", "/v2/team/app/manifests/latest", &[], b"");
            gone.expect(202);
            first
                .client()
                .send("GET", "/v2/team/app/manifests/latest", &[], b"")
                .expect(404);
        }
        assert!(a.terminate().success());
        b.client().push("team/app", "after", &one).unwrap();
        assert!(b.terminate().success());
        // and one that comes alone finds everything
        let c = shared.start();
        c.client().expect_whole("team/app", "after", &one);
        assert!(c.terminate().success());
    });
}

#[test]
fn an_upload_whose_process_was_killed_goes_on_at_another_one() {
    on_each_server(|shared| {
        let (a, b) = (shared.start(), shared.start());
        let blob = client::content("upload", 1_500_000);
        let location = a
            .client()
            .send("POST", "/v2/a/blobs/uploads/", &[], b"")
            .expect(202)
            .location();
        let mut offset = 0;
        let mut chunks = blob.chunks(333_333);
        for client in [a.client(), b.client(), a.client()] {
            let chunk = chunks.next().unwrap();
            let range = format!("{offset}-{}", offset + chunk.len() - 1);
            client
                .send("PATCH", &location, &[("Content-Range", &range)], chunk)
                .expect(202);
            offset += chunk.len();
        }
        // A has part of the next chunk and dies
        let chunk = chunks.next().unwrap();
        let mut cut = a.client().begin("PATCH", &location, chunk.len());
        cut.send(&chunk[..200_000]);
        a.kill();
        let status = b.client().send("GET", &location, &[], b"").expect(204);
        assert_eq!(
            status.header("range"),
            format!("0-{}", offset - 1),
            "what was acknowledged"
        );
        let target = format!("{location}?digest={}", client::digest(&blob));
        b.client().send("PUT", &target, &[], &blob[offset..]).expect(201);
        let target = format!("/v2/a/blobs/{}", client::digest(&blob));
        assert!(b.client().send("GET", &target, &[], b"").expect(200).body == blob);
        assert!(b.terminate().success());
    });
}

#[test]
fn moves_deletes_and_pushes_of_ten_tags_and_a_kill_leave_index_and_storage_equal() {
    // WHARF_TEST_MOVES=1700 makes 10,000 of them
    let each = std::env::var("WHARF_TEST_MOVES").map_or(50, |each| each.parse().unwrap());
    on_each_server(|shared| {
        let (a, b) = (shared.start(), shared.start());
        let images: Vec<Image> = (0..4).map(|number| image(&number.to_string(), 1)).collect();
        for (number, image) in images.iter().enumerate() {
            a.client().push("r", &format!("keep{number}"), image).unwrap();
        }
        let done = AtomicUsize::new(0);
        std::thread::scope(|scope| {
            for worker in 0..6 {
                let (client, images, done) = (if worker % 2 == 0 { a.client() } else { b.client() }, &images, &done);
                scope.spawn(move || {
                    for step in 0..each {
                        let number = worker * 7919 + step * 104_729;
                        let tag = format!("t{}", number % 10);
                        let target = format!("/v2/r/manifests/{tag}");
                        // one of them is killed under way
                        if number % 5 == 0 {
                            drop(client.try_send("DELETE", &target, &[], b""));
                        } else {
                            drop(client.push_manifest("r", &tag, &images[number % 4]));
                        }
                        done.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            while done.load(Ordering::SeqCst) < 3 * each {
                std::thread::sleep(Duration::from_millis(5));
            }
            a.kill();
        });
        let client = b.client();
        let is_equal = |number: &usize| {
            let tag = format!("t{number}");
            let got = client.send("GET", &format!("/v2/r/manifests/{tag}"), &[], b"");
            let indexed = (got.status == 200).then(|| got.header("docker-content-digest").to_owned());
            shared.link("r", &tag) == indexed
        };
        // what the killed one had begun is finished by the other one, once its claims have lapsed
        until("index and storage are equal", || (0..10).filter(is_equal).count() == 10);
        assert!(b.terminate().success());
    });
}

#[test]
fn clients_that_try_again_notice_nothing_of_a_rolling_restart() {
    on_each_server(|shared| {
        let (a, b) = (shared.start(), shared.start());
        let clients = Mutex::new(vec![a.client(), b.client()]);
        let (is_over, pushes) = (AtomicBool::new(false), AtomicUsize::new(0));
        let acknowledged: Mutex<HashMap<String, Image>> = Mutex::default();
        std::thread::scope(|scope| {
            for worker in 0..3 {
                let (clients, is_over, pushes, acknowledged) = (&clients, &is_over, &pushes, &acknowledged);
                scope.spawn(move || {
                    for number in 0.. {
                        if is_over.load(Ordering::SeqCst) {
                            return;
                        }
                        let (tag, image) = (format!("t{worker}-{number}"), image(&format!("{worker} {number}"), 1));
                        for blob in &image.blobs {
                            // from the beginning whenever the session has gone
                            until("a blob is pushed", || {
                                let start = persist(clients, |client| {
                                    client.try_send("POST", "/v2/r/blobs/uploads/", &[], b"")
                                });
                                let target =
                                    format!("{}?digest={}", start.expect(202).location(), client::digest(blob));
                                let put = persist(clients, |client| client.try_send("PUT", &target, &[], blob));
                                put.status == 201
                            });
                        }
                        let put = persist(clients, |client| client.push_manifest("r", &tag, &image));
                        put.expect(201);
                        let target = format!("/v2/r/manifests/{tag}");
                        let got = persist(clients, |client| client.try_send("GET", &target, &[], b""));
                        assert_eq!(got.expect(200).body, image.manifest());
                        acknowledged.lock().unwrap().insert(tag, image);
                        pushes.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let mut running = vec![a, b];
            for round in 0..3 {
                let before = pushes.load(Ordering::SeqCst);
                until("images are pushed", || pushes.load(Ordering::SeqCst) > before + 3);
                // the new one comes before the old one goes
                let next = shared.start();
                let old = running.remove(0);
                running.push(next);
                *clients.lock().unwrap() = running.iter().map(Program::client).collect();
                match round {
                    1 => old.kill(),
                    _ => assert!(old.terminate().success()),
                }
            }
            is_over.store(true, Ordering::SeqCst);
            for program in &running {
                let acknowledged = acknowledged.lock().unwrap().clone();
                for (tag, image) in acknowledged {
                    program.client().expect_whole("r", &tag, &image);
                }
            }
            running
        });
    });
}

#[test]
fn what_one_process_deletes_another_one_pushes_again() {
    on_each_server(|shared| {
        let (a, b) = (shared.start(), shared.start());
        let image = image("again", 2);
        for round in 0..15 {
            a.client().push("r", "v1", &image).unwrap();
            std::thread::scope(|scope| {
                let target = format!("/v2/r/manifests/{}", image.digest());
                let client = a.client();
                let deleting = scope.spawn(move || client.send("DELETE", &target, &[], b"").status);
                let pushing = scope.spawn(|| b.client().push("r", "v1", &image));
                assert!([202, 404].contains(&deleting.join().unwrap()));
                pushing.join().unwrap().unwrap();
            });
            b.client().push("r", "v1", &image).unwrap();
            b.client().expect_whole("r", "v1", &image);
            assert_eq!(shared.link("r", "v1"), Some(image.digest()), "round {round}");
        }
    });
}
