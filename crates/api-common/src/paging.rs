//! `n`, `last` and the `Link` header of lists (OCI distribution spec, RFC 8288).

use http::HeaderValue;

use crate::query;

/// The longest `last` that is accepted, in bytes: no name or tag is longer.
const MAX_LAST: usize = 1024;

/// Which page of a list is asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// How many entries at most; `None` when the client did not say. 0 is legal and asks for none.
    pub n: Option<u64>,
    /// The page begins after this entry, which need not exist (any more).
    pub last: Option<String>,
}

/// A page that cannot be served (distribution's code `PAGINATION_NUMBER_INVALID`).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// `n` is not a number of entries.
    #[error("n={n:?} is not a number of 0 or more")]
    Number {
        /// The value as it came, shortened.
        n: String,
    },
    /// `last` cannot be the name of anything.
    #[error("last is longer than {MAX_LAST} bytes")]
    Last,
}

impl Page {
    /// Reads `n` and `last` of a query string (without `?`). Empty values count as absent.
    ///
    /// # Errors
    /// When `n` is negative or not a number, or `last` is too long to be one of ours.
    pub fn parse(query: &str) -> Result<Self, PageError> {
        let mut page = Self::default();
        for (name, value) in query::pairs(query).filter(|(_, value)| !value.is_empty()) {
            match name.as_ref() {
                "n" if page.n.is_none() => page.n = Some(number(&value)?),
                "last" if page.last.is_none() => {
                    if value.len() > MAX_LAST {
                        return Err(PageError::Last);
                    }
                    page.last = Some(value.into_owned());
                }
                _ => {}
            }
        }
        Ok(page)
    }

    /// [`Page::parse`] of a request's URI.
    ///
    /// # Errors
    /// As there.
    pub fn of(uri: &http::Uri) -> Result<Self, PageError> {
        Self::parse(uri.query().unwrap_or(""))
    }
}

fn number(value: &str) -> Result<u64, PageError> {
    let digits = value.strip_prefix('+').unwrap_or(value);
    if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // more than 64 bits hold is more than there is
        return Ok(digits.parse().unwrap_or(u64::MAX));
    }
    Err(PageError::Number {
        n: value.chars().take(40).collect(),
    })
}

/// The value of a `Link` header that leads to the next page of the list at `path` (with prefix):
/// `<path?last=...&n=...>; rel="next"`. `others` are further parameters to keep, such as a
/// filter. `None` when the path cannot stand in a header.
#[must_use]
pub fn link_next(path: &str, n: u64, last: &str, others: &[(&str, &str)]) -> Option<HeaderValue> {
    let mut query = String::new();
    for (name, value) in others {
        query::append(&mut query, name, value);
    }
    query::append(&mut query, "last", last);
    query::append(&mut query, "n", &n.to_string());
    let value = format!("<{path}?{query}>; rel=\"next\"");
    HeaderValue::from_maybe_shared(bytes::Bytes::from(value)).ok()
}

/// The target of the `rel="next"` entry of a `Link` header value.
#[must_use]
pub fn next_target(value: &str) -> Option<&str> {
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        let end = end_of_parameters(after);
        let (parameters, following) = after.split_at(end);
        if parameters.split(';').any(is_rel_next) {
            return Some(target);
        }
        rest = following;
    }
    None
}

/// Where the parameters of one link end: at a comma outside of quotes.
fn end_of_parameters(text: &str) -> usize {
    let mut quoted = false;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'"' => quoted = !quoted,
            b',' if !quoted => return at,
            _ => {}
        }
    }
    text.len()
}

fn is_rel_next(parameter: &str) -> bool {
    let Some((name, value)) = parameter.split_once('=') else {
        return false;
    };
    let value = value.trim().trim_matches('"');
    name.trim().eq_ignore_ascii_case("rel")
        && value
            .split_ascii_whitespace()
            .any(|relation| relation.eq_ignore_ascii_case("next"))
}

#[cfg(test)]
mod tests;
