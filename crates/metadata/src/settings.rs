//! Single values: the storage's identity, the HTTP secret and their like.

use crate::dialect::{Set, Upsert};
use crate::value::args;
use crate::{Error, Tx};

static SET: Upsert = Upsert::new("settings", "name", "name, value", &[Set::New("value")]);
static SET_IF_ABSENT: Upsert = Upsert::new("settings", "name", "name, value", &[]);

/// The value of a setting.
///
/// # Errors
///
/// Failures of the index.
pub fn get(tx: &mut Tx<'_>, name: &str) -> Result<Option<Vec<u8>>, Error> {
    tx.one(
        "read a setting",
        "select value from settings where name = ?",
        args![name],
        |row| row.bytes(0),
    )
}

/// The value of a setting that is text.
///
/// # Errors
///
/// As [`get`]; also when it is not UTF-8.
pub fn get_text(tx: &mut Tx<'_>, name: &str) -> Result<Option<String>, Error> {
    let corrupt = |_| Error::corrupt("read a setting", format!("the setting {name} is not text"));
    get(tx, name)?
        .map(|value| String::from_utf8(value).map_err(corrupt))
        .transpose()
}

/// Sets a value.
///
/// # Errors
///
/// Failures of the index.
pub fn set(tx: &mut Tx<'_>, name: &str, value: &[u8]) -> Result<(), Error> {
    tx.upsert("write a setting", &SET, args![name, value])?;
    Ok(())
}

/// Sets a value unless there is one; answers the value that holds then. All replicas agree on it.
///
/// # Errors
///
/// Failures of the index.
pub fn get_or_set(tx: &mut Tx<'_>, name: &str, value: &[u8]) -> Result<Vec<u8>, Error> {
    tx.upsert("write a setting", &SET_IF_ABSENT, args![name, value])?;
    Ok(get(tx, name)?.unwrap_or_else(|| value.to_vec()))
}

/// Removes a value.
///
/// # Errors
///
/// Failures of the index.
pub fn remove(tx: &mut Tx<'_>, name: &str) -> Result<(), Error> {
    tx.execute("remove a setting", "delete from settings where name = ?", args![name])?;
    Ok(())
}
