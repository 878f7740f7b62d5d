//! One line of the access log, in the Combined Log Format that distribution writes.

use std::io::Write as _;
use std::net::IpAddr;
use std::sync::Arc;

use http::{HeaderValue, Method, Uri, Version};

/// What is told about one request after its answer has left. Its parts are cheap to clone from
/// the request.
#[derive(Clone, Debug)]
pub struct AccessRecord {
    /// The client's address, `None` for an unnamed process behind a unix socket.
    pub client: Option<IpAddr>,
    /// The signed-in user.
    pub user: Option<Arc<str>>,
    /// The method.
    pub method: Method,
    /// The request's target.
    pub uri: Uri,
    /// The protocol's version.
    pub version: Version,
    /// The answer's status.
    pub status: u16,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// The `Referer` header.
    pub referer: Option<HeaderValue>,
    /// The `User-Agent` header.
    pub user_agent: Option<HeaderValue>,
}

impl AccessRecord {
    /// Appends the line, newline included:
    /// `client - user [time] "METHOD target PROTOCOL" status bytes "referer" "agent"`.
    ///
    /// `time` is the bracketed text, such as `10/Oct/2000:13:55:36 -0700`. Quotes, backslashes,
    /// control and non-ASCII characters are escaped, so a request cannot forge a line; values of
    /// parameters that hold secrets are replaced by `***`.
    pub fn write_line(&self, time: &[u8], out: &mut Vec<u8>) {
        // writing into a Vec cannot fail
        let _ = match self.client {
            Some(ip) => write!(out, "{ip} - "),
            None => write!(out, "- - "),
        };
        match self.user.as_deref() {
            Some(user) if !user.is_empty() => push_word(out, user.as_bytes()),
            _ => out.push(b'-'),
        }
        out.extend_from_slice(b" [");
        out.extend_from_slice(time);
        out.extend_from_slice(b"] \"");
        push_escaped(out, self.method.as_str().as_bytes());
        out.push(b' ');
        self.push_target(out);
        out.extend_from_slice(protocol(self.version));
        out.extend_from_slice(b"\" ");
        push_number(out, u64::from(self.status));
        out.push(b' ');
        push_number(out, self.bytes);
        out.extend_from_slice(b" \"");
        push_escaped(out, self.referer.as_ref().map_or(b"", |value| value.as_bytes()));
        out.extend_from_slice(b"\" \"");
        push_escaped(out, self.user_agent.as_ref().map_or(b"", |value| value.as_bytes()));
        out.extend_from_slice(b"\"\n");
    }

    fn push_target(&self, out: &mut Vec<u8>) {
        push_escaped(out, self.uri.path().as_bytes());
        let Some(query) = self.uri.query() else {
            return;
        };
        out.push(b'?');
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                out.push(b'&');
            }
            match pair.split_once('=') {
                Some((name, _)) if is_secret(name) => {
                    push_escaped(out, name.as_bytes());
                    out.extend_from_slice(b"=***");
                }
                _ => push_escaped(out, pair.as_bytes()),
            }
        }
    }
}

/// Parameters whose values never reach a log.
fn is_secret(name: &str) -> bool {
    const SECRET: [&str; 11] = [
        "password",
        "token",
        "access_token",
        "refresh_token",
        "id_token",
        "client_secret",
        "secret",
        "code",
        "code_verifier",
        "x-amz-signature",
        "x-amz-security-token",
    ];
    SECRET.iter().any(|secret| name.eq_ignore_ascii_case(secret))
}

fn protocol(version: Version) -> &'static [u8] {
    match version {
        Version::HTTP_10 => b" HTTP/1.0",
        Version::HTTP_2 => b" HTTP/2.0",
        Version::HTTP_3 => b" HTTP/3.0",
        _ => b" HTTP/1.1",
    }
}

/// A field that ends at a space: spaces are escaped too.
fn push_word(out: &mut Vec<u8>, text: &[u8]) {
    for part in text.split_inclusive(|byte| *byte == b' ') {
        match part.split_last() {
            Some((b' ', word)) => {
                push_escaped(out, word);
                out.extend_from_slice(b"\\x20");
            }
            _ => push_escaped(out, part),
        }
    }
}

fn push_escaped(out: &mut Vec<u8>, text: &[u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'"' && *byte != b'\\';
    if text.iter().all(plain) {
        out.extend_from_slice(text);
        return;
    }
    for byte in text {
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            byte if plain(byte) => out.push(*byte),
            byte => {
                out.extend_from_slice(b"\\x");
                for nibble in [byte >> 4, byte & 0xf] {
                    out.push(HEX.get(usize::from(nibble)).copied().unwrap_or(b'0'));
                }
            }
        }
    }
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        let digit = u8::try_from(number % 10).unwrap_or(0);
        if let Some(slot) = digits.get_mut(at) {
            *slot = b'0' + digit;
        }
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(digits.get(at..).unwrap_or_default());
}

#[cfg(test)]
mod tests;
