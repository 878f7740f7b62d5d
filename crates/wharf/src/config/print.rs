//! `wharf config print`: the effective value of every key and where it comes from.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};

use super::error::Source;
use super::keys::{Kind, Status};
use super::resolve::{Setting, Value};
use super::{Loaded, scalar};

/// How `wharf config print` writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// a configuration file with the source of each value as a comment
    Yaml,
    /// an array of objects with `path`, `value`, `source`, and `line`, `column`, `variable` where there is one
    Json,
}

const HIDDEN: &str = "(hidden)";

impl Loaded {
    /// Every effective value with its source. Secrets are hidden; keys that nobody set and that have neither a
    /// default nor an effect are left out.
    #[must_use]
    pub fn print(&self, format: Format) -> String {
        match format {
            Format::Yaml => yaml(&self.shown()),
            Format::Json => {
                let list: Vec<Json> = self.shown().into_iter().map(object).collect();
                let text = serde_json::to_string_pretty(&Json::from(list)).unwrap_or_default();
                text + "\n"
            }
        }
    }

    fn shown(&self) -> Vec<&Setting> {
        self.settings
            .iter()
            .filter(|setting| {
                let meaningful = setting.key.status == Status::Honoured && setting.value != Value::Unset;
                setting.source != Source::Default || meaningful
            })
            .filter(|setting| !is_empty(&setting.value))
            .collect()
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Headers(headers) => headers.is_empty(),
        Value::Fields(fields) => fields.is_empty(),
        _ => false,
    }
}

fn object(setting: &Setting) -> Json {
    let mut object = Map::new();
    object.insert("path".to_owned(), json!(setting.path));
    object.insert("value".to_owned(), value(setting));
    let kind = match &setting.source {
        Source::Default => "default",
        Source::File { path, line, column } => {
            object.insert("file".to_owned(), json!(path.as_ref()));
            object.insert("line".to_owned(), json!(line));
            object.insert("column".to_owned(), json!(column));
            "file"
        }
        Source::Env(name) => {
            object.insert("variable".to_owned(), json!(name.as_ref()));
            "env"
        }
    };
    object.insert("source".to_owned(), json!(kind));
    Json::Object(object)
}

fn value(setting: &Setting) -> Json {
    let secret = setting.key.secret || (setting.key.kind == Kind::Text && carries_password(&setting.value));
    match &setting.value {
        Value::Unset => Json::Null,
        Value::Headers(headers) if secret => headers
            .iter()
            .map(|(name, _)| (name.clone(), json!([HIDDEN])))
            .collect(),
        _ if secret => json!(HIDDEN),
        Value::Bool(value) => json!(value),
        Value::Int(value) => json!(value),
        Value::Text(text) => json!(text),
        Value::Duration(duration) => json!(scalar::duration_text(*duration)),
        Value::Size(size) => json!(scalar::size_text(*size)),
        Value::Texts(texts) => json!(texts),
        Value::Headers(headers) => headers
            .iter()
            .map(|(name, values)| (name.clone(), json!(values)))
            .collect(),
        Value::Fields(fields) => fields
            .iter()
            .map(|(name, value)| {
                let hidden = super::snippet::sounds_secret(name);
                (name.clone(), if hidden { json!(HIDDEN) } else { json!(value) })
            })
            .collect(),
    }
}

/// A URL with `user:password@` in it.
fn carries_password(value: &Value) -> bool {
    let Value::Text(text) = value else { return false };
    let authority = text.split_once("://").and_then(|(_, rest)| rest.split('/').next());
    authority.is_some_and(|authority| authority.contains('@'))
}

/// Settings as the nested text that a file would have.
enum Tree<'a> {
    Leaf(&'a Setting),
    Map(Vec<(String, Tree<'a>)>),
    List(Vec<Tree<'a>>),
}

fn yaml(settings: &[&Setting]) -> String {
    let mut root = Tree::Map(Vec::new());
    for setting in settings {
        // `health.http[0].uri` becomes `health`, `http`, `0]`, `uri`
        let parts: Vec<&str> = setting.path.split(['.', '[']).collect();
        insert(&mut root, &parts, setting);
    }
    let mut out = String::new();
    render(&root, 0, &mut out);
    out
}

fn insert<'a>(tree: &mut Tree<'a>, parts: &[&str], setting: &'a Setting) {
    let Some((first, rest)) = parts.split_first() else {
        *tree = Tree::Leaf(setting);
        return;
    };
    let index = first.strip_suffix(']').and_then(|index| index.parse::<usize>().ok());
    match (index, tree) {
        (Some(index), Tree::List(items)) => {
            if index >= items.len() {
                items.push(Tree::Map(Vec::new()));
            }
            if let Some(item) = items.last_mut() {
                insert(item, rest, setting);
            }
        }
        (Some(_), tree) => {
            *tree = Tree::List(Vec::new());
            insert(tree, parts, setting);
        }
        (None, Tree::Map(entries)) => {
            let at = entries.iter().position(|(name, _)| name == first).unwrap_or_else(|| {
                entries.push(((*first).to_owned(), Tree::Map(Vec::new())));
                entries.len() - 1
            });
            if let Some((_, below)) = entries.get_mut(at) {
                insert(below, rest, setting);
            }
        }
        (None, tree) => {
            *tree = Tree::Map(Vec::new());
            insert(tree, parts, setting);
        }
    }
}

fn render(tree: &Tree<'_>, level: usize, out: &mut String) {
    let indent = "  ".repeat(level);
    match tree {
        Tree::Leaf(_) => {}
        Tree::Map(entries) => {
            for (name, below) in entries {
                match below {
                    Tree::Leaf(setting) => {
                        let _ = writeln!(out, "{indent}{name}: {}  # {}", value(setting), setting.source);
                    }
                    Tree::Map(_) | Tree::List(_) => {
                        let _ = writeln!(out, "{indent}{name}:");
                        render(below, level + 1, out);
                    }
                }
            }
        }
        Tree::List(items) => {
            for item in items {
                let mut inner = String::new();
                render(item, level + 1, &mut inner);
                // The dash takes the place of the last indent of the first line.
                out.push_str(&indent);
                out.push_str("- ");
                out.push_str(inner.get(indent.len() + 2..).unwrap_or_default());
            }
        }
    }
}
