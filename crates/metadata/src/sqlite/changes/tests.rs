use super::changed_table;

#[test]
fn the_table_of_every_kind_of_statement_is_found() {
    for (sql, table) in [
        ("insert into users (name) values (?)", Some("users")),
        ("delete from settings where name = ?", Some("settings")),
        ("update counters set value = 1", Some("counters")),
        ("insert into t (a) values (?) on conflict (a) do nothing", Some("t")),
        ("select value from settings", None),
        ("begin immediate", None),
        ("with x as (select 1) update t set a = 1", Some("")),
    ] {
        assert_eq!(changed_table(sql), table, "{sql}");
    }
}
