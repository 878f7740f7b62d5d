//! Where clients are sent for the bytes of blobs: the bucket itself by presigned URLs, or what
//! `middleware.storage` says.

mod cloudfront;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use wharf_api_distribution::Redirects;
use wharf_registry::pull::Blob;
use wharf_registry::{Clock, Error};

use crate::config::{Config, StorageDriver, StorageMiddleware};
use cloudfront::CloudFront;

/// How long a presigned URL is good, as in distribution.
const LIFETIME: Duration = Duration::from_secs(20 * 60);

/// The storage and the middlewares around it.
struct Chain {
    /// From the innermost on.
    steps: Vec<Step>,
    /// What the keys of the bucket begin with, without slashes at its ends.
    root: String,
    clock: Clock,
}

#[derive(Debug)]
enum Step {
    CloudFront(Box<CloudFront>),
    Redirect { base_url: String },
    Rewrite(Rewrite),
}

/// What takes the place of parts of a URL.
#[derive(Debug)]
struct Rewrite {
    scheme: Option<String>,
    host: Option<String>,
    trim_path_prefix: Option<String>,
}

/// Where clients of this configuration get blobs from; `None` = from here.
///
/// # Errors
///
/// A key that signs URLs cannot be read.
pub fn of(config: &Config, clock: Clock) -> Result<Option<Arc<dyn Redirects>>> {
    let root = match &config.storage.driver {
        StorageDriver::S3(bucket) => Some(bucket.root_directory.clone()),
        StorageDriver::Filesystem { .. } | StorageDriver::InMemory => None,
    };
    if !config.storage.redirect || (root.is_none() && config.storage.middleware.is_empty()) {
        return Ok(None);
    }
    let steps = config.storage.middleware.iter().map(|entry| {
        Ok(match entry {
            StorageMiddleware::CloudFront(settings) => Step::CloudFront(Box::new(CloudFront::new(settings)?)),
            StorageMiddleware::Redirect { base_url } => Step::Redirect {
                base_url: base_url.clone(),
            },
            StorageMiddleware::Rewrite {
                scheme,
                host,
                trim_path_prefix,
            } => Step::Rewrite(Rewrite {
                scheme: scheme.clone(),
                host: host.clone(),
                trim_path_prefix: trim_path_prefix.clone(),
            }),
        })
    });
    Ok(Some(Arc::new(Chain {
        steps: steps.collect::<Result<_>>()?,
        root: root.unwrap_or_default(),
        clock,
    })))
}

impl fmt::Debug for Chain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Chain")
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Redirects for Chain {
    fn url<'a>(&'a self, blob: &'a Blob) -> Pin<Box<dyn Future<Output = Result<Option<String>, Error>> + Send + 'a>> {
        Box::pin(async move {
            let Some(place) = blob.place() else { return Ok(None) };
            let Some((url, outer)) = self.first(&place) else {
                let presigned = blob.presigned(LIFETIME).await?;
                return Ok(presigned.map(|url| rewritten(url, &self.steps)));
            };
            Ok(Some(rewritten(url, outer)))
        })
    }
}

impl Chain {
    /// The URL of the outermost step that makes one itself, and the steps around it.
    fn first(&self, place: &str) -> Option<(String, &[Step])> {
        self.steps.iter().enumerate().rev().find_map(|(at, step)| {
            let url = match step {
                Step::Rewrite(_) => return None,
                Step::Redirect { base_url } => format!("{base_url}/{place}"),
                Step::CloudFront(signer) => signer.url(&self.key(place), (self.clock)()),
            };
            Some((url, self.steps.get(at + 1..).unwrap_or_default()))
        })
    }

    fn key(&self, place: &str) -> String {
        match self.root.as_str() {
            "" => place.to_owned(),
            root => format!("{root}/{place}"),
        }
    }
}

fn rewritten(url: String, steps: &[Step]) -> String {
    steps.iter().fold(url, |url, step| match step {
        Step::Rewrite(rewrite) => rewrite.of(&url),
        Step::Redirect { .. } | Step::CloudFront(_) => url,
    })
}

impl Rewrite {
    fn of(&self, url: &str) -> String {
        let Some((scheme, rest)) = url.split_once("://") else {
            return url.to_owned();
        };
        let (host, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
        let scheme = self.scheme.as_deref().unwrap_or(scheme);
        let host = self.host.as_deref().unwrap_or(host);
        let trimmed = self
            .trim_path_prefix
            .as_deref()
            .and_then(|prefix| path.strip_prefix(prefix));
        let path = trimmed.unwrap_or(path);
        let slash = if path.is_empty() || path.starts_with(['/', '?']) {
            ""
        } else {
            "/"
        };
        format!("{scheme}://{host}{slash}{path}")
    }
}
