use super::*;

fn settings(bucket: &str) -> Settings {
    Settings {
        bucket: bucket.to_owned(),
        region: "eu-central-1".to_owned(),
        ..Settings::default()
    }
}

fn address(settings: &Settings) -> (String, bool) {
    let address = endpoint::of(settings).unwrap();
    (address.url, address.has_bucket)
}

#[test]
fn the_address_of_a_bucket_on_aws_is_the_one_of_its_settings() {
    let aws = |change: fn(&mut Settings)| {
        let mut settings = settings("images");
        change(&mut settings);
        address(&settings).0
    };
    assert_eq!(aws(|_| {}), "https://images.s3.eu-central-1.amazonaws.com");
    assert_eq!(aws(|s| s.path_style = true), "https://s3.eu-central-1.amazonaws.com");
    assert_eq!(aws(|s| s.secure = false), "http://images.s3.eu-central-1.amazonaws.com");
    assert_eq!(
        aws(|s| s.dual_stack = true),
        "https://images.s3.dualstack.eu-central-1.amazonaws.com"
    );
    assert_eq!(
        aws(|s| s.fips = true),
        "https://images.s3-fips.eu-central-1.amazonaws.com"
    );
    assert_eq!(
        aws(|s| s.accelerate = true),
        "https://images.s3-accelerate.amazonaws.com"
    );
    assert_eq!(
        aws(|s| s.region = "cn-north-1".to_owned()),
        "https://images.s3.cn-north-1.amazonaws.com.cn"
    );
    assert_eq!(
        aws(|s| s.bucket = "a.b".to_owned()),
        "https://s3.eu-central-1.amazonaws.com"
    );
}

#[test]
fn another_server_is_spoken_to_as_its_endpoint_says() {
    let given = |endpoint: &str, path_style| {
        address(&Settings {
            endpoint: Some(endpoint.to_owned()),
            path_style,
            ..settings("images")
        })
    };
    let named = |url: &str| (url.to_owned(), true);
    let in_path = |url: &str| (url.to_owned(), false);
    assert_eq!(
        given("https://fra1.digitaloceanspaces.com", false),
        named("https://images.fra1.digitaloceanspaces.com")
    );
    assert_eq!(
        given("https://fra1.digitaloceanspaces.com/", true),
        in_path("https://fra1.digitaloceanspaces.com")
    );
    assert_eq!(given("minio:9000", false), named("https://images.minio:9000"));
    assert_eq!(given("http://127.0.0.1:8333", false), in_path("http://127.0.0.1:8333"));
    assert_eq!(given("http://[::1]:8333", false), in_path("http://[::1]:8333"));
    assert_eq!(given("http://h/s3", true), in_path("http://h/s3"));
    for wrong in ["ftp://h", "https://", "https://user@h", "http://h/?x"] {
        let settings = Settings {
            endpoint: Some(wrong.to_owned()),
            ..settings("images")
        };
        let error = endpoint::of(&settings).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid, "{wrong}");
        assert!(error.to_string().contains("regionendpoint"), "{error}");
    }
}

#[test]
fn settings_that_no_server_takes_are_refused_by_name() {
    let refused = |change: fn(&mut Settings)| {
        let mut settings = settings("images");
        change(&mut settings);
        let error = open(&settings).map(drop).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        error.to_string()
    };
    assert!(refused(|s| s.bucket.clear()).contains("bucket"));
    assert!(refused(|s| s.bucket = "a/b".to_owned()).contains("bucket"));
    assert!(refused(|s| s.part_size = 1 << 20).contains("chunksize"));
    assert!(refused(|s| s.copy_part_size = 6 << 30).contains("multipartcopychunksize"));
    assert!(refused(|s| s.region = "Frankfurt am Main".to_owned()).contains("region"));
    assert!(refused(|s| s.storage_class = Some("A\nB".to_owned())).contains("storageclass"));
    assert!(
        refused(|s| s.authorities = vec![b"-----BEGIN CERTIFICATE-----\nx\n-----END CERTIFICATE-----".to_vec()])
            .contains("certificate")
    );
    assert!(refused(|s| s.root = "a/../b".to_owned()).contains("rootdirectory"));
}

#[test]
fn secrets_are_not_shown() {
    let settings = Settings {
        credentials: Credentials::Static(Keys {
            access_key: "AKIA".to_owned(),
            secret_key: "hush-hush".to_owned(),
            session_token: Some("hush-token".to_owned()),
        }),
        ..settings("images")
    };
    let objects = open(&settings).unwrap();
    let shown = format!("{settings:?} {objects:?}");
    assert!(!shown.contains("hush"), "{shown}");
}
