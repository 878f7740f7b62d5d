//! What commands have in common: how they say something, and how they ask.

use std::io::{IsTerminal as _, Write as _};

use anyhow::{Result, anyhow, bail};
use clap::ValueEnum;
use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::write_error;

/// How to say it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// For programs
    Json,
}

/// Says a value as JSON, or as people read it.
///
/// # Errors
///
/// The value is not what was expected, or nobody takes it.
pub fn say<T: DeserializeOwned>(output: Output, value: Value, show: impl FnOnce(&T) -> String) -> Result<()> {
    match output {
        Output::Json => print_json(&value),
        Output::Text => print(&show(&serde_json::from_value(value)?)),
    }
}

/// Writes a value to standard output, for programs.
///
/// # Errors
///
/// As [`print`].
pub fn print_json(value: &Value) -> Result<()> {
    print(&format!("{}\n", serde_json::to_string_pretty(value)?))
}

/// Writes to standard output.
///
/// # Errors
///
/// It cannot be written; a closed pipe is the reader's wish.
pub fn print(text: &str) -> Result<()> {
    match std::io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Asks the person at the terminal whether to go on.
///
/// # Errors
///
/// The answer is no, or nobody can be asked.
pub fn confirm(question: &str) -> Result<()> {
    if !std::io::stdin().is_terminal() {
        bail!("say --yes where nobody can be asked: nothing was done");
    }
    ask(question)
}

/// The same of somebody who is known to be there.
///
/// # Errors
///
/// The answer is no.
pub fn ask(question: &str) -> Result<()> {
    write_error(&format!("{question} [y/N] "));
    let mut line = String::new();
    std::io::stdin().read_line(&mut line)?;
    match line.trim() {
        "y" | "Y" | "yes" => Ok(()),
        _ => bail!("nothing was done"),
    }
}

/// What a person names: `REPOSITORY:TAG` or `REPOSITORY@DIGEST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// A tag of a repository.
    Tag(&'a str, &'a str),
    /// A manifest of a repository.
    Digest(&'a str, &'a str),
}

impl<'a> Named<'a> {
    /// Reads it; what is between the signs is judged by the registry.
    ///
    /// # Errors
    ///
    /// There is neither `@` nor `:` behind the last `/`.
    pub fn parse(text: &'a str) -> Result<Self> {
        if let Some((repository, digest)) = text.split_once('@') {
            return Ok(Self::Digest(repository, digest));
        }
        match text.rsplit_once(':') {
            Some((repository, tag)) if !tag.contains('/') => Ok(Self::Tag(repository, tag)),
            _ => Err(anyhow!(
                "{text:?} names neither a tag nor a digest: write REPOSITORY:TAG or REPOSITORY@DIGEST"
            )),
        }
    }

    /// Reads a tag.
    ///
    /// # Errors
    ///
    /// It is none.
    pub fn tag(text: &'a str) -> Result<(&'a str, &'a str)> {
        match Self::parse(text)? {
            Self::Tag(repository, tag) => Ok((repository, tag)),
            Self::Digest(..) => bail!("{text:?} names a manifest: write REPOSITORY:TAG"),
        }
    }
}

/// A time to the second.
pub fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// Bytes with one digit behind the point.
#[expect(clippy::cast_precision_loss, reason = "one digit is shown")]
pub fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut value, mut unit) = (bytes as f64, 0);
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes} B"),
        _ => format!("{value:.1} {}", UNITS[unit]),
    }
}

/// A number with its noun.
pub fn count(number: u64, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        number => format!("{number} {one}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{Named, count, size};

    #[test]
    fn tags_and_digests_are_told_apart_also_behind_a_port() {
        assert_eq!(Named::parse("a/b:v1").unwrap(), Named::Tag("a/b", "v1"));
        assert_eq!(Named::parse("a@sha256:00").unwrap(), Named::Digest("a", "sha256:00"));
        for text in ["a/b", "host:5000/a", ""] {
            let error = Named::parse(text).unwrap_err().to_string();
            assert!(error.contains("write REPOSITORY:TAG or REPOSITORY@DIGEST"), "{error}");
        }
        assert!(Named::tag("a@sha256:00").is_err());
    }

    #[test]
    fn sizes_have_one_digit_behind_the_point() {
        let sizes = [0, 1023, 1024, 1_500_000, 5 << 40].map(size);
        assert_eq!(sizes, ["0 B", "1023 B", "1.0 KiB", "1.4 MiB", "5.0 TiB"]);
    }

    #[test]
    fn numbers_are_readable() {
        assert_eq!((size(1_023), size(1_536)), ("1023 B".to_owned(), "1.5 KiB".to_owned()));
        assert_eq!(
            (count(1, "tag"), count(2, "tag")),
            ("1 tag".to_owned(), "2 tags".to_owned())
        );
    }
}
