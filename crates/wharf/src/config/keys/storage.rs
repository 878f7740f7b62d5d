//! The storage section.

use super::{Key, Kind, Release, key};

const COUNT: Kind = Kind::Int(0, i64::MAX);

const INDEXED: &str = "Wharf answers from its own index and needs no cache of blob descriptors";
const TAGS: &str = "Wharf finds the tags of a manifest in its index, without parallel look-ups";
const LATER: &str = "this version stores in a folder (`storage.filesystem`) or an S3 bucket (`storage.s3`): take one of them, or keep \
     distribution until this driver is there";
const CLIENT_LOG: &str = "failed requests to the bucket are logged with their reason at every level";
const REMOVED: &str = "distribution 3 removed this driver too: copy the data to a folder and use `storage.filesystem`";

/// `storage` without the buckets.
pub(super) static STORAGE: &[Key] = &[
    key(
        "storage",
        Kind::OneOf,
        "Where images are kept: exactly one driver, by its section or only its name.",
    )
    .required(),
    key("storage.filesystem", Kind::Params, "A folder.").optional(),
    key(
        "storage.filesystem.rootdirectory",
        Kind::Path,
        "The folder; images are under `docker/registry/v2` in it.",
    )
    .default("/var/lib/registry"),
    key(
        "storage.filesystem.maxthreads",
        COUNT,
        "Blocking operations at a time; fewer than 25 are raised to 25.",
    )
    .default("100"),
    key(
        "storage.filesystem.push_cache",
        Kind::Size,
        "So many first bytes of a pushed blob stay in the page cache; the rest goes past it to the disk, where the \
         filesystem supports that. A size that no blob has, such as `1TiB`, keeps everything.",
    )
    .default("8MiB")
    .only(Release::Wharf),
    key(
        "storage.inmemory",
        Kind::Params,
        "Memory: gone with the process. For tests.",
    )
    .optional(),
    key("storage.delete", Kind::Params, "Deleting through the API."),
    key(
        "storage.delete.enabled",
        Kind::Bool,
        "Allow it (the file in the image of registry:3 does).",
    )
    .default("false"),
    key(
        "storage.redirect",
        Kind::Params,
        "Sending clients to the storage itself.",
    ),
    key("storage.redirect.disable", Kind::Bool, "Serve every blob ourselves.").default("false"),
    key("storage.maintenance", Kind::Params, "Upkeep."),
    key(
        "storage.maintenance.uploadpurging",
        Kind::Params,
        "Removing abandoned uploads.",
    ),
    key("storage.maintenance.uploadpurging.enabled", Kind::Bool, "Do it.").default("true"),
    key(
        "storage.maintenance.uploadpurging.age",
        Kind::Duration,
        "Uploads older than this go.",
    )
    .default("168h"),
    key(
        "storage.maintenance.uploadpurging.interval",
        Kind::Duration,
        "Between two passes.",
    )
    .default("24h"),
    key(
        "storage.maintenance.uploadpurging.dryrun",
        Kind::Bool,
        "Only log what would go.",
    )
    .default("false"),
    key("storage.maintenance.readonly", Kind::Params, "Read-only operation."),
    key(
        "storage.maintenance.readonly.enabled",
        Kind::Bool,
        "Answer writes with 405.",
    )
    .default("false"),
    key("storage.cache", Kind::Params, "Cache of blob descriptors."),
    key(
        "storage.cache.blobdescriptor",
        Kind::Choice(&["inmemory", "redis"]),
        "Where.",
    )
    .aliases(&["layerinfo"])
    .notice(INDEXED),
    key("storage.cache.blobdescriptorsize", COUNT, "How many.")
        .only(Release::Three)
        .notice(INDEXED),
    key("storage.tag", Kind::Params, "Tags.").only(Release::Three),
    key(
        "storage.tag.concurrencylimit",
        COUNT,
        "Parallel look-ups when a manifest is deleted.",
    )
    .only(Release::Three)
    .notice(TAGS),
    key(
        "storage.foreign_writers",
        Kind::Choice(&["auto", "never", "always"]),
        "Whether to look at start for what another registry wrote: where that is cheap, never, or thoroughly.",
    )
    .default("auto")
    .only(Release::Wharf),
];

/// Buckets, drivers that come later, and those that distribution removed.
pub(super) static DRIVERS: &[Key] = &[
    key("storage.s3", Kind::Params, "An S3 bucket.").aliases(&["s3aws"]).optional(),
    key(
        "storage.s3.accesskey",
        Kind::Text,
        "Key id. Without it keys come from the environment, a profile, a web identity, the container or the instance.",
    )
    .secret(),
    key("storage.s3.secretkey", Kind::Text, "Key.").secret(),
    key(
        "storage.s3.region",
        Kind::Text,
        "Region; needed without `regionendpoint`, unless `AWS_REGION` is set.",
    ),
    key("storage.s3.regionendpoint", Kind::Text, "Endpoint of another service than AWS."),
    key(
        "storage.s3.forcepathstyle",
        Kind::Bool,
        "Bucket in the path. Not set: true with `regionendpoint`, as in 2.8 (3 has false, which breaks MinIO and Ceph).",
    )
    .only(Release::Three),
    key("storage.s3.bucket", Kind::Text, "Bucket.").required(),
    key("storage.s3.encrypt", Kind::Bool, "Encrypt on the server.").default("false"),
    key("storage.s3.keyid", Kind::Text, "KMS key for that."),
    key("storage.s3.secure", Kind::Bool, "HTTPS, where `regionendpoint` names no scheme.").default("true"),
    key("storage.s3.skipverify", Kind::Bool, "Do not verify the certificate.").default("false"),
    key(
        "storage.s3.cafile",
        Kind::Path,
        "PEM file with certificate authorities that are trusted besides those of the system.",
    )
    .only(Release::Wharf),
    key("storage.s3.v4auth", Kind::Bool, "Signature version 4; `false` is refused.").default("true"),
    key(
        "storage.s3.chunksize",
        Kind::Int(5 << 20, 5 << 30),
        "Bytes of a part, which each upload keeps in memory. Not set: 5 MiB (10 MiB in distribution).",
    ),
    key("storage.s3.multipartcopychunksize", Kind::Int(5 << 20, 5 << 30), "Bytes of a part of a copy.")
        .default("33554432"),
    key("storage.s3.multipartcopymaxconcurrency", Kind::Int(1, i64::MAX), "Parts at a time.").default("100"),
    key("storage.s3.multipartcopythresholdsize", Kind::Int(0, 5 << 30), "Copies above this many bytes go in parts.")
        .default("33554432"),
    key("storage.s3.rootdirectory", Kind::Text, "Prefix in the bucket."),
    key(
        "storage.s3.storageclass",
        Kind::Choice(&[
            "STANDARD", "NONE", "REDUCED_REDUNDANCY", "STANDARD_IA", "ONEZONE_IA", "INTELLIGENT_TIERING", "OUTPOSTS",
            "GLACIER_IR", "EXPRESS_ONEZONE",
        ]),
        "Storage class.",
    )
    .default("STANDARD"),
    key("storage.s3.useragent", Kind::Text, "User agent."),
    key(
        "storage.s3.objectacl",
        Kind::Choice(&[
            "private", "public-read", "public-read-write", "authenticated-read", "aws-exec-read", "bucket-owner-read",
            "bucket-owner-full-control",
        ]),
        "ACL of objects.",
    )
    .default("private"),
    key("storage.s3.usedualstack", Kind::Bool, "IPv6 endpoints.").default("false").only(Release::Three),
    key("storage.s3.accelerate", Kind::Bool, "Transfer acceleration.").default("false").only(Release::Three),
    key("storage.s3.usefipsendpoint", Kind::Bool, "FIPS endpoints.").default("false").only(Release::ThreeOne),
    key("storage.s3.redirectendpoint", Kind::Text, "Endpoint for clients.").only(Release::ThreeOne),
    key("storage.s3.loglevel", Kind::Text, "What the client logs.").only(Release::Three).notice(CLIENT_LOG),
    key("storage.azure", Kind::Params, "An Azure container.").optional().refused(LATER),
    key("storage.azure.accountname", Kind::Text, "Account.").required(),
    key("storage.azure.accountkey", Kind::Text, "Its key.").secret(),
    key("storage.azure.connectionstring", Kind::Text, "Instead of the key.").only(Release::Three).secret(),
    key("storage.azure.credentials", Kind::Params, "Instead of the key.").only(Release::Three).optional(),
    key(
        "storage.azure.credentials.type",
        Kind::Choice(&["client_secret", "shared_key", "default_credentials"]),
        "Kind of credentials.",
    )
    .only(Release::Three),
    key("storage.azure.credentials.clientid", Kind::Text, "Client.").only(Release::Three),
    key("storage.azure.credentials.tenantid", Kind::Text, "Tenant.").only(Release::Three),
    key("storage.azure.credentials.secret", Kind::Text, "Secret.").only(Release::Three).secret(),
    key("storage.azure.container", Kind::Text, "Container.").required(),
    key("storage.azure.realm", Kind::Text, "Domain of the service.").default("core.windows.net"),
    key("storage.azure.rootdirectory", Kind::Text, "Prefix in the container.").only(Release::Three),
    key("storage.azure.serviceurl", Kind::Text, "URL of the service.").only(Release::Three),
    key("storage.azure.max_retries", COUNT, "Tries.").default("5").only(Release::Three),
    key("storage.azure.retry_delay", Kind::Duration, "Wait between them.").default("100ms").only(Release::Three),
    key("storage.azure.skipverify", Kind::Bool, "Do not verify the certificate.").default("false").only(Release::Three),
    key("storage.gcs", Kind::Params, "A Google Cloud Storage bucket.").optional().refused(LATER),
    key("storage.gcs.bucket", Kind::Text, "Bucket.").required(),
    key("storage.gcs.keyfile", Kind::Path, "File with the key of a service account."),
    key("storage.gcs.credentials", Kind::Fields, "That key itself.").secret(),
    key("storage.gcs.rootdirectory", Kind::Text, "Prefix in the bucket."),
    key("storage.gcs.chunksize", Kind::Int(1 << 18, i64::MAX), "Bytes of a part, a multiple of 256 KiB.")
        .default("5242880"),
    key("storage.gcs.maxconcurrency", COUNT, "Requests at a time.").default("75").only(Release::Three),
    key("storage.swift", Kind::Fields, "OpenStack Swift.").only(Release::Two).optional().secret().refused(REMOVED),
    key("storage.oss", Kind::Fields, "Aliyun OSS.").only(Release::Two).optional().secret().refused(REMOVED),
];
