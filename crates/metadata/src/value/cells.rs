//! Cells of the server engines, whatever type of number or text a column or expression has.

use std::error::Error;

use sqlx::mysql::MySqlRow;
use sqlx::postgres::{PgRow, PgValueFormat};
use sqlx::{Row as _, TypeInfo as _, ValueRef as _};

type Cause = Box<dyn Error + Send + Sync>;

/// Any integer, boolean or whole `numeric`: a count is `bigint`, the literal `1` is `integer`, a
/// sum of `bigint` is `numeric`.
pub(super) fn postgresql_int(row: &PgRow, column: usize) -> Result<Option<i64>, Cause> {
    let cell = row.try_get_raw(column)?;
    if cell.is_null() {
        return Ok(None);
    }
    if matches!(cell.format(), PgValueFormat::Text) {
        return Ok(Some(cell.as_str()?.parse()?));
    }
    let is_numeric = cell.type_info().name() == "NUMERIC";
    let bytes = cell.as_bytes()?;
    let number = match bytes.len() {
        _ if is_numeric => numeric(bytes).ok_or("a number is not whole, or too large")?,
        1 => i64::from(bytes[0]),
        2 => i64::from(i16::from_be_bytes(bytes.try_into()?)),
        4 => i64::from(i32::from_be_bytes(bytes.try_into()?)),
        8 => i64::from_be_bytes(bytes.try_into()?),
        _ => return Err("a number is of another type".into()),
    };
    Ok(Some(number))
}

/// PostgreSQL's binary `numeric`: four words (how many digits follow, the weight of the first, the
/// sign, the scale), then digits to the base 10000.
fn numeric(bytes: &[u8]) -> Option<i64> {
    const NEGATIVE: i16 = 0x4000;
    let mut words = bytes.chunks_exact(2).map(|pair| i16::from_be_bytes([pair[0], pair[1]]));
    let (count, weight, sign, _scale) = (words.next()?, words.next()?, words.next()?, words.next()?);
    if sign != 0 && sign != NEGATIVE {
        return None;
    }
    if count > 0 && count - 1 > weight {
        return None;
    }
    let mut number = 0_i64;
    for _ in 0..=weight {
        // trailing zeros are left out
        let digit = words.next().map_or(0, i64::from);
        number = number.checked_mul(10_000)?.checked_sub(digit)?;
    }
    if sign == NEGATIVE {
        Some(number)
    } else {
        number.checked_neg()
    }
}

pub(super) fn postgresql_bytes(row: &PgRow, column: usize) -> Result<Option<&[u8]>, Cause> {
    let cell = row.try_get_raw(column)?;
    if cell.is_null() {
        return Ok(None);
    }
    Ok(Some(cell.as_bytes()?))
}

/// Any integer, or a whole `decimal`, which a sum is.
pub(super) fn mariadb_int(row: &MySqlRow, column: usize) -> Result<Option<i64>, Cause> {
    let cell = row.try_get_raw(column)?;
    if cell.is_null() {
        return Ok(None);
    }
    if cell.type_info().name() == "DECIMAL" {
        let text: &[u8] = row.try_get_unchecked(column)?;
        return Ok(Some(std::str::from_utf8(text)?.parse()?));
    }
    Ok(Some(row.try_get_unchecked(column)?))
}

pub(super) fn mariadb_bytes(row: &MySqlRow, column: usize) -> Result<Option<&[u8]>, Cause> {
    Ok(row.try_get_unchecked(column)?)
}

#[cfg(test)]
mod tests;
