use std::sync::mpsc;

use super::*;
use crate::test_tools::random;

#[test]
fn an_argon2id_hash_has_the_recommended_parameters_and_matches_its_password_only() {
    let hash = hash_argon2id(b"correct horse", &random()).unwrap();
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
    assert!(verify(b"correct horse", &hash));
    assert!(!verify(b"correct horsf", &hash));
    assert!(!verify(b"", &hash));
}

#[test]
fn equal_passwords_have_different_hashes() {
    let random = random();
    assert_ne!(hash_argon2id(b"pw", &random), hash_argon2id(b"pw", &random));
    assert_ne!(hash_bcrypt(b"pw", 4, &random), hash_bcrypt(b"pw", 4, &random));
}

#[test]
fn bcrypt_of_every_writer_is_read() {
    // Of `htpasswd -nbB -C 5 x secret`; the three prefixes mean the same.
    let of_apache = "$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6";
    for prefix in ["$2y$", "$2a$", "$2b$"] {
        let hash = of_apache.replace("$2y$", prefix);
        assert!(verify(b"secret", &hash), "{hash}");
        assert!(!verify(b"Secret", &hash), "{hash}");
    }
    assert!(!verify(b"secret", &of_apache.replace("$2y$", "$2x$")));
}

#[test]
fn bcrypt_refuses_what_it_would_cut_off_but_verifies_as_apache_does() {
    let (long, random) = ([b'x'; 80], random());
    let hash = hash_bcrypt(&long[..72], 4, &random).unwrap();
    assert!(hash.starts_with("$2y$04$"));
    assert!(verify(&long, &hash), "72 bytes count");
    assert!(!verify(&long[..71], &hash));
    assert_eq!(
        hash_bcrypt(&long[..73], 4, &random),
        Err(PasswordError::TooLongForBcrypt(73))
    );
    assert_eq!(hash_bcrypt(b"", 4, &random), Err(PasswordError::Empty));
    assert_eq!(hash_bcrypt(b"a\0b", 4, &random), Err(PasswordError::ZeroByte));
    assert_eq!(hash_bcrypt(b"a", 3, &random), Err(PasswordError::Cost(3)));
}

#[test]
fn other_and_broken_hashes_match_nothing() {
    for hash in [
        "",
        "secret",
        "$apr1$x$y",
        "{SHA}abc",
        "$2y$05$short",
        "$argon2id$v=19$",
        "$2y$ü",
    ] {
        assert!(!verify(b"secret", hash), "{hash}");
    }
    assert!(
        PasswordHash::new(NOBODY).is_ok(),
        "a check of nobody must cost what a real one does"
    );
    assert_eq!(bcrypt_cost(&bcrypt_of_nobody(7)), Some(7));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_full_queue_says_so_and_recovers() {
    let queue = PasswordQueue::new(1, 1);
    let (started, has_started) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let mut running = Box::pin(queue.run(move || {
        started.send(()).unwrap();
        released.recv().unwrap();
    }));
    assert!(futures_poll(&mut running).is_none());
    task::spawn_blocking(move || has_started.recv().unwrap()).await.unwrap();

    let patient = queue.clone();
    let mut waiting = Box::pin(async move { patient.run(|| 7).await });
    assert!(futures_poll(&mut waiting).is_none(), "one may wait");
    assert_eq!(queue.run(|| ()).await, Err(QueueError::Full));

    release.send(()).unwrap();
    running.await.unwrap();
    assert_eq!(waiting.await, Ok(7));
    assert_eq!(queue.run(|| 8).await, Ok(8));
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    match std::pin::Pin::new(future).poll(&mut context) {
        std::task::Poll::Ready(value) => Some(value),
        std::task::Poll::Pending => None,
    }
}

#[tokio::test]
async fn one_that_gave_up_waiting_leaves_its_place() {
    let queue = PasswordQueue::new(1, 1);
    let permit = Arc::clone(&queue.running).acquire_owned().await.unwrap();
    let mut waiting = Box::pin(queue.run(|| ()));
    assert!(futures_poll(&mut waiting).is_none());
    drop(waiting);
    drop(permit);
    assert_eq!(queue.run(|| 1).await, Ok(1));
    assert_eq!(queue.waiting.load(Ordering::Acquire), 0);
}
