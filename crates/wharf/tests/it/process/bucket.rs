//! A bucket of a real S3 server as the storage.

use wharf_oci::{Digest, RepositoryName, Tag};
use wharf_storage::{Link, Storage, s3};

use super::client::{Client, Image, digest, image};
use super::program::{Folder, Program};
use crate::objects::{self, ACCESS_KEY, Bucket, MAY_NOT_LIST, MAY_NOT_READ, MAY_NOT_WRITE, REGION, SECRET_KEY};

/// A bucket, or `None` where tests that need one are left out.
fn bucket() -> Option<Bucket> {
    objects::is_wanted().then(objects::bucket)
}

/// A configuration of `bucket` with the key `key`; `more` is in the section.
fn folder(bucket: &Bucket, key: &str, more: &str) -> Folder {
    section(&format!(
        "bucket: {}, region: {REGION}, regionendpoint: '{}', accesskey: {key}, secretkey: {SECRET_KEY}{more}",
        bucket.name(),
        bucket.server().endpoint()
    ))
}

fn section(s3: &str) -> Folder {
    Folder::new(&format!(
        "version: 0.1\nstorage:\n  s3: {{{s3}}}\n  delete: {{enabled: true}}\nhttp: {{addr: '127.0.0.1:0'}}\n"
    ))
}

fn start(folder: &Folder) -> Program {
    let data = folder.path("data");
    folder.start_with(&[("WHARF_DATA", data.to_str().unwrap())])
}

/// What `serve` says when it does not start.
fn refusal(folder: &Folder, env: &[(&str, &str)]) -> String {
    let data = folder.path("data");
    let env: Vec<_> = env
        .iter()
        .copied()
        .chain([("WHARF_DATA", data.to_str().unwrap())])
        .collect();
    let refused = folder.run_with(&["serve", &folder.config()], &env, "");
    let text = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success(), "{text}");
    assert!(!text.contains(SECRET_KEY), "{text}");
    text
}

/// Puts an image into the bucket as another registry would have done.
fn fill(bucket: &Bucket, root: &str, name: &str, tag: &str, image: &Image) {
    let settings = s3::Settings {
        bucket: bucket.name().to_owned(),
        region: REGION.to_owned(),
        endpoint: Some(bucket.server().endpoint()),
        path_style: true,
        root: root.to_owned(),
        credentials: s3::Credentials::Static(s3::Keys {
            access_key: ACCESS_KEY.to_owned(),
            secret_key: SECRET_KEY.to_owned(),
            session_token: None,
        }),
        ..s3::Settings::default()
    };
    let repository: RepositoryName = name.parse().unwrap();
    let tag: Tag = tag.parse().unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let storage = Storage::s3(&settings).unwrap();
        let manifest = put(&storage, image.manifest()).await;
        for blob in image.contents() {
            let digest = put(&storage, blob).await;
            let repository = repository.clone();
            storage
                .links()
                .write(&Link::Layer { repository, digest }, &digest)
                .await
                .unwrap();
        }
        let revision = Link::Revision {
            repository: repository.clone(),
            digest: manifest,
        };
        storage.links().write(&revision, &manifest).await.unwrap();
        storage
            .links()
            .write(&Link::TagCurrent { repository, tag }, &manifest)
            .await
            .unwrap();
    });
}

async fn put(storage: &Storage, bytes: &[u8]) -> Digest {
    let digest: Digest = digest(bytes).parse().unwrap();
    storage.blobs().put(&digest, bytes.to_vec().into()).await.unwrap();
    digest
}

/// GET at a URL of the bucket.
fn fetch(url: &str, headers: &[(&str, &str)]) -> super::client::Answer {
    let (address, target) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    Client::new(address).send("GET", &format!("/{target}"), headers, b"")
}

#[test]
fn a_bucket_that_another_registry_filled_is_served_and_clients_are_sent_to_it_for_blobs() {
    let Some(bucket) = bucket() else { return };
    let image = image("filled", 2);
    fill(&bucket, "some/prefix", "team/app", "v1", &image);
    let folder = folder(&bucket, ACCESS_KEY, ", rootdirectory: /some/prefix");
    let program = start(&folder);
    let client = program.client();
    let manifest = client.send("GET", "/v2/team/app/manifests/v1", &[], b"").expect(200);
    assert_eq!(manifest.body, image.manifest());
    let layer = &image.contents()[1];
    let target = format!("/v2/team/app/blobs/{}", digest(layer));

    let head = client.head(&target);
    assert!(
        head.starts_with("http/1.1 200 ") && head.contains("content-length: 40000\r\n"),
        "{head}"
    );
    let sent = client.send("GET", &target, &[], b"").expect(307);
    assert_eq!(
        (sent.header("cache-control"), sent.header("content-length")),
        ("no-store", "0")
    );
    let url = sent.header("location");
    assert!(
        url.starts_with(&format!(
            "{}/{}/some/prefix/docker/",
            bucket.server().endpoint(),
            bucket.name()
        )),
        "{url}"
    );
    let fetched = fetch(url, &[]).expect(200);
    assert_eq!(&fetched.body, layer);
    assert_eq!(fetched.header("content-type"), "application/octet-stream");
    let part = fetch(url, &[("Range", "bytes=100-199")]).expect(206);
    assert_eq!(part.body, layer[100..200]);
    // once it is indexed, the configuration of an image costs less to send than to send for
    let small = format!("/v2/team/app/blobs/{}", digest(&image.contents()[0]));
    super::until("it comes from here", || {
        client.send("GET", &small, &[], b"").status == 200
    });
    assert_eq!(
        client.send("GET", &small, &[], b"").expect(200).body,
        image.contents()[0]
    );
    // who has it is told so without a way to anywhere
    let tag = format!("\"{}\"", digest(layer));
    client.send("GET", &target, &[("If-None-Match", &tag)], b"").expect(304);
    let elsewhere = format!("/v2/other/app/blobs/{}", digest(layer));
    client.send("GET", &elsewhere, &[], b"").expect(404);
    assert!(program.terminate().success());
}

#[test]
fn without_redirects_blobs_and_their_ranges_come_from_here() {
    let Some(bucket) = bucket() else { return };
    let image = image("streamed", 2);
    fill(&bucket, "", "team/app", "v1", &image);
    let folder = folder(&bucket, ACCESS_KEY, "}\n  redirect: {disable: true");
    let program = start(&folder);
    let client = program.client();
    client.expect_whole("team/app", "v1", &image);
    let layer = &image.contents()[2];
    let target = format!("/v2/team/app/blobs/{}", digest(layer));
    let part = client
        .send("GET", &target, &[("Range", "bytes=39990-")], b"")
        .expect(206);
    assert_eq!(part.body, layer[39_990..]);
    assert_eq!(part.header("content-range"), "bytes 39990-39999/40000");
    client
        .send("GET", &target, &[("Range", "bytes=40000-")], b"")
        .expect(416);
    assert!(program.terminate().success());
}

#[test]
fn the_index_of_a_bucket_stays_in_the_data_folder_and_one_process_has_it() {
    let Some(bucket) = bucket() else { return };
    fill(&bucket, "", "team/app", "v1", &image("kept", 1));
    let folder = folder(&bucket, ACCESS_KEY, "");
    let program = start(&folder);
    let places: Vec<_> = std::fs::read_dir(folder.path("data"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    assert_eq!(places.len(), 1, "{places:?}");
    assert!(places[0].join("wharf/index.db").exists() && places[0].join("wharf/admin.sock").exists());
    // a second process on this machine stands by
    let second = start(&folder);
    super::until("it stands by", || second.log().contains("stands by"));
    let refused = second
        .client()
        .send("POST", "/v2/a/blobs/uploads/", &[], b"")
        .expect(503);
    assert!(!refused.header("retry-after").is_empty());
    assert!(second.terminate().success());
    assert!(program.terminate().success());
    // ended in order, it leaves nothing that would make the next one wait
    let elsewhere = folder_at(&bucket);
    let third = start(&elsewhere);
    assert!(!third.log().contains("looking whether it lives"));
    assert!(third.terminate().success());
}

#[test]
fn what_another_registry_adds_to_a_known_repository_is_whole_after_a_thorough_start() {
    let Some(bucket) = bucket() else { return };
    let (first, second) = (image("first", 1), image("second", 2));
    fill(&bucket, "", "team/app", "v1", &first);
    let folder = folder(&bucket, ACCESS_KEY, "}\n  redirect: {disable: true");
    let program = start(&folder);
    program.client().expect_whole("team/app", "v1", &first);
    super::until("it is indexed", || {
        let list = program.client().send("GET", "/v2/team/app/tags/list", &[], b"");
        list.status == 200
    });
    assert!(program.terminate().success());
    fill(&bucket, "", "team/app", "v2", &second);
    let data = folder.path("data");
    let env = [
        ("WHARF_DATA", data.to_str().unwrap()),
        ("WHARF_STORAGE_FOREIGN_WRITERS", "always"),
    ];
    let program = folder.start_with(&env);
    super::until("it is found", || {
        program
            .client()
            .send("GET", "/v2/team/app/manifests/v2", &[], b"")
            .status
            == 200
    });
    program.client().expect_whole("team/app", "v2", &second);
    program.client().expect_whole("team/app", "v1", &first);
    assert!(program.terminate().success());
}

fn folder_at(bucket: &Bucket) -> Folder {
    folder(bucket, ACCESS_KEY, "")
}

#[test]
fn a_second_machine_with_an_index_of_its_own_is_refused() {
    let Some(bucket) = bucket() else { return };
    let first = folder_at(&bucket);
    let program = start(&first);
    let text = refusal(&folder_at(&bucket), &[]);
    assert!(
        text.contains("another wharf process works on this bucket with an index of its own"),
        "{text}"
    );
    assert!(text.contains("database.url"), "{text}");
    assert_eq!(program.client().send("GET", "/v2/", &[], b"").status, 200);
    assert!(program.terminate().success());
}

#[test]
fn the_right_that_is_missing_is_named_at_start() {
    let Some(bucket) = bucket() else { return };
    for (key, missing) in [
        (MAY_NOT_LIST, "s3:ListBucket is missing"),
        (MAY_NOT_WRITE, "s3:PutObject is missing"),
        (MAY_NOT_READ, "s3:GetObject is missing"),
    ] {
        let text = refusal(&folder(&bucket, key, ""), &[]);
        let wanted = format!("the key may not do what is needed in the bucket {}: ", bucket.name());
        assert!(text.contains(&wanted) && text.contains(missing), "{key}: {text}");
    }
}

#[test]
fn what_is_wrong_with_a_bucket_is_said_with_what_to_do() {
    let Some(bucket) = bucket() else { return };
    let endpoint = bucket.server().endpoint();
    let keys = format!("accesskey: {ACCESS_KEY}, secretkey: {SECRET_KEY}");
    let name = bucket.name();
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let cases = [
        (
            format!("bucket: no-such-bucket, region: {REGION}, regionendpoint: '{endpoint}', {keys}"),
            "the bucket no-such-bucket at",
            "there is no such bucket: make it, or look at storage.s3.bucket and storage.s3.regionendpoint",
        ),
        (
            format!("bucket: {name}, regionendpoint: '{endpoint}', accesskey: nobody, secretkey: {SECRET_KEY}"),
            "InvalidAccessKeyId",
            "look at storage.s3.accesskey and secretkey",
        ),
        (
            format!("bucket: {name}, regionendpoint: '{endpoint}', accesskey: {ACCESS_KEY}, secretkey: another"),
            "SignatureDoesNotMatch",
            "or the secret is another one",
        ),
        (
            format!("bucket: {name}, regionendpoint: 'http://{closed}', {keys}"),
            "cannot be used",
            "nothing answers there: look at storage.s3.regionendpoint",
        ),
        (
            format!(
                "bucket: {name}, regionendpoint: '{}', {keys}",
                endpoint.replace("http://", "https://")
            ),
            "cannot be used",
            "",
        ),
        (
            format!("bucket: {name}, regionendpoint: '{endpoint}', {keys}, cafile: /nowhere/ca.pem"),
            "storage.s3.cafile /nowhere/ca.pem cannot be read",
            "",
        ),
    ];
    for (parameters, message, advice) in cases {
        let text = refusal(&section(&parameters), &[]);
        assert!(text.contains(message) && text.contains(advice), "{parameters}: {text}");
    }
    let text = refusal(
        &section(&format!("bucket: {name}, regionendpoint: '{endpoint}'")),
        &[("AWS_EC2_METADATA_DISABLED", "true"), ("HOME", "/nowhere")],
    );
    assert!(
        text.contains("no keys for the bucket") && text.contains("profile default of"),
        "{text}"
    );
}

#[test]
fn a_proxy_of_the_environment_is_used_and_its_exceptions_hold() {
    let Some(bucket) = bucket() else { return };
    let closed = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let proxy = format!("http://{closed}");
    let folder = folder_at(&bucket);
    let text = refusal(&folder, &[("HTTP_PROXY", &proxy)]);
    assert!(text.contains("nothing answers there"), "{text}");
    let data = folder.path("data");
    let env = [
        ("HTTP_PROXY", proxy.as_str()),
        ("NO_PROXY", "127.0.0.0/8"),
        ("WHARF_DATA", data.to_str().unwrap()),
    ];
    let program = folder.start_with(&env);
    assert_eq!(program.client().send("GET", "/v2/", &[], b"").status, 200);
    assert!(program.terminate().success());
}
