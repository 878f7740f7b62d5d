//! The three formats of a log line: logrus' text and JSON as distribution writes them, and
//! logstash's JSON.

use std::fmt::{self, Write as _};

use jiff::Timestamp;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata};

use super::context::RequestContext;

/// `log.formatter`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// `time=... level=... msg=... key=value`; coloured and shorter on a terminal.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
    /// One JSON object per line with logstash's names.
    Logstash,
}

/// Renders lines in one format.
#[derive(Debug)]
pub(super) struct Renderer {
    pub(super) format: Format,
    /// Short and coloured, for a person at a terminal.
    pub(super) terminal: bool,
    pub(super) report_caller: bool,
    pub(super) fields: Vec<(String, String)>,
}

impl Renderer {
    /// Appends one line to `out`.
    pub(super) fn line(&self, out: &mut String, now: Timestamp, event: &Event<'_>, request: Option<&RequestContext>) {
        let mut collected = Collected::default();
        event.record(&mut collected);
        let metadata = event.metadata();
        let mut line = Line {
            out,
            json: self.format != Format::Text,
        };
        self.head(&mut line, now, *metadata.level(), &collected.message);
        for (name, value) in &collected.fields {
            line.field(name, value);
        }
        if self.report_caller {
            caller(&mut line, metadata);
        }
        if let Some(request) = request {
            self.request(&mut line, request);
        }
        for (name, value) in &self.fields {
            line.field(name, &Value::Text(value.clone()));
        }
        out.push_str(if self.format == Format::Text { "\n" } else { "}\n" });
    }

    fn head(&self, line: &mut Line<'_>, now: Timestamp, level: Level, message: &str) {
        let message = Value::Text(message.to_owned());
        let name = level_name(level);
        match self.format {
            Format::Text if self.terminal => {
                let (color, short) = terminal_level(level);
                let time = now.strftime("%H:%M:%S");
                // writing into a String cannot fail
                let _ = write!(line.out, "\x1b[2m{time}\x1b[0m {color}{short}\x1b[0m ");
                let Value::Text(message) = message else { return };
                push_printable(line.out, &message);
            }
            Format::Text => {
                let _ = write!(line.out, "time=\"{now:.9}\" level={name}");
                line.field("msg", &message);
            }
            Format::Json => {
                let _ = write!(line.out, "{{\"time\":\"{now:.9}\",\"level\":\"{name}\"");
                line.field("msg", &message);
            }
            Format::Logstash => {
                let _ = write!(line.out, "{{\"@timestamp\":\"{now:.9}\",\"@version\":\"1\"");
                let _ = write!(line.out, ",\"level\":\"{name}\"");
                line.field("message", &message);
            }
        }
    }

    fn request(&self, line: &mut Line<'_>, request: &RequestContext) {
        let text = |value: &dyn fmt::Display| Value::Text(value.to_string());
        line.field("http.request.id", &text(&request.id));
        line.field("http.request.method", &text(&request.method));
        line.field("http.request.uri", &text(&request.uri.path()));
        line.field("http.request.remoteaddr", &text(&request.client));
        if let Some(user) = request.user.get() {
            line.field("auth.user.name", &text(user));
        }
    }
}

fn caller(line: &mut Line<'_>, metadata: &Metadata<'_>) {
    if let Some(module) = metadata.module_path() {
        line.field("func", &Value::Text(module.to_owned()));
    }
    if let (Some(file), Some(number)) = (metadata.file(), metadata.line()) {
        line.field("file", &Value::Text(format!("{file}:{number}")));
    }
}

/// logrus' names.
fn level_name(level: Level) -> &'static str {
    match level {
        Level::ERROR => "error",
        Level::WARN => "warning",
        Level::INFO => "info",
        Level::DEBUG => "debug",
        Level::TRACE => "trace",
    }
}

fn terminal_level(level: Level) -> (&'static str, &'static str) {
    match level {
        Level::ERROR => ("\x1b[31m", "ERROR"),
        Level::WARN => ("\x1b[33m", "WARN "),
        Level::INFO => ("\x1b[32m", "INFO "),
        Level::DEBUG => ("\x1b[34m", "DEBUG"),
        Level::TRACE => ("\x1b[35m", "TRACE"),
    }
}

#[derive(Debug)]
enum Value {
    Text(String),
    /// A number or truth value, printed as it is.
    Bare(String),
}

/// The message and fields of an event.
#[derive(Default)]
struct Collected {
    message: String,
    fields: Vec<(&'static str, Value)>,
}

impl Collected {
    fn bare(&mut self, field: &Field, value: &dyn fmt::Display) {
        self.fields.push((field.name(), Value::Bare(value.to_string())));
    }
}

impl Visit for Collected {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == "message" {
            let _ = write!(self.message, "{value:?}");
        } else {
            let text = format!("{value:?}");
            self.fields.push((field.name(), Value::Text(text)));
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.message.push_str(value);
        } else {
            self.fields.push((field.name(), Value::Text(value.to_owned())));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.bare(field, &value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.bare(field, &value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.bare(field, &value);
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        if value.is_finite() {
            self.bare(field, &value);
        } else {
            // JSON has no such number
            let text = value.to_string();
            self.fields.push((field.name(), Value::Text(text)));
        }
    }
}

struct Line<'a> {
    out: &'a mut String,
    json: bool,
}

impl Line<'_> {
    fn field(&mut self, name: &str, value: &Value) {
        if self.json {
            self.out.push(',');
            push_json(self.out, name);
            self.out.push(':');
        } else {
            self.out.push(' ');
            self.out.push_str(name);
            self.out.push('=');
        }
        match value {
            Value::Bare(text) => self.out.push_str(text),
            Value::Text(text) if self.json => push_json(self.out, text),
            Value::Text(text) => push_quoted(self.out, text),
        }
    }
}

/// A JSON string.
fn push_json(out: &mut String, text: &str) {
    // serializing a str cannot fail
    out.push_str(&serde_json::to_string(text).unwrap_or_default());
}

/// Bare when it is a simple word as logrus defines it, else quoted and escaped.
fn push_quoted(out: &mut String, text: &str) {
    let simple = |byte: u8| byte.is_ascii_alphanumeric() || b"-._/@^+".contains(&byte);
    if !text.is_empty() && text.bytes().all(simple) {
        out.push_str(text);
        return;
    }
    out.push('"');
    push_printable_with(out, text, true);
    out.push('"');
}

/// The message on a terminal: without control characters, which could rewrite the screen.
fn push_printable(out: &mut String, text: &str) {
    push_printable_with(out, text, false);
}

fn push_printable_with(out: &mut String, text: &str, quote: bool) {
    for char in text.chars() {
        match char {
            '"' | '\\' if quote => {
                out.push('\\');
                out.push(char);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            char if char.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(char));
            }
            char => out.push(char),
        }
    }
}
