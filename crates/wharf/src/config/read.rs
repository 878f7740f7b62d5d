//! One value as its key wants it.

use super::keys::{Key, Kind};
use super::resolve::Value;
use super::scalar;
use super::yaml::{Data, Node};

type Read = Result<(Value, Option<String>), String>;

/// The value of `node` as `key` wants it, with a warning about it.
pub(super) fn read(node: &Node, key: &Key) -> Read {
    let plain = |value| Ok((value, None));
    match key.kind {
        Kind::Section | Kind::OneOf | Kind::Params | Kind::Sections => plain(Value::Unset),
        Kind::Headers => plain(Value::Headers(headers(node)?)),
        Kind::Fields => plain(Value::Fields(fields(node)?)),
        Kind::Texts | Kind::Paths => plain(Value::Texts(texts(node)?)),
        Kind::Choices(known) => {
            let texts = texts(node)?;
            let chosen: Result<_, _> = texts.iter().map(|text| choice(text, known)).collect();
            plain(Value::Texts(chosen?))
        }
        Kind::Text | Kind::Path => plain(Value::Text(text(node, "a text")?.to_owned())),
        Kind::Choice(known) => plain(Value::Text(choice(text(node, "one word")?, known)?)),
        Kind::Bool => {
            let text = text(node, "true or false")?;
            let value = scalar::boolean(text).ok_or_else(|| format!("{} is neither true nor false", quoted(text)))?;
            plain(Value::Bool(value))
        }
        Kind::Int(least, most) => {
            let text = text(node, "a number")?;
            let value = scalar::integer(text).ok_or_else(|| format!("{} is not a whole number", quoted(text)))?;
            if !(least..=most).contains(&value) {
                return Err(out_of_range(value, least, most));
            }
            plain(Value::Int(value))
        }
        Kind::Duration => duration(text(node, "a duration")?),
        Kind::Size => {
            let text = text(node, "a size")?;
            let value = scalar::size(text)
                .ok_or_else(|| format!("{} is not a size: write it like 4MiB, 512KiB or 4194304", quoted(text)))?;
            plain(Value::Size(value))
        }
    }
}

fn out_of_range(value: i64, least: i64, most: i64) -> String {
    if most == i64::MAX {
        format!("{value} is too small: it must be at least {least}")
    } else {
        format!("{value} is out of range: it must be from {least} to {most}")
    }
}

fn duration(text: &str) -> Read {
    let parsed = scalar::duration(text).ok_or_else(|| {
        let why = if text.starts_with('-') {
            "is less than nothing"
        } else {
            "is not a duration"
        };
        format!("{} {why}: write it like 30s, 1h30m or 168h", quoted(text))
    })?;
    let warning = parsed
        .bare
        .then(|| format!("a bare number is nanoseconds, as in distribution: write {text}s if you mean seconds"));
    Ok((Value::Duration(parsed.value), warning))
}

fn text<'n>(node: &'n Node, wanted: &str) -> Result<&'n str, String> {
    match &node.data {
        Data::Scalar { text, .. } => Ok(text),
        Data::Null => Ok(""),
        Data::List(_) => Err(format!("this is a list, and should be {wanted}")),
        Data::Map(_) => Err(format!("this is a section, and should be {wanted}")),
    }
}

/// A list of texts; a single one may stand alone.
fn texts(node: &Node) -> Result<Vec<String>, String> {
    match &node.data {
        Data::Null => Ok(Vec::new()),
        Data::Scalar { text, .. } => Ok(vec![text.clone()]),
        Data::Map(_) => Err("this is a section, and should be a list".to_owned()),
        Data::List(items) => items
            .iter()
            .map(|item| text(item, "a text").map(str::to_owned))
            .collect(),
    }
}

fn choice(text: &str, known: &[&str]) -> Result<String, String> {
    if text.is_empty() {
        return Err(format!("this is empty, and should be one of {}", known.join(", ")));
    }
    known
        .iter()
        .find(|choice| choice.eq_ignore_ascii_case(text))
        .map(|choice| (*choice).to_owned())
        .ok_or_else(|| format!("{} is not one of {}", quoted(text), known.join(", ")))
}

fn headers(node: &Node) -> Result<Vec<(String, Vec<String>)>, String> {
    match &node.data {
        Data::Null => Ok(Vec::new()),
        Data::Map(entries) => entries
            .iter()
            .map(|entry| Ok((entry.key.clone(), texts(&entry.value)?)))
            .collect(),
        Data::Scalar { .. } | Data::List(_) => Err("this should be names with a list of values each".to_owned()),
    }
}

fn fields(node: &Node) -> Result<Vec<(String, String)>, String> {
    match &node.data {
        Data::Null => Ok(Vec::new()),
        Data::Map(entries) => Ok(entries
            .iter()
            .map(|entry| (entry.key.clone(), free_text(&entry.value)))
            .collect()),
        Data::Scalar { .. } | Data::List(_) => Err("this should be names with a value each".to_owned()),
    }
}

fn free_text(node: &Node) -> String {
    match &node.data {
        Data::Null => String::new(),
        Data::Scalar { text, .. } => text.clone(),
        Data::List(_) | Data::Map(_) => json(node).to_string(),
    }
}

fn json(node: &Node) -> serde_json::Value {
    match &node.data {
        Data::Null => serde_json::Value::Null,
        Data::Scalar { text, .. } => serde_json::Value::String(text.clone()),
        Data::List(items) => items.iter().map(json).collect(),
        Data::Map(entries) => entries
            .iter()
            .map(|entry| (entry.key.clone(), json(&entry.value)))
            .collect(),
    }
}

/// A value in a message, not longer than a line.
pub(super) fn quoted(text: &str) -> String {
    const LONGEST: usize = 60;
    if text.chars().count() > LONGEST {
        return format!("{:?}…", text.chars().take(LONGEST).collect::<String>());
    }
    format!("{text:?}")
}
