//! YAML text to a tree in which every key and value knows its place.

use std::collections::HashMap;
use std::sync::Arc;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, Span, Tag};

use super::error::Source;
use super::snippet::Finding;

/// A configuration that needs more than this is an attack with aliases.
const MAX_NODES: usize = 100_000;
/// The parser's own limit, which aliases could pass.
const MAX_DEPTH: usize = 255;
/// Far above any real configuration file, in bytes.
const MAX_BYTES: usize = 4 << 20;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) source: Source,
}

/// The shapes that YAML has. Scalars stay text until a key says what they should be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Data {
    Null,
    Scalar { text: String, plain: bool },
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One `key: value`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) key_source: Source,
    pub(super) value: Node,
}

impl Node {
    pub(super) fn new(data: Data, source: Source) -> Self {
        Self { data, source }
    }

    pub(super) fn is_null(&self) -> bool {
        self.data == Data::Null
    }

    /// Null, or a section or list without anything in it.
    pub(super) fn is_empty(&self) -> bool {
        match &self.data {
            Data::Null => true,
            Data::Scalar { text, .. } => text.is_empty(),
            Data::List(items) => items.is_empty(),
            Data::Map(entries) => entries.is_empty(),
        }
    }

    pub(super) fn entries(&self) -> &[Entry] {
        match &self.data {
            Data::Map(entries) => entries,
            _ => &[],
        }
    }

    pub(super) fn get(&self, key: &str) -> Option<&Node> {
        self.entries()
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| &entry.value)
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.data {
            Data::Scalar { text, .. } => Some(text),
            _ => None,
        }
    }
}

/// Which text is read, for the places.
#[derive(Debug, Clone)]
pub(super) enum Input {
    File(Arc<str>),
    Env(Arc<str>),
    Default,
}

impl Input {
    pub(super) fn at(&self, line: usize, column: usize) -> Source {
        match self {
            Self::File(path) => Source::File {
                path: Arc::clone(path),
                line,
                column,
            },
            Self::Env(name) => Source::Env(Arc::clone(name)),
            Self::Default => Source::Default,
        }
    }

    fn span(&self, span: &Span) -> Source {
        self.at(span.start.line(), span.start.col() + 1)
    }
}

/// The first document of `text`, and where a second one begins if there is one.
pub(super) fn parse(text: &str, input: &Input) -> Result<(Node, Option<Source>), Finding> {
    if text.len() > MAX_BYTES {
        return Err(Finding::new("this is larger than 4 MiB", input.at(1, 1)));
    }
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut builder = Builder::new(input);
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            let message = format!("not valid YAML: {}", error.info());
            Finding::new(message, input.at(marker.line().max(1), marker.col() + 1))
        })?;
        if let Event::DocumentStart(..) = event
            && builder.root.is_some()
        {
            builder.second = Some(input.span(&span));
            break;
        }
        builder.event(event, &span)?;
    }
    let root = builder.root.unwrap_or_else(|| Node::new(Data::Null, input.at(1, 1)));
    Ok((root, builder.second))
}

enum Frame {
    List {
        anchor: usize,
        items: Vec<Node>,
        source: Source,
    },
    Map {
        anchor: usize,
        entries: Vec<Entry>,
        key: Option<(String, Source)>,
        merges: Vec<Node>,
        source: Source,
    },
}

struct Builder<'a> {
    input: &'a Input,
    stack: Vec<Frame>,
    anchors: HashMap<usize, Node>,
    root: Option<Node>,
    second: Option<Source>,
    nodes: usize,
}

impl<'a> Builder<'a> {
    fn new(input: &'a Input) -> Self {
        Self {
            input,
            stack: Vec::new(),
            anchors: HashMap::new(),
            root: None,
            second: None,
            nodes: 0,
        }
    }

    fn event(&mut self, event: Event<'_>, span: &Span) -> Result<(), Finding> {
        let source = self.input.span(span);
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let data = scalar(text.into_owned(), style, tag.as_deref());
                self.add(Node::new(data, source), anchor)
            }
            Event::SequenceStart(_, anchor, _) => {
                self.stack.push(Frame::List {
                    anchor,
                    items: Vec::new(),
                    source,
                });
                Ok(())
            }
            Event::MappingStart(_, anchor, _) => {
                self.stack.push(Frame::Map {
                    anchor,
                    entries: Vec::new(),
                    key: None,
                    merges: Vec::new(),
                    source,
                });
                Ok(())
            }
            Event::SequenceEnd | Event::MappingEnd => self.close(),
            Event::Alias(id) => match self.anchors.get(&id) {
                Some(node) => {
                    let node = node.clone();
                    if self.stack.len() + depth(&node) > MAX_DEPTH {
                        return Err(Finding::new("this alias makes the file too deep", source));
                    }
                    self.nodes += count(&node);
                    self.add(node, 0)
                }
                None => Err(Finding::new("this alias stands inside what it names", source)),
            },
            _ => Ok(()),
        }
    }

    fn close(&mut self) -> Result<(), Finding> {
        match self.stack.pop() {
            Some(Frame::List { anchor, items, source }) => self.add(Node::new(Data::List(items), source), anchor),
            Some(Frame::Map {
                anchor,
                mut entries,
                merges,
                source,
                ..
            }) => {
                for merge in merges {
                    merge_into(&mut entries, merge)?;
                }
                self.add(Node::new(Data::Map(entries), source), anchor)
            }
            None => Ok(()),
        }
    }

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), Finding> {
        self.nodes += if anchor == 0 { 1 } else { count(&node) };
        if self.nodes > MAX_NODES {
            return Err(Finding::new(format!("more than {MAX_NODES} values"), node.source));
        }
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.stack.last_mut() {
            None => self.root = Some(node),
            Some(Frame::List { items, .. }) => items.push(node),
            Some(Frame::Map {
                entries, key, merges, ..
            }) => match key.take() {
                None => *key = Some(key_of(node)?),
                Some((key, _)) if key == "<<" => merges.push(node),
                Some((key, key_source)) => add_entry(entries, key, key_source, node)?,
            },
        }
        Ok(())
    }
}

fn scalar(text: String, style: ScalarStyle, tag: Option<&Tag>) -> Data {
    let plain = style == ScalarStyle::Plain && !tag.is_some_and(|tag| tag.is_yaml_core_schema_tag("str"));
    if plain && is_null(&text) {
        Data::Null
    } else {
        Data::Scalar { text, plain }
    }
}

/// What YAML 1.1 takes for nothing.
pub(super) fn is_null(text: &str) -> bool {
    matches!(text, "" | "~" | "null" | "Null" | "NULL")
}

fn key_of(node: Node) -> Result<(String, Source), Finding> {
    match node.data {
        Data::Scalar { text, .. } => Ok((text, node.source)),
        Data::Null => Err(Finding::new("a key is missing before the colon", node.source)),
        Data::List(_) | Data::Map(_) => Err(Finding::new(
            "a key must be a name, not a list or a section",
            node.source,
        )),
    }
}

fn add_entry(entries: &mut Vec<Entry>, key: String, key_source: Source, value: Node) -> Result<(), Finding> {
    if let Some(first) = entries.iter().find(|entry| entry.key == key) {
        let help = match &first.key_source {
            Source::File { line, .. } => format!("the first one is in line {line}: keep one of them"),
            _ => "keep one of them".to_owned(),
        };
        return Err(Finding::new(format!("the key `{key}` is here twice"), key_source)
            .help(help)
            .key_only());
    }
    entries.push(Entry { key, key_source, value });
    Ok(())
}

/// `<<: *anchor`: what the section says itself wins.
fn merge_into(entries: &mut Vec<Entry>, merge: Node) -> Result<(), Finding> {
    match merge.data {
        Data::Map(more) => {
            for entry in more {
                if !entries.iter().any(|own| own.key == entry.key) {
                    entries.push(entry);
                }
            }
            Ok(())
        }
        Data::List(items) => items.into_iter().try_for_each(|item| merge_into(entries, item)),
        Data::Null => Ok(()),
        Data::Scalar { .. } => Err(Finding::new("`<<` takes a section or a list of sections", merge.source)),
    }
}

fn depth(node: &Node) -> usize {
    let deepest = match &node.data {
        Data::Null | Data::Scalar { .. } => 0,
        Data::List(items) => items.iter().map(depth).max().unwrap_or(0),
        Data::Map(entries) => entries.iter().map(|entry| depth(&entry.value)).max().unwrap_or(0),
    };
    deepest + 1
}

/// What a copy of it costs.
fn count(node: &Node) -> usize {
    match &node.data {
        Data::Null | Data::Scalar { .. } => 1,
        Data::List(items) => 1 + items.iter().map(count).sum::<usize>(),
        Data::Map(entries) => 1 + entries.iter().map(|entry| count(&entry.value)).sum::<usize>(),
    }
}
