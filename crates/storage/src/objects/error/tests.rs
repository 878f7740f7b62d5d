use super::*;

fn refused(status: u16, body: &str) -> object_store::Error {
    object_store::Error::Generic {
        store: "S3",
        source: format!(
            "Error performing GET http://h/b in 3ms - Server returned non-2xx status code: {status} Text: {body}"
        )
        .into(),
    }
}

const DENIED: &str = "<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>you &amp; yours may not</Message>\
                      <AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>";

#[test]
fn a_refusal_is_told_with_status_code_and_message_and_nothing_else() {
    let error = failed("list", "bucket images", &refused(403, DENIED));
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    assert_eq!(
        error.to_string(),
        "cannot list bucket images: permission denied (status 403 AccessDenied: you & yours may not)"
    );
}

#[test]
fn refusals_have_the_kinds_that_callers_treat_differently() {
    let kind = |status, code: &str| {
        let body = format!("<Error><Code>{code}</Code></Error>");
        failed("read", "x", &refused(status, &body)).kind()
    };
    assert_eq!(kind(404, "NoSuchKey"), ErrorKind::NotFound);
    assert_eq!(kind(404, "NoSuchUpload"), ErrorKind::NotFound);
    assert_eq!(
        kind(404, "NoSuchBucket"),
        ErrorKind::Unavailable,
        "nothing is missing, everything is"
    );
    assert_eq!(kind(503, "SlowDown"), ErrorKind::Unavailable);
    assert_eq!(kind(400, "RequestTimeout"), ErrorKind::Unavailable);
    assert_eq!(kind(507, "XMinioStorageFull"), ErrorKind::NoSpace);
    assert_eq!(kind(400, "InvalidPart"), ErrorKind::Invalid);
    assert_eq!(kind(400, "AuthorizationHeaderMalformed"), ErrorKind::Other);
}

#[test]
fn what_the_library_gave_up_on_is_not_tried_again() {
    let text = "Error performing GET http://h/b in 3s, after 10 retries, max_retries: 10, retry_timeout: 60s  - \
                Server returned non-2xx status code: 503 Service Unavailable: ";
    let exhausted = object_store::Error::Generic {
        store: "S3",
        source: text.into(),
    };
    assert!(!is_passing(&exhausted));
    assert!(is_passing(&refused(503, "")));
    assert!(!is_passing(&refused(403, DENIED)));
}
