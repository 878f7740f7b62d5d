//! The program in a folder of its own.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex};

use super::client::Client;
use super::until;

/// A configuration and the storage that it names.
pub struct Folder(tempfile::TempDir);

impl Folder {
    /// `STORAGE` in the configuration becomes the storage folder.
    pub fn new(config: &str) -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        let text = config.replace("STORAGE", folder.storage().to_str().unwrap());
        std::fs::write(folder.config(), text).unwrap();
        folder
    }

    /// As registry:2 without `auth`.
    pub fn open() -> Self {
        Self::new(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: STORAGE\n  delete:\n    enabled: true\n\
             http:\n  addr: 127.0.0.1:0\n",
        )
    }

    pub fn with_accounts() -> Self {
        let folder = Self::open();
        folder.append("access:\n  accounts: true\n");
        folder
    }

    pub fn append(&self, text: &str) {
        let mut config = std::fs::read_to_string(self.config()).unwrap();
        config.push_str(text);
        std::fs::write(self.config(), config).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub fn config(&self) -> String {
        self.path("config.yml").to_str().unwrap().to_owned()
    }

    pub fn storage(&self) -> PathBuf {
        self.path("storage")
    }

    /// Bytes in the files of all uploads to the repository `a`.
    pub fn upload_bytes(&self) -> u64 {
        let uploads = self.storage().join("docker/registry/v2/repositories/a/_uploads");
        let folders = std::fs::read_dir(uploads).into_iter().flatten().flatten();
        let sizes = folders.filter_map(|folder| std::fs::metadata(folder.path().join("data")).ok());
        sizes.map(|data| data.len()).sum()
    }

    pub fn start(&self) -> Program {
        self.start_with(&[])
    }

    /// Starts it and waits until it serves.
    pub fn start_with(&self, env: &[(&str, &str)]) -> Program {
        let mut program = self.launch(env);
        until("the program serves", || {
            program.find_address().is_some() || program.has_ended()
        });
        program.address = program
            .find_address()
            .unwrap_or_else(|| panic!("it ended:\n{}", program.log()));
        program
    }

    /// Starts it on an address that is known, and waits for nothing.
    pub fn start_on(&self, address: &str, env: &[(&str, &str)]) -> Program {
        let env: Vec<_> = env.iter().copied().chain([("REGISTRY_HTTP_ADDR", address)]).collect();
        let mut program = self.launch(&env);
        address.clone_into(&mut program.address);
        program
    }

    fn launch(&self, env: &[(&str, &str)]) -> Program {
        let mut command = self.command(&["serve", &self.config()], env);
        // nobody reads the access log here
        let mut child = command.stdout(Stdio::null()).spawn().unwrap();
        let stderr = child.stderr.take().unwrap();
        let log: Arc<Mutex<Vec<String>>> = Arc::default();
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in BufReader::new(stderr).lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        Program {
            child: Mutex::new(child),
            log,
            address: String::new(),
        }
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[], "")
    }

    pub fn run_with_input(&self, arguments: &[&str], input: &str) -> Output {
        self.run_with(arguments, &[], input)
    }

    /// Runs a command to its end.
    pub fn run_with(&self, arguments: &[&str], env: &[(&str, &str)], input: &str) -> Output {
        let mut command = self.command(arguments, env);
        let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    /// The same by a user for whom the modes of files count: nobody, where root runs the tests.
    pub fn run_by_nobody(&self, arguments: &[&str]) -> Output {
        use std::os::unix::fs::PermissionsExt as _;
        use std::os::unix::process::CommandExt as _;
        const NOBODY: u32 = 65_534;
        if !rustix::process::geteuid().is_root() {
            return self.run(arguments);
        }
        let binary = self.path("wharf");
        if !binary.exists() {
            // what lies elsewhere may be root's alone
            std::fs::copy(env!("CARGO_BIN_EXE_wharf"), &binary).unwrap();
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(self.0.path(), mode).unwrap();
        }
        let owner = format!("{NOBODY}:{NOBODY}");
        let given = Command::new("chown").arg("-R").arg(owner).arg(self.storage()).status();
        assert!(given.unwrap().success());
        let mut command = Command::new(binary);
        command.args(arguments).env_clear().current_dir(self.0.path());
        command.uid(NOBODY).gid(NOBODY).output().unwrap()
    }

    fn command(&self, arguments: &[&str], env: &[(&str, &str)]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wharf"));
        command.args(arguments).env_clear().envs(env.iter().copied());
        command.current_dir(self.0.path()).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }
}

/// A running program; killed when it is dropped.
pub struct Program {
    child: Mutex<Child>,
    log: Arc<Mutex<Vec<String>>>,
    address: String,
}

impl Program {
    pub fn client(&self) -> Client {
        Client::new(&self.address)
    }

    /// What it has written to stderr so far.
    pub fn log(&self) -> String {
        self.log.lock().unwrap().join("\n")
    }

    fn find_address(&self) -> Option<String> {
        let log = self.log.lock().unwrap();
        let line = log.iter().find(|line| line.contains("wharf serves"))?;
        let start = line.find("127.0.0.1:")?;
        let is_address = |character: char| character.is_ascii_digit() || character == '.' || character == ':';
        Some(
            line[start..]
                .chars()
                .take_while(|character| is_address(*character))
                .collect(),
        )
    }

    fn has_ended(&self) -> bool {
        self.child.lock().unwrap().try_wait().unwrap().is_some()
    }

    /// SIGTERM.
    pub fn signal_term(&self) {
        let id = i32::try_from(self.child.lock().unwrap().id()).unwrap();
        let id = rustix::process::Pid::from_raw(id).unwrap();
        rustix::process::kill_process(id, rustix::process::Signal::TERM).unwrap();
    }

    /// SIGTERM, and what it ends with.
    pub fn terminate(self) -> ExitStatus {
        self.signal_term();
        self.wait()
    }

    pub fn wait(self) -> ExitStatus {
        until("the program ends", || self.has_ended());
        let mut child = self.child.lock().unwrap();
        child.wait().unwrap()
    }

    /// SIGKILL.
    pub fn kill(self) {
        drop(self);
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        let mut child = self.child.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // it may have ended already
        drop(child.kill());
        drop(child.wait());
    }
}
