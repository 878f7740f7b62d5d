//! Mistakes while they are found, and the lines of the file that show them.

use super::error::{Problem, Source};

/// A mistake before its line is cut out of the file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Finding {
    message: String,
    source: Source,
    help: Option<String>,
    key_only: bool,
}

impl Finding {
    pub(super) fn new(message: impl Into<String>, source: Source) -> Self {
        Self {
            message: message.into(),
            source,
            help: None,
            key_only: false,
        }
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }

    /// Shows the line only as far as its key: a misspelt key may hold a password.
    pub(super) fn key_only(mut self) -> Self {
        self.key_only = true;
        self
    }

    /// With the line out of `text`, if that is where the mistake is.
    pub(super) fn into_problem(self, text: &str) -> Problem {
        let snippet = match &self.source {
            Source::File { line, column, .. } => snippet(text, *line, *column, self.key_only),
            Source::Default | Source::Env(_) => None,
        };
        Problem {
            message: self.message,
            source: self.source,
            snippet,
            help: self.help,
        }
    }
}

fn snippet(text: &str, line: usize, column: usize, key_only: bool) -> Option<String> {
    const WIDEST: usize = 160;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let full = text.lines().nth(line.checked_sub(1)?)?;
    let start = column.saturating_sub(1);
    let length = token_length(full, start);
    let mut shown = if key_only {
        until_value(full, start, length)
    } else {
        hide_secrets(full)
    };
    if shown.chars().count() > WIDEST {
        shown = shown.chars().take(WIDEST).collect::<String>() + " …";
    }
    let shown: String = shown.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let room = shown.chars().count().saturating_sub(start).max(1);
    let number = line.to_string();
    let gutter = " ".repeat(number.len());
    let start = start.min(shown.chars().count().saturating_sub(1));
    let caret = format!("{}{}", " ".repeat(start.min(WIDEST)), "^".repeat(length.min(room)));
    Some(format!(
        " {gutter} |\n {number} | {}\n {gutter} | {caret}",
        shown.trim_end()
    ))
}

/// Characters of the word that begins at `start`.
fn token_length(line: &str, start: usize) -> usize {
    let rest: Vec<char> = line.chars().skip(start).collect();
    let quoted = rest.first().filter(|first| matches!(first, '"' | '\''));
    let length = match quoted {
        Some(quote) => rest
            .iter()
            .skip(1)
            .position(|c| c == quote)
            .map_or(rest.len(), |end| end + 2),
        None => rest
            .iter()
            .enumerate()
            .position(|(at, c)| match c {
                ',' | '}' | ']' => true,
                ':' => rest.get(at + 1).is_none_or(|next| next.is_whitespace()),
                '#' => at > 0 && rest.get(at - 1).is_some_and(|before| before.is_whitespace()),
                _ => false,
            })
            .unwrap_or(rest.len()),
    };
    let word: String = rest.iter().take(length).collect();
    word.trim_end().chars().count().max(1)
}

fn until_value(line: &str, start: usize, length: usize) -> String {
    let shown: String = hide_secrets(&line.chars().take(start).collect::<String>());
    let key: String = line.chars().skip(start).take(length).collect();
    let more = line
        .chars()
        .skip(start + length)
        .any(|c| !c.is_whitespace() && c != ':');
    format!("{shown}{key}{}", if more { ": …" } else { ":" })
}

/// The line with the values of keys that sound like secrets replaced. A line that is only a piece of a
/// longer text shows nothing, since nobody knows what it belongs to.
fn hide_secrets(line: &str) -> String {
    let trimmed = line.trim_start();
    let chars: Vec<char> = line.chars().collect();
    if !trimmed.contains(": ") && !trimmed.ends_with(':') && !trimmed.starts_with("- ") && !trimmed.contains("\":") {
        // A bare word is a list item, a lone key or a continued text; long ones are keys and certificates.
        if trimmed.chars().count() > 40 {
            return format!("{}…", " ".repeat(chars.len() - trimmed.chars().count()));
        }
    }
    let mut shown = String::new();
    for (at, c) in chars.iter().enumerate() {
        shown.push(*c);
        let value = chars.get(at + 1..).unwrap_or_default();
        let has_value = value.iter().any(|c| !c.is_whitespace());
        if *c == ':' && has_value && sounds_secret(last_word(&shown)) {
            shown.push_str(" …");
            break;
        }
        if shown.ends_with("://") && value.contains(&'@') {
            shown.push('…');
            break;
        }
    }
    shown
}

fn last_word(text: &str) -> &str {
    let text = text.trim_end_matches([':', '"', '\'', ' ']);
    text.rsplit(|c: char| !c.is_alphanumeric() && c != '_' && c != '-')
        .next()
        .unwrap_or(text)
}

/// Whether a key of this name holds something that must not be shown.
pub(super) fn sounds_secret(key: &str) -> bool {
    let key = key.to_ascii_lowercase();
    key == "private_key"
        || key == "authorization"
        || [
            "pass",
            "pwd",
            "secret",
            "token",
            "accesskey",
            "apikey",
            "api_key",
            "accountkey",
            "licensekey",
            "connectionstring",
            "credential",
        ]
        .iter()
        .any(|word| key.contains(word))
}
