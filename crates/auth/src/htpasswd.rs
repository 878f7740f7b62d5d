//! The htpasswd file, as distribution's `auth: htpasswd` reads it: one user per line, bcrypt only.

use std::{collections::HashMap, fmt::Write, sync::Arc};

use crate::{
    Random,
    password::{self, PasswordError},
};

mod file;

pub use file::{HtpasswdError, HtpasswdFile, Provisioned};

/// The users of one file.
#[derive(Default)]
pub struct Entries {
    users: HashMap<String, Hash>,
    warnings: Vec<Warning>,
    highest_cost: Option<u32>,
}

enum Hash {
    Bcrypt(Arc<str>),
    NeverMatches,
}

/// A line that counts for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: user {user:?} has {kind}, only bcrypt (htpasswd -B) can sign in")]
pub struct Warning {
    /// Counted from 1.
    pub line: usize,
    /// Whose line it is.
    pub user: String,
    /// What stands there instead.
    pub kind: &'static str,
}

/// A line that cannot be read. Its content is not repeated: it may be a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} has no ':' between user and hash")]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
}

/// Why a user name cannot stand in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UserNameError {
    /// No name.
    #[error("user name is empty")]
    Empty,
    /// What separates names from hashes or lines.
    #[error("user name holds ':' or a control character")]
    Separator,
    /// It would be read as a comment.
    #[error("user name begins with '#' or has spaces around it")]
    Unreadable,
}

/// Reads a whole file. Blank lines, `#` comments, CRLF and a byte order mark are skipped; of two
/// lines of one user the last counts, as in distribution.
pub fn parse(text: &[u8]) -> Result<Entries, LineError> {
    let text = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut entries = Entries::default();
    for (position, line) in text.split(|&byte| byte == b'\n').enumerate() {
        let line = line.trim_ascii();
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let number = position + 1;
        let colon = line.iter().position(|&byte| byte == b':');
        let (user, hash) = line.split_at(colon.ok_or(LineError { line: number })?);
        entries.insert(
            number,
            String::from_utf8_lossy(user).into_owned(),
            &String::from_utf8_lossy(&hash[1..]),
        );
    }
    Ok(entries)
}

impl Entries {
    fn insert(&mut self, line: usize, user: String, hash: &str) {
        self.warnings.retain(|warning| warning.user != user);
        let entry = match password::bcrypt_cost(hash) {
            Some(cost) => {
                self.highest_cost = self.highest_cost.max(Some(cost));
                Hash::Bcrypt(hash.into())
            }
            None => {
                self.warnings.push(Warning {
                    line,
                    user: user.clone(),
                    kind: kind_of(hash),
                });
                Hash::NeverMatches
            }
        };
        self.users.insert(user, entry);
    }

    /// The hash to check a password of `user` against, and whether a match counts. Unknown users
    /// get a hash that nothing matches, so that the time does not tell who exists.
    pub(crate) fn hash_of(&self, user: &str) -> (Arc<str>, bool) {
        match self.users.get(user) {
            Some(Hash::Bcrypt(hash)) => (Arc::clone(hash), true),
            Some(Hash::NeverMatches) | None => {
                let cost = self.highest_cost.unwrap_or(password::BCRYPT_COST);
                (password::bcrypt_of_nobody(cost), false)
            }
        }
    }

    /// Whether the user has a line.
    pub fn contains(&self, user: &str) -> bool {
        self.users.contains_key(user)
    }

    /// Whether `password` is that of `user`. Takes as long as its bcrypt cost.
    pub fn verify(&self, user: &str, password: &[u8]) -> bool {
        let (hash, counts) = self.hash_of(user);
        password::verify(password, &hash) && counts
    }

    /// How many users have a line.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether there is no user at all.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }

    /// Lines whose user can never sign in.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }
}

impl std::fmt::Debug for Entries {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entries")
            .field("users", &self.users.len())
            .field("warnings", &self.warnings)
            .finish_non_exhaustive()
    }
}

fn kind_of(hash: &str) -> &'static str {
    let starts = |prefixes: &[&str]| prefixes.iter().any(|prefix| hash.starts_with(prefix));
    match hash {
        "" => "no hash",
        _ if starts(&["$apr1$", "$1$"]) => "an MD5 hash",
        _ if starts(&["{SHA}"]) => "a SHA-1 hash",
        _ if starts(&["$5$", "$6$"]) => "a SHA-crypt hash",
        _ if starts(&["$2"]) => "an unreadable bcrypt hash",
        _ if starts(&["$argon2"]) => "an argon2 hash",
        _ => "a crypt hash or a plain password",
    }
}

/// Refuses names that could not be read back.
pub fn check_user_name(user: &str) -> Result<(), UserNameError> {
    if user.is_empty() {
        Err(UserNameError::Empty)
    } else if user.contains(|c: char| c == ':' || c.is_control()) {
        Err(UserNameError::Separator)
    } else if user.starts_with('#') || user.trim() != user {
        Err(UserNameError::Unreadable)
    } else {
        Ok(())
    }
}

/// `user:$2y$…` without a line end. `user` must have passed [`check_user_name`].
pub fn line(user: &str, password: &[u8], cost: u32, random: &Random) -> Result<String, PasswordError> {
    Ok(format!("{user}:{}", password::hash_bcrypt(password, cost, random)?))
}

/// The file with this user's line replaced, or added at the end; everything else stays as it is.
pub fn with_line(text: &str, user: &str, line: &str) -> String {
    let mut result = without_user(text, user).0;
    if !result.is_empty() && !result.ends_with('\n') {
        result.push('\n');
    }
    // Writing into a String cannot fail.
    let _ = writeln!(result, "{line}");
    result
}

/// The file without this user's lines, and whether there was one.
pub fn without_user(text: &str, user: &str) -> (String, bool) {
    let mut was_there = false;
    let kept = text
        .split_inclusive('\n')
        .filter(|line| {
            let content = line.trim_start_matches('\u{feff}').trim();
            let is_theirs = !content.starts_with('#') && content.split_once(':').is_some_and(|(name, _)| name == user);
            was_there |= is_theirs;
            !is_theirs
        })
        .collect();
    (kept, was_there)
}

#[cfg(test)]
mod tests;
