//! `wharf htpasswd`, also called as `htpasswd`: makes and changes the lines of an htpasswd file, with
//! the options of Apache's program as far as registries understand the result.

use std::{
    fs::{self, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::{Path, PathBuf},
};

use wharf_auth::{
    Random,
    htpasswd::{self, LineError, UserNameError},
    password::{BCRYPT_COST, PasswordError},
};
use zeroize::Zeroizing;

/// What `--help` prints.
pub const HELP: &str = "\
Make and change lines of an htpasswd file (bcrypt)

Usage:
  htpasswd [-civD] [-C COST] FILE USER
  htpasswd -b [-cv] [-C COST] FILE USER PASSWORD
  htpasswd -n [-i] [-C COST] USER
  htpasswd -nb [-C COST] USER PASSWORD

Options:
  -n       print the line instead of changing a file
  -b       take the password from the command line (others may see it there)
  -i       read the password from standard input, without asking twice
  -c       create the file, or empty it
  -D       delete the user
  -v       check the password of the user
  -C COST  the cost of bcrypt, 4 to 31 (default 10); each step doubles the work
  -B       bcrypt; always on, since it is all that registries accept

Examples:
  htpasswd -Bbn alice secret > htpasswd
  htpasswd htpasswd bob
";

/// Why the command failed. [`Self::code`] is Apache's exit code for it.
#[derive(Debug, thiserror::Error)]
pub enum HtpasswdCommandError {
    /// The arguments make no sense.
    #[error("{0}; see htpasswd --help")]
    Usage(String),
    /// The file cannot be read or written.
    #[error("cannot {what} {path}: {source}")]
    File {
        /// `read` or `write`.
        what: &'static str,
        /// The path as it was given.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// There is no file to change.
    #[error("{0} does not exist; use -c to create it")]
    Missing(PathBuf),
    /// The file is none.
    #[error("{path} is not an htpasswd file: {source}")]
    Broken {
        /// The path as it was given.
        path: PathBuf,
        /// Which line.
        source: LineError,
    },
    /// The password cannot be read.
    #[error("cannot read the password: {0}")]
    Input(io::Error),
    /// Typed twice, differently.
    #[error("the two passwords differ")]
    Mismatch,
    /// `-v` with a wrong password, or a user that is not there.
    #[error("password of user {0} does not match")]
    Wrong(String),
    /// `-v` or `-D` without such a user.
    #[error("user {0} is not in the file")]
    UnknownUser(String),
    /// A password that cannot be hashed.
    #[error(transparent)]
    Password(#[from] PasswordError),
    /// A name that could not be read back.
    #[error(transparent)]
    Name(#[from] UserNameError),
    /// The output is closed.
    #[error("cannot write: {0}")]
    Output(io::Error),
}

impl HtpasswdCommandError {
    /// The exit code.
    #[must_use]
    pub const fn code(&self) -> u8 {
        match self {
            Self::File { .. } | Self::Missing(_) | Self::Output(_) => 1,
            Self::Usage(_) => 2,
            Self::Mismatch | Self::Wrong(_) | Self::UnknownUser(_) => 3,
            Self::Input(_) => 4,
            Self::Password(_) => 5,
            Self::Name(_) => 6,
            Self::Broken { .. } => 7,
        }
    }
}

/// Shows a prompt and answers what was typed, such as [`super::prompt::ask_password`].
pub type Ask<'a> = dyn FnMut(&str) -> io::Result<Zeroizing<String>> + 'a;

/// How the command reaches the world.
pub struct Console<'a> {
    /// Where `-i` reads the password.
    pub stdin: &'a mut dyn Read,
    /// Where `-n` and `--help` print.
    pub stdout: &'a mut dyn Write,
    /// Where the command says what it did.
    pub stderr: &'a mut dyn Write,
    /// Asks for a password without showing it; `None` when nobody sits there.
    pub ask: Option<&'a mut Ask<'a>>,
    /// For salts.
    pub random: Random,
}

#[derive(Debug, PartialEq, Eq)]
enum Command {
    Help,
    Print(Source),
    Change {
        path: PathBuf,
        create: bool,
        source: Source,
    },
    Delete {
        path: PathBuf,
        user: String,
    },
    Verify {
        path: PathBuf,
        source: Source,
    },
}

/// Whose password, from where, and how dear.
#[derive(PartialEq, Eq)]
struct Source {
    user: String,
    given: Option<Zeroizing<String>>,
    from_stdin: bool,
    cost: u32,
}

impl std::fmt::Debug for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Source")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

/// Runs the command with the arguments behind its name.
///
/// # Errors
///
/// Says what is wrong; the caller prints it and exits with its code.
pub fn run(arguments: &[String], console: &mut Console<'_>) -> Result<(), HtpasswdCommandError> {
    match parse(arguments)? {
        Command::Help => write!(console.stdout, "{HELP}").map_err(HtpasswdCommandError::Output),
        Command::Print(source) => {
            let line = line(&source, console)?;
            writeln!(console.stdout, "{line}").map_err(HtpasswdCommandError::Output)
        }
        Command::Change { path, create, source } => change(&path, create, &source, console),
        Command::Delete { path, user } => delete(&path, &user, console),
        Command::Verify { path, source } => verify(&path, &source, console),
    }
}

#[derive(Default)]
struct Options {
    print: bool,
    batch: bool,
    from_stdin: bool,
    create: bool,
    delete: bool,
    verify: bool,
    cost: Option<u32>,
}

fn parse(arguments: &[String]) -> Result<Command, HtpasswdCommandError> {
    let mut options = Options::default();
    let mut rest = arguments.iter();
    let mut operands = Vec::new();
    while let Some(argument) = rest.next() {
        match argument.strip_prefix('-') {
            Some("-") => break,
            Some("h" | "-help") => return Ok(Command::Help),
            Some(flags) if !flags.is_empty() => options.take(flags, &mut rest)?,
            _ => {
                operands.push(argument.clone());
                break;
            }
        }
    }
    operands.extend(rest.cloned());
    options.command(operands)
}

impl Options {
    /// One cluster of options, such as `Bbn` or `C12`.
    fn take<'a>(
        &mut self,
        flags: &str,
        rest: &mut impl Iterator<Item = &'a String>,
    ) -> Result<(), HtpasswdCommandError> {
        for (position, flag) in flags.char_indices() {
            match flag {
                'n' => self.print = true,
                'b' => self.batch = true,
                'i' => self.from_stdin = true,
                'c' => self.create = true,
                'D' => self.delete = true,
                'v' => self.verify = true,
                'B' => {}
                'C' => {
                    let attached = &flags[position + 1..];
                    let value = match attached {
                        "" => rest.next().map_or("", String::as_str),
                        attached => attached,
                    };
                    let cost = value.parse().ok().filter(|cost| (4..=31).contains(cost));
                    self.cost = Some(cost.ok_or_else(|| usage("-C needs a cost from 4 to 31"))?);
                    return Ok(());
                }
                'm' => return Err(refused(flag, "MD5")),
                'd' => return Err(refused(flag, "crypt")),
                's' => return Err(refused(flag, "SHA-1")),
                '2' | '5' | 'r' => return Err(refused(flag, "SHA-crypt")),
                'p' => return Err(refused(flag, "plain text")),
                unknown => return Err(usage(&format!("unknown option -{unknown}"))),
            }
        }
        Ok(())
    }

    fn command(self, operands: Vec<String>) -> Result<Command, HtpasswdCommandError> {
        self.check()?;
        let mut operands = operands.into_iter();
        let path = match self.print {
            true => None,
            false => Some(PathBuf::from(
                operands.next().ok_or_else(|| usage("the file is missing"))?,
            )),
        };
        let user = operands.next().ok_or_else(|| usage("the user is missing"))?;
        htpasswd::check_user_name(&user)?;
        let given = match self.batch {
            true => Some(Zeroizing::new(
                operands.next().ok_or_else(|| usage("the password is missing"))?,
            )),
            false => None,
        };
        if operands.next().is_some() {
            return Err(usage("there are too many arguments"));
        }
        let source = Source {
            user,
            given,
            from_stdin: self.from_stdin,
            cost: self.cost.unwrap_or(BCRYPT_COST),
        };
        Ok(match path {
            None => Command::Print(source),
            Some(path) if self.delete => Command::Delete {
                path,
                user: source.user,
            },
            Some(path) if self.verify => Command::Verify { path, source },
            Some(path) => Command::Change {
                path,
                create: self.create,
                source,
            },
        })
    }

    fn check(&self) -> Result<(), HtpasswdCommandError> {
        let contradictions = [
            (self.print && self.create, "-n and -c"),
            (self.print && self.delete, "-n and -D"),
            (self.print && self.verify, "-n and -v"),
            (self.create && self.delete, "-c and -D"),
            (self.create && self.verify, "-c and -v"),
            (self.delete && self.verify, "-D and -v"),
            (self.delete && (self.batch || self.from_stdin), "-D and a password"),
            (self.batch && self.from_stdin, "-b and -i"),
        ];
        match contradictions.iter().find(|(is_so, _)| *is_so) {
            Some((_, which)) => Err(usage(&format!("{which} do not go together"))),
            None => Ok(()),
        }
    }
}

fn usage(what: &str) -> HtpasswdCommandError {
    HtpasswdCommandError::Usage(what.to_owned())
}

fn refused(flag: char, kind: &str) -> HtpasswdCommandError {
    usage(&format!(
        "option -{flag} is refused: registries do not accept {kind} hashes, only bcrypt (-B)"
    ))
}

fn change(path: &Path, create: bool, source: &Source, console: &mut Console<'_>) -> Result<(), HtpasswdCommandError> {
    let (before, was_there) = match create {
        true => (String::new(), false),
        false => {
            let before = read(path)?;
            let was_there = parse_file(path, &before)?.contains(&source.user);
            (before, was_there)
        }
    };
    let line = line(source, console)?;
    write_file(path, &htpasswd::with_line(&before, &source.user, &line))?;
    let what = if was_there { "Updating" } else { "Adding" };
    say(console, &format!("{what} password for user {}", source.user))
}

fn delete(path: &Path, user: &str, console: &mut Console<'_>) -> Result<(), HtpasswdCommandError> {
    let before = read(path)?;
    parse_file(path, &before)?;
    let (after, was_there) = htpasswd::without_user(&before, user);
    if !was_there {
        return Err(HtpasswdCommandError::UnknownUser(user.to_owned()));
    }
    write_file(path, &after)?;
    say(console, &format!("Deleting password for user {user}"))
}

fn verify(path: &Path, source: &Source, console: &mut Console<'_>) -> Result<(), HtpasswdCommandError> {
    let entries = parse_file(path, &read(path)?)?;
    if !entries.contains(&source.user) {
        return Err(HtpasswdCommandError::UnknownUser(source.user.clone()));
    }
    let password = password(source, false, console)?;
    if !entries.verify(&source.user, password.as_bytes()) {
        return Err(HtpasswdCommandError::Wrong(source.user.clone()));
    }
    say(console, &format!("Password for user {} correct.", source.user))
}

fn line(source: &Source, console: &mut Console<'_>) -> Result<String, HtpasswdCommandError> {
    let password = password(source, true, console)?;
    Ok(htpasswd::line(
        &source.user,
        password.as_bytes(),
        source.cost,
        &console.random,
    )?)
}

/// From the command line, standard input, or whoever sits there. Asks twice for a new one.
fn password(
    source: &Source,
    is_new: bool,
    console: &mut Console<'_>,
) -> Result<Zeroizing<String>, HtpasswdCommandError> {
    if let Some(given) = &source.given {
        return Ok(given.clone());
    }
    let Some(ask) = console.ask.as_mut().filter(|_| !source.from_stdin) else {
        let mut text = Zeroizing::new(String::new());
        let mut limited = console.stdin.take(64 << 10);
        limited.read_to_string(&mut text).map_err(HtpasswdCommandError::Input)?;
        let first = text.lines().next().unwrap_or_default();
        return Ok(Zeroizing::new(first.to_owned()));
    };
    if !is_new {
        return ask("Enter password: ").map_err(HtpasswdCommandError::Input);
    }
    let first = ask("New password: ").map_err(HtpasswdCommandError::Input)?;
    let second = ask("Re-type new password: ").map_err(HtpasswdCommandError::Input)?;
    if first == second {
        Ok(first)
    } else {
        Err(HtpasswdCommandError::Mismatch)
    }
}

fn parse_file(path: &Path, text: &str) -> Result<htpasswd::Entries, HtpasswdCommandError> {
    htpasswd::parse(text.as_bytes()).map_err(|source| HtpasswdCommandError::Broken {
        path: path.to_owned(),
        source,
    })
}

fn read(path: &Path) -> Result<String, HtpasswdCommandError> {
    fs::read_to_string(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => HtpasswdCommandError::Missing(path.to_owned()),
        _ => HtpasswdCommandError::File {
            what: "read",
            path: path.to_owned(),
            source,
        },
    })
}

/// Replaces the file at once, so that a running registry never reads half of it, and keeps its
/// permissions. Where it cannot be replaced (a file that is itself a mount), it is written in place.
fn write_file(path: &Path, text: &str) -> Result<(), HtpasswdCommandError> {
    let failed = |source| HtpasswdCommandError::File {
        what: "write",
        path: path.to_owned(),
        source,
    };
    let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = target.clone().into_os_string();
    beside.push(".new");
    let beside = PathBuf::from(beside);
    let replace = || {
        let mode = fs::metadata(&target).map_or(0o600, |metadata| metadata.permissions().mode() & 0o777);
        // Left by a run that was killed.
        let _ = fs::remove_file(&beside);
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode)
            .open(&beside)?;
        file.set_permissions(PermissionsExt::from_mode(mode))?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&beside, &target)
    };
    match replace() {
        Ok(()) => Ok(()),
        Err(_) if target.is_file() => {
            let _ = fs::remove_file(&beside);
            fs::write(&target, text).map_err(failed)
        }
        Err(error) => {
            let _ = fs::remove_file(&beside);
            Err(failed(error))
        }
    }
}

fn say(console: &mut Console<'_>, what: &str) -> Result<(), HtpasswdCommandError> {
    writeln!(console.stderr, "{what}").map_err(HtpasswdCommandError::Output)
}

#[cfg(test)]
mod tests;
