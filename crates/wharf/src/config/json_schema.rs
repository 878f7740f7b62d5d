//! `wharf config schema`: the file as a JSON schema, for editors and pipelines.

use serde_json::{Map, Value, json};

use super::keys::{Key, Kind, Schema, Status, schema};

/// The schema (draft 2020-12) of the whole file, as text.
#[must_use]
pub fn json_schema() -> String {
    let mut root = object(schema());
    root.insert(
        "$schema".to_owned(),
        json!("https://json-schema.org/draft/2020-12/schema"),
    );
    root.insert("title".to_owned(), json!("Wharf configuration"));
    // `x-…` at the top holds YAML anchors.
    root.insert("patternProperties".to_owned(), json!({ "^x-": {} }));
    let text = serde_json::to_string_pretty(&Value::Object(root)).unwrap_or_default();
    text + "\n"
}

fn object(section: &Schema) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for child in &section.children {
        let Some(key) = child.key else { continue };
        let described = describe(child, key);
        for alias in key.aliases {
            properties.insert((*alias).to_owned(), described.clone());
        }
        properties.insert(child.name.to_owned(), described);
        if key.required && key.aliases.is_empty() {
            required.push(child.name);
        }
    }
    let mut object = Map::new();
    object.insert("type".to_owned(), json!(["object", "null"]));
    object.insert("properties".to_owned(), Value::Object(properties));
    if section.key.is_none_or(|key| key.kind != Kind::Params) {
        object.insert("additionalProperties".to_owned(), json!(false));
    }
    if !required.is_empty() {
        object.insert("required".to_owned(), json!(required));
    }
    if section.key.is_none() {
        object.insert("type".to_owned(), json!("object"));
    }
    object
}

fn describe(section: &Schema, key: &Key) -> Value {
    let mut described = match key.kind {
        Kind::Section | Kind::Params => object(section),
        Kind::OneOf => {
            let names: Vec<&str> = section
                .children
                .iter()
                .filter(|child| optional(child))
                .map(|c| c.name)
                .collect();
            map(json!({ "anyOf": [{ "enum": names }, object(section)] }))
        }
        Kind::Sections => map(json!({ "type": ["array", "null"], "items": object(section) })),
        kind => map(leaf(kind)),
    };
    let note = match key.status {
        Status::Honoured => "",
        Status::Notice(_) | Status::Ignored(_) => " Has no effect.",
        Status::Refused(_) => " Not supported yet.",
    };
    described.insert("description".to_owned(), json!(format!("{}{note}", key.doc)));
    if !key.default.is_empty() {
        described.insert("default".to_owned(), json!(key.default));
    }
    if let Status::Notice(_) | Status::Ignored(_) | Status::Refused(_) = key.status {
        described.insert("deprecated".to_owned(), json!(true));
    }
    Value::Object(described)
}

fn optional(child: &Schema) -> bool {
    child.key.is_some_and(|key| key.optional)
}

fn leaf(kind: Kind) -> Value {
    // YAML's scalars are read as text first, so a number or a bool is good wherever a text is.
    let text = json!({ "type": ["string", "number", "boolean", "null"] });
    match kind {
        Kind::Bool => {
            let words = ["true", "false", "yes", "no", "on", "off", "y", "n"];
            json!({ "anyOf": [{ "type": ["boolean", "null"] }, { "enum": words }] })
        }
        Kind::Int(least, most) => {
            let mut number = map(json!({ "type": ["integer", "string", "null"] }));
            if least > i64::MIN {
                number.insert("minimum".to_owned(), json!(least));
            }
            if most < i64::MAX {
                number.insert("maximum".to_owned(), json!(most));
            }
            Value::Object(number)
        }
        Kind::Duration => json!({
            "type": ["string", "integer", "null"],
            "pattern": "^([0-9]+(\\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h))+$|^[0-9]*$",
        }),
        Kind::Size => json!({
            "type": ["string", "integer", "null"],
            "pattern": "^[0-9]+ *([KkMmGg]([Ii][Bb]?|[Bb])|[Bb])?$",
        }),
        Kind::Choice(choices) if choices == ["0.1"] => json!({ "enum": [0.1, "0.1"] }),
        Kind::Choice(choices) => json!({ "enum": spellings(choices) }),
        Kind::Choices(choices) => json!({ "type": ["array", "null"], "items": { "enum": spellings(choices) } }),
        Kind::Texts | Kind::Paths => json!({ "anyOf": [text, { "type": "array", "items": text }] }),
        Kind::Headers => json!({
            "type": ["object", "null"],
            "additionalProperties": { "anyOf": [text, { "type": "array", "items": text }] },
        }),
        Kind::Fields => json!({ "type": ["object", "null"] }),
        Kind::Text | Kind::Path | Kind::Section | Kind::OneOf | Kind::Params | Kind::Sections => text,
    }
}

/// Capitals do not matter in a file; an editor gets the usual ways. Null is the default.
fn spellings(choices: &[&str]) -> Vec<Value> {
    let mut all: Vec<Value> = choices.iter().map(|choice| json!(choice)).collect();
    for choice in choices {
        let mut chars = choice.chars();
        let capital: String = chars
            .next()
            .into_iter()
            .flat_map(char::to_uppercase)
            .chain(chars)
            .collect();
        for spelling in [choice.to_lowercase(), capital, choice.to_uppercase()] {
            if !all.contains(&json!(spelling)) {
                all.push(json!(spelling));
            }
        }
    }
    all.push(Value::Null);
    all
}

fn map(value: Value) -> Map<String, Value> {
    match value {
        Value::Object(map) => map,
        _ => Map::new(),
    }
}
