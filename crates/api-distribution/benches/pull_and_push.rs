//! What a pull and a push cost without a socket: endpoint, credentials, decision, index, headers.
//!
//! `cargo bench -p wharf-api-distribution`; the folders are in memory where the machine has such,
//! so the commit's figure is without the disk. Resolving tags out of 100,000 is measured in `wharf-metadata`.

#![expect(clippy::unwrap_used, reason = "a bench that cannot go on has nothing to say")]

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use divan::Bencher;
use http::Request;
use tokio::runtime::Runtime;
use wharf_api_common::{Body, ClientAddress, Peer, Via};
use wharf_api_distribution::{DistributionApi, Origin};
use wharf_test_support::{Auth, Blob, Options, Registry, image};

fn main() {
    divan::main();
}

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(2).enable_all().build().unwrap()
    })
}

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(|| {
        runtime().block_on(async {
            let registry = Registry::with(Options {
                auth: Auth::Htpasswd,
                ..Options::default()
            })
            .await;
            let pushed = registry
                .post("/v2/bench/app/blobs/uploads/")
                .basic("alice", "secret")
                .send();
            pushed.await.expect(202);
            for blob in &image("bench").blobs {
                let target = format!("/v2/bench/app/blobs/uploads/?digest={}", blob.digest);
                let request = registry.post(&target).basic("alice", "secret").body(blob.bytes.clone());
                request.send().await.expect(201);
            }
            let put = registry.manifest_put("bench/app", "latest", &image("bench").manifest);
            put.basic("alice", "secret").send().await.expect(201);
            registry
        })
    })
}

fn origin() -> Origin {
    Origin {
        via: Via {
            peer: Peer::Tcp(([192, 0, 2, 1], 40_000).into()),
            port: None,
            tls: true,
        },
        client: ClientAddress {
            ip: Some([192, 0, 2, 1].into()),
            port: Some(40_000),
        },
        send_file: None,
    }
}

fn request(target: &str) -> Request<Body> {
    let builder = Request::get(target).header("authorization", "Basic YWxpY2U6c2VjcmV0");
    builder.body(Body::empty()).unwrap()
}

fn answer(api: &DistributionApi, target: &str) -> u64 {
    let answered = runtime().block_on(api.answer(request(target), origin()));
    assert!(answered.response.status().is_success());
    answered.response.headers().len() as u64
}

/// The same tag again and again, signed in.
#[divan::bench]
fn manifest_by_tag(bencher: Bencher<'_, '_>) {
    let api = registry().api();
    bencher.bench(|| answer(api, "/v2/bench/app/manifests/latest"));
}

#[divan::bench]
fn manifest_by_digest(bencher: Bencher<'_, '_>) {
    let api = registry().api();
    let target = format!("/v2/bench/app/manifests/{}", image("bench").digest());
    bencher.bench(|| answer(api, &target));
}

#[divan::bench]
fn small_blob(bencher: Bencher<'_, '_>) {
    let api = registry().api();
    let target = format!("/v2/bench/app/blobs/{}", image("bench").blobs[0].digest);
    bencher.bench(|| answer(api, &target));
}

/// A blob of 4 KiB in one request, until it is committed.
#[divan::bench(sample_count = 50)]
fn upload_commit(bencher: Bencher<'_, '_>) {
    static NUMBER: AtomicU64 = AtomicU64::new(0);
    let registry = registry();
    bencher
        .with_inputs(|| Blob::sized(&NUMBER.fetch_add(1, Ordering::Relaxed).to_string(), 4096))
        .bench_values(|blob| {
            let target = format!("/v2/bench/app/blobs/uploads/?digest={}", blob.digest);
            let request = registry.post(&target).basic("alice", "secret").body(blob.bytes);
            runtime().block_on(request.send()).expect(201);
        });
}
