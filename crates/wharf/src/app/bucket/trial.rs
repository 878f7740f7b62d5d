//! What a start needs of a bucket is tried before anything else is done, and what is missing is named.

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use wharf_storage::{Error, ErrorKind, StateName, Storage};

use crate::config::{Credentials, S3};

/// What is needed, as AWS's policies call it.
const LIST: &str = "s3:ListBucket";
const READ: &str = "s3:GetObject";
const WRITE: &str = "s3:PutObject";
const DELETE: &str = "s3:DeleteObject";

/// Lists, writes, reads and deletes.
pub(super) async fn run(bucket: &S3, storage: &Storage, is_read_only: bool) -> Result<()> {
    let mut nonce = [0_u8; 6];
    (crate::app::random())(&mut nonce);
    let nonce: String = nonce.iter().map(|byte| format!("{byte:02x}")).collect();
    let state = storage.state();
    let folder = StateName::new("trial").context("no legal name")?;
    let name = StateName::new(&format!("trial/{nonce}")).context("no legal name")?;
    let mut missing = Vec::new();
    let mut judge = |right: &'static str, outcome: Result<(), Error>| -> Result<bool> {
        match outcome {
            Ok(()) => Ok(true),
            Err(error) if is_denied(&error) => {
                missing.push(right);
                Ok(false)
            }
            Err(error) => Err(explained(bucket, &error)),
        }
    };
    judge(LIST, state.list(&folder).await.map(drop))?;
    let is_written = !is_read_only && judge(WRITE, state.write(&name, Bytes::from_static(b"trial")).await)?;
    let read = state.read(&name).await;
    if let (true, Ok(None)) = (is_written, &read) {
        bail!(
            "the bucket {} does not give back what was just written to it: wharf needs a store that does",
            bucket.bucket
        );
    }
    judge(READ, read.map(drop))?;
    if is_written {
        judge(DELETE, state.remove(&name).await)?;
    }
    if missing.is_empty() {
        // and what only large uploads need
        let rest = state.check_rights(!is_read_only).await;
        return rest.map_err(|error| explained(bucket, &error));
    }
    bail!(
        "the key may not do what is needed in the bucket {}: {} {} missing{}",
        bucket.bucket,
        missing.join(", "),
        if missing.len() == 1 { "is" } else { "are" },
        within(bucket)
    )
}

/// A right is missing, rather than the key being wrong.
fn is_denied(error: &Error) -> bool {
    let text = error.to_string();
    let is_other = [
        "InvalidAccessKeyId",
        "SignatureDoesNotMatch",
        "RequestTimeTooSkewed",
        "ExpiredToken",
        "InvalidToken",
        "TokenRefreshRequired",
    ];
    error.kind() == ErrorKind::PermissionDenied && !is_other.iter().any(|code| text.contains(code))
}

fn within(bucket: &S3) -> String {
    match bucket.root_directory.as_str() {
        "" => String::new(),
        root => format!(" (below {root}/)"),
    }
}

/// What went wrong, and what to do about it.
fn explained(bucket: &S3, error: &Error) -> anyhow::Error {
    let place = match &bucket.region_endpoint {
        Some(endpoint) => format!("the bucket {} at {endpoint}", bucket.bucket),
        None => format!("the bucket {} in {}", bucket.bucket, bucket.region),
    };
    let text = error.to_string();
    let advice = advice(bucket, &text).unwrap_or_default();
    anyhow::anyhow!("{place} cannot be used: {text}{advice}")
}

fn advice(bucket: &S3, text: &str) -> Option<String> {
    let has = |codes: &[&str]| codes.iter().any(|code| text.contains(code));
    let keys = match &bucket.credentials {
        Credentials::Static(_) => "storage.s3.accesskey and secretkey (or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY)",
        _ => "the keys that were found for it",
    };
    let advice = if has(&["NoSuchBucket"]) {
        "there is no such bucket: make it, or look at storage.s3.bucket and storage.s3.regionendpoint".to_owned()
    } else if has(&["InvalidAccessKeyId", "SignatureDoesNotMatch"]) {
        format!("the service does not know the key, or the secret is another one: look at {keys}")
    } else if has(&["ExpiredToken", "TokenRefreshRequired", "InvalidToken"]) {
        "the keys have expired, or their session token is missing".to_owned()
    } else if has(&["RequestTimeTooSkewed", "RequestExpired"]) {
        "the clock of this machine differs too much from that of the service: set it, for example by NTP".to_owned()
    } else if has(&[
        "AuthorizationHeaderMalformed",
        "PermanentRedirect",
        "IllegalLocationConstraint",
        "status 301",
    ]) {
        "the bucket is in another region: look at storage.s3.region".to_owned()
    } else if has(&["certificate", "UnknownIssuer"]) {
        "the certificate is not trusted: name its authority in storage.s3.cafile".to_owned()
    } else if has(&["dns error", "failed to lookup"]) {
        match bucket.force_path_style {
            true => "the host is unknown: look at storage.s3.regionendpoint".to_owned(),
            false => "the host is unknown: look at the endpoint, or set storage.s3.forcepathstyle: true".to_owned(),
        }
    } else if has(&["Connection refused", "timed out", "deadline"]) {
        "nothing answers there: look at storage.s3.regionendpoint, and at the proxy if there is one".to_owned()
    } else {
        return None;
    };
    Some(format!("; {advice}"))
}
