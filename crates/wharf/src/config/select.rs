//! One storage driver, one auth scheme.

use super::error::{Severity, Source, Warning};
use super::keys::{Schema, schema};
use super::snippet::Finding;
use super::yaml::{Data, Entry, Node};

/// Turns `storage: inmemory` into `storage: {inmemory: null}`, likewise `auth`, picks the driver that the
/// environment chose, and refuses what is left of more than one.
pub(super) fn select(root: &mut Node, warnings: &mut Vec<Warning>, findings: &mut Vec<Finding>) {
    let Data::Map(sections) = &mut root.data else { return };
    for section in sections {
        let Some(known) = schema()
            .child(&section.key)
            .filter(|_| matches!(section.key.as_str(), "storage" | "auth"))
        else {
            continue;
        };
        let value = &mut section.value;
        if let Data::Scalar { text, .. } = &value.data {
            let source = value.source.clone();
            let entry = Entry {
                key: text.clone(),
                key_source: source.clone(),
                value: Node::new(Data::Null, source),
            };
            value.data = Data::Map(vec![entry]);
        }
        let Data::Map(entries) = &mut value.data else { continue };
        if section.key == "storage" {
            pick_driver(entries, known, &section.key_source, warnings, findings);
        } else {
            one_scheme(entries, findings);
        }
    }
}

fn pick_driver(
    entries: &mut Vec<Entry>,
    storage: &Schema,
    section: &Source,
    warnings: &mut Vec<Warning>,
    findings: &mut Vec<Finding>,
) {
    let is_driver = |entry: &Entry| {
        storage
            .child(&entry.key)
            .is_none_or(|child| child.key.is_some_and(|key| key.optional))
    };
    let drivers: Vec<&Entry> = entries.iter().filter(|entry| is_driver(entry)).collect();
    if drivers.len() == 1 || entries.is_empty() {
        return;
    }
    let Some(last) = drivers.last() else {
        findings.push(
            Finding::new("`storage` names no driver", section.clone())
                .help("add `filesystem: {rootdirectory: /var/lib/registry}` below it")
                .key_only(),
        );
        return;
    };
    let chosen_by_name = drivers
        .iter()
        .filter(|driver| driver.key_source == Source::Env("REGISTRY_STORAGE".into()));
    let chosen: Vec<&&Entry> = match chosen_by_name.collect::<Vec<_>>() {
        by_name if by_name.len() == 1 => by_name,
        _ => drivers.iter().filter(|driver| touched_by_env(driver)).collect(),
    };
    if let [chosen] = chosen.as_slice() {
        let (key, source) = (chosen.key.clone(), env_source(chosen));
        for other in drivers
            .iter()
            .filter(|driver| driver.key != key && driver.key_source != Source::Default)
        {
            let from = &other.key_source;
            warnings.push(Warning {
                severity: Severity::Warning,
                message: format!(
                    "selects the storage driver `{key}`; `{}` ({from}) is not used",
                    other.key
                ),
                source: source.clone(),
            });
        }
        entries.retain(|entry| entry.key == key || !is_driver(entry));
        return;
    }
    let message = format!("more than one storage driver: {}", listed(&drivers));
    findings.push(
        Finding::new(message, last.key_source.clone())
            .help("keep exactly one of them")
            .key_only(),
    );
}

fn one_scheme(entries: &[Entry], findings: &mut Vec<Finding>) {
    if let [.., last] = entries
        && entries.len() > 1
    {
        let message = format!(
            "more than one auth scheme: {}",
            listed(&entries.iter().collect::<Vec<_>>())
        );
        findings.push(
            Finding::new(message, last.key_source.clone())
                .help("keep exactly one of them")
                .key_only(),
        );
    }
}

fn listed(entries: &[&Entry]) -> String {
    entries
        .iter()
        .map(|entry| format!("`{}` ({})", entry.key, env_source(entry)))
        .collect::<Vec<_>>()
        .join(", ")
}

fn touched_by_env(entry: &Entry) -> bool {
    matches!(env_source(entry), Source::Env(_))
}

/// The variable that made or changed an entry, else where its key stands.
fn env_source(entry: &Entry) -> Source {
    if matches!(entry.key_source, Source::Env(_)) {
        return entry.key_source.clone();
    }
    below(&entry.value).unwrap_or_else(|| entry.key_source.clone())
}

fn below(node: &Node) -> Option<Source> {
    if matches!(node.source, Source::Env(_)) {
        return Some(node.source.clone());
    }
    match &node.data {
        Data::Null | Data::Scalar { .. } => None,
        Data::List(items) => items.iter().find_map(below),
        Data::Map(entries) => entries.iter().find_map(|entry| match &entry.key_source {
            Source::Env(_) => Some(entry.key_source.clone()),
            _ => below(&entry.value),
        }),
    }
}
