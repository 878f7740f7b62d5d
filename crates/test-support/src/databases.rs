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
use std::process::{Child, Command, Output, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

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

/// The user that servers run as, which refuse to run as root.
const NOBODY: u32 = 65534;

/// What ends a server and removes its files when the test program ends, of whatever.
const WATCH: &str = r#"
signal=$1 folder=$2; shift 2
trap '' INT TERM HUP
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
read -r _
kill "-$signal" "$server"
wait "$server"
[ -d "$folder/keep" ] || rm -rf "$folder"
"#;

/// While this folder is there, the files stay.
const KEEP: &str = "keep";

fn watched(kind: Kind, folder: &Path, port: u16) -> Child {
    let (signal, server) = match kind {
        Kind::Postgresql => ("QUIT", postgresql_command(folder, port)),
        Kind::Mariadb => ("KILL", mariadb_command(folder, port)),
    };
    let mut shell = Command::new("sh");
    shell.args(["-c", WATCH, "watch", signal]).arg(folder).args(server);
    let failed = |error| panic!("a shell cannot be started: {error}");
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(failed)
}

fn postgresql_command(folder: &Path, port: u16) -> Vec<String> {
    let mut command = as_nobody();
    command.push(postgresql_program("postgres").display().to_string());
    command.extend(["-D".to_owned(), folder.join("data").display().to_string()]);
    command.extend(["-p".to_owned(), port.to_string()]);
    for setting in [
        format!("unix_socket_directories={}", folder.display()),
        "listen_addresses=127.0.0.1".to_owned(),
        "fsync=off".to_owned(),
        "full_page_writes=off".to_owned(),
        "max_connections=300".to_owned(),
        "autovacuum=off".to_owned(),
        "shared_buffers=32MB".to_owned(),
        "max_wal_size=4GB".to_owned(),
    ] {
        command.extend(["-c".to_owned(), setting]);
    }
    command
}

fn initialise_postgresql(folder: &Path) {
    let data = folder.join("data");
    let mut command = as_nobody();
    command.push(postgresql_program("initdb").display().to_string());
    command.extend(["-D".to_owned(), data.display().to_string()]);
    for argument in [
        "-U",
        "postgres",
        "-A",
        "trust",
        "-E",
        "UTF8",
        "--locale=C",
        "--no-sync",
        "--no-instructions",
    ] {
        command.push(argument.to_owned());
    }
    run(&command);
    // the administrator through the socket needs no password; everybody else does
    let rules = "local all postgres trust\nlocal all all scram-sha-256\nhost all all 127.0.0.1/32 scram-sha-256\n";
    std::fs::write(data.join("pg_hba.conf"), rules).unwrap();
}

fn mariadb_command(folder: &Path, port: u16) -> Vec<String> {
    let mut command = as_nobody();
    command.push(program(
        "mariadbd",
        &["/usr/sbin", "/usr/local/sbin", "/usr/libexec"],
        "mariadb-server",
    ));
    for setting in [
        "--no-defaults".to_owned(),
        format!("--datadir={}", folder.join("data").display()),
        format!("--socket={}", folder.join("socket").display()),
        format!("--pid-file={}", folder.join("pid").display()),
        format!("--port={port}"),
        "--bind-address=127.0.0.1".to_owned(),
        "--innodb-flush-log-at-trx-commit=2".to_owned(),
        "--innodb-doublewrite=0".to_owned(),
        "--innodb-file-per-table=0".to_owned(),
        "--innodb-buffer-pool-size=64M".to_owned(),
        "--innodb-log-file-size=64M".to_owned(),
        "--max-connections=300".to_owned(),
        "--skip-log-bin".to_owned(),
        "--skip-name-resolve".to_owned(),
    ] {
        command.push(setting);
    }
    command
}

fn initialise_mariadb(folder: &Path) {
    let mut command = as_nobody();
    command.push(program(
        "mariadb-install-db",
        &["/usr/bin", "/usr/local/bin"],
        "mariadb-server",
    ));
    for argument in [
        "--no-defaults",
        &format!("--datadir={}", folder.join("data").display()),
        "--auth-root-authentication-method=normal",
        "--skip-test-db",
        "--innodb-flush-log-at-trx-commit=0",
        "--innodb-doublewrite=0",
        "--innodb-log-file-size=64M",
    ] {
        command.push(argument.to_owned());
    }
    run(&command);
}

/// The newest PostgreSQL's program.
fn postgresql_program(name: &str) -> PathBuf {
    let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .filter_map(|entry| {
            let version = entry.file_name().to_str()?.parse().ok()?;
            let path = entry.path().join("bin").join(name);
            path.exists().then_some((version, path))
        })
        .collect();
    versions.sort();
    match versions.pop() {
        Some((_, path)) => path,
        None => PathBuf::from(program(name, &["/usr/bin", "/usr/local/bin"], "postgresql")),
    }
}

fn program(name: &str, folders: &[&str], package: &str) -> String {
    let found = folders
        .iter()
        .map(|folder| Path::new(folder).join(name))
        .find(|path| path.exists());
    match found {
        Some(path) => path.display().to_string(),
        None => panic!(
            "{name} is not installed: install Debian's package {package}, or leave its engine out of WHARF_TEST_ENGINES \
             (sqlite,postgresql,mariadb)"
        ),
    }
}

fn as_nobody() -> Vec<String> {
    if !is_root() {
        return Vec::new();
    }
    [
        "setpriv",
        &format!("--reuid={NOBODY}"),
        &format!("--regid={NOBODY}"),
        "--clear-groups",
    ]
    .iter()
    .map(|&word| word.to_owned())
    .collect()
}

fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

fn run(command: &[impl AsRef<str>]) -> String {
    let program = command[0].as_ref();
    let output = Command::new(program)
        .args(command[1..].iter().map(AsRef::as_ref))
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    text_of(program, output)
}

fn text_of(program: &str, output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
