//! `storage.s3` and `middleware.storage`: distribution's parameters, what they mean, what is wrong with them.

use std::path::PathBuf;
use std::time::Duration;

use super::{config, loaded, problem, problems, texts, warnings};
use crate::config::{
    AccessKey, CloudFront, ContainerToken, Credentials, Format, S3, Secret, StorageDriver, StorageMiddleware,
};

/// A file with this in its `s3` section.
fn file(parameters: &str) -> String {
    format!("version: 0.1\nstorage:\n  s3: {{{parameters}}}\n")
}

fn settings(yaml: &str, env: &[(&str, &str)]) -> S3 {
    match config(yaml, env).storage.driver {
        StorageDriver::S3(settings) => *settings,
        other => panic!("{other:?}"),
    }
}

fn keys(id: &str, secret: &str, token: Option<&str>) -> Credentials {
    Credentials::Static(AccessKey {
        id: id.to_owned(),
        secret: Secret::new(secret),
        session_token: token.map(Secret::new),
    })
}

#[test]
fn a_file_of_2_8_for_minio_keeps_its_style_and_defaults() {
    let yaml = "\
version: 0.1
storage:
  s3:
    accesskey: minio
    secretkey: 01234567
    region: us-east-1
    regionendpoint: http://minio:9000
    bucket: images
    rootdirectory: /registry/
";
    let found = settings(yaml, &[]);
    assert_eq!((found.bucket.as_str(), found.region.as_str()), ("images", "us-east-1"));
    assert_eq!(found.region_endpoint.as_deref(), Some("http://minio:9000"));
    assert!(found.force_path_style, "the bucket is in the path");
    assert_eq!(found.credentials, keys("minio", "01234567", None));
    assert_eq!(found.root_directory, "registry");
}

/// Each parameter with a value that is not its default.
const ALL: &str = "\
version: 0.1
storage:
  s3aws:
    accesskey: a
    secretkey: s
    region: eu-central-1
    regionendpoint: s3.example.com
    forcepathstyle: false
    bucket: b
    encrypt: true
    keyid: alias/images
    secure: false
    skipverify: true
    v4auth: true
    chunksize: 5242880
    multipartcopychunksize: 33554433
    multipartcopymaxconcurrency: 7
    multipartcopythresholdsize: 1
    storageclass: standard_ia
    useragent: mine
    objectacl: bucket-owner-full-control
    usedualstack: true
    accelerate: true
    usefipsendpoint: true
    redirectendpoint: https://cdn.example.com/
    loglevel: off
";

#[test]
fn every_parameter_of_3_has_its_meaning() {
    let expected = S3 {
        bucket: "b".to_owned(),
        region: "eu-central-1".to_owned(),
        region_endpoint: Some("http://s3.example.com".to_owned()),
        force_path_style: false,
        credentials: keys("a", "s", None),
        root_directory: String::new(),
        secure: false,
        skip_verify: true,
        ca_file: None,
        chunk_size: Some(5 << 20),
        copy_chunk_size: (32 << 20) + 1,
        copy_concurrency: 7,
        copy_threshold: 1,
        encrypt: true,
        key_id: Some("alias/images".to_owned()),
        storage_class: Some("STANDARD_IA".to_owned()),
        object_acl: Some("bucket-owner-full-control".to_owned()),
        user_agent: Some("mine".to_owned()),
        use_dual_stack: true,
        accelerate: true,
        use_fips: true,
        redirect_endpoint: Some("https://cdn.example.com".to_owned()),
    };
    assert_eq!(settings(ALL, &[]), expected);
    assert_eq!(
        warnings(ALL, &[]),
        [
            "config.yml:26:5: `storage.s3.loglevel` has no effect: failed requests to the bucket are logged with their \
             reason at every level"
        ]
    );
}

#[test]
fn distributions_defaults_hold() {
    let settings = settings(&file("region: us-gov-west-1, bucket: b, storageclass: NONE"), &[]);
    assert!(settings.secure && !settings.force_path_style && !settings.encrypt);
    assert_eq!(
        (
            settings.chunk_size,
            settings.copy_chunk_size,
            settings.copy_concurrency,
            settings.copy_threshold
        ),
        (None, 32 << 20, 100, 32 << 20)
    );
    assert_eq!((settings.storage_class, settings.object_acl), (None, None));
}

#[test]
fn the_environment_makes_a_whole_bucket_as_in_distribution() {
    let env = [
        ("REGISTRY_STORAGE", "s3"),
        ("REGISTRY_STORAGE_S3_BUCKET", "b"),
        ("REGISTRY_STORAGE_S3_REGION", "us-east-1"),
        ("REGISTRY_STORAGE_S3_ACCESSKEY", "1e5"),
        ("REGISTRY_STORAGE_S3_SECRETKEY", "0123"),
        ("REGISTRY_STORAGE_S3_REGIONENDPOINT", "https://minio.example.com"),
        ("REGISTRY_STORAGE_S3_CHUNKSIZE", "5242880"),
    ];
    let in_file = "version: 0.1\nstorage:\n  filesystem: {rootdirectory: /data}\n  delete: {enabled: true}\n";
    let found = settings(in_file, &env);
    assert_eq!(
        found.credentials,
        keys("1e5", "0123", None),
        "keys stay as they were written"
    );
    assert_eq!((found.bucket.as_str(), found.chunk_size), ("b", Some(5 << 20)));
    assert!(
        !config(in_file, &env).storage.delete_enabled,
        "the whole section is replaced"
    );
    assert_eq!(
        settings(in_file, &env[1..]).bucket,
        "b",
        "without the name the driver that the environment speaks of is meant"
    );
}

#[test]
fn keys_are_looked_for_in_the_order_of_aws() {
    let least = file("region: us-east-1, bucket: b");
    let credentials = |env: &[(&str, &str)]| settings(&least, env).credentials;
    let of_env = [
        ("AWS_ACCESS_KEY_ID", "a"),
        ("AWS_SECRET_ACCESS_KEY", "s"),
        ("AWS_SESSION_TOKEN", "t"),
        ("AWS_PROFILE", "images"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/t"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
        (
            "AWS_CONTAINER_CREDENTIALS_FULL_URI",
            "http://169.254.170.23/v1/credentials",
        ),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", "/token"),
        ("HOME", "/users/u"),
    ];
    let profile = |name: &str| Credentials::Profile {
        credentials: PathBuf::from("/users/u/.aws/credentials"),
        config: PathBuf::from("/users/u/.aws/config"),
        name: name.to_owned(),
    };
    let agent = Credentials::Container {
        url: "http://169.254.170.23/v1/credentials".to_owned(),
        authorization: ContainerToken::File("/token".into()),
    };
    assert_eq!(credentials(&of_env), keys("a", "s", Some("t")));
    assert_eq!(credentials(&of_env[3..]), profile("images"));
    let role = Credentials::WebIdentity {
        token_file: "/t".into(),
        role_arn: "arn:aws:iam::1:role/r".to_owned(),
        session_name: "wharf".to_owned(),
        endpoint: None,
    };
    assert_eq!(credentials(&of_env[4..]), role);
    assert_eq!(
        credentials(&of_env[6..]),
        Credentials::Chain(vec![profile("default"), agent])
    );
    let instance = Credentials::Instance {
        endpoint: "http://169.254.169.254".to_owned(),
    };
    assert_eq!(
        credentials(&of_env[8..]),
        Credentials::Chain(vec![profile("default"), instance])
    );
    let off = [("HOME", "/users/u"), ("AWS_EC2_METADATA_DISABLED", "true")];
    assert_eq!(credentials(&off), Credentials::Chain(vec![profile("default")]));
    let given = file("region: us-east-1, bucket: b, accesskey: x, secretkey: y");
    assert_eq!(
        settings(&given, &of_env).credentials,
        keys("x", "y", None),
        "what the file says wins"
    );
}

#[test]
fn the_environment_of_aws_says_region_and_authorities() {
    let least = file("bucket: b");
    let found = settings(&least, &[("AWS_REGION", "eu-west-1"), ("AWS_CA_BUNDLE", "/ca.pem")]);
    assert_eq!(
        (found.region.as_str(), found.ca_file),
        ("eu-west-1", Some("/ca.pem".into()))
    );
    let own = settings(
        &file("bucket: b, cafile: /own.pem, region: eu-west-2"),
        &[("AWS_CA_BUNDLE", "/ca.pem")],
    );
    assert_eq!(
        (own.region.as_str(), own.ca_file),
        ("eu-west-2", Some("/own.pem".into()))
    );
    assert_eq!(
        settings(&file("bucket: b, regionendpoint: 'http://s:8333'"), &[]).region,
        "us-east-1"
    );
}

#[test]
fn what_cannot_be_is_refused_with_the_reason() {
    let cases = [
        ("bucket: b", "`storage.s3.region` is missing"),
        ("region: us-east-1", "`storage.s3.bucket` is missing"),
        (
            "bucket: b, region: us-east1",
            "`storage.s3.region`: \"us-east1\" is no region of AWS",
        ),
        (
            "bucket: b, region: us-east-1, chunksize: 5242879",
            "`storage.s3.chunksize`: 5242879 is out of range: it must be from 5242880 to 5368709120",
        ),
        (
            "bucket: b, region: us-east-1, storageclass: GLACIER",
            "`storage.s3.storageclass`: \"GLACIER\" is not one of STANDARD, NONE, REDUCED_REDUNDANCY, STANDARD_IA, \
             ONEZONE_IA, INTELLIGENT_TIERING, OUTPOSTS, GLACIER_IR, EXPRESS_ONEZONE",
        ),
        (
            "bucket: b, region: us-east-1, objectacl: everyone",
            "`storage.s3.objectacl`: \"everyone\" is not one of private, public-read, public-read-write, \
             authenticated-read, aws-exec-read, bucket-owner-read, bucket-owner-full-control",
        ),
        (
            "bucket: b, region: us-east-1, v4auth: false",
            "`storage.s3.v4auth`: requests are signed with version 4 only",
        ),
        (
            "bucket: b, region: us-east-1, accesskey: a",
            "`storage.s3.secretkey` is missing beside `storage.s3.accesskey`",
        ),
        (
            "bucket: b, regionendpoint: 'https://s3.example.com/b'",
            "`storage.s3.regionendpoint`: this is not the address of a server",
        ),
        (
            "bucket: b, region: us-east-1, redirectendpoint: 'https://cdn/x'",
            "`storage.s3.redirectendpoint`: this must be a scheme and a host, nothing else",
        ),
        (
            "bucket: b, region: us-east-1, redirectendpoint: cdn.example.com",
            "`storage.s3.redirectendpoint`: this must be a scheme and a host, nothing else",
        ),
    ];
    for (parameters, message) in cases {
        let problems = problems(&file(parameters), &[]);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [message], "{parameters}");
    }
    let text = problem(&file("bucket: b, region: us-east-1, secretkey: hunter2"), &[]);
    assert!(!text.contains("hunter2"), "{text}");
}

#[test]
fn no_key_is_shown() {
    let yaml = file("bucket: b, region: us-east-1, accesskey: hunter1, secretkey: hunter2");
    let loaded = loaded(&yaml, &[("AWS_SESSION_TOKEN", "hunter3")]);
    let shown = format!(
        "{}{}{:?}",
        loaded.print(Format::Yaml),
        loaded.print(Format::Json),
        loaded.config
    );
    assert!(!shown.contains("hunter"), "{shown}");
    assert!(shown.contains("us-east-1"));
}

#[test]
fn middlewares_say_where_clients_are_sent() {
    let yaml = file("bucket: b, region: us-east-1")
        + "middleware:
  storage:
    - name: cloudfront
      options: {baseurl: d1.cloudfront.net/images, privatekey: /key.pem, keypairid: K1, duration: 5m}
    - name: redirect
      disabled: true
      options: {baseurl: 'https://cdn.example.com/x/'}
    - name: rewrite
      options: {scheme: https, host: 'cdn:8443', trimpathprefix: /b}
    - name: redirect
      options: {baseurl: 'https://cdn.example.com/x/'}
";
    let loaded = loaded(&yaml, &[]);
    let expected = vec![
        StorageMiddleware::CloudFront(CloudFront {
            base_url: "https://d1.cloudfront.net/images/".to_owned(),
            private_key: "/key.pem".into(),
            key_pair_id: "K1".to_owned(),
            duration: Duration::from_secs(300),
        }),
        StorageMiddleware::Rewrite {
            scheme: Some("https".to_owned()),
            host: Some("cdn:8443".to_owned()),
            trim_path_prefix: Some("/b".to_owned()),
        },
        StorageMiddleware::Redirect {
            base_url: "https://cdn.example.com/x".to_owned(),
        },
    ];
    assert_eq!(loaded.config.storage.middleware, expected);
    assert_eq!(
        texts(&loaded.warnings),
        ["config.yml:8:13: `middleware.storage[1]` is disabled and left out"]
    );
}

#[test]
fn a_middleware_that_cannot_work_is_refused() {
    let cases = [
        (
            "name: alicdn",
            "`middleware.storage[0].name`: there is no storage middleware \"alicdn\"",
        ),
        (
            "name: redirect",
            "`middleware.storage[0].name`: redirect needs `options.baseurl`",
        ),
        (
            "name: redirect, options: {baseurl: cdn.example.com}",
            "`middleware.storage[0].options.baseurl`: this is not a URL with scheme and host",
        ),
        (
            "name: rewrite, options: {scheme: ftp}",
            "`middleware.storage[0].options.scheme`: this should be http or https",
        ),
        (
            "name: rewrite, options: {host: 'https://x'}",
            "`middleware.storage[0].options.host`: this should be a host, with a port if there is one",
        ),
        (
            "name: cloudfront, options: {baseurl: c, privatekey: /k, keypairid: K, ipfilteredby: aws}",
            "`middleware.storage[0].options.ipfilteredby`: sending AWS's own addresses to the bucket itself is not \
             there yet",
        ),
        (
            "name: cloudfront, options: {baseurl: c, privatekey: /k}",
            "`middleware.storage[0].name`: cloudfront needs `options.keypairid`",
        ),
    ];
    for (entry, message) in cases {
        let yaml = file("bucket: b, region: us-east-1") + &format!("middleware: {{storage: [{{{entry}}}]}}\n");
        let problems = problems(&yaml, &[]);
        let messages: Vec<&str> = problems.iter().map(|problem| problem.message.as_str()).collect();
        assert_eq!(messages, [message], "{entry}");
    }
}
