//! The id that ties every log line of one request together.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::{HeaderMap, HeaderName, HeaderValue};

/// The header that carries a request id from a proxy, and back to the client.
pub const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The longest id that is accepted from a proxy, in bytes.
pub const MAX_GIVEN: usize = 128;

/// The id of one request: our own (shown as a version 4 UUID, as distribution
/// does in `http.request.id`), or the one that a trusted proxy gave it.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct RequestId(Inner);

#[derive(Clone, PartialEq, Eq, Hash)]
enum Inner {
    Own(u128),
    Given(Arc<str>),
}

impl RequestId {
    /// The id that a proxy put into `X-Request-Id`, if it is harmless to print:
    /// 1 to [`MAX_GIVEN`] visible characters out of letters, digits and `-_.:+/=`.
    #[must_use]
    pub fn given(headers: &HeaderMap) -> Option<Self> {
        let value = headers.get(HEADER)?.as_bytes();
        let harmless = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.:+/=".contains(byte);
        if value.is_empty() || value.len() > MAX_GIVEN || !value.iter().all(harmless) {
            return None;
        }
        let text = std::str::from_utf8(value).ok()?;
        Some(Self(Inner::Given(Arc::from(text))))
    }
}

impl RequestId {
    /// The id as a header value; every request has one, so it is made without formatting.
    #[must_use]
    pub fn header_value(&self) -> HeaderValue {
        let value = match &self.0 {
            Inner::Given(text) => HeaderValue::from_str(text),
            Inner::Own(bits) => HeaderValue::from_bytes(&uuid(*bits)),
        };
        // both are visible ASCII
        value.unwrap_or(HeaderValue::from_static(""))
    }
}

/// `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` (RFC 9562 section 4).
fn uuid(bits: u128) -> [u8; 36] {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let mut text = [b'-'; 36];
    let places = text.iter_mut().enumerate();
    let digits = places.filter(|(at, _)| !matches!(at, 8 | 13 | 18 | 23));
    for ((_, place), shift) in digits.zip((0..32).rev()) {
        let digit = (bits >> (shift * 4)) & 0xf;
        *place = usize::try_from(digit)
            .ok()
            .and_then(|digit| HEX.get(digit))
            .copied()
            .unwrap_or(b'0');
    }
    text
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Inner::Given(text) => f.write_str(text),
            Inner::Own(bits) => f.write_str(std::str::from_utf8(&uuid(*bits)).map_err(|_| fmt::Error)?),
        }
    }
}

impl fmt::Debug for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Makes request ids without a system call: a seed that is random per process
/// and a counter, mixed so that ids of neighbouring requests look unrelated.
/// They are unique, not secret.
#[derive(Debug)]
pub struct RequestIds {
    seed: [u64; 2],
    next: AtomicU64,
}

impl RequestIds {
    /// Makes a source of ids from 16 random bytes.
    #[must_use]
    pub fn new(seed: [u8; 16]) -> Self {
        let bits = u128::from_be_bytes(seed);
        let halves = [high(bits), low(bits)];
        Self {
            seed: halves,
            next: AtomicU64::new(0),
        }
    }

    /// The next id of this process.
    #[must_use]
    pub fn next(&self) -> RequestId {
        let count = self.next.fetch_add(1, Ordering::Relaxed);
        let [a, b] = self.seed;
        let upper = mix(a ^ count);
        let lower = mix(b.wrapping_add(count));
        let bits = (u128::from(upper) << 64) | u128::from(lower);
        // RFC 9562 section 5.4: version 4, variant 0b10
        let bits = (bits & !(0xf << 76)) | (0x4 << 76);
        let bits = (bits & !(0x3 << 62)) | (0x2 << 62);
        RequestId(Inner::Own(bits))
    }

    /// The id for a request: the proxy's when `trusted` and well-formed, else our own.
    #[must_use]
    pub fn for_request(&self, headers: &HeaderMap, trusted: bool) -> RequestId {
        if trusted && let Some(id) = RequestId::given(headers) {
            return id;
        }
        self.next()
    }
}

fn high(bits: u128) -> u64 {
    u64::try_from(bits >> 64).unwrap_or(u64::MAX)
}

fn low(bits: u128) -> u64 {
    u64::try_from(bits & u128::from(u64::MAX)).unwrap_or(u64::MAX)
}

/// A bijection of 64 bits (the finalizer of SplitMix64), so that no two counts collide.
fn mix(value: u64) -> u64 {
    let value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ (value >> 31)
}

#[cfg(test)]
mod tests;
