//! The effective values, by path.

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::error::Source;
use super::resolve::{Setting, Value};

/// Every effective value with its source, in the order of the table.
#[derive(Clone, Default)]
pub(super) struct Settings {
    list: Vec<Setting>,
    by_path: HashMap<String, usize>,
}

/// Without the values: there are secrets among them.
impl fmt::Debug for Settings {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Settings({})", self.list.len())
    }
}

impl Settings {
    pub(super) fn new(list: Vec<Setting>) -> Self {
        let by_path = list
            .iter()
            .enumerate()
            .map(|(at, setting)| (setting.path.clone(), at))
            .collect();
        Self { list, by_path }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Setting> {
        self.list.iter()
    }

    fn get(&self, path: &str) -> Option<&Setting> {
        self.by_path.get(path).and_then(|at| self.list.get(*at))
    }

    fn value(&self, path: &str) -> &Value {
        self.get(path).map_or(&Value::Unset, |setting| &setting.value)
    }

    pub(super) fn source(&self, path: &str) -> Source {
        self.get(path).map_or(Source::Default, |setting| setting.source.clone())
    }

    /// Shows a value that was worked out where nothing was set.
    pub(super) fn fill(&mut self, path: &str, value: Value) {
        let setting = self.by_path.get(path).and_then(|at| self.list.get_mut(*at));
        if let Some(setting) = setting.filter(|setting| setting.value == Value::Unset) {
            setting.value = value;
        }
    }

    /// Whether a section or list entry is there at all.
    pub(super) fn has_section(&self, path: &str) -> bool {
        self.list.iter().any(|setting| {
            setting
                .path
                .strip_prefix(path)
                .is_some_and(|rest| rest.starts_with('.'))
        })
    }

    pub(super) fn bool(&self, path: &str) -> bool {
        *self.value(path) == Value::Bool(true)
    }

    pub(super) fn bool_if_set(&self, path: &str) -> Option<bool> {
        match self.value(path) {
            Value::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// `None` when unset or empty.
    pub(super) fn text(&self, path: &str) -> Option<String> {
        match self.value(path) {
            Value::Text(text) if !text.is_empty() => Some(text.clone()),
            _ => None,
        }
    }

    pub(super) fn path(&self, path: &str) -> Option<PathBuf> {
        self.text(path).map(PathBuf::from)
    }

    pub(super) fn int(&self, path: &str) -> i64 {
        match self.value(path) {
            Value::Int(value) => *value,
            _ => 0,
        }
    }

    pub(super) fn size(&self, path: &str) -> u64 {
        match self.value(path) {
            Value::Size(value) => *value,
            _ => 0,
        }
    }

    pub(super) fn duration(&self, path: &str) -> Duration {
        match self.value(path) {
            Value::Duration(value) => *value,
            _ => Duration::ZERO,
        }
    }

    /// `None` when unset or zero.
    pub(super) fn duration_if_any(&self, path: &str) -> Option<Duration> {
        Some(self.duration(path)).filter(|duration| !duration.is_zero())
    }

    /// `None` when unset; an empty list is one.
    pub(super) fn texts_if_set(&self, path: &str) -> Option<Vec<String>> {
        match self.value(path) {
            Value::Texts(texts) => Some(texts.clone()),
            _ => None,
        }
    }

    pub(super) fn texts(&self, path: &str) -> Vec<String> {
        self.texts_if_set(path).unwrap_or_default()
    }

    pub(super) fn headers(&self, path: &str) -> Vec<(String, Vec<String>)> {
        match self.value(path) {
            Value::Headers(headers) => headers.clone(),
            _ => Vec::new(),
        }
    }

    pub(super) fn fields(&self, path: &str) -> Vec<(String, String)> {
        match self.value(path) {
            Value::Fields(fields) => fields.clone(),
            _ => Vec::new(),
        }
    }

    /// `path[0]`, `path[1]`, … as far as they are there.
    pub(super) fn items(&self, path: &str) -> Vec<String> {
        (0..)
            .map(|index| format!("{path}[{index}]"))
            .take_while(|item| self.has_section(item))
            .collect()
    }
}
