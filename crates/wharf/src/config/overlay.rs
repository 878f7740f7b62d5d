//! `REGISTRY_*` and `WHARF_*` on top of the file, by distribution's rules with its defects mended.

use std::sync::Arc;

use super::error::{Severity, Source, Warning};
use super::keys::{Kind, Release, Schema, schema};
use super::nearest::nearest;
use super::snippet::Finding;
use super::yaml::{self, Data, Entry, Input, Node};

/// Variables that are read elsewhere.
const ELSEWHERE: &[&str] = &[
    // where podman, buildah and skopeo keep credentials (containers-auth.json(5)): it means no setting of ours
    "REGISTRY_AUTH_FILE",
    "REGISTRY_CONFIGURATION_PATH",
    "WHARF_ADMIN_PASSWORD",
    "WHARF_ADMIN_PASSWORD_FILE",
    "WHARF_DATA",
    // of `wharf metadata copy`
    "WHARF_METADATA_FROM",
    "WHARF_METADATA_TO",
    "WHARF_ADDR",
    "WHARF_TEST_GRACE_PERIOD",
    // in programs that are no releases: a folder counts as a storage that several processes share
    "WHARF_TEST_SHARED_STORAGE",
];

/// No key is as deep as this.
const MOST_PARTS: usize = 64;

/// One variable that is on its way into the tree.
struct Variable<'a> {
    name: &'a str,
    value: &'a str,
    source: Source,
    input: Input,
    own_only: bool,
}

/// Puts the variables of `env` into `root`, sorted by name, so that `REGISTRY_STORAGE` comes before what
/// refines it.
pub(super) fn apply(
    root: &mut Node,
    env: &[(String, String)],
    warnings: &mut Vec<Warning>,
    findings: &mut Vec<Finding>,
) {
    let mut sorted: Vec<&(String, String)> = env.iter().collect();
    sorted.sort();
    for (name, value) in sorted {
        let Some((rest, own_only)) = address(name) else {
            continue;
        };
        if ELSEWHERE.contains(&name.as_str()) || is_service_link(name, value) {
            continue;
        }
        let parts: Vec<&str> = rest.split('_').collect();
        let shared: Arc<str> = Arc::from(name.as_str());
        let variable = Variable {
            name,
            value,
            source: Source::Env(Arc::clone(&shared)),
            input: Input::Env(shared),
            own_only,
        };
        warn_replaced(root, &variable, warnings);
        let outcome = if parts.len() > MOST_PARTS {
            Err(Refusal::Unknown)
        } else {
            variable.set(root, schema(), &parts)
        };
        match outcome {
            Ok(()) => {}
            Err(Refusal::Unknown) => warnings.push(variable.unknown()),
            Err(Refusal::Wrong(finding)) => findings.push(finding),
        }
    }
}

fn address(name: &str) -> Option<(&str, bool)> {
    let registry = name.strip_prefix("REGISTRY_").map(|rest| (rest, false));
    registry.or_else(|| name.strip_prefix("WHARF_").map(|rest| (rest, true)))
}

/// Kubernetes tells every container about every Service: one called `registry-storage` sets
/// `REGISTRY_STORAGE_SERVICE_HOST` and the like (kubernetes.io, "Accessing the Service", environment variables).
fn is_service_link(name: &str, value: &str) -> bool {
    let address = || {
        ["tcp://", "udp://", "sctp://"]
            .iter()
            .any(|scheme| value.starts_with(scheme))
    };
    if name.ends_with("_SERVICE_HOST") || name.ends_with("_SERVICE_PORT") || name.contains("_SERVICE_PORT_") {
        return true;
    }
    if let Some((_, port)) = name.rsplit_once("_PORT_") {
        let mut parts = port.split('_');
        let number = parts
            .next()
            .is_some_and(|part| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit()));
        let protocol = parts.next().is_some_and(|part| matches!(part, "TCP" | "UDP" | "SCTP"));
        let detail = parts
            .next()
            .is_none_or(|part| matches!(part, "PORT" | "PROTO" | "ADDR"));
        if number && protocol && detail && parts.next().is_none() {
            return true;
        }
    }
    name.ends_with("_PORT") && address()
}

enum Refusal {
    /// nothing in the table is called so
    Unknown,
    Wrong(Finding),
}

impl Variable<'_> {
    fn set(&self, node: &mut Node, schema: &Schema, parts: &[&str]) -> Result<(), Refusal> {
        let kind = schema.key.map_or(Kind::Section, |key| key.kind);
        if parts.is_empty() {
            return self.set_leaf(node, schema, kind);
        }
        match kind {
            Kind::Section | Kind::OneOf | Kind::Params => self.set_below(node, schema, kind, parts),
            Kind::Sections => self.set_item(node, Some(schema), parts),
            Kind::Texts | Kind::Paths | Kind::Choices(_) => self.set_item(node, None, parts),
            Kind::Headers => self.set_header(node, parts),
            Kind::Fields => self.set_free(node, parts),
            Kind::Text | Kind::Path | Kind::Bool | Kind::Int(..) | Kind::Duration | Kind::Size | Kind::Choice(_) => {
                Err(Refusal::Unknown)
            }
        }
    }

    fn set_leaf(&self, node: &mut Node, schema: &Schema, kind: Kind) -> Result<(), Refusal> {
        if self.own_only && schema.key.is_none_or(|key| key.release != Release::Wharf) {
            return Err(Refusal::Unknown);
        }
        let secret = schema.key.is_some_and(|key| key.secret);
        *node = match kind {
            Kind::Section
            | Kind::OneOf
            | Kind::Params
            | Kind::Sections
            | Kind::Headers
            | Kind::Fields
            | Kind::Texts
            | Kind::Paths
            | Kind::Choices(_) => self.parse()?,
            Kind::Text | Kind::Path | Kind::Choice(_) if secret => self.text(self.value),
            Kind::Text | Kind::Path | Kind::Choice(_) | Kind::Bool | Kind::Int(..) | Kind::Duration | Kind::Size => {
                self.scalar()
            }
        };
        Ok(())
    }

    fn parse(&self) -> Result<Node, Refusal> {
        let (node, _) = yaml::parse(self.value, &self.input).map_err(Refusal::Wrong)?;
        Ok(node)
    }

    /// Text stays text (`00123`, `1e5`, `yes`, `#1`); quotes around it are YAML's.
    fn scalar(&self) -> Node {
        let trimmed = self.value.trim();
        if trimmed.starts_with(['"', '\''])
            && let Ok((node, None)) = yaml::parse(trimmed, &self.input)
            && matches!(node.data, Data::Scalar { .. })
        {
            return node;
        }
        self.text(trimmed)
    }

    fn text(&self, text: &str) -> Node {
        let data = if text.is_empty() {
            Data::Null
        } else {
            Data::Scalar {
                text: text.to_owned(),
                plain: true,
            }
        };
        Node::new(data, self.source.clone())
    }

    fn set_below(&self, node: &mut Node, schema: &Schema, kind: Kind, parts: &[&str]) -> Result<(), Refusal> {
        let Some((child, taken)) = schema.child_of_env(parts) else {
            return match kind {
                Kind::OneOf | Kind::Params if !self.own_only => self.set_free(node, parts),
                _ => Err(Refusal::Unknown),
            };
        };
        let rest = parts.get(taken..).unwrap_or_default();
        let is_it = |key: &str| schema.child(key).is_some_and(|of| of.name == child.name);
        self.change_entry(node, is_it, child.name, |value| self.set(value, child, rest))
    }

    /// Changes the entry that `is_it` finds in a section, or a new one called `name`. What was not a section
    /// becomes one, and a driver's bare name its section. Nothing is changed by an error.
    fn change_entry(
        &self,
        node: &mut Node,
        is_it: impl Fn(&str) -> bool,
        name: &str,
        change: impl FnOnce(&mut Node) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let new = |key: &str, source: &Source| Entry {
            key: key.to_owned(),
            key_source: source.clone(),
            value: Node::new(Data::Null, source.clone()),
        };
        let mut entries = match &node.data {
            Data::Map(entries) => entries.clone(),
            Data::Scalar { text, .. } if !text.is_empty() => vec![new(text, &node.source)],
            Data::Scalar { .. } | Data::Null | Data::List(_) => Vec::new(),
        };
        match entries.iter_mut().find(|entry| is_it(&entry.key)) {
            Some(entry) => change(&mut entry.value)?,
            None => {
                let mut entry = new(name, &self.source);
                change(&mut entry.value)?;
                entries.push(entry);
            }
        }
        if node.is_null() {
            node.source = self.source.clone();
        }
        node.data = Data::Map(entries);
        Ok(())
    }

    /// `…_0_URL` of a list of sections, `…_HOSTS_0` of a list of texts.
    fn set_item(&self, node: &mut Node, schema: Option<&Schema>, parts: &[&str]) -> Result<(), Refusal> {
        let Some((first, rest)) = parts.split_first() else {
            return Ok(());
        };
        let index: usize = first.parse().map_err(|_| {
            self.wrong(format!(
                "`{first}` is not an index: a list is addressed by number, the first is 0"
            ))
        })?;
        let mut items = match &node.data {
            Data::List(items) => items.clone(),
            Data::Scalar { .. } => vec![node.clone()],
            Data::Null | Data::Map(_) => Vec::new(),
        };
        if index > items.len() {
            let held = items.len();
            return Err(self.wrong(format!(
                "undefined index: {index}; the list has {held} entries before it"
            )));
        }
        if index == items.len() {
            items.push(Node::new(Data::Null, self.source.clone()));
        }
        if let Some(item) = items.get_mut(index) {
            match schema {
                Some(schema) if rest.is_empty() => *item = self.parse_item(schema)?,
                Some(schema) => self.set_below(item, schema, Kind::Section, rest)?,
                None if rest.is_empty() => *item = self.scalar(),
                None => return Err(Refusal::Unknown),
            }
        }
        *node = Node::new(Data::List(items), self.source.clone());
        Ok(())
    }

    fn parse_item(&self, schema: &Schema) -> Result<Node, Refusal> {
        if self.own_only && schema.key.is_none_or(|key| key.release != Release::Wharf) {
            return Err(Refusal::Unknown);
        }
        self.parse()
    }

    /// `REGISTRY_HTTP_HEADERS_X-Foo`, with the index of a value if one follows.
    fn set_header(&self, node: &mut Node, parts: &[&str]) -> Result<(), Refusal> {
        let (name, index) = match parts {
            [name] => (*name, None),
            [name, index] if index.parse::<usize>().is_ok() => (*name, Some(*index)),
            _ => {
                let all = parts.join("_");
                return Err(self.wrong(format!(
                    "`{all}` is not a header's name: write the hyphens of the name into the variable's, or give \
                     the whole section as YAML"
                )));
            }
        };
        self.change_named(node, name, |value| match index {
            Some(index) => self.set_item(value, None, &[index]),
            None if self.value.trim().starts_with(['[', '-']) => {
                *value = self.parse()?;
                Ok(())
            }
            None => {
                *value = self.scalar();
                Ok(())
            }
        })
    }

    /// A name that the table does not know: in lower case, as distribution has it; existing ones keep theirs.
    fn change_named(
        &self,
        node: &mut Node,
        name: &str,
        change: impl FnOnce(&mut Node) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        self.change_entry(
            node,
            |key| key.to_uppercase() == name.to_uppercase(),
            &name.to_lowercase(),
            change,
        )
    }

    fn set_free(&self, node: &mut Node, parts: &[&str]) -> Result<(), Refusal> {
        let Some((first, rest)) = parts.split_first() else {
            return Ok(());
        };
        self.change_named(node, first, |value| {
            if !rest.is_empty() {
                return self.set_free(value, rest);
            }
            *value = if self.value.trim().starts_with(['{', '[']) {
                self.parse()?
            } else {
                self.scalar()
            };
            Ok(())
        })
    }

    fn wrong(&self, message: String) -> Refusal {
        Refusal::Wrong(Finding::new(message, self.source.clone()))
    }

    fn unknown(&self) -> Warning {
        let names = known_names(self.own_only);
        let upper = self.name.to_uppercase();
        let hint = if upper != self.name && names.contains(&upper) {
            format!(": variables are written in capitals, `{upper}`")
        } else if self.own_only && known_names(false).contains(&upper.replacen("WHARF_", "REGISTRY_", 1)) {
            format!(
                ": distribution's keys are set by `{}`",
                upper.replacen("WHARF_", "REGISTRY_", 1)
            )
        } else {
            // The prefix is the same anyway and would make everything look alike.
            let (prefix, rest) = upper.split_once('_').unwrap_or((&upper, ""));
            let candidates = names
                .iter()
                .filter_map(|name| name.split_once('_').map(|(_, rest)| rest));
            nearest(rest, candidates)
                .map(|near| format!(": did you mean `{prefix}_{near}`?"))
                .unwrap_or_default()
        };
        Warning {
            severity: Severity::Warning,
            message: format!("this variable sets nothing and is ignored{hint}"),
            source: self.source.clone(),
        }
    }
}

/// Every variable without an index, for suggestions.
pub(super) fn known_names(own: bool) -> Vec<String> {
    super::keys::all()
        .filter(|key| !own || key.release == Release::Wharf)
        .flat_map(|key| {
            let path = key.path.replace("[]", ".0").replace('.', "_").to_uppercase();
            let registry = format!("REGISTRY_{path}");
            let wharf = (key.release == Release::Wharf).then(|| format!("WHARF_{path}"));
            wharf.into_iter().chain((!own).then_some(registry))
        })
        .chain(
            own.then(|| ELSEWHERE.iter().map(|name| (*name).to_owned()))
                .into_iter()
                .flatten(),
        )
        .collect()
}

/// `REGISTRY_STORAGE=s3` drops what the file says under `storage`: say so.
fn warn_replaced(root: &Node, variable: &Variable<'_>, warnings: &mut Vec<Warning>) {
    let section = match variable.name {
        "REGISTRY_STORAGE" => "storage",
        "REGISTRY_AUTH" => "auth",
        _ => return,
    };
    let lost: Vec<String> = root
        .get(section)
        .map(Node::entries)
        .unwrap_or_default()
        .iter()
        .filter(|entry| matches!(entry.key_source, Source::File { .. }))
        .map(|entry| format!("`{}`", entry.key))
        .collect();
    if !lost.is_empty() {
        warnings.push(Warning {
            severity: Severity::Warning,
            message: format!(
                "replaces the whole section `{section}` of the file with its {}",
                lost.join(", ")
            ),
            source: variable.source.clone(),
        });
    }
}
