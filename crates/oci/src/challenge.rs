//! `WWW-Authenticate` challenges (RFC 9110 section 11.6.1; distribution "Token Authentication").

use std::fmt;

/// One challenge: a scheme with its parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// `Basic` or `Bearer`, as written.
    pub scheme: String,
    /// Parameters in their order; names in lower case.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// `Basic realm="…"`.
    pub fn basic(realm: &str) -> Self {
        Self {
            scheme: "Basic".to_owned(),
            parameters: vec![("realm".to_owned(), realm.to_owned())],
        }
    }

    /// `Bearer realm="…",service="…"[,scope="…"][,error="…"]`.
    pub fn bearer(realm: &str, service: &str, scope: Option<&str>, error: Option<&str>) -> Self {
        let named = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let mut parameters = vec![named("realm", realm), named("service", service)];
        parameters.extend(scope.map(|scope| named("scope", scope)));
        parameters.extend(error.map(|error| named("error", error)));
        Self {
            scheme: "Bearer".to_owned(),
            parameters,
        }
    }

    /// The value of a parameter, by its lower-case name.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// Every challenge in one header value. Unreadable parts end the list; nothing panics.
    pub fn parse_list(value: &str) -> Vec<Self> {
        let mut parser = Parser { rest: value };
        let mut list: Vec<Self> = Vec::new();
        loop {
            parser.skip(|c| c == ',' || c.is_ascii_whitespace());
            let Some(token) = parser.token() else { return list };
            parser.skip(|c| c.is_ascii_whitespace());
            match (parser.value(), list.last_mut()) {
                (Some(value), Some(challenge)) => challenge.parameters.push((token.to_ascii_lowercase(), value)),
                (Some(_), None) => return list,
                (None, _) => list.push(Self {
                    scheme: token.to_owned(),
                    parameters: Vec::new(),
                }),
            }
        }
    }
}

impl fmt::Display for Challenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.scheme)?;
        for (position, (name, value)) in self.parameters.iter().enumerate() {
            let separator = if position == 0 { ' ' } else { ',' };
            write!(
                f,
                "{separator}{name}=\"{}\"",
                value.replace('\\', "\\\\").replace('"', "\\\"")
            )?;
        }
        Ok(())
    }
}

struct Parser<'a> {
    rest: &'a str,
}

impl<'a> Parser<'a> {
    fn skip(&mut self, skipped: impl Fn(char) -> bool) {
        self.rest = self.rest.trim_start_matches(skipped);
    }

    fn token(&mut self) -> Option<&'a str> {
        let is_token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.rest.find(|c| !is_token(c)).unwrap_or(self.rest.len());
        let (token, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    /// The value behind `=`, quoted or not; `None` when there is no `=`.
    fn value(&mut self) -> Option<String> {
        self.rest = self.rest.strip_prefix('=')?;
        self.skip(|c| c.is_ascii_whitespace());
        let Some(quoted) = self.rest.strip_prefix('"') else {
            return Some(self.token().unwrap_or_default().to_owned());
        };
        let mut value = String::new();
        let mut characters = quoted.char_indices();
        while let Some((position, character)) = characters.next() {
            match character {
                '"' => {
                    self.rest = &quoted[position + 1..];
                    return Some(value);
                }
                '\\' => value.extend(characters.next().map(|(_, escaped)| escaped)),
                plain => value.push(plain),
            }
        }
        self.rest = "";
        Some(value)
    }
}

#[cfg(test)]
mod tests;
