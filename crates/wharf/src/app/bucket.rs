//! A bucket as the storage: opening it, trying at the start what will be needed of it, and the local folder that the
//! index of a bucket lies in where no database server holds it.

pub(super) mod claim;
mod trial;

use std::error::Error as StdError;
use std::fmt::Write as _;
use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use aws_lc_rs::digest::{SHA256, digest};
use wharf_storage::{Storage, filesystem, s3};

use crate::config::{AccessKey, Config, Credentials, S3, StorageDriver};
use crate::credentials::Finder;

/// How long the requests of the trial are tried again.
const TRIAL_RETRIES: Duration = Duration::from_secs(4);

/// Opens a bucket; nothing is sent yet.
pub(super) fn open(bucket: &S3) -> Result<Storage> {
    let settings = settings(bucket)?;
    Storage::s3(&settings).with_context(|| format!("the bucket {} cannot be used", bucket.bucket))
}

/// Tries what will be needed of the bucket, and says what is missing.
pub(super) async fn check(bucket: &S3, is_read_only: bool) -> Result<()> {
    let mut settings = settings(bucket)?;
    // somebody waits for the answer
    settings.timeouts.retry = TRIAL_RETRIES;
    settings.timeouts.answer = settings.timeouts.answer.min(Duration::from_secs(10));
    let storage = Storage::s3(&settings).with_context(|| format!("the bucket {} cannot be used", bucket.bucket))?;
    trial::run(bucket, &storage, is_read_only).await
}

fn settings(bucket: &S3) -> Result<s3::Settings> {
    let authorities = match &bucket.ca_file {
        Some(file) => {
            let pem = std::fs::read(file);
            vec![pem.with_context(|| format!("storage.s3.cafile {} cannot be read", file.display()))?]
        }
        None => Vec::new(),
    };
    let defaults = s3::Settings::default();
    Ok(s3::Settings {
        bucket: bucket.bucket.clone(),
        region: bucket.region.clone(),
        endpoint: bucket.region_endpoint.clone(),
        secure: bucket.secure,
        path_style: bucket.force_path_style,
        accelerate: bucket.accelerate,
        dual_stack: bucket.use_dual_stack,
        fips: bucket.use_fips,
        root: bucket.root_directory.clone(),
        credentials: match &bucket.credentials {
            Credentials::Static(keys) => s3::Credentials::Static(given(keys)),
            _ => s3::Credentials::Source(Arc::new(Finder::new(bucket, super::clock())?)),
        },
        encryption: match (bucket.encrypt, &bucket.key_id) {
            (false, _) => s3::Encryption::Bucket,
            (true, None) => s3::Encryption::S3,
            (true, Some(key)) => s3::Encryption::Kms(key.clone()),
        },
        storage_class: bucket.storage_class.clone(),
        acl: bucket.object_acl.clone(),
        user_agent: bucket.user_agent.clone(),
        authorities,
        skip_verify: bucket.skip_verify,
        part_size: bucket.chunk_size.unwrap_or(defaults.part_size),
        copy_threshold: bucket.copy_threshold,
        copy_part_size: bucket.copy_chunk_size,
        copy_concurrency: bucket.copy_concurrency,
        redirect_endpoint: bucket.redirect_endpoint.clone(),
        ..defaults
    })
}

fn given(keys: &AccessKey) -> s3::Keys {
    s3::Keys {
        access_key: keys.id.clone(),
        secret_key: keys.secret.expose().to_owned(),
        session_token: keys.session_token.as_ref().map(|token| token.expose().to_owned()),
    }
}

impl s3::CredentialSource for Finder {
    fn keys(&self) -> Pin<Box<dyn Future<Output = Result<s3::Keys, Box<dyn StdError + Send + Sync>>> + Send + '_>> {
        Box::pin(async {
            match Self::keys(self).await {
                Ok(keys) => Ok(given(&keys)),
                Err(error) => Err(format!("{error:#}").into()),
            }
        })
    }
}

/// The folder of this machine that belongs to a bucket: the index, its lock and the administration socket lie in
/// `wharf/` there. `None` for another storage.
pub(super) fn local_folder(config: &Config) -> Option<PathBuf> {
    let StorageDriver::S3(bucket) = &config.storage.driver else {
        return None;
    };
    let endpoint = bucket.region_endpoint.as_deref().unwrap_or_default();
    let name = [endpoint, &bucket.bucket, &bucket.root_directory].join("\n");
    // short: the path of a socket has 107 bytes at most
    let hash = digest(&SHA256, name.as_bytes());
    let mut folder = "s3-".to_owned();
    for byte in hash.as_ref().iter().take(6) {
        let _ = write!(folder, "{byte:02x}");
    }
    Some(config.data_folder.join(folder))
}

/// Where the lock and the index of a storage lie: in itself where it is a folder, else in a folder of this machine.
/// Memory where that cannot be made.
pub(super) fn beside(config: &Config, storage: &Storage) -> Result<Storage> {
    let Some(root) = local_folder(config) else {
        return Ok(storage.clone());
    };
    match std::fs::create_dir_all(root.join("wharf")) {
        Ok(()) => Ok(Storage::filesystem(filesystem::Config { root })?),
        Err(error) => {
            tracing::warn!(
                folder = %root.display(),
                %error,
                "the folder for the index of the bucket cannot be made: the index is made anew at every start; mount a \
                 volume there, or name another folder by WHARF_DATA"
            );
            Ok(Storage::memory())
        }
    }
}
