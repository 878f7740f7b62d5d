//! The programs of the servers: where they are, how they are set up, started and ended.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};

use super::Kind;

/// The user that servers run as, which refuse to run as root.
pub(super) const NOBODY: u32 = 65534;

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
pub(super) const KEEP: &str = "keep";

pub(super) fn watched(kind: Kind, folder: &Path, port: u16) -> Child {
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

pub(super) fn initialise_postgresql(folder: &Path) {
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

pub(super) fn initialise_mariadb(folder: &Path) {
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
pub(super) fn postgresql_program(name: &str) -> PathBuf {
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

pub(super) fn is_root() -> bool {
    use std::os::unix::fs::MetadataExt as _;
    std::fs::metadata("/proc/self").unwrap().uid() == 0
}

pub(super) fn run(command: &[impl AsRef<str>]) -> String {
    let program = command[0].as_ref();
    let output = Command::new(program)
        .args(command[1..].iter().map(AsRef::as_ref))
        .current_dir("/")
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{program} cannot be started: {error}"));
    text_of(program, output)
}

pub(super) fn text_of(program: &str, output: Output) -> String {
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{program}: {}\n{text}{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    text
}
