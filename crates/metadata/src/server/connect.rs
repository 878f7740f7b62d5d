//! Making a connection.

use std::path::{Path, PathBuf};

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::postgres::{PgConnectOptions, PgConnection, PgSslMode};
use sqlx::{ConnectOptions as _, Row as _};

use super::config::{Config, TlsMode};
use super::failure::{Failure, translate};

const OPERATION: &str = "connect to the database";

/// A setting that only a server that is talked to without a pooler takes from a new connection:
/// poolers refuse it or leave it out.
const MARK: (&str, &str) = ("wharf.direct", "yes");

/// Statements that stay prepared on a connection.
const PREPARED: usize = 256;

/// Where distributions keep the authorities that the system trusts.
const SYSTEM_AUTHORITIES: [&str; 3] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/cert.pem",
];

/// Connects to PostgreSQL; says whether nothing between us and the server shares the connection,
/// so that statements stay prepared.
pub(super) async fn postgresql(config: &Config) -> Result<(PgConnection, bool), Failure> {
    let options = postgresql_options(config);
    if config.is_prepared {
        match connect_marked(&options).await {
            Ok(connected) => return Ok(connected),
            Err(error) if is_unsupported(&error) => {}
            Err(error) => return Err(translate(OPERATION, error)),
        }
    }
    let connection = options.connect().await;
    Ok((connection.map_err(|error| translate(OPERATION, error))?, false))
}

async fn connect_marked(options: &PgConnectOptions) -> Result<(PgConnection, bool), sqlx::Error> {
    let mut connection = options.clone().options([MARK]).connect().await?;
    let row = sqlx::raw_sql("select coalesce(current_setting('wharf.direct', true), '')")
        .fetch_one(&mut connection)
        .await?;
    let mark: String = row.try_get(0)?;
    Ok((connection, mark == MARK.1))
}

fn is_unsupported(error: &sqlx::Error) -> bool {
    error
        .as_database_error()
        .is_some_and(|error| error.message().contains("startup parameter"))
}

fn postgresql_options(config: &Config) -> PgConnectOptions {
    let tls = &config.tls;
    let mut options = PgConnectOptions::new_without_pgpass()
        .host(&config.host)
        .port(config.port)
        .username(&config.user)
        .password(config.password.as_deref().unwrap_or_default())
        .database(&config.database)
        .application_name(&config.application_name)
        // a pooler refuses parameters that it does not know
        .extra_float_digits(None)
        .statement_cache_capacity(PREPARED)
        .ssl_mode(match tls.mode {
            TlsMode::Disable => PgSslMode::Disable,
            TlsMode::Prefer => PgSslMode::Prefer,
            TlsMode::Require => PgSslMode::Require,
            TlsMode::VerifyCa => PgSslMode::VerifyCa,
            TlsMode::VerifyFull => PgSslMode::VerifyFull,
        })
        .disable_statement_logging();
    if let Some(socket) = &config.socket {
        options = options.socket(socket);
    }
    if let Some(authorities) = authorities(config) {
        options = options.ssl_root_cert(authorities);
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    options
}

/// Connects to MariaDB and sets what holds for all of the connection's transactions.
pub(super) async fn mariadb(config: &Config) -> Result<MySqlConnection, Failure> {
    let failed = |error| translate(OPERATION, error);
    let mut connection = mariadb_options(config).connect().await.map_err(failed)?;
    let settings = mariadb_settings(config);
    sqlx::raw_sql(sqlx::AssertSqlSafe(settings))
        .execute(&mut connection)
        .await
        .map_err(failed)?;
    Ok(connection)
}

/// The modes in which every engine means the same by a statement, and limits for those that hang.
/// What stands in `/*M! */` is for MariaDB, in `/*!80000 */` for MySQL.
fn mariadb_settings(config: &Config) -> String {
    let seconds = config.statement_timeout.as_secs().max(1);
    format!(
        "set session transaction isolation level read committed; \
         set session sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION,ERROR_FOR_DIVISION_BY_ZERO' \
         /*M! , sql_mode = concat(@@sql_mode, ',SIMULTANEOUS_ASSIGNMENT') */; \
         set session innodb_lock_wait_timeout = {lock} \
         /*M! , max_statement_time = {seconds}, idle_transaction_timeout = {idle} */ \
         /*!80000 , max_execution_time = {milliseconds} */",
        lock = super::session::LOCK_TIMEOUT.as_secs(),
        idle = seconds * 2,
        milliseconds = seconds * 1000,
    )
}

fn mariadb_options(config: &Config) -> MySqlConnectOptions {
    let tls = &config.tls;
    let mut options = MySqlConnectOptions::new()
        .host(&config.host)
        .port(config.port)
        .username(&config.user)
        .database(&config.database)
        .timezone(None)
        .pipes_as_concat(false)
        .statement_cache_capacity(PREPARED)
        .ssl_mode(match tls.mode {
            TlsMode::Disable => MySqlSslMode::Disabled,
            TlsMode::Prefer => MySqlSslMode::Preferred,
            TlsMode::Require => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyFull => MySqlSslMode::VerifyIdentity,
        })
        .disable_statement_logging();
    if let Some(password) = &config.password {
        options = options.password(password);
    }
    if let Some(socket) = &config.socket {
        options = options.socket(socket);
    }
    if let Some(authorities) = authorities(config) {
        options = options.ssl_ca(authorities);
    }
    if let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) {
        options = options.ssl_client_cert(certificate).ssl_client_key(key);
    }
    options
}

/// The file of authorities: the one that was named, else the system's.
fn authorities(config: &Config) -> Option<PathBuf> {
    if !matches!(config.tls.mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        return None;
    }
    config.tls.root_certificates.clone().or_else(|| {
        let system = SYSTEM_AUTHORITIES.iter().find(|path| Path::new(path).is_file());
        system.map(PathBuf::from)
    })
}
