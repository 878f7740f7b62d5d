//! Faults between a process and a bucket, and rights that it does not have.

use crate::{
    fault_proxy::{Fault, Proxy, Request},
    objects::{self, Bucket},
    support::{collect, content, id, name, settings, sha256, tag},
    uploads::STARTED,
};
use bytes::Bytes;
use std::{
    io::{Read, Write},
    net::TcpStream,
    time::{Duration, Instant},
};
use wharf_storage::{Error, ErrorKind, Link, Storage, UploadState, Verdict, s3};

const MIB: usize = 1 << 20;

/// A bucket behind a proxy that does as it is told.
fn place() -> Option<(Proxy, Bucket)> {
    if !objects::is_wanted() {
        return None;
    }
    let bucket = objects::bucket();
    Some((Proxy::to(&bucket.server().address()), bucket))
}

fn patient(proxy: &Proxy, bucket: &Bucket) -> s3::Settings {
    s3::Settings {
        endpoint: Some(proxy.url()),
        ..settings(bucket)
    }
}

/// One that sends again for a second only.
fn impatient(proxy: &Proxy, bucket: &Bucket) -> s3::Settings {
    let mut settings = patient(proxy, bucket);
    settings.timeouts.retry = Duration::from_secs(1);
    settings
}

/// A push of a layer, a small blob and a link, and a look at everything.
async fn push(storage: &Storage, salt: usize) {
    let repository = name("a");
    let bytes = content(6 * MIB + salt);
    let uploads = storage.uploads();
    let state = UploadState::new(false);
    let mut writer = uploads
        .writer(&repository, id(salt as u128), STARTED, state)
        .await
        .unwrap();
    writer.write(bytes.clone()).await.unwrap();
    let state = writer.finish().await.unwrap();
    uploads.publish(&repository, id(salt as u128), &state).await.unwrap();
    let small = content(1000 + salt);
    storage.blobs().put(&sha256(&small), small.clone()).await.unwrap();
    let link = Link::TagCurrent {
        repository: repository.clone(),
        tag: tag("v1"),
    };
    storage.links().write(&link, &sha256(&small)).await.unwrap();

    let size = bytes.len() as u64;
    let verdict = storage.blobs().verify(&sha256(&bytes)).await.unwrap();
    assert_eq!(verdict, Verdict::Whole { size });
    let reader = storage
        .blobs()
        .open_known(&sha256(&bytes), size)
        .await
        .unwrap()
        .unwrap();
    assert!(collect(&reader, 0..size).await == bytes);
    assert_eq!(
        storage.blobs().read(&sha256(&small), 10_000).await.unwrap().unwrap(),
        small
    );
    assert_eq!(
        storage.links().read(&link).await.unwrap().unwrap().digest,
        sha256(&small)
    );
    let mut walk = storage.walk().repositories();
    let found = walk.next().await.unwrap().unwrap().found;
    assert_eq!(found.len(), 1);
    storage.blobs().delete(&sha256(&small)).await.unwrap();
    assert_eq!(storage.blobs().stat(&sha256(&small)).await.unwrap(), None);
}

/// Every third request goes wrong.
fn now_and_then(fault: Fault) -> impl Fn(&Request) -> Option<Fault> {
    let count = std::sync::atomic::AtomicU32::new(0);
    move |_| {
        let number = count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        (number % 3 == 2).then(|| fault.clone())
    }
}

#[tokio::test]
async fn requests_that_are_refused_for_now_cut_or_answered_in_part_are_sent_again() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&patient(&proxy, &bucket)).unwrap();
    for (salt, fault) in [
        Fault::SlowDown,
        Fault::Refusal(500, "InternalError"),
        Fault::CutBefore,
        Fault::CutAfter,
        Fault::Truncation(20),
        Fault::Truncation(700),
        Fault::Delay(Duration::from_millis(50)),
    ]
    .into_iter()
    .enumerate()
    {
        proxy.faults(now_and_then(fault.clone()));
        push(&storage, salt).await;
        assert!(!proxy.take_requests().is_empty(), "{fault:?}");
    }
}

#[tokio::test]
async fn a_blob_whose_answers_break_off_is_read_on_from_there() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&patient(&proxy, &bucket)).unwrap();
    let bytes = content(3 * MIB);
    storage.blobs().put(&sha256(&bytes), bytes.clone()).await.unwrap();
    let size = bytes.len() as u64;
    let reader = storage
        .blobs()
        .open_known(&sha256(&bytes), size)
        .await
        .unwrap()
        .unwrap();
    proxy.take_requests();
    proxy.fault_once(Fault::Truncation(MIB), 2, |request| request.method == "GET");
    assert!(collect(&reader, 100..size).await == bytes[100..]);
    assert_eq!(proxy.take_requests().len(), 3);
}

#[tokio::test]
async fn what_cannot_be_sent_again_is_an_error_that_says_what_and_why() {
    let Some((proxy, bucket)) = place() else { return };
    let mut settings = impatient(&proxy, &bucket);
    settings.timeouts.answer = Duration::from_millis(300);
    let storage = Storage::s3(&settings).unwrap();
    let digest = sha256(b"x");
    for (fault, reason) in [
        (Fault::SlowDown, "503 SlowDown"),
        (Fault::CutBefore, "connection"),
        (Fault::Delay(Duration::from_secs(2)), "timed out"),
    ] {
        proxy.faults(move |_| Some(fault.clone()));
        let began = Instant::now();
        let error = storage
            .blobs()
            .put(&digest, Bytes::from_static(b"x"))
            .await
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
        let text = error.to_string();
        assert!(text.contains(&digest.hex()) && text.contains(reason), "{text}");
        assert!(began.elapsed() < Duration::from_secs(20), "{:?}", began.elapsed());
        let error = storage.blobs().stat(&digest).await.unwrap_err();
        assert_eq!(
            error.kind(),
            ErrorKind::Unavailable,
            "what is not answered is not missing: {error}"
        );
    }
    proxy.faults(|_| Some(Fault::Refusal(400, "EntityTooLarge")));
    let error = storage
        .blobs()
        .put(&digest, Bytes::from_static(b"x"))
        .await
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid, "{error}");
    proxy.calm();
    let storage = Storage::s3(&patient(&proxy, &bucket)).unwrap();
    storage.blobs().put(&digest, Bytes::from_static(b"x")).await.unwrap();
}

#[tokio::test]
async fn a_deletion_ends_in_time_also_when_nobody_answers() {
    let Some((proxy, bucket)) = place() else { return };
    let mut settings = patient(&proxy, &bucket);
    settings.timeouts.retry = Duration::from_secs(300);
    let storage = Storage::s3(&settings).unwrap();
    proxy.faults(|_| Some(Fault::SlowDown));
    let began = Instant::now();
    let error = storage.blobs().delete(&sha256(b"x")).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
    assert!(
        began.elapsed() <= s3::LONGEST_DELETE + Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
}

#[tokio::test]
async fn an_upload_that_fails_goes_on_where_its_state_says() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&impatient(&proxy, &bucket)).unwrap();
    let (repository, bytes) = (name("a"), content(17 * MIB));
    let uploads = storage.uploads();
    let state = UploadState::new(false);
    let mut writer = uploads.writer(&repository, id(1), STARTED, state).await.unwrap();
    writer.write(bytes.slice(..6 * MIB)).await.unwrap();
    writer.finish().await.unwrap();
    proxy.faults(|request| request.parameter("partNumber").is_some().then_some(Fault::SlowDown));
    let written = writer.write(bytes.slice(6 * MIB..)).await;
    let failed = match written {
        Ok(()) => writer.finish().await.map(drop),
        Err(error) => Err(error),
    };
    assert_eq!(failed.unwrap_err().kind(), ErrorKind::Unavailable);
    assert!(
        writer.write(Bytes::from_static(b"x")).await.is_err(),
        "it goes on with nothing"
    );
    proxy.calm();
    let stored = writer.state().to_bytes();
    let state = UploadState::from_bytes(&stored).unwrap();
    let at = state.offset() as usize;
    assert!(at >= 6 * MIB, "what was acknowledged stays: {at}");
    let mut writer = uploads.writer(&repository, id(1), STARTED, state).await.unwrap();
    writer.write(bytes.slice(at..)).await.unwrap();
    let state = writer.finish().await.unwrap();
    uploads.publish(&repository, id(1), &state).await.unwrap();
    let size = bytes.len() as u64;
    assert_eq!(
        storage.blobs().verify(&sha256(&bytes)).await.unwrap(),
        Verdict::Whole { size }
    );
}

#[tokio::test]
async fn a_publication_whose_answers_are_lost_is_repeated_without_harm() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&patient(&proxy, &bucket)).unwrap();
    let repository = name("a");
    for (number, size) in [(1, 6 * MIB), (2, MIB)] {
        let bytes = content(size);
        let uploads = storage.uploads();
        let state = UploadState::new(false);
        let mut writer = uploads.writer(&repository, id(number), STARTED, state).await.unwrap();
        writer.write(bytes.clone()).await.unwrap();
        let state = writer.finish().await.unwrap();
        proxy.fault_once(Fault::CutAfter, 1, |request| request.parameter("uploadId").is_some());
        uploads.publish(&repository, id(number), &state).await.unwrap();
        proxy.calm();
        uploads.publish(&repository, id(number), &state).await.unwrap();
        let size = bytes.len() as u64;
        assert_eq!(
            storage.blobs().verify(&sha256(&bytes)).await.unwrap(),
            Verdict::Whole { size }
        );
        assert!(!uploads.exists(&repository, id(number)).await.unwrap());
    }
}

/// What a URL answers, over a plain connection.
fn fetch(url: &str, more: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{more}\r\n"
    )
    .unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[tokio::test]
async fn whoever_has_a_presigned_url_reads_the_blob_and_nothing_else() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&s3::Settings {
        redirect_endpoint: Some(proxy.url()),
        ..settings(&bucket)
    })
    .unwrap();
    let digest = sha256(b"0123456789");
    storage
        .blobs()
        .put(&digest, Bytes::from_static(b"0123456789"))
        .await
        .unwrap();
    let reader = storage.blobs().open_known(&digest, 10).await.unwrap().unwrap();
    let lifetime = Duration::from_secs(60);
    let url = reader
        .presigned(lifetime, Some("application/x-test"))
        .await
        .unwrap()
        .unwrap();
    assert!(url.starts_with(&proxy.url()), "{url}");
    assert!(!url.contains(objects::SECRET_KEY), "{url}");
    let answer = fetch(&url, "Range: bytes=3-5\r\n");
    assert!(answer.starts_with("HTTP/1.1 206"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n345"), "{answer}");
    assert!(
        answer.to_lowercase().contains("content-type: application/x-test"),
        "{answer}"
    );
    let other = url.replace(&digest.hex(), &sha256(b"other").hex());
    assert!(fetch(&other, "").starts_with("HTTP/1.1 403"));

    assert!(Storage::memory().blobs().open(&digest).await.unwrap().is_none());
    let memory = Storage::memory();
    memory
        .blobs()
        .put(&digest, Bytes::from_static(b"0123456789"))
        .await
        .unwrap();
    let reader = memory.blobs().open(&digest).await.unwrap().unwrap();
    assert_eq!(reader.presigned(lifetime, None).await.unwrap(), None);
}

async fn check(settings: &s3::Settings, writes: bool) -> Result<(), Error> {
    Storage::s3(settings).unwrap().state().check_rights(writes).await
}

#[tokio::test]
async fn the_check_of_rights_names_the_one_that_is_missing() {
    let Some((proxy, bucket)) = place() else { return };
    let with_key = |key: &str| s3::Settings {
        credentials: s3::Credentials::Static(s3::Keys {
            access_key: key.to_owned(),
            secret_key: objects::SECRET_KEY.to_owned(),
            session_token: None,
        }),
        ..impatient(&proxy, &bucket)
    };
    check(&with_key(objects::ACCESS_KEY), true).await.unwrap();
    check(&with_key(objects::MAY_NOT_WRITE), false).await.unwrap();
    for (key, right) in [
        (objects::MAY_NOT_LIST, "s3:ListBucket is"),
        (objects::MAY_NOT_READ, "s3:GetObject is"),
        (objects::MAY_NOT_WRITE, "s3:PutObject is"),
    ] {
        let error = check(&with_key(key), true).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::PermissionDenied, "{error}");
        assert!(error.to_string().contains(right), "{error}");
        assert!(error.to_string().contains(bucket.name()), "{error}");
    }
    // rights that this server does not know one by one
    let refused = |is_meant: fn(&Request) -> bool| {
        proxy.faults(move |request| is_meant(request).then_some(Fault::Refusal(403, "AccessDenied")));
    };
    let settings = with_key(objects::ACCESS_KEY);
    refused(|request| request.parameter("delete").is_some());
    let error = check(&settings, true).await.unwrap_err();
    assert!(error.to_string().contains("s3:DeleteObject is"), "{error}");
    refused(|request| request.method == "POST" && request.parameter("uploads").is_some());
    let error = check(&settings, true).await.unwrap_err();
    assert!(error.to_string().contains("upload objects in parts"), "{error}");
    refused(|request| request.method == "DELETE" && request.parameter("uploadId").is_some());
    let error = check(&settings, true).await.unwrap_err();
    assert!(error.to_string().contains("s3:AbortMultipartUpload is"), "{error}");
    refused(|request| request.method == "GET" && request.parameter("uploads").is_some());
    let error = check(&settings, true).await.unwrap_err();
    assert!(
        error.to_string().contains("s3:ListBucketMultipartUploads is"),
        "{error}"
    );
}

#[tokio::test]
async fn the_check_of_rights_tells_a_wrong_bucket_key_and_server_apart() {
    let Some((proxy, bucket)) = place() else { return };
    let good = impatient(&proxy, &bucket);
    let keys = |access: &str, secret: &str| {
        s3::Credentials::Static(s3::Keys {
            access_key: access.to_owned(),
            secret_key: secret.to_owned(),
            session_token: None,
        })
    };
    let told = async |settings: s3::Settings| check(&settings, true).await.unwrap_err().to_string();
    let error = told(s3::Settings {
        bucket: "no-such-bucket".to_owned(),
        ..good.clone()
    })
    .await;
    assert!(
        error.contains("NoSuchBucket") && error.contains("no-such-bucket"),
        "{error}"
    );
    let error = told(s3::Settings {
        credentials: keys("nobody", "x"),
        ..good.clone()
    })
    .await;
    assert!(error.contains("InvalidAccessKeyId"), "{error}");
    let error = told(s3::Settings {
        credentials: keys(objects::ACCESS_KEY, "hush"),
        ..good.clone()
    })
    .await;
    assert!(
        error.contains("SignatureDoesNotMatch") && !error.contains("hush"),
        "{error}"
    );
    let nobody = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let error = told(s3::Settings {
        endpoint: Some(format!("http://{nobody}")),
        ..good
    })
    .await;
    assert!(error.contains("onnection refused"), "{error}");
}

#[tokio::test]
async fn a_blob_is_not_reported_missing_when_its_bucket_is() {
    let Some((proxy, bucket)) = place() else { return };
    let storage = Storage::s3(&s3::Settings {
        bucket: "gone".to_owned(),
        ..impatient(&proxy, &bucket)
    })
    .unwrap();
    let error = storage.blobs().read(&sha256(b"x"), 10).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error}");
}

#[test]
fn the_proxy_refuses_parts_of_several_sizes() {
    if !objects::is_wanted() {
        return;
    }
    let proxy = Proxy::to(&objects::server().address());
    proxy.insist_on_equal_parts();
    let send = |method: &str, target: &str, body: &str| {
        let url = proxy.url();
        let mut stream = TcpStream::connect(url.strip_prefix("http://").unwrap()).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} {target} HTTP/1.1\r\nHost: s3\r\nContent-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let complete = |id: &str, sizes: &[usize]| {
        let mut body = String::new();
        for (index, size) in sizes.iter().enumerate() {
            let number = index + 1;
            send(
                "PUT",
                &format!("/b/k?partNumber={number}&uploadId={id}"),
                &"x".repeat(*size),
            );
            body.push_str(&format!("<Part><PartNumber>{number}</PartNumber></Part>"));
        }
        send("POST", &format!("/b/k?uploadId={id}"), &body).contains("InvalidPart")
    };
    assert!(!complete("a", &[10, 10, 3]));
    assert!(!complete("b", &[10]));
    assert!(complete("c", &[10, 9, 3]));
    assert!(complete("d", &[10, 10, 11]));
}
