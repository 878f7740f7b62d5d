//! The table of keys in docs/reference/configuration.md.

use std::fmt::Write as _;

use super::keys::{Key, Kind, Release, Status, When, all};

/// One Markdown table for each section of the file, with what each key does here. The reference page holds it
/// between two marks, and a test compares them.
#[must_use]
pub fn reference() -> String {
    let mut groups: Vec<(&str, String)> = Vec::new();
    for key in all() {
        let name = group(key.path);
        let at = groups.iter().position(|(have, _)| *have == name).unwrap_or_else(|| {
            groups.push((name, String::new()));
            groups.len() - 1
        });
        if let Some((_, rows)) = groups.get_mut(at) {
            let _ = writeln!(rows, "{}", row(key));
        }
    }
    let mut out = String::new();
    for (name, rows) in groups {
        let head = "| key | type | default | in | here | |\n|---|---|---|---|---|---|";
        let _ = writeln!(out, "### `{name}`\n\n{head}\n{rows}");
    }
    out.trim_end().to_owned() + "\n"
}

/// The first part.
fn group(path: &'static str) -> &'static str {
    let end = path.find('.').unwrap_or(path.len());
    path.get(..end).unwrap_or(path)
}

fn row(key: &Key) -> String {
    let default = match key.default {
        "" => String::new(),
        default => format!("`{default}`"),
    };
    let mut doc = key.doc.to_owned();
    if !key.aliases.is_empty() {
        let _ = write!(doc, " Also `{}`.", key.aliases.join("`, `"));
    }
    if !key.field.is_empty() {
        let _ = write!(doc, " `{}` in variables of distribution.", key.field);
    }
    if key.required {
        doc.push_str(" **Needed.**");
    }
    let (here, why) = here(key);
    if !why.is_empty() {
        let _ = write!(doc, " {}.", capitalised(why));
    }
    let [kind, doc] = [kind(key.kind), doc].map(|text| text.replace('|', "\\|"));
    format!(
        "| `{}` | {kind} | {default} | {} | {here} | {doc} |",
        key.path,
        release(key.release)
    )
}

fn here(key: &Key) -> (String, &'static str) {
    match key.status {
        Status::Honoured => match key.inherited() {
            Status::Honoured => ("honoured".to_owned(), ""),
            Status::Notice(_) | Status::Ignored(_) => ("no effect".to_owned(), ""),
            Status::Refused(_) => ("checked".to_owned(), ""),
        },
        Status::Notice(why) => ("no effect".to_owned(), why),
        Status::Ignored(why) => (format!("no effect, warning{}", when(key.when)), why),
        Status::Refused(why) => (format!("refused{}", when(key.when)), why),
    }
}

fn when(when: When) -> String {
    match when {
        When::Set => String::new(),
        When::Has(other) => format!(" with `{other}`"),
        When::Unless(other) => format!(" unless `{other}`"),
    }
}

fn kind(kind: Kind) -> String {
    match kind {
        Kind::Section | Kind::OneOf | Kind::Params => "section".to_owned(),
        Kind::Sections => "list of sections".to_owned(),
        Kind::Text => "text".to_owned(),
        Kind::Path => "path".to_owned(),
        Kind::Bool => "bool".to_owned(),
        Kind::Int(..) => "number".to_owned(),
        Kind::Duration => "duration".to_owned(),
        Kind::Size => "size".to_owned(),
        Kind::Choice(choices) => format!("`{}`", choices.join("`, `")),
        Kind::Texts | Kind::Paths => "list".to_owned(),
        Kind::Choices(choices) => format!("list of `{}`", choices.join("`, `")),
        Kind::Headers => "names with lists".to_owned(),
        Kind::Fields => "names with values".to_owned(),
    }
}

fn release(release: Release) -> &'static str {
    match release {
        Release::Both => "2.8, 3",
        Release::Two => "2.8",
        Release::Three => "3",
        Release::ThreeOne => "3.1",
        Release::Wharf => "Wharf",
    }
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars
        .next()
        .map(|first| first.to_uppercase().collect::<String>() + chars.as_str())
        .unwrap_or_default()
}
