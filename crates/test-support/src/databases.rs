//! Real PostgreSQL and MariaDB servers from Debian's packages, and databases on them.
//!
//! A server is started once for each test program, in a temporary folder, on a socket in it and on
//! a free port of the loopback interface, and ends with the program however that ends: a watching
//! shell waits for the end of its standard input. What it acknowledged survives its
//! own end, not the machine's: nothing is synced.
//!
//! `WHARF_TEST_ENGINES` names the engines to test on (`sqlite,postgresql,mariadb` without it);
//! one that is named and not installed is a failure.
//!
//! This file needs nothing of this crate, so that `crates/metadata` can include it by its path.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use programs::{
    KEEP, NOBODY, initialise_mariadb, initialise_postgresql, is_root, postgresql_program, run, text_of, watched,
};

// by its path, because other crates include this file by its own
#[path = "databases/programs.rs"]
mod programs;

/// Which server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgresql,
    /// MariaDB.
    Mariadb,
}

/// The user of all databases, and its password.
pub const USER: &str = "wharf";
/// The password of [`USER`].
pub const PASSWORD: &str = "p@ss/word";
/// The same as a URL has it.
const ENCODED_PASSWORD: &str = "p%40ss%2Fword";

/// Whether an engine is to be tested on, by its name.
pub fn is_wanted(engine: &str) -> bool {
    match std::env::var("WHARF_TEST_ENGINES") {
        Ok(engines) => engines.split(',').any(|name| name.trim() == engine),
        Err(_) => true,
    }
}

/// A running server.
pub struct Server {
    kind: Kind,
    folder: PathBuf,
    /// The port on the loopback interface.
    pub port: u16,
    /// Ends the server when it is closed.
    watcher: Child,
}

/// An empty database on a server. Dropping it removes it.
pub struct Database {
    server: &'static Server,
    name: String,
}

static POSTGRESQL: OnceLock<Server> = OnceLock::new();
static MARIADB: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

impl Kind {
    /// The name by which `WHARF_TEST_ENGINES` knows it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Postgresql => "postgresql",
            Self::Mariadb => "mariadb",
        }
    }

    /// The server of this test program, started when it is first asked for.
    pub fn server(self) -> &'static Server {
        let server = match self {
            Self::Postgresql => &POSTGRESQL,
            Self::Mariadb => &MARIADB,
        };
        server.get_or_init(|| Server::start(self))
    }

    /// An empty database on that server.
    pub fn database(self) -> Database {
        self.server().database()
    }
}

impl Server {
    /// Starts another server, that can be stopped.
    pub fn start(kind: Kind) -> Self {
        // a short path: the one of a socket may have 107 letters
        let folder = tempfile::Builder::new().prefix("wharf-db-").tempdir().unwrap().keep();
        if is_root() {
            run(&["chown", &format!("{NOBODY}:{NOBODY}"), folder.to_str().unwrap()]);
        }
        match kind {
            Kind::Postgresql => initialise_postgresql(&folder),
            Kind::Mariadb => initialise_mariadb(&folder),
        }
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self {
            watcher: watched(kind, &folder, port),
            kind,
            folder,
            port,
        };
        server.wait();
        match kind {
            Kind::Postgresql => server.admin(&format!("create role {USER} login createdb password '{PASSWORD}'")),
            Kind::Mariadb => server.admin(&format!(
                "create user {USER}@'%' identified by '{PASSWORD}'; create user {USER}@localhost identified by \
                 '{PASSWORD}'; drop user if exists ''@localhost; drop user if exists ''@'%'"
            )),
        }
        server
    }

    /// Ends the server at once, as a crash does; its data stays.
    pub fn kill(&mut self) {
        std::fs::create_dir_all(self.folder.join(KEEP)).unwrap();
        self.end();
    }

    fn end(&mut self) {
        drop(self.watcher.stdin.take());
        self.watcher.wait().unwrap();
    }

    /// Starts it again after [`Self::kill`], on the same port.
    pub fn start_again(&mut self) {
        std::fs::remove_dir(self.folder.join(KEEP)).unwrap();
        self.watcher = watched(self.kind, &self.folder, self.port);
        self.wait();
    }

    /// An empty database that belongs to [`USER`].
    pub fn database(&'static self) -> Database {
        Database {
            name: self.create_database(),
            server: self,
        }
    }

    /// The same, by its name: for a server that ends before the program does.
    pub fn create_database(&self) -> String {
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        match self.kind {
            Kind::Postgresql => self.admin(&format!("create database {name} owner {USER}")),
            Kind::Mariadb => self.admin(&format!(
                "create database {name}; grant all privileges on {name}.* to {USER}@localhost; \
                 grant all privileges on {name}.* to {USER}@'%'"
            )),
        }
        name
    }

    /// The URL of a database, through the socket.
    pub fn url(&self, database: &str) -> String {
        let socket = self.socket();
        let parameter = match self.kind {
            Kind::Postgresql => "host",
            Kind::Mariadb => "socket",
        };
        let (scheme, port, socket) = (self.kind.name(), self.port, socket.display());
        format!("{scheme}://{USER}:{ENCODED_PASSWORD}@localhost:{port}/{database}?{parameter}={socket}")
    }

    /// The URL of a database, through the network.
    pub fn tcp_url(&self, database: &str) -> String {
        let (scheme, port) = (self.kind.name(), self.port);
        format!("{scheme}://{USER}:{ENCODED_PASSWORD}@127.0.0.1:{port}/{database}")
    }

    /// PostgreSQL's folder with its socket, or MariaDB's socket.
    pub fn socket(&self) -> PathBuf {
        match self.kind {
            Kind::Postgresql => self.folder.clone(),
            Kind::Mariadb => self.folder.join("socket"),
        }
    }

    /// The folder of its files.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Runs SQL as the server's administrator.
    pub fn admin(&self, sql: &str) {
        let name = match self.kind {
            Kind::Postgresql => "postgres",
            Kind::Mariadb => "mysql",
        };
        self.sql(name, sql);
    }

    /// Runs SQL in a database as the server's administrator; answers what it prints.
    pub fn sql(&self, database: &str, sql: &str) -> String {
        let output = self.client(database, sql).output().unwrap();
        text_of("the database client", output)
    }

    /// Cuts every connection of [`USER`] to a database, as a network would.
    pub fn cut_connections(&self, database: &str) {
        match self.kind {
            Kind::Postgresql => self.admin(&format!(
                "select pg_terminate_backend(pid) from pg_stat_activity where datname = '{database}' and usename = '{USER}'"
            )),
            Kind::Mariadb => {
                let list = format!("select id from information_schema.processlist where db = '{database}' and user = '{USER}'");
                for id in self.sql("mysql", &list).split_whitespace() {
                    self.admin(&format!("kill connection {id}"));
                }
            }
        }
    }

    /// Whether a transaction in a database waits for another one.
    pub fn is_waiting(&self, database: &str) -> bool {
        if self.kind == Kind::Mariadb {
            // InnoDB's list is renewed only when nobody has read it for 100 ms
            std::thread::sleep(Duration::from_millis(150));
        }
        let sql = match self.kind {
            Kind::Postgresql => format!(
                "select count(*) from pg_stat_activity where datname = '{database}' and wait_event_type = 'Lock'"
            ),
            Kind::Mariadb => format!(
                "select count(*) from information_schema.innodb_trx t join information_schema.processlist p \
                 on p.id = t.trx_mysql_thread_id where p.db = '{database}' and t.trx_state = 'LOCK WAIT'"
            ),
        };
        self.sql(database, &sql).trim() != "0"
    }

    fn client(&self, database: &str, sql: &str) -> Command {
        let socket = self.socket();
        match self.kind {
            Kind::Postgresql => {
                let mut client = Command::new(postgresql_program("psql"));
                client.args([
                    "-X",
                    "-q",
                    "-A",
                    "-t",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-U",
                    "postgres",
                    "-d",
                    database,
                ]);
                client.arg("-h").arg(socket).args(["-p", &self.port.to_string()]);
                // each statement by itself: some may not stand in a transaction with others
                for statement in sql.split("; ") {
                    client.args(["-c", statement]);
                }
                client
            }
            Kind::Mariadb => {
                let mut client = Command::new("mariadb");
                client.args(["--no-defaults", "-N", "-B", "-u", "root", "-D", database, "-e", sql]);
                client.arg("--socket").arg(socket);
                client
            }
        }
    }

    fn dump(&self, database: &str) -> Command {
        let mut dump = match self.kind {
            Kind::Postgresql => {
                let mut dump = Command::new(postgresql_program("pg_dump"));
                dump.args(["-U", "postgres", "-p", &self.port.to_string(), "-h"]);
                dump
            }
            Kind::Mariadb => {
                let mut dump = Command::new("mariadb-dump");
                dump.args([
                    "--no-defaults",
                    "--single-transaction",
                    "--hex-blob",
                    "-u",
                    "root",
                    "--socket",
                ]);
                dump
            }
        };
        dump.arg(self.socket()).arg(database);
        dump
    }

    /// Feeds a dump to a database.
    fn load(&self, database: &str, dump: &str) {
        let mut client = match self.kind {
            Kind::Postgresql => {
                let mut client = Command::new(postgresql_program("psql"));
                client.args([
                    "-X",
                    "-q",
                    "-v",
                    "ON_ERROR_STOP=1",
                    "-U",
                    "postgres",
                    "-p",
                    &self.port.to_string(),
                    "-h",
                ]);
                client
            }
            Kind::Mariadb => {
                let mut client = Command::new("mariadb");
                client.args(["--no-defaults", "-u", "root", "--socket"]);
                client
            }
        };
        client.arg(self.socket()).arg(database);
        client
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut client = client.spawn().unwrap();
        client.stdin.take().unwrap().write_all(dump.as_bytes()).unwrap();
        text_of("loading a database", client.wait_with_output().unwrap());
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        let database = match self.kind {
            Kind::Postgresql => "postgres",
            Kind::Mariadb => "mysql",
        };
        loop {
            let answer = self.client(database, "select 1").output().unwrap();
            if answer.status.success() {
                return;
            }
            let ended = self.watcher.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "the {} server does not start: {}\n{}",
                self.kind.name(),
                String::from_utf8_lossy(&answer.stderr),
                std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end();
        drop(std::fs::remove_dir_all(&self.folder));
    }
}

impl Database {
    /// Its URL, through the server's socket.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its URL, through the network.
    pub fn tcp_url(&self) -> String {
        self.server.tcp_url(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its server.
    pub const fn server(&self) -> &'static Server {
        self.server
    }

    /// Runs SQL in it as the server's administrator; answers what it prints.
    pub fn sql(&self, sql: &str) -> String {
        self.server.sql(&self.name, sql)
    }

    /// Another database with what is committed in this one.
    pub fn copy(&self) -> Self {
        let copy = self.server.database();
        let dump = text_of("dumping a database", self.server.dump(&self.name).output().unwrap());
        self.server.load(&copy.name, &dump);
        copy
    }
}

impl std::fmt::Debug for Database {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        let with_force = match self.server.kind {
            Kind::Postgresql => " with (force)",
            Kind::Mariadb => "",
        };
        let sql = format!("drop database {}{with_force}", self.name);
        let database = match self.server.kind {
            Kind::Postgresql => "postgres",
            Kind::Mariadb => "mysql",
        };
        // it goes with the server at the latest
        let client = self.server.client(database, &sql).stderr(Stdio::null()).spawn();
        drop(client.map(|mut client| client.wait()));
    }
}
