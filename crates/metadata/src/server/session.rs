//! One connection and the transaction on it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sqlx::mysql::MySqlConnection;
use sqlx::postgres::PgConnection;
use sqlx::{AssertSqlSafe, Row as _};
use tokio::runtime::Runtime;

use super::config::{Config, Engine};
use super::connect;
use super::failure::{Class, Failure, translate};
use super::numbers::{COUNTER, Numbers};
use super::statement::Want;
use crate::Error;
use crate::cache_versions::Tracker;
use crate::dialect::Dialect;
use crate::error::Kind;

/// How long a statement waits for a lock that somebody else holds.
pub(super) const LOCK_TIMEOUT: Duration = Duration::from_secs(10);

/// How much longer than the server we wait before a connection counts as lost.
const GRACE: Duration = Duration::from_secs(5);

/// Writers hold this lock of the database shared, who takes the index over holds it alone: so no
/// transaction that began under the former owner ends under the next.
const OWNER_LOCK: i64 = 0x5748_5246_0001;

/// One connection.
pub(crate) struct Session {
    pub(super) link: Link,
    /// Runs while a statement does. `None` only while this is dropped.
    runtime: Option<Runtime>,
    /// Whether nobody else uses the server's side of this connection.
    pub(super) is_direct: bool,
    pub(super) texts: HashMap<(String, Want), Arc<str>>,
    statement_timeout: Duration,
    patience: Duration,
    /// The first failure in the transaction.
    failure: Option<Class>,
    /// What the transaction changes of what processes remember.
    pub(crate) changes: Tracker,
    pub(super) numbers: Arc<Numbers>,
    pub(super) idle_since: Instant,
}

pub(super) enum Link {
    Postgresql(PgConnection),
    Mariadb(MySqlConnection),
}

/// What a transaction is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// One snapshot; a long one may take ten times the time.
    Read { is_long: bool },
    /// Changes, if the owner record holds this number; 0 for any.
    Write { fencing: i64 },
}

impl Session {
    /// Connects. Blocks for at most the connect timeout.
    pub(super) fn connect(config: &Config, numbers: &Arc<Numbers>) -> Result<Self, Failure> {
        const OPERATION: &str = "connect to the database";
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(|error| Failure::lost(OPERATION, error.to_string()))?;
        let connecting = async {
            match config.engine {
                Engine::Postgresql => {
                    let (connection, is_direct) = connect::postgresql(config).await?;
                    Ok((Link::Postgresql(connection), is_direct))
                }
                Engine::Mariadb => Ok((Link::Mariadb(connect::mariadb(config).await?), true)),
            }
        };
        let timeout = config.connect_timeout;
        let connected = runtime.block_on(async { tokio::time::timeout(timeout, connecting).await });
        let (link, is_direct) = connected.unwrap_or_else(|_| {
            let seconds = timeout.as_secs_f32();
            Err(Failure::lost(OPERATION, format!("no answer within {seconds} s")))
        })?;
        Ok(Self {
            link,
            runtime: Some(runtime),
            is_direct,
            texts: HashMap::new(),
            statement_timeout: config.statement_timeout,
            patience: config.statement_timeout,
            failure: None,
            changes: Tracker::default(),
            numbers: Arc::clone(numbers),
            idle_since: Instant::now(),
        })
    }

    pub(crate) const fn dialect(&self) -> Dialect {
        match self.link {
            Link::Postgresql(_) => Dialect::Postgresql,
            Link::Mariadb(_) => Dialect::Mariadb,
        }
    }

    /// Begins a transaction, and checks in the same exchange that the index is still ours.
    pub(super) fn begin(&mut self, purpose: Purpose) -> Result<(), Failure> {
        const OPERATION: &str = "begin a transaction";
        self.failure = None;
        self.changes = Tracker::default();
        self.patience = match purpose {
            Purpose::Read { is_long: true } => self.statement_timeout * 10,
            Purpose::Read { is_long: false } | Purpose::Write { .. } => self.statement_timeout,
        };
        let sql = match self.dialect() {
            Dialect::Mariadb => mariadb_begin(purpose),
            Dialect::Postgresql | Dialect::Sqlite => postgresql_begin(purpose, self.patience),
        };
        let found = self.exchange(OPERATION, sql)?;
        let Purpose::Write { fencing: 1.. } = purpose else {
            return Ok(());
        };
        self.check_fencing(OPERATION, purpose, found)
    }

    fn check_fencing(&mut self, operation: &'static str, purpose: Purpose, found: Option<i64>) -> Result<(), Failure> {
        if matches!(purpose, Purpose::Write { fencing } if Some(fencing) == found) {
            return Ok(());
        }
        self.roll_back()?;
        let error = Error::new(
            Kind::Fenced,
            operation,
            format!(
                "another process took the index over (its fencing number is {})",
                found.unwrap_or_default()
            ),
        );
        Err(Failure {
            error,
            class: Class::Final,
        })
    }

    /// A number from the blocks of this handle, if there is one at hand.
    pub(crate) fn number(&self, counter: &'static str) -> Option<i64> {
        (counter == COUNTER).then(|| self.numbers.next()).flatten()
    }

    /// Waits until no write of another owner is under way, and keeps new ones out until this
    /// transaction ends.
    pub(crate) fn exclude_writers(&mut self, operation: &'static str) -> Result<(), Error> {
        match self.dialect() {
            Dialect::Postgresql => {
                let sql = format!("select pg_advisory_xact_lock({OWNER_LOCK})");
                let locked = self.run_raw(operation, sql);
                self.note(locked).map(drop)
            }
            // the owner's row is locked by all of them
            Dialect::Mariadb | Dialect::Sqlite => Ok(()),
        }
    }

    pub(super) fn commit(&mut self) -> Result<(), Failure> {
        self.run_raw("commit", "commit".to_owned()).map(drop)
    }

    pub(super) fn roll_back(&mut self) -> Result<(), Failure> {
        self.run_raw("roll back", "rollback".to_owned()).map(drop)
    }

    /// The first failure since `begin`.
    pub(super) const fn failure(&self) -> Option<Class> {
        self.failure
    }

    /// Remembers a failure: whatever the job makes of it, the transaction cannot go on.
    pub(super) fn note<T>(&mut self, outcome: Result<T, Failure>) -> Result<T, Error> {
        outcome.map_err(|failure| {
            self.failure.get_or_insert(failure.class);
            failure.error
        })
    }

    /// Runs statements without arguments outside of a job, for migrations and checks.
    pub(crate) fn batch(&mut self, operation: &'static str, sql: &str) -> Result<(), Error> {
        self.run_raw(operation, sql.to_owned())
            .map(drop)
            .map_err(|failure| failure.error)
    }

    /// The same for one that changes tables. `is_met_again`: it may have been done before, and then
    /// what it makes is there, or what it removes is gone.
    pub(crate) fn change_tables(
        &mut self,
        operation: &'static str,
        sql: &str,
        is_met_again: bool,
    ) -> Result<(), Error> {
        match self.run_raw(operation, sql.to_owned()) {
            Ok(_) => Ok(()),
            Err(failure) if is_met_again && failure.class == Class::Done => Ok(()),
            Err(failure) => Err(failure.error),
        }
    }

    /// The first column of the first row of a statement without arguments, as text; empty without
    /// a row.
    pub(crate) fn ask(&mut self, operation: &'static str, sql: &str) -> Result<String, Error> {
        let rows = self
            .run_raw(operation, sql.to_owned())
            .map_err(|failure| failure.error)?;
        Ok(rows.into_iter().next().unwrap_or_default())
    }

    /// How long migrations may wait for an answer.
    pub(crate) const fn be_patient(&mut self, patience: Duration) {
        self.patience = patience;
    }

    /// Several statements in one exchange; answers the number in the last row.
    fn exchange(&mut self, operation: &'static str, sql: String) -> Result<Option<i64>, Failure> {
        let rows = self.run_raw(operation, sql)?;
        Ok(rows.last().and_then(|text| text.parse().ok()))
    }

    /// Statements without arguments; answers the first column of all rows as text.
    fn run_raw(&mut self, operation: &'static str, sql: String) -> Result<Vec<String>, Failure> {
        let sql = sqlx::raw_sql(AssertSqlSafe(sql));
        let (link, drive) = self.parts();
        match link {
            Link::Postgresql(connection) => {
                let rows = drive.run(operation, sql.fetch_all(connection))?;
                Ok(rows
                    .iter()
                    .map(|row| row.try_get_unchecked(0).unwrap_or_default())
                    .collect())
            }
            Link::Mariadb(connection) => {
                let rows = drive.run(operation, sql.fetch_all(connection))?;
                Ok(rows
                    .iter()
                    .map(|row| row.try_get_unchecked(0).unwrap_or_default())
                    .collect())
            }
        }
    }

    /// The connection, and what drives it.
    pub(super) const fn parts(&mut self) -> (&mut Link, Drive<'_>) {
        let drive = Drive {
            runtime: self.runtime.as_ref(),
            patience: self.patience,
        };
        (&mut self.link, drive)
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // may happen in an async task, which must not wait for a runtime to end
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// Runs what the library makes, on this thread.
#[derive(Clone, Copy)]
pub(super) struct Drive<'s> {
    runtime: Option<&'s Runtime>,
    patience: Duration,
}

impl Drive<'_> {
    pub(super) fn run<T>(
        self,
        operation: &'static str,
        future: impl Future<Output = Result<T, sqlx::Error>>,
    ) -> Result<T, Failure> {
        let Some(runtime) = self.runtime else {
            return Err(Failure::lost(operation, "the connection is closed"));
        };
        let patience = self.patience + GRACE;
        match runtime.block_on(async { tokio::time::timeout(patience, future).await }) {
            Ok(outcome) => outcome.map_err(|error| translate(operation, error)),
            Err(_) => Err(Failure::lost(
                operation,
                format!("the database did not answer within {} s", patience.as_secs()),
            )),
        }
    }
}

fn postgresql_begin(purpose: Purpose, patience: Duration) -> String {
    let (statement, lock) = (patience.as_millis(), LOCK_TIMEOUT.as_millis());
    let mut sql = match purpose {
        Purpose::Read { .. } => "begin isolation level repeatable read read only".to_owned(),
        Purpose::Write { .. } => "begin isolation level read committed read write".to_owned(),
    };
    // for this transaction only: the connection behind a pooler is everybody's
    sql += &format!(
        "; set local statement_timeout = {statement}; set local lock_timeout = {lock}; \
         set local idle_in_transaction_session_timeout = {}",
        patience.as_millis() * 2
    );
    if matches!(purpose, Purpose::Write { fencing: 1.. }) {
        sql += &format!(
            "; select pg_advisory_xact_lock_shared({OWNER_LOCK}); select max(fencing) from owner where id = 1"
        );
    }
    sql
}

fn mariadb_begin(purpose: Purpose) -> String {
    match purpose {
        Purpose::Read { .. } => "set transaction isolation level repeatable read; \
                                 start transaction with consistent snapshot, read only"
            .to_owned(),
        Purpose::Write { fencing: 1.. } => {
            "start transaction; select fencing from owner where id = 1 lock in share mode".to_owned()
        }
        Purpose::Write { .. } => "start transaction".to_owned(),
    }
}
