//! What a signed-in request pays before it does anything: the way of a remembered credential.

#![expect(clippy::unwrap_used, reason = "a bench that cannot start must stop")]

use std::{
    future::Future,
    net::{IpAddr, Ipv4Addr},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering},
    },
    task::{Context, Poll, Waker},
};

use divan::{Bencher, black_box};
use wharf_auth::{Authenticator, Authorization, Config, Limits, PasswordQueue, Random, Tools};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn main() {
    divan::main();
}

fn random() -> Random {
    let next = AtomicU8::new(1);
    Arc::new(move |bytes: &mut [u8]| bytes.fill_with(|| next.fetch_add(7, Ordering::Relaxed)))
}

fn tools() -> Tools {
    Tools {
        #[expect(
            clippy::disallowed_methods,
            reason = "the clock of the program is part of what is measured"
        )]
        clock: Arc::new(jiff::Timestamp::now),
        random: random(),
        passwords: PasswordQueue::new(1, 10),
        limits: Limits::default(),
        remembered: 10_000,
        observe: Arc::new(|_| ()),
    }
}

/// Polls once: a remembered credential never waits.
fn at_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    match future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => Some(output),
        Poll::Pending => None,
    }
}

/// A runtime, and an authenticator of an htpasswd file that has seen `header` before.
fn seen(header: &str) -> Authenticator {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("htpasswd");
    // The password is `secret`.
    let line = "alice:$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6\n";
    std::fs::write(&path, line).unwrap();
    let realm = "r".to_owned();
    let (authenticator, _) = Authenticator::new(Config::Htpasswd { realm, path }, tools()).unwrap();
    let authorization = Authorization::new(header.as_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime
        .block_on(authenticator.authenticate(Some(authorization), HERE))
        .unwrap();
    // The folder may go: what was read stays in use.
    authenticator
}

const BASIC: &str = "Basic YWxpY2U6c2VjcmV0";

#[divan::bench]
fn nobody(bencher: Bencher) {
    let (authenticator, _) = Authenticator::new(Config::Open, tools()).unwrap();
    bencher.bench(|| at_once(authenticator.authenticate(black_box(None), HERE)));
}

#[divan::bench(threads = [1, 2])]
fn remembered_basic(bencher: Bencher) {
    let authenticator = seen(BASIC);
    bencher.bench(|| {
        let authorization = Authorization::new(black_box(BASIC).as_bytes());
        at_once(authenticator.authenticate(Some(authorization), HERE))
            .unwrap()
            .unwrap()
    });
}

/// The keyed hash of a header as long as a bearer token.
#[divan::bench]
fn fingerprint_of_700_bytes(bencher: Bencher) {
    let remembered = wharf_auth::remembered::Remembered::new(10, &random());
    let header = format!("Bearer {}", "x".repeat(700));
    bencher.bench(|| remembered.fingerprint(Authorization::new(black_box(&header).as_bytes())));
}
