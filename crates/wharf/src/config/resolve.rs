//! The tree along the table: unknown keys, types, defaults, and what has no effect.

use std::time::Duration;

use super::error::{Severity, Source, Warning};
use super::keys::{Key, Kind, Schema, Status, When, schema};
use super::nearest::nearest;
use super::read::read;
use super::scalar;
use super::snippet::Finding;
use super::yaml::{Data, Entry, Node};

/// A value of the type that its key asks for.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unset,
    Bool(bool),
    Int(i64),
    Text(String),
    Duration(Duration),
    Size(u64),
    Texts(Vec<String>),
    Headers(Vec<(String, Vec<String>)>),
    Fields(Vec<(String, String)>),
}

/// One effective value.
#[derive(Clone)]
pub(super) struct Setting {
    /// from the root, dots between, entries of lists as `name[0]`
    pub(super) path: String,
    pub(super) key: &'static Key,
    pub(super) value: Value,
    pub(super) source: Source,
}

/// Everything that was found out about a tree.
#[derive(Default)]
pub(super) struct Resolved {
    pub(super) settings: Vec<Setting>,
    pub(super) warnings: Vec<Warning>,
    pub(super) findings: Vec<Finding>,
}

/// Walks `root` along the table.
pub(super) fn resolve(root: &Node) -> Resolved {
    let mut resolved = Resolved::default();
    let context = Context {
        effect: true,
        any_key: false,
        lenient: false,
    };
    resolved.section(Some((root, &root.source)), schema(), "", context);
    resolved
}

#[derive(Clone, Copy)]
struct Context {
    /// false below something that is refused or ignored: its children need no word of their own
    effect: bool,
    /// the section is one whose unknown keys distribution ignores
    any_key: bool,
    /// nothing below is used: unknown and missing keys do no harm
    lenient: bool,
}

impl Resolved {
    /// `found` is the section and the place to point at: its key, or the beginning of a list's entry.
    fn section(&mut self, found: Option<(&Node, &Source)>, schema: &Schema, path: &str, context: Context) {
        let entries = match found.map(|(node, source)| (&node.data, source)) {
            None | Some((Data::Null, _)) => &[][..],
            Some((Data::Map(entries), _)) => entries,
            Some((Data::Scalar { .. } | Data::List(_), source)) => {
                let what = if path.is_empty() {
                    "the file".to_owned()
                } else {
                    format!("`{path}`")
                };
                let message = format!("{what} must be a section with keys of its own");
                self.findings.push(Finding::new(message, source.clone()).key_only());
                &[]
            }
        };
        self.unknown_keys(entries, schema, path, context);
        for child in &schema.children {
            let called = |entry: &&Entry| schema.child(&entry.key).is_some_and(|of| of.name == child.name);
            let by_name = entries.iter().find(|entry| entry.key == child.name);
            let entry = by_name.or_else(|| entries.iter().find(called));
            for other in entries.iter().filter(called).filter(|other| Some(*other) != entry) {
                let message = format!("`{}` is another name of `{}`, which is used", other.key, child.name);
                self.warn(Severity::Warning, message, &other.key_source);
            }
            self.entry(entry, child, &join(path, child.name), context);
        }
        let is_section = found.is_none_or(|(node, _)| matches!(node.data, Data::Null | Data::Map(_)));
        if is_section && !context.lenient {
            self.required(entries, found.map(|(_, source)| source), schema, path);
        }
    }

    fn entry(&mut self, entry: Option<&Entry>, schema: &Schema, path: &str, context: Context) {
        let Some(key) = schema.key else { return };
        let mut below = context;
        if let Some(entry) = entry
            && context.effect
        {
            below.effect = self.status(entry, key, path);
            below.lenient = matches!(key.status, Status::Ignored(_) | Status::Notice(_));
        }
        match key.kind {
            Kind::Section | Kind::OneOf | Kind::Params => {
                if entry.is_none() && key.optional {
                    return;
                }
                below.any_key = key.kind == Kind::Params;
                let found = entry.map(|entry| (&entry.value, &entry.key_source));
                self.section(found, schema, path, below);
            }
            Kind::Sections => self.list(entry, schema, path, below),
            _ => self.leaf(entry, key, path),
        }
    }

    fn list(&mut self, entry: Option<&Entry>, schema: &Schema, path: &str, context: Context) {
        let context = Context {
            any_key: false,
            ..context
        };
        match entry.map(|entry| (&entry.value.data, &entry.key_source)) {
            None | Some((Data::Null, _)) => {}
            Some((Data::List(items), _)) => {
                for (index, item) in items.iter().enumerate() {
                    let lenient = context.lenient || schema.key.is_some_and(|key| is_off(item, key.when));
                    let context = Context { lenient, ..context };
                    self.section(Some((item, &item.source)), schema, &format!("{path}[{index}]"), context);
                }
            }
            Some((_, source)) => self
                .findings
                .push(Finding::new(format!("`{path}` must be a list"), source.clone()).key_only()),
        }
    }

    fn leaf(&mut self, entry: Option<&Entry>, key: &'static Key, path: &str) {
        let node = entry.map(|entry| &entry.value);
        let source = node.map_or(Source::Default, |node| node.source.clone());
        let default = || super::defaults::value(key);
        let value = match node {
            None => default(),
            Some(node) if node.is_null() || node.text() == Some("") => default(),
            Some(node) => match read(node, key) {
                Ok((value, warning)) => {
                    if let Some(message) = warning {
                        self.warn(Severity::Warning, format!("`{path}`: {message}"), &source);
                    }
                    value
                }
                Err(mistake) => {
                    let secret = entry.filter(|_| key.secret);
                    let at = secret.map_or_else(|| source.clone(), |entry| entry.key_source.clone());
                    let finding = Finding::new(format!("`{path}`: {mistake}"), at);
                    self.findings
                        .push(if key.secret { finding.key_only() } else { finding });
                    default()
                }
            },
        };
        self.settings.push(Setting {
            path: path.to_owned(),
            key,
            value,
            source,
        });
    }

    /// Says what has no effect, or refuses it. Returns whether the keys below still need a word of their own.
    fn status(&mut self, entry: &Entry, key: &Key, path: &str) -> bool {
        if key.status == Status::Honoured {
            return true;
        }
        let active: Vec<(&Source, String)> = match key.when {
            When::Set if entry.value.is_empty() && key.kind != Kind::Params => Vec::new(),
            When::Set => vec![(&entry.key_source, path.to_owned())],
            When::Has(needed) => {
                if entry.value.get(needed).is_none_or(Node::is_empty) {
                    if !entry.value.is_empty() {
                        let message = format!("`{path}` has no effect without `{path}.{needed}`");
                        self.warn(Severity::Notice, message, &entry.key_source);
                    }
                    return false;
                }
                vec![(&entry.key_source, path.to_owned())]
            }
            When::Unless(_) => self.enabled_items(entry, path, key.when),
        };
        for (source, path) in active {
            match key.status {
                Status::Honoured => {}
                Status::Notice(why) => self.warn(Severity::Notice, format!("`{path}` has no effect: {why}"), source),
                Status::Ignored(why) => {
                    self.warn(Severity::Warning, format!("`{path}` has no effect: {why}"), source);
                }
                Status::Refused(instead) => self.findings.push(
                    Finding::new(format!("`{path}` is not supported yet"), source.clone())
                        .help(instead)
                        .key_only(),
                ),
            }
        }
        false
    }

    fn enabled_items<'n>(&mut self, entry: &'n Entry, path: &str, when: When) -> Vec<(&'n Source, String)> {
        let Data::List(items) = &entry.value.data else {
            return Vec::new();
        };
        let mut enabled = Vec::new();
        for (index, item) in items.iter().enumerate() {
            let path = format!("{path}[{index}]");
            if is_off(item, when) {
                self.warn(
                    Severity::Notice,
                    format!("`{path}` is disabled and left out"),
                    &item.source,
                );
            } else {
                enabled.push((&item.source, path));
            }
        }
        enabled
    }

    fn unknown_keys(&mut self, entries: &[Entry], schema: &Schema, path: &str, context: Context) {
        for entry in entries.iter().filter(|entry| schema.child(&entry.key).is_none()) {
            // The usual place for YAML anchors.
            if path.is_empty() && entry.key.starts_with("x-") {
                continue;
            }
            let near = nearest(&entry.key, schema.children.iter().map(|child| child.name));
            let hint = near
                .map(|near| format!("did you mean `{near}`?"))
                .or_else(|| elsewhere(&entry.key));
            let inside = if path.is_empty() {
                "at the top".to_owned()
            } else {
                format!("in `{path}`")
            };
            if context.any_key || context.lenient {
                let hint = hint.map(|hint| format!(": {hint}")).unwrap_or_default();
                let message = format!("unknown key `{}` {inside} is ignored{hint}", entry.key);
                self.warn(Severity::Warning, message, &entry.key_source);
                continue;
            }
            let what = match path {
                "storage" => "unknown storage driver",
                "auth" => "unknown auth scheme",
                _ => "unknown key",
            };
            let known = || format!("known here: {}", names(schema));
            self.findings.push(
                Finding::new(format!("{what} `{}` {inside}", entry.key), entry.key_source.clone())
                    .help(hint.unwrap_or_else(known))
                    .key_only(),
            );
        }
    }

    fn required(&mut self, entries: &[Entry], section: Option<&Source>, schema: &Schema, path: &str) {
        for child in schema
            .children
            .iter()
            .filter(|child| child.key.is_some_and(|key| key.required))
        {
            let set = entries.iter().any(|entry| {
                schema.child(&entry.key).is_some_and(|of| of.name == child.name) && !entry.value.is_empty()
            });
            if set || (section.is_none() && !path.is_empty()) {
                continue;
            }
            let wanted = join(path, child.name);
            let source = section.cloned().unwrap_or(Source::Default);
            let help = match wanted.as_str() {
                "version" => "add the line `version: 0.1` at the top",
                "storage" => "add `storage: {filesystem: {rootdirectory: /var/lib/registry}}`",
                _ => "add it with a value",
            };
            self.findings.push(
                Finding::new(format!("`{wanted}` is missing"), source)
                    .help(help)
                    .key_only(),
            );
        }
    }

    fn warn(&mut self, severity: Severity, message: String, source: &Source) {
        self.warnings.push(Warning {
            severity,
            message,
            source: source.clone(),
        });
    }
}

/// An entry of a list that says of itself that it is disabled.
fn is_off(item: &Node, when: When) -> bool {
    let When::Unless(off) = when else { return false };
    item.get(off)
        .and_then(Node::text)
        .and_then(scalar::boolean)
        .unwrap_or(false)
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}

fn names(schema: &Schema) -> String {
    schema
        .children
        .iter()
        .map(|child| format!("`{}`", child.name))
        .collect::<Vec<_>>()
        .join(", ")
}

/// A key that exists under another section: `rootdirectory` at the top, `uploadpurging` under `storage`.
fn elsewhere(name: &str) -> Option<String> {
    let places: Vec<String> = super::keys::all()
        .filter(|key| key.name() == name && key.path.contains('.') && name.len() > 3)
        .filter(|key| key.inherited() == Status::Honoured)
        .filter_map(|key| key.path.rsplit_once('.').map(|(section, _)| format!("`{section}`")))
        .collect();
    match places.as_slice() {
        [] => None,
        [place] => Some(format!("`{name}` belongs into {place}")),
        [first, second] => Some(format!("`{name}` belongs into {first} or {second}")),
        _ => None,
    }
}
