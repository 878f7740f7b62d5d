//! Whether a bucket lets this program do what it must.

use super::{Objects, failed, missing};
use crate::{Error, ErrorKind, Result, paths};
use bytes::Bytes;
use object_store::{GetOptions, ObjectStoreExt, PutPayload, list::PaginatedListOptions};

/// What is written to see whether writing works.
const CONTENT: &[u8] = b"ok";

impl Objects {
    /// Does everything that is needed once, below `wharf/`, and says which right is missing when
    /// something is refused; with `writes` also what changes things. Nothing is left behind.
    pub(crate) async fn check_rights(&self, writes: bool) -> Result<()> {
        let probe = self.path(&paths::rights())?;
        let parts = self.path(&paths::rights_of_parts())?;
        let client = &self.inner.plain;

        let listed = super::again(|| {
            let options = PaginatedListOptions {
                max_keys: Some(1),
                ..PaginatedListOptions::default()
            };
            client.pages.list_paginated(None, options)
        });
        self.explain("list objects in", "s3:ListBucket", listed.await)?;
        if writes {
            let put = super::again(|| self.inner.writing.objects.put(&probe, PutPayload::from_static(CONTENT)));
            self.explain("write objects to", "s3:PutObject", put.await)?;
        }
        // it is missing where nothing was written, or another process has removed its own just now
        let got = super::again(|| async {
            let found = client.objects.get_opts(&probe, GetOptions::default()).await?;
            found.bytes().await
        });
        let got = self.explain("read objects in", "s3:GetObject", got.await);
        let got: Option<Bytes> = got.map(Some).or_else(missing)?;
        if !writes {
            return Ok(());
        }
        if got.is_some_and(|bytes| bytes != CONTENT) {
            let reason = "what was written came back as something else";
            return Err(Error::because(
                ErrorKind::Corrupt,
                "read objects in",
                &self.inner.place,
                reason,
            ));
        }

        let begun = super::again(|| self.inner.writing.parts.create_multipart(&parts)).await;
        let id = self.explain("upload objects in parts to", "s3:PutObject", begun)?;
        let aborted = super::again(|| client.parts.abort_multipart(&parts, &id)).await;
        let aborted = self.explain("give up uploads in", "s3:AbortMultipartUpload", aborted);
        aborted.map(Some).or_else(missing)?;
        let unfinished = self.unfinished(&paths::rights_of_parts()).await;
        unfinished.map_err(|error| self.named("list the uploads of", "s3:ListBucketMultipartUploads", error))?;

        let removed = self.remove_paths(vec![probe.clone()]).await;
        self.explain("delete objects in", "s3:DeleteObject", removed)
    }

    /// What a refusal of one of these requests means.
    fn explain<T>(&self, operation: &'static str, right: &'static str, outcome: object_store::Result<T>) -> Result<T> {
        outcome.map_err(|error| self.named(operation, right, failed(operation, &self.inner.place, &error)))
    }

    /// The same error; one of rights names the right.
    fn named(&self, operation: &'static str, right: &'static str, error: Error) -> Error {
        if error.kind() != ErrorKind::PermissionDenied {
            return error;
        }
        let reason = std::error::Error::source(&error).map_or_else(String::new, |source| format!(": {source}"));
        Error::because(
            ErrorKind::PermissionDenied,
            operation,
            &self.inner.place,
            format!("the right {right} is missing, or the keys are wrong{reason}"),
        )
    }
}
