//! The system calls that change a folder, and the seam at which tests cut the power.

#[cfg(feature = "test-layer")]
use super::recorder::Recorder;
#[cfg(feature = "test-layer")]
use std::sync::Arc;
use std::{
    fs::{self, File, OpenOptions},
    io,
    os::unix::fs::{DirBuilderExt as _, FileExt as _},
    path::Path,
};

#[derive(Clone, Debug)]
pub(crate) enum Disk {
    Real,
    #[cfg(feature = "test-layer")]
    Recorded(Arc<Recorder>),
}

/// What a change or sync makes durable or new.
#[cfg_attr(not(feature = "test-layer"), expect(dead_code, reason = "for the recorder"))]
pub(super) enum Event<'a> {
    Appeared(&'a Path),
    SyncedFile(&'a File),
    SyncedFolder(&'a Path),
    SyncedEverything,
    Grew,
    /// Like `Grew`, but past the page cache.
    GrewDirectly,
    Other,
}

impl Disk {
    /// Does `work`; a recorder counts it first, or refuses it when the power is off, and is told
    /// after.
    #[cfg_attr(not(feature = "test-layer"), expect(unused_variables, reason = "for the recorder"))]
    fn step<T>(&self, event: Event<'_>, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        match self {
            Self::Real => work(),
            #[cfg(feature = "test-layer")]
            Self::Recorded(recorder) => {
                recorder.step(&event)?;
                let outcome = work()?;
                recorder.note(&event)?;
                Ok(outcome)
            }
        }
    }

    /// Creates a file that must not exist. Modes are distribution's (0666 and 0777 less the
    /// umask), so that it can take the folder back.
    pub(super) fn create(&self, path: &Path) -> io::Result<File> {
        self.step(Event::Appeared(path), || {
            OpenOptions::new().read(true).write(true).create_new(true).open(path)
        })
    }

    pub(super) fn open_for_writing(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    /// Writes all of `bytes` at `offset`.
    pub(super) fn write(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.step(Event::Grew, || file.write_all_at(bytes, offset))
    }

    /// Writes `bytes` at `offset` to a file whose descriptor goes past the page cache; how many,
    /// which is less than all when the filesystem refuses to write the rest in this way.
    ///
    /// They are as durable as others: after the next [`sync_file`](Self::sync_file).
    pub(super) fn write_direct(&self, file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
        let outcome = self.step(Event::GrewDirectly, || write_while_accepted(file, offset, bytes));
        match outcome {
            Err(error) if is_refusal(&error) => Ok(0),
            outcome => outcome,
        }
    }

    pub(super) fn set_length(&self, file: &File, length: u64) -> io::Result<()> {
        self.step(Event::Other, || file.set_len(length))
    }

    /// Makes the content of a file durable.
    pub(super) fn sync_file(&self, file: &File) -> io::Result<()> {
        self.step(Event::SyncedFile(file), || file.sync_all())
    }

    /// Makes the names in a folder durable.
    pub(super) fn sync_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Event::SyncedFolder(path), || File::open(path)?.sync_all())
    }

    /// Makes everything on the filesystem durable that `folder` lies on.
    pub(super) fn sync_filesystem(&self, folder: &File) -> io::Result<()> {
        self.step(Event::SyncedEverything, || Ok(rustix::fs::syncfs(folder)?))
    }

    /// Makes a folder with at most these permissions; the umask takes from them.
    pub(super) fn make_folder(&self, path: &Path, mode: u32) -> io::Result<()> {
        self.step(Event::Appeared(path), || fs::DirBuilder::new().mode(mode).create(path))
    }

    pub(super) fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(Event::Other, || fs::rename(from, to))
    }

    pub(super) fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(Event::Other, || fs::remove_file(path))
    }

    pub(super) fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.step(Event::Other, || fs::remove_dir(path))
    }
}

fn write_while_accepted(file: &File, offset: u64, bytes: &[u8]) -> io::Result<usize> {
    let mut written = 0;
    while let Some(rest) = bytes.get(written..).filter(|rest| !rest.is_empty()) {
        match file.write_at(rest, offset + written as u64) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(more) => written += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) if is_refusal(&error) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(written)
}

/// What filesystems say that cannot write past the page cache, or not what they were given.
fn is_refusal(error: &io::Error) -> bool {
    use rustix::io::Errno;
    matches!(
        Errno::from_io_error(error),
        Some(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS)
    )
}
