//! How to reach a database server.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::sqlite::Access;

/// Which server it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engine {
    /// PostgreSQL 15 or newer.
    Postgresql,
    /// MariaDB 10.11 or newer, or MySQL 8.
    Mariadb,
}

impl Engine {
    /// As people call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "PostgreSQL",
            Self::Mariadb => "MariaDB",
        }
    }

    const fn scheme(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    const fn port(self) -> u16 {
        match self {
            Self::Postgresql => 5432,
            Self::Mariadb => 3306,
        }
    }
}

/// How to open an index on a server.
#[derive(Clone)]
pub struct Config {
    /// Which server it is.
    pub engine: Engine,
    /// Its name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// Its socket instead of host and port: a folder for PostgreSQL, a file for MariaDB.
    pub socket: Option<PathBuf>,
    /// The user that logs in.
    pub user: String,
    /// Its password.
    pub password: Option<String>,
    /// The database, which must exist.
    pub database: String,
    /// How the connection is protected.
    pub tls: Tls,
    /// What the server shows as the name of this program.
    pub application_name: String,
    /// Whether statements may be prepared for the life of a connection, where no pooler between
    /// us and the server shares its connections.
    pub is_prepared: bool,
    /// The most connections that are open at the same time.
    pub max_connections: usize,
    /// How long connecting may take.
    pub connect_timeout: Duration,
    /// How long a statement may take; those of long reads ten times as much.
    pub statement_timeout: Duration,
    /// Whether this process may write and migrate, or stands by.
    pub access: Access,
}

/// How a connection is protected.
#[derive(Clone, Debug)]
pub struct Tls {
    /// What is asked of the server.
    pub mode: TlsMode,
    /// A PEM file of the authorities that may have signed its certificate; without one, those that
    /// the system trusts.
    pub root_certificates: Option<PathBuf>,
    /// The certificate (PEM) that we show.
    pub certificate: Option<PathBuf>,
    /// Its key (PEM).
    pub key: Option<PathBuf>,
}

/// What is asked of a server's certificate, with the names that PostgreSQL gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsMode {
    /// No TLS.
    Disable,
    /// TLS where the server has it, with any certificate.
    Prefer,
    /// TLS with any certificate.
    Require,
    /// TLS with a certificate of a known authority.
    VerifyCa,
    /// TLS with a certificate of a known authority for this host.
    VerifyFull,
}

impl Config {
    /// The defaults for an engine; user, database and host are still empty.
    pub(crate) fn new(engine: Engine) -> Self {
        Self {
            engine,
            host: String::new(),
            port: engine.port(),
            socket: None,
            user: String::new(),
            password: None,
            database: String::new(),
            tls: Tls {
                mode: TlsMode::VerifyFull,
                root_certificates: None,
                certificate: None,
                key: None,
            },
            application_name: "wharf".to_owned(),
            is_prepared: true,
            max_connections: 16,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            access: Access::Owner,
        }
    }

    /// The same, standing by.
    #[must_use]
    pub fn standby(mut self) -> Self {
        self.access = Access::Standby;
        self
    }
}

/// As a URL, without the password.
impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user, database, .. } = self;
        write!(f, "{}://{user}@", self.engine.scheme())?;
        match &self.socket {
            Some(socket) => write!(f, "{}", socket.display().to_string().replace('/', "%2F"))?,
            None if self.host.contains(':') => write!(f, "[{}]", self.host)?,
            None => f.write_str(&self.host)?,
        }
        if self.port != self.engine.port() {
            write!(f, ":{}", self.port)?;
        }
        write!(f, "/{database}")
    }
}

/// Without the password.
impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("url", &self.to_string())
            .field("tls", &self.tls)
            .field("access", &self.access)
            .finish_non_exhaustive()
    }
}
