//! `/backups`: the index as a file.

use std::fs::File;
use std::io::Read as _;

use axum::Router;
use axum::extract::State;
use axum::routing::post;
use bytes::Bytes;
use futures_util::stream;
use http::{HeaderValue, Response, header};
use serde::Deserialize;
use wharf_api_common::Body;
use wharf_registry::backup::{Sealing, Taker};

use crate::call::{Administrator, Answer, Params};
use crate::{Failure, Resources};

/// Bytes that are read in one go.
const PIECE: usize = 128 << 10;

pub fn routes() -> Router<Resources> {
    Router::new().route("/backups", post(create))
}

#[derive(Deserialize)]
struct Wish {
    /// Not encrypted, although there is a key.
    #[serde(default)]
    plain: bool,
}

async fn create(
    State(resources): State<Resources>,
    Administrator(caller): Administrator,
    Params(wish): Params<Wish>,
) -> Answer {
    let address = caller.address.map(|address| address.to_string()).unwrap_or_default();
    let taker = Taker {
        name: caller.principal.name(),
        address: &address,
    };
    let sealing = match wish.plain {
        true => Sealing::Plain,
        false => Sealing::WhereThereIsAKey,
    };
    let (file, created) = resources.backups.hand_out(taker, sealing).await?;
    let length = file.metadata().map_err(Failure::internal)?.len();
    tracing::info!(
        by = taker.name,
        bytes = length,
        is_encrypted = created.key.is_some(),
        "a backup was handed out"
    );
    let name = created
        .header
        .at
        .strftime("attachment; filename=\"wharf-%Y%m%dT%H%M%SZ.backup\"");
    let name = HeaderValue::try_from(name.to_string()).map_err(Failure::internal)?;
    let mut answer = Response::new(streamed(file));
    let headers = answer.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/octet-stream"),
    );
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CONTENT_DISPOSITION, name);
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// A file as a body, read piece by piece.
fn streamed(file: File) -> Body {
    Body::from_stream(stream::try_unfold(file, |mut file| async move {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let count = file.read(&mut piece)?;
            piece.truncate(count);
            std::io::Result::Ok((piece, file))
        });
        let (piece, file) = read.await.map_err(std::io::Error::other)??;
        std::io::Result::Ok((!piece.is_empty()).then(|| (Bytes::from(piece), file)))
    }))
}
