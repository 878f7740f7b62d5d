//! `Range` of downloads (RFC 9110 section 14) and `Content-Range` of chunked uploads.

use http::{HeaderMap, header};

use crate::conditional::EntityTag;

/// Bytes `start..=end` of something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ByteRange {
    /// First byte, from 0.
    pub start: u64,
    /// Last byte, included; never before `start`.
    pub end: u64,
}

impl ByteRange {
    /// How many bytes: at least 1.
    #[must_use]
    pub fn length(&self) -> u64 {
        (self.end - self.start).saturating_add(1)
    }

    /// The value of `Content-Range` for this part of `total` bytes.
    #[must_use]
    pub fn content_range(&self, total: u64) -> String {
        format!("bytes {}-{}/{total}", self.start, self.end)
    }
}

/// The value of `Content-Range` in a 416 answer about `total` bytes.
#[must_use]
pub fn unsatisfied_content_range(total: u64) -> String {
    format!("bytes */{total}")
}

/// What part of a representation a request asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection {
    /// All of it: answer 200.
    Whole,
    /// One part: answer 206 with `Content-Range`.
    Part(ByteRange),
    /// Nothing that exists: answer 416 with [`unsatisfied_content_range`].
    Unsatisfiable,
}

impl Selection {
    /// Reads `Range` and `If-Range` for a representation of `length` bytes with this entity tag.
    #[must_use]
    pub fn of(headers: &HeaderMap, length: u64, tag: Option<&EntityTag>) -> Self {
        let Some(range) = headers.get(header::RANGE) else {
            return Self::Whole;
        };
        if let Some(condition) = headers.get(header::IF_RANGE) {
            // A date cannot match: blobs and manifests have no Last-Modified.
            let matches = tag.is_some_and(|tag| tag.matches_strongly(condition.as_bytes()));
            if !matches {
                return Self::Whole;
            }
        }
        range.to_str().map_or(Self::Whole, |range| select(range, length))
    }
}

/// Reads the value of a `Range` header for a representation of `length` bytes.
///
/// Ill-formed values and other units are ignored (RFC 9110 section 14.2 lets a server do so), but a
/// range that ends before it begins is unsatisfiable, as for Go's server.
/// Several ranges are answered with the whole: no registry client asks for them, and a
/// multipart answer would cost more than it saves. An empty representation is always whole.
#[must_use]
pub fn select(value: &str, length: u64) -> Selection {
    let Some((unit, set)) = value.split_once('=') else {
        return Selection::Whole;
    };
    if !unit.trim().eq_ignore_ascii_case("bytes") || length == 0 {
        return Selection::Whole;
    }
    let mut selected = None;
    let mut satisfiable = 0_usize;
    let mut unsatisfiable = 0_usize;
    for spec in set.split(',').map(str::trim).filter(|spec| !spec.is_empty()) {
        match resolve(spec, length) {
            Some(Selection::Part(range)) => {
                satisfiable += 1;
                selected = Some(range);
            }
            Some(_) => unsatisfiable += 1,
            None => return Selection::Whole,
        }
    }
    match (selected, satisfiable, unsatisfiable) {
        (Some(range), 1, _) => Selection::Part(range),
        (None, 0, 1..) => Selection::Unsatisfiable,
        _ => Selection::Whole,
    }
}

/// One `first-last`, `first-` or `-suffix`. `None` when ill-formed.
fn resolve(spec: &str, length: u64) -> Option<Selection> {
    let (first, last) = spec.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    if first.is_empty() {
        let suffix = number(last)?;
        return Some(match length.checked_sub(1) {
            Some(end) if suffix > 0 => Selection::Part(ByteRange {
                start: length.saturating_sub(suffix),
                end,
            }),
            _ => Selection::Unsatisfiable,
        });
    }
    let start = number(first)?;
    let end = if last.is_empty() { u64::MAX } else { number(last)? };
    if end < start {
        // Go's server, and with it distribution and the conformance suite, say 416 here
        return Some(Selection::Unsatisfiable);
    }
    Some(match length.checked_sub(1) {
        Some(limit) if start <= limit => Selection::Part(ByteRange {
            start,
            end: end.min(limit),
        }),
        _ => Selection::Unsatisfiable,
    })
}

/// Digits only. More digits than 64 bits hold mean "beyond everything", not an error.
fn number(text: &str) -> Option<u64> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u64::MAX))
}

/// The `Content-Range` of an upload's chunk: `a-b` (the OCI spec and regclient), or
/// `bytes a-b/*` and `bytes a-b/total` (RFC 9110).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ContentRange {
    /// Where the chunk lies in the upload.
    pub range: ByteRange,
    /// The size of the whole, when the client says it.
    pub total: Option<u64>,
}

/// A `Content-Range` that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("content-range {value:?} is not of the form \"<first>-<last>\"")]
pub struct InvalidContentRange {
    /// The value as it came, shortened to 100 characters.
    pub value: String,
}

impl ContentRange {
    /// Reads the header of a PATCH or PUT; `Ok(None)` when there is none.
    ///
    /// # Errors
    /// When there is one that cannot be read: the chunk must not be stored at a guessed place.
    pub fn of(headers: &HeaderMap) -> Result<Option<Self>, InvalidContentRange> {
        let Some(value) = headers.get(header::CONTENT_RANGE) else {
            return Ok(None);
        };
        let text = String::from_utf8_lossy(value.as_bytes());
        Self::parse(&text).map(Some).ok_or_else(|| InvalidContentRange {
            value: text.chars().take(100).collect(),
        })
    }

    /// Reads a header value. `None` when ill-formed, or when the total contradicts the range.
    #[must_use]
    pub fn parse(value: &str) -> Option<Self> {
        let value = value.trim();
        let value = match value.get(..5) {
            Some(unit) if unit.eq_ignore_ascii_case("bytes") => value.get(5..)?.trim_start_matches([' ', '=', '\t']),
            _ => value,
        };
        let (range, total) = match value.split_once('/') {
            None => (value, None),
            Some((range, "*")) => (range, None),
            Some((range, total)) => (range, Some(strict(total)?)),
        };
        let (first, last) = range.split_once('-')?;
        let (start, end) = (strict(first.trim())?, strict(last.trim())?);
        let consistent = start <= end && end < u64::MAX && total.is_none_or(|total| end < total);
        consistent.then_some(Self {
            range: ByteRange { start, end },
            total,
        })
    }
}

/// Digits that fit into 64 bits.
fn strict(text: &str) -> Option<u64> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) {
        text.parse().ok()
    } else {
        None
    }
}

#[cfg(test)]
mod tests;
