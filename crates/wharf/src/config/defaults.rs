//! What holds when nothing is set.

use super::error::Source;
use super::keys::{Key, Kind};
use super::read::read;
use super::resolve::Value;
use super::yaml::{Data, Node};

/// What `wharf serve` does without any configuration file, before the environment.
pub(super) const WITHOUT_FILE: &str = "\
version: 0.1
storage:
  filesystem:
    rootdirectory: ./wharf-data
  delete:
    enabled: true
http:
  addr: 127.0.0.1:5000
";

/// The default of a key, from the table.
pub(super) fn value(key: &Key) -> Value {
    if key.default.is_empty() {
        return match key.kind {
            Kind::Texts | Kind::Paths | Kind::Choices(_) => Value::Unset,
            Kind::Headers => Value::Headers(Vec::new()),
            Kind::Fields => Value::Fields(Vec::new()),
            _ => Value::Unset,
        };
    }
    let node = Node::new(
        Data::Scalar {
            text: key.default.to_owned(),
            plain: true,
        },
        Source::Default,
    );
    // A test reads every default of the table, so that none is lost here.
    read(&node, key).map_or(Value::Unset, |(value, _)| value)
}

/// [`WITHOUT_FILE`] with `WHARF_DATA` and `WHARF_ADDR`, which change nothing else: an image sets them without
/// getting in the way of a file or of `REGISTRY_STORAGE_*`.
pub(super) fn without_file(env: &[(String, String)]) -> String {
    let mut text = WITHOUT_FILE.to_owned();
    for (name, value) in [("WHARF_DATA", "./wharf-data"), ("WHARF_ADDR", "127.0.0.1:5000")] {
        let set = env.iter().rev().find(|(key, set)| key == name && !set.is_empty());
        if let Some((_, set)) = set {
            // A JSON string is a YAML string.
            text = text.replace(value, &serde_json::Value::from(set.as_str()).to_string());
        }
    }
    text
}
