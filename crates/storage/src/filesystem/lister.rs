//! Reading folders chunk by chunk, so that one with a hundred thousand entries needs no memory.

use super::tree::present;
use crate::{Error, Result, blocking, driver::Entry, paths::Location};
use std::{
    fs::{self, ReadDir},
    io, mem,
    path::PathBuf,
};

const CHUNK: usize = 2048;

/// Reads the entries of one folder.
#[derive(Debug)]
pub struct FolderLister {
    location: Location,
    state: State,
}

#[derive(Debug)]
enum State {
    Closed(PathBuf),
    Open(ReadDir),
    Done,
}

impl FolderLister {
    pub(super) fn new(path: PathBuf, location: Location) -> Self {
        Self {
            location,
            state: State::Closed(path),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        let state = mem::replace(&mut self.state, State::Done);
        if matches!(state, State::Done) {
            return Ok(None);
        }
        let location = self.location.clone();
        let (entries, state) =
            blocking::run(move || read_chunk(state).map_err(|error| Error::io("list", &location, error))).await?;
        self.state = state;
        Ok((!entries.is_empty()).then_some(entries))
    }
}

fn read_chunk(state: State) -> io::Result<(Vec<Entry>, State)> {
    let mut folder = match state {
        State::Closed(path) => match present(fs::read_dir(path))? {
            Some(folder) => folder,
            None => return Ok((Vec::new(), State::Done)),
        },
        State::Open(folder) => folder,
        State::Done => return Ok((Vec::new(), State::Done)),
    };
    let mut entries = Vec::new();
    while entries.len() < CHUNK {
        let Some(entry) = folder.next() else {
            return Ok((entries, State::Done));
        };
        let entry = entry?;
        let mut kind = entry.file_type()?;
        if kind.is_symlink() {
            let Some(target) = present(fs::metadata(entry.path()))? else {
                continue;
            };
            kind = target.file_type();
        }
        entries.push(Entry {
            name: entry.file_name().to_string_lossy().into_owned(),
            is_folder: kind.is_dir(),
        });
    }
    Ok((entries, State::Open(folder)))
}
