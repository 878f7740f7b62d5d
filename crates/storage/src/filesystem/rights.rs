//! Whether the system lets this process work with what is there.

use std::{fs, io, path::Path};

use rustix::fs::{Access, AtFlags, CWD};

use crate::{Error, Result};

/// A folder that may be missing. `shown` is what an error calls it.
pub(super) fn check(folder: &Path, shown: &str, writes: bool) -> Result<()> {
    may(folder, Access::READ_OK | Access::EXEC_OK).map_err(|error| Error::io("read", shown, error))?;
    match writes {
        true => may(folder, Access::WRITE_OK).map_err(|error| Error::io("write", shown, error)),
        false => Ok(()),
    }
}

/// The files right in a folder that may be missing: all must be readable and writable.
pub(super) fn check_files(folder: &Path, shown: &str) -> Result<()> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(Error::io("read", shown, error)),
    };
    for entry in entries {
        let entry = entry.map_err(|error| Error::io("read", shown, error))?;
        let is_file = entry.file_type().is_ok_and(|kind| kind.is_file());
        if is_file && let Err(error) = may(&entry.path(), Access::READ_OK | Access::WRITE_OK) {
            let name = format!("{shown}/{}", entry.file_name().to_string_lossy());
            return Err(Error::io("write", name, error));
        }
    }
    Ok(())
}

fn may(path: &Path, access: Access) -> io::Result<()> {
    match rustix::fs::accessat(CWD, path, access, AtFlags::EACCESS) {
        Ok(()) | Err(rustix::io::Errno::NOENT) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
