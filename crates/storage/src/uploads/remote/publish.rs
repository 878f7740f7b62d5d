//! From the objects of a session to a blob.

use super::{Multipart, Piece, Place, Stored, UploadState};
use crate::{Blobs, Error, ErrorKind, Result, objects::Payload, paths::Location};
use bytes::Bytes;

/// The bytes of pieces, in their order.
pub(in super::super) async fn read_pieces(place: &Place, pieces: &[Piece]) -> Result<Vec<Bytes>> {
    let mut all = Vec::with_capacity(pieces.len());
    for piece in pieces {
        let location = place.piece(&piece.name);
        match place.objects.read(&location, piece.length).await? {
            Some(bytes) if bytes.len() as u64 == piece.length => all.push(bytes),
            Some(_) => return Err(Error::new(ErrorKind::Corrupt, "read", location)),
            None => return Err(Error::new(ErrorKind::NotFound, "read", location)),
        }
    }
    Ok(all)
}

/// Makes the bytes of a state the blob that they are, and removes them from where they were.
///
/// Repeating a call that was interrupted is safe.
pub(in super::super) async fn publish(place: &Place, blobs: &Blobs, state: &UploadState) -> Result<()> {
    let Some(stored) = state.stored() else {
        return Err(Error::new(ErrorKind::NotFound, "publish", &place.folder));
    };
    let digest = state.sha256();
    let size = state.offset();
    let (blob, _lock) = blobs.locked(&digest).await?;
    let moved = match (&stored.multipart, stored.pieces.as_slice(), stored.rest.is_empty()) {
        (Some(parts), _, _) if !parts.tags.is_empty() => publish_parts(place, &blob, state).await,
        (_, [piece], true) => {
            let copied = place.objects.copy(&place.piece(&piece.name), &blob, size).await;
            copied.map(|()| false)
        }
        (_, pieces, _) => publish_pieces(place, &blob, pieces, &stored.rest).await,
    };
    let is_complete = match moved {
        Ok(is_complete) => is_complete,
        // An earlier call may have moved them.
        Err(error) if error.kind() == ErrorKind::NotFound => {
            if place.objects.size(&blob).await? != Some(size) {
                return Err(error);
            }
            false
        }
        Err(error) => return Err(error),
    };
    clean(place, stored, is_complete).await
}

async fn publish_pieces(place: &Place, blob: &Location, pieces: &[Piece], rest: &[Bytes]) -> Result<bool> {
    let mut bytes = read_pieces(place, pieces).await?;
    bytes.extend_from_slice(rest);
    place.objects.write(blob, Payload::from_iter(bytes)).await?;
    Ok(false)
}

/// Bytes that are there already are kept: a copy of so many takes longer than to look for them.
/// Answers whether the parts were put together.
async fn publish_parts(place: &Place, blob: &Location, state: &UploadState) -> Result<bool> {
    if place.objects.size(blob).await? == Some(state.offset()) {
        return Ok(false);
    }
    complete(place, state).await?;
    place.objects.copy(&place.data, blob, state.offset()).await?;
    Ok(true)
}

/// Puts the parts of a state together, the bytes after them as the last one; `false` when there are none.
pub(in super::super) async fn complete(place: &Place, state: &UploadState) -> Result<bool> {
    let Some(stored) = state.stored() else {
        return Ok(false);
    };
    let Some(parts) = stored.multipart.as_ref().filter(|parts| !parts.tags.is_empty()) else {
        return Ok(false);
    };
    match put_together(place, stored, parts).await {
        Ok(()) => Ok(true),
        // An earlier call may have done so, or its answer was lost.
        Err(error) => match place.objects.size(&place.data).await? {
            Some(size) if size == state.offset() => Ok(true),
            _ => Err(error),
        },
    }
}

async fn put_together(place: &Place, stored: &Stored, parts: &Multipart) -> Result<()> {
    let mut tags: Vec<String> = parts.tags.iter().map(|tag| tag.to_string()).collect();
    if stored.tail_length() != Some(0) {
        let mut bytes = read_pieces(place, &stored.pieces).await?;
        bytes.extend_from_slice(&stored.rest);
        let last = place
            .objects
            .put_part((&place.data, &parts.id), tags.len(), Payload::from_iter(bytes));
        tags.push(last.await?);
    }
    place.objects.complete_parts((&place.data, &parts.id), tags).await
}

/// Removes what the upload consisted of, without looking what there is: what a state does not know, the
/// purge of uploads finds.
async fn clean(place: &Place, stored: &Stored, is_complete: bool) -> Result<()> {
    let mut objects: Vec<Location> = stored.names().map(|name| place.piece(&name)).collect();
    if let Some(parts) = &stored.multipart {
        if !is_complete {
            place.objects.abort_parts((&place.data, &parts.id)).await?;
        }
        if !parts.tags.is_empty() {
            objects.push(place.data.clone());
        }
    }
    place.objects.remove(objects).await
}
