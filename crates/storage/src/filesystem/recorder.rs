//! A folder whose power can be cut.
//!
//! The recorder watches every change on its way to the disk and keeps a second picture of the
//! folder: what a disk would hold that writes nothing until it is told to. The content of a file
//! becomes durable when the file is synced; a name when the folder that holds it is.

use super::disk::Event;
use std::{
    collections::HashMap,
    fs::{self, File},
    io,
    os::unix::fs::{FileExt, MetadataExt},
    path::{Path, PathBuf},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

/// How a disk may behave when its power is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// Everything that was not synced is gone.
    Strict,
    /// All names are there as they were, but content that was not synced is not: such files are
    /// empty, as on journaling filesystems that write metadata first.
    NamesFirst,
}

/// What a recorder can make fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing reaches the disk any more.
    PowerOff,
    /// Nothing can be added, only removed.
    DiskFull,
    /// Nothing can be changed.
    ReadOnly,
    /// Nothing can be written past the page cache; everything else works.
    NoDirectWrites,
}

/// Watches one storage folder.
#[derive(Debug)]
pub struct Recorder {
    root: PathBuf,
    steps: AtomicU64,
    limit: AtomicU64,
    fault: Mutex<Fault>,
    durable: Mutex<Durable>,
}

#[derive(Debug, Default)]
struct Durable {
    nodes: HashMap<u64, Node>,
    /// Keeps every inode that was seen in use, so that no number is given out twice.
    handles: Vec<File>,
}

#[derive(Clone, Debug)]
enum Node {
    File(Vec<u8>),
    Folder(Vec<(std::ffi::OsString, u64, bool)>),
}

impl Recorder {
    /// Begins to watch `root`, which must exist; what it holds now is durable.
    pub fn new(root: &Path) -> io::Result<Self> {
        let recorder = Self {
            root: std::path::absolute(root)?,
            steps: AtomicU64::new(0),
            limit: AtomicU64::new(u64::MAX),
            fault: Mutex::new(Fault::PowerOff),
            durable: Mutex::default(),
        };
        recorder.note(&Event::SyncedEverything)?;
        Ok(recorder)
    }

    /// How many changes and syncs have been asked for.
    pub fn steps(&self) -> u64 {
        self.steps.load(Ordering::SeqCst)
    }

    /// Lets `steps` more changes and syncs pass, then fails those that `fault` concerns.
    pub fn fail_after(&self, steps: u64, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
        self.limit.store(self.steps().saturating_add(steps), Ordering::SeqCst);
    }

    /// Ends the fault.
    pub fn recover(&self) {
        self.limit.store(u64::MAX, Ordering::SeqCst);
    }

    /// Whether the steps that [`fail_after`](Self::fail_after) let pass were too few.
    pub fn has_failed(&self) -> bool {
        self.steps() > self.limit.load(Ordering::SeqCst)
    }

    /// Writes into `target`, which is made, what the folder holds after a power cut now.
    pub fn materialise(&self, cut: Cut, target: &Path) -> io::Result<()> {
        let durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        fs::create_dir_all(target)?;
        match cut {
            Cut::Strict => durable.restore(fs::metadata(&self.root)?.ino(), target),
            Cut::NamesFirst => durable.restore_names(&self.root, target),
        }
    }

    pub(super) fn step(&self, event: &Event<'_>) -> io::Result<()> {
        let step = self.steps.fetch_add(1, Ordering::SeqCst);
        if step < self.limit.load(Ordering::SeqCst) {
            return Ok(());
        }
        let needs_space = matches!(event, Event::Appeared(_) | Event::Grew | Event::GrewDirectly);
        let is_sync = matches!(
            event,
            Event::SyncedFile(_) | Event::SyncedFolder(_) | Event::SyncedEverything
        );
        match *self.fault.lock().unwrap_or_else(PoisonError::into_inner) {
            Fault::PowerOff => Err(io::Error::other("the power is off")),
            Fault::DiskFull if needs_space => Err(io::ErrorKind::StorageFull.into()),
            Fault::ReadOnly if !is_sync => Err(io::ErrorKind::ReadOnlyFilesystem.into()),
            Fault::NoDirectWrites if matches!(event, Event::GrewDirectly) => Err(rustix::io::Errno::INVAL.into()),
            Fault::DiskFull | Fault::ReadOnly | Fault::NoDirectWrites => Ok(()),
        }
    }

    pub(super) fn note(&self, event: &Event<'_>) -> io::Result<()> {
        let mut durable = self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        match event {
            Event::Appeared(path) => durable.handles.push(File::open(path)?),
            Event::SyncedFile(file) => {
                let metadata = file.metadata()?;
                let mut content = vec![0; metadata.len() as usize];
                file.read_exact_at(&mut content, 0)?;
                durable.nodes.insert(metadata.ino(), Node::File(content));
            }
            Event::SyncedFolder(path) => durable.note_folder(path)?,
            Event::SyncedEverything => durable.note_tree(&self.root)?,
            // What went past the page cache is lost as well until a sync: a disk has a cache of its own,
            // and the file's length and place are metadata.
            Event::Grew | Event::GrewDirectly | Event::Other => {}
        }
        Ok(())
    }
}

impl Durable {
    fn note_folder(&mut self, path: &Path) -> io::Result<()> {
        let mut entries = Vec::new();
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() || kind.is_file() {
                self.handles.push(File::open(entry.path())?);
                entries.push((entry.file_name(), entry.metadata()?.ino(), kind.is_dir()));
            }
        }
        self.nodes.insert(fs::metadata(path)?.ino(), Node::Folder(entries));
        Ok(())
    }

    fn note_tree(&mut self, path: &Path) -> io::Result<()> {
        self.note_folder(path)?;
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let kind = entry.file_type()?;
            if kind.is_dir() {
                self.note_tree(&entry.path())?;
            } else if kind.is_file() {
                let content = fs::read(entry.path())?;
                self.nodes.insert(entry.metadata()?.ino(), Node::File(content));
            }
        }
        Ok(())
    }

    fn restore(&self, inode: u64, target: &Path) -> io::Result<()> {
        let Some(Node::Folder(entries)) = self.nodes.get(&inode) else {
            return Ok(());
        };
        for (name, inode, is_folder) in entries {
            let path = target.join(name);
            if *is_folder {
                fs::create_dir(&path)?;
                self.restore(*inode, &path)?;
            } else {
                fs::write(&path, self.content(*inode))?;
            }
        }
        Ok(())
    }

    fn restore_names(&self, source: &Path, target: &Path) -> io::Result<()> {
        for entry in fs::read_dir(source)? {
            let entry = entry?;
            let path = target.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                fs::create_dir(&path)?;
                self.restore_names(&entry.path(), &path)?;
            } else {
                fs::write(&path, self.content(entry.metadata()?.ino()))?;
            }
        }
        Ok(())
    }

    fn content(&self, inode: u64) -> &[u8] {
        match self.nodes.get(&inode) {
            Some(Node::File(content)) => content,
            _ => &[],
        }
    }
}
