//! What holds when nothing is set.

use super::error::Source;
use super::keys::{Key, Kind};
use super::read::read;
use super::resolve::Value;
use super::yaml::{Data, Node};

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

/// What `wharf serve` does without any configuration file, before the environment. `WHARF_DATA` and `WHARF_ADDR`
/// change the two values here and nothing else: an image sets them without getting in the way of a file or of
/// `REGISTRY_STORAGE_*`.
pub(super) fn without_file(env: &[(String, String)]) -> String {
    let text = |name: &str, default: &str| {
        let set = env.iter().rev().find(|(key, value)| key == name && !value.is_empty());
        // A JSON string is a YAML string.
        serde_json::Value::from(set.map_or(default, |(_, value)| value.as_str())).to_string()
    };
    let data = text("WHARF_DATA", "./wharf-data");
    let addr = text("WHARF_ADDR", "127.0.0.1:5000");
    format!(
        "version: 0.1\nstorage:\n  filesystem: {{rootdirectory: {data}}}\n  delete: {{enabled: true}}\n\
         http: {{addr: {addr}}}\n"
    )
}
