//! Reading folders chunk by chunk, so that one with a hundred thousand entries needs no memory.

use super::{probe, tree::present};
use crate::{
    Error, Result, blocking,
    driver::{Detail, Entry},
    paths::Location,
};
use rustix::fs::{Mode, OFlags};
use std::{
    fs::{self, ReadDir},
    io, mem,
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

const CHUNK: usize = 2048;

/// Reads the entries of one folder.
#[derive(Debug)]
pub struct FolderLister {
    location: Location,
    links: Option<(&'static str, Detail)>,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed(PathBuf),
    Open(Folder),
    Done,
}

#[derive(Debug)]
struct Folder {
    entries: ReadDir,
    /// For looking at what lies below, without the way from the root.
    handle: OwnedFd,
}

impl FolderLister {
    pub(super) fn new(path: PathBuf, location: Location) -> Self {
        Self {
            location,
            links: None,
            state: State::Closed(path),
        }
    }

    /// Looks at `suffix` below each entry too.
    pub(super) fn with_links(self, suffix: &'static str, detail: Detail) -> Self {
        Self {
            links: Some((suffix, detail)),
            ..self
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let state = mem::replace(&mut self.state, State::Done);
        if matches!(state, State::Done) {
            return Ok(None);
        }
        let (location, links) = (self.location.clone(), self.links);
        let (entries, state) = blocking::run(move || read_chunk(state, &location, links)).await?;
        self.state = state;
        Ok((!entries.is_empty()).then_some(entries))
    }
}

fn read_chunk(state: State, location: &Location, links: Option<(&'static str, Detail)>) -> Result<(Vec<Entry>, State)> {
    let fail = |error| Error::io("list", location, error);
    let opened = match state {
        State::Closed(path) => present(Folder::open(&path)).map_err(fail)?,
        State::Open(folder) => Some(folder),
        State::Done => None,
    };
    let Some(mut folder) = opened else {
        return Ok((Vec::new(), State::Done));
    };
    let (mut entries, is_end) = folder.read().map_err(fail)?;
    if let Some((suffix, detail)) = links {
        for entry in entries.iter_mut().filter(|entry| entry.is_folder) {
            let path = format!("{}/{suffix}", entry.name);
            let found = probe::look(&folder.handle, &path, detail);
            let found = found.map_err(|error| Error::io("inspect", format!("{location}/{path}"), error))?;
            entry.link = Some(found);
        }
    }
    Ok((entries, if is_end { State::Done } else { State::Open(folder) }))
}

impl Folder {
    fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let handle = rustix::fs::open(path, flags, Mode::empty())?;
        Ok(Self {
            entries: fs::read_dir(path)?,
            handle,
        })
    }

    /// The next entries, and whether they are the last ones.
    fn read(&mut self) -> io::Result<(Vec<Entry>, bool)> {
        let mut entries = Vec::new();
        while entries.len() < CHUNK {
            let Some(entry) = self.entries.next() else {
                return Ok((entries, true));
            };
            let entry = entry?;
            let mut kind = entry.file_type()?;
            if kind.is_symlink() {
                // One that leads nowhere is neither, and is shown like a file.
                if let Some(target) = present(fs::metadata(entry.path()))? {
                    kind = target.file_type();
                }
            }
            entries.push(Entry {
                name: entry.file_name().to_string_lossy().into_owned(),
                is_folder: kind.is_dir(),
                link: None,
                modified: 0,
            });
        }
        Ok((entries, false))
    }
}
