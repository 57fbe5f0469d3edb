//! What the edge remembers takes no more memory than it says, however many call.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]
#![allow(dead_code, reason = "borrows modules of a benchmark")]

#[path = "../benches/scene.rs"]
mod scene;
#[path = "../benches/tables.rs"]
mod tables;

use tables::Table;

/// Small, so that it is quick; the replay set has sixteen parts, each of which needs some room.
const fn size(table: Table) -> usize {
    if matches!(table, Table::Proofs) { 1024 } else { 32 }
}

/// Bytes of an entry, at most: of the table's own memory, and of what an entry points to.
const fn bound(table: Table) -> f64 {
    match table {
        Table::Results => 2000.0,
        Table::AccessTokens | Table::OpaqueTokens => 1000.0,
        Table::Proofs => 40.0,
        Table::FirstUses | Table::Callers | Table::Addresses => 160.0,
    }
}

/// Entries of which there is room, where a table has two generations.
const fn room(table: Table) -> usize {
    if matches!(table, Table::FirstUses) { size(table) } else { 2 * size(table) }
}

#[test]
fn every_table_stays_within_its_bytes_when_more_call_than_it_has_room_for() {
    for table in Table::ALL {
        let bytes = table.bytes(size(table), 5 * size(table) as u32);
        let each = bytes / room(table) as f64;
        assert!(each <= bound(table), "{table:?}: {each} bytes for each entry");
        assert!(each >= 8.0, "{table:?}: {each} bytes: the table was not filled");
    }
}

#[test]
fn twice_as_many_strangers_take_no_more_memory() {
    for table in Table::ALL {
        let bytes = |times| table.bytes(size(table), (times * size(table)) as u32);
        let (some, twice) = (bytes(6), bytes(12));
        assert!(twice <= some * 1.02 + 64.0, "{table:?}: {some} bytes, then {twice}");
    }
}

#[test]
fn a_deny_list_takes_no_more_than_its_entries() {
    assert!(tables::deny_list_bytes(10_000, 0) <= 10_000.0 * 48.0);
    assert!(tables::deny_list_bytes(0, 10_000) <= 10_000.0 * 80.0);
}
