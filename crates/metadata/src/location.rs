//! Where an index is: the URL of a database.
//!
//! ```text
//! sqlite:///var/lib/wharf/index.db
//! postgresql://wharf:password@db.example.com/wharf?sslrootcert=/etc/wharf/ca.pem
//! mariadb://wharf:password@db.example.com:3306/wharf
//! ```
//!
//! No error and no `Debug` here shows a password.

use std::fmt;
use std::net::IpAddr;
use std::path::PathBuf;

use crate::server::{self, Engine, Tls, TlsMode};
use crate::sqlite;

/// Where an index is, and how it is opened.
#[derive(Clone, Debug)]
pub enum Location {
    /// In a file.
    Sqlite(sqlite::Config),
    /// On a server.
    Server(Box<server::Config>),
}

/// A database URL that says nothing usable.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LocationError {
    /// It is no URL of a database.
    #[error(
        "a database URL begins with postgresql://, mariadb://, mysql:// or sqlite://, not with {0:?}: \
         for example postgresql://user:password@host/database"
    )]
    Scheme(String),
    /// A part of it is missing or is not what it must be.
    #[error("the database URL {part}")]
    Part {
        /// What is wrong with which part.
        part: String,
    },
    /// A parameter after `?` that is not known.
    #[error("the database URL has the unknown parameter {name:?}; known are {known}")]
    Parameter {
        /// Its name.
        name: String,
        /// Those that are known.
        known: &'static str,
    },
}

const PARAMETERS: &str = "sslmode, sslrootcert, sslcert, sslkey, host, socket, port, user, password, dbname, \
                          application_name and prepared";

const SPECIAL: &str = "has a special character in user or password: there : / ? # @ are written %3A %2F %3F %23 %40";

impl Location {
    /// Reads a URL.
    ///
    /// # Errors
    ///
    /// It is none, or has parts that mean nothing.
    pub fn parse(url: &str) -> Result<Self, LocationError> {
        let url = url.trim();
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        let engine = match scheme {
            "sqlite" => return sqlite_file(rest),
            "postgres" | "postgresql" => Engine::Postgresql,
            "mysql" | "mariadb" => Engine::Mariadb,
            // without a colon it may be anything, a password too
            other => return Err(LocationError::Scheme(shortened(other))),
        };
        let rest = rest
            .strip_prefix("//")
            .ok_or_else(|| part("needs // behind the colon: for example postgresql://user:password@host/database"))?;
        server_url(engine, rest).map(|config| Self::Server(Box::new(config)))
    }

    /// The engine, as people call it.
    pub const fn engine(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "SQLite",
            Self::Server(config) => config.engine.name(),
        }
    }
}

/// Without the password.
impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(config) => write!(f, "sqlite://{}", config.path.display()),
            Self::Server(config) => config.fmt(f),
        }
    }
}

fn part(part: impl Into<String>) -> LocationError {
    LocationError::Part { part: part.into() }
}

fn shortened(scheme: &str) -> String {
    let is_scheme =
        |text: &str| text.len() <= 20 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'+');
    if is_scheme(scheme) {
        format!("{scheme}:")
    } else {
        "…".to_owned()
    }
}

fn sqlite_file(rest: &str) -> Result<Location, LocationError> {
    let path = rest.strip_prefix("//").unwrap_or(rest);
    if path.is_empty() || path == "/" {
        return Err(part("names no file: for example sqlite:///var/lib/wharf/index.db"));
    }
    if path.contains('?') {
        return Err(part("takes no parameters for an SQLite file"));
    }
    Ok(Location::Sqlite(sqlite::Config::new(PathBuf::from(decoded(path)?))))
}

fn server_url(engine: Engine, rest: &str) -> Result<server::Config, LocationError> {
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    if rest.contains('#') || query.contains('#') {
        return Err(part(SPECIAL));
    }
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (login, address) = authority.rsplit_once('@').unwrap_or(("", authority));
    let mut config = server::Config::new(engine);
    if !login.is_empty() {
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        config.user = decoded(user)?;
        config.password = password.map(decoded).transpose()?;
    }
    read_address(&mut config, address)?;
    config.database = decoded(database.trim_end_matches('/'))?;
    let mut mode = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let value = decoded(value)?;
        if matches!(name, "sslmode" | "ssl-mode") {
            mode = Some(read_mode(&value)?);
        } else {
            read_parameter(&mut config, name, value)?;
        }
    }
    finish(config, mode)
}

fn read_address(config: &mut server::Config, address: &str) -> Result<(), LocationError> {
    if address.is_empty() {
        return Ok(());
    }
    if address.contains(',') {
        return Err(part(
            "names several hosts: put a proxy, or a name that follows the primary, in front of them",
        ));
    }
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or_else(|| part("has a [ without a ]"))?;
            (host, port.strip_prefix(':'))
        }
        None => match address.rsplit_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, None),
        },
    };
    let host = decoded(host)?;
    if host.starts_with('/') {
        config.socket = Some(host.into());
    } else {
        config.host = host;
    }
    if let Some(port) = port {
        config.port = read_port(port)?;
    }
    Ok(())
}

fn read_port(text: &str) -> Result<u16, LocationError> {
    text.parse()
        .ok()
        .filter(|port| *port > 0)
        // what stands here may be the rest of a password with an @ or / in it
        .ok_or_else(|| part(format!("has a port that is no number from 1 to 65535, or {SPECIAL}")))
}

fn read_mode(text: &str) -> Result<TlsMode, LocationError> {
    match text.to_ascii_lowercase().replace('_', "-").as_str() {
        "disable" | "disabled" => Ok(TlsMode::Disable),
        "prefer" | "preferred" => Ok(TlsMode::Prefer),
        "require" | "required" => Ok(TlsMode::Require),
        "verify-ca" => Ok(TlsMode::VerifyCa),
        "verify-full" | "verify-identity" => Ok(TlsMode::VerifyFull),
        _ => Err(part(format!(
            "has the sslmode {text:?}; known are disable, prefer, require, verify-ca and verify-full"
        ))),
    }
}

fn read_parameter(config: &mut server::Config, name: &str, value: String) -> Result<(), LocationError> {
    match name {
        "sslrootcert" | "ssl-ca" => config.tls.root_certificates = Some(value.into()),
        "sslcert" | "ssl-cert" => config.tls.certificate = Some(value.into()),
        "sslkey" | "ssl-key" => config.tls.key = Some(value.into()),
        "host" | "socket" if value.starts_with('/') => config.socket = Some(value.into()),
        "host" => config.host = value,
        "port" => config.port = read_port(&value)?,
        "user" => config.user = value,
        "password" => config.password = Some(value),
        "dbname" => config.database = value,
        "application_name" => config.application_name = value,
        "prepared" => {
            config.is_prepared = match value.as_str() {
                "auto" => true,
                "never" => false,
                _ => return Err(part(format!("has prepared={value:?}; known are auto and never"))),
            }
        }
        // the rest of a password with a ? in it
        _ if name.contains(['@', '/', ':']) => return Err(part(SPECIAL)),
        _ => {
            return Err(LocationError::Parameter {
                name: name.to_owned(),
                known: PARAMETERS,
            });
        }
    }
    Ok(())
}

fn finish(mut config: server::Config, mode: Option<TlsMode>) -> Result<server::Config, LocationError> {
    if config.user.is_empty() {
        return Err(part(
            "names no user: for example postgresql://user:password@host/database",
        ));
    }
    if config.database.is_empty() {
        return Err(part(
            "names no database: for example postgresql://user:password@host/database",
        ));
    }
    if config.host.is_empty() && config.socket.is_none() {
        "localhost".clone_into(&mut config.host);
    }
    let Tls {
        certificate,
        key,
        root_certificates,
        ..
    } = &config.tls;
    if certificate.is_some() != key.is_some() {
        return Err(part("needs sslcert and sslkey together"));
    }
    config.tls.mode = match mode {
        // as PostgreSQL's own library does: naming an authority means to check against it
        Some(TlsMode::Require) if root_certificates.is_some() => TlsMode::VerifyCa,
        Some(mode) => mode,
        None if config.socket.is_some() => TlsMode::Disable,
        None if is_this_machine(&config.host) => TlsMode::Prefer,
        None => TlsMode::VerifyFull,
    };
    Ok(config)
}

fn is_this_machine(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Percent-decoded.
fn decoded(text: &str) -> Result<String, LocationError> {
    let malformed =
        || part("has a % that is not followed by two hexadecimal digits of UTF-8 text; % itself is written %25");
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let mut digit = || rest.next().and_then(|digit| char::from(digit).to_digit(16));
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Err(malformed());
        };
        bytes.push(u8::try_from(high * 16 + low).map_err(|_| malformed())?);
    }
    String::from_utf8(bytes).map_err(|_| malformed())
}

#[cfg(test)]
mod tests;
