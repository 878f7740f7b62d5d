use super::chunk::Cell;
use super::tables::{Absent, Kind, TABLES};
use super::*;
use crate::Metadata;
use crate::sqlite::Config;
use crate::value::args;

fn index(folder: &tempfile::TempDir, name: &str) -> Metadata {
    Metadata::open_sqlite(Config::new(folder.path().join(name))).unwrap()
}

/// Fails for whoever adds a table or a column and does not say what becomes of it in a backup.
#[test]
fn every_table_and_column_of_the_schema_is_in_the_list() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = index(&folder, "index.db");
    let mut real = metadata
        .read_blocking(|tx| {
            let tables = tx.all(
                "list tables",
                "select name from sqlite_schema where type = 'table' and name not like 'sqlite\\_%' escape '\\'",
                args![],
                |row| row.text(0),
            )?;
            let mut real = Vec::new();
            for table in tables {
                let columns = tx.all(
                    "list columns",
                    &format!("select name, lower(type), \"notnull\", pk from pragma_table_info('{table}')"),
                    args![],
                    |row| Ok((row.text(0)?, row.text(1)?, row.bool(2)?, row.int(3)?)),
                )?;
                real.push((table, columns));
            }
            Ok::<_, Error>(real)
        })
        .unwrap();
    real.sort();
    let mut listed: Vec<_> = TABLES.iter().collect();
    listed.sort_by_key(|table| table.name);
    let names = |tables: &[(String, Vec<_>)]| tables.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(
        listed.iter().map(|table| table.name.to_owned()).collect::<Vec<_>>(),
        names(&real),
        "add the table to crates/metadata/src/transfer/tables.rs, and say there what it holds"
    );
    for (table, (name, columns)) in listed.iter().zip(&real) {
        let wanted: Vec<_> = table.columns.iter().map(|column| column.name.to_owned()).collect();
        let found: Vec<_> = columns.iter().map(|(column, ..)| column.clone()).collect();
        assert_eq!(wanted, found, "columns of {name} in transfer/tables.rs");
        for (position, (column, (_, kind, not_null, key))) in table.columns.iter().zip(columns).enumerate() {
            let expected = match column.kind {
                Kind::Int => "integer",
                Kind::Text => "text",
                Kind::Bytes => "blob",
            };
            assert_eq!(kind, expected, "{name}.{}", column.name);
            let is_key = position < table.key;
            assert_eq!(*key > 0, is_key, "{name}.{} in the key", column.name);
            let may_be_null = !not_null && !is_key;
            assert_eq!(
                column.absent == Absent::Null,
                may_be_null,
                "{name}.{} may be null",
                column.name
            );
        }
    }
}

#[test]
fn the_tables_that_the_engine_numbers_are_marked() {
    let folder = tempfile::tempdir().unwrap();
    let numbered: Vec<String> = index(&folder, "index.db")
        .read_blocking(|tx| {
            tx.all(
                "list numbered tables",
                "select name from sqlite_schema where type = 'table' and sql like '%autoincrement%' order by name",
                args![],
                |row| row.text(0),
            )
        })
        .unwrap();
    let mut marked: Vec<_> = TABLES
        .iter()
        .filter(|table| table.is_numbered)
        .map(|table| table.name)
        .collect();
    marked.sort_unstable();
    assert_eq!(marked, numbered);
}

#[test]
fn what_was_encoded_is_decoded_and_nothing_else() {
    let columns = ["a", "b", "c", "d"].map(str::to_owned).to_vec();
    let cells = vec![
        Cell::Null,
        Cell::Int(-5),
        Cell::Text("grün".into()),
        Cell::Bytes(vec![0, 255]),
        Cell::Int(i64::MAX),
        Cell::Text(String::new()),
        Cell::Bytes(Vec::new()),
        Cell::Null,
    ];
    let chunk = Chunk::new("things", columns, cells);
    let bytes = chunk.encode();
    assert!(Chunk::decode(&bytes).unwrap() == chunk);
    assert_eq!(chunk.rows(), 2);
    for length in 0..bytes.len() {
        assert_eq!(
            Chunk::decode(&bytes[..length]).unwrap_err().kind(),
            crate::error::Kind::Corrupt
        );
    }
    let longer = [&bytes[..], &[0]].concat();
    assert!(Chunk::decode(&longer).is_err());
    for position in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[position] ^= 0x80;
        // it may be other rows, but it must not be a panic or gigabytes of memory
        drop(Chunk::decode(&damaged));
    }
}

fn saved(table: &str, columns: &[&str], cells: Vec<Cell>) -> Chunk {
    Chunk::new(table, columns.iter().map(|&column| column.to_owned()).collect(), cells)
}

#[test]
fn rows_that_this_version_cannot_hold_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = index(&folder, "index.db");
    let refusal = |chunk: Chunk| {
        let error = metadata.write_blocking(move |tx| insert(tx, &chunk)).unwrap_err();
        error.to_string()
    };
    assert!(refusal(saved("robots", &["id"], vec![Cell::Int(1)])).contains("no table robots"));
    assert!(refusal(saved("owner", &["id"], vec![Cell::Int(1)])).contains("no table owner"));
    let mood = saved("settings", &["name", "mood"], vec![Cell::Null, Cell::Null]);
    assert!(refusal(mood).contains("settings has no column mood"));
    let half = saved("settings", &["name"], vec![Cell::Text("a".into())]);
    assert!(refusal(half).contains("column value of the table settings was not saved"));
    let wrong = saved(
        "settings",
        &["name", "value"],
        vec![Cell::Text("a".into()), Cell::Int(1)],
    );
    assert!(refusal(wrong).contains("column value of the table settings cannot hold"));
}

#[test]
fn columns_that_came_later_and_may_be_empty_are_empty_in_older_rows() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = index(&folder, "index.db");
    let columns = ["kid", "algorithm", "private_key", "created_at"];
    let cells = vec![
        Cell::Text("k1".into()),
        Cell::Text("ES256".into()),
        Cell::Bytes(vec![1, 2]),
        Cell::Int(7),
    ];
    let chunk = saved("signing_keys", &columns, cells);
    metadata.write_blocking(move |tx| insert(tx, &chunk)).unwrap();
    let found = metadata
        .read_blocking(|tx| {
            tx.one(
                "t",
                "select private_key, retired_at from signing_keys",
                args![],
                |row| Ok((row.bytes(0)?, row.opt_int(1)?)),
            )
        })
        .unwrap();
    assert_eq!(found, Some((vec![1, 2], None)));
}

#[test]
fn rows_of_a_newer_schema_are_refused_and_older_ones_are_not() {
    let newest = migrations::newest();
    check_step(newest).unwrap();
    check_step(newest - 1).unwrap();
    let error = check_step(newest + 1).unwrap_err();
    assert_eq!(error.kind(), crate::error::Kind::NewerSchema);
}

#[test]
fn large_rows_make_small_chunks_and_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let metadata = index(&folder, "index.db");
    metadata
        .write_blocking(|tx| {
            for number in 0..2_500 {
                let size = if number % 100 < 10 { 300_000 } else { 20 };
                settings::set(tx, &format!("s{number:05}"), &vec![7; size])?;
            }
            Ok::<_, Error>(())
        })
        .unwrap();
    let mut rows = 0;
    metadata
        .read_blocking(|tx| {
            read(tx, Purpose::Snapshot, |chunk| {
                if chunk.table() == "settings" {
                    rows += chunk.rows();
                    assert!(chunk.encode().len() < 2 << 20);
                }
                Ok::<_, Error>(())
            })
        })
        .unwrap();
    assert_eq!(rows, 2_500);
}
