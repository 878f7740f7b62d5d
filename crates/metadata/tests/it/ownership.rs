//! One process owns the index (consistency rule 9).

use wharf_metadata::error::Kind;
use wharf_metadata::{ownership, settings};

use super::ENGINE;
use crate::fixture::Fixture;

#[tokio::test]
async fn a_former_owner_is_fenced_off_from_its_next_write_on() {
    let fixture = Fixture::on(ENGINE);
    let first = &fixture.metadata;
    let number = first.claim("first", "host 1", fixture.now()).await.unwrap();
    first.write(|tx| settings::set(tx, "a", b"first")).await.unwrap();

    let second = fixture.open();
    let next = second.claim("second", "host 2", fixture.now()).await.unwrap();
    assert!(next > number);
    let error = first.write(|tx| settings::set(tx, "a", b"late")).await.unwrap_err();
    assert_eq!(error.kind(), Kind::Fenced);
    assert!(
        error.to_string().contains("another process took the index over"),
        "{error}"
    );
    second.write(|tx| settings::set(tx, "b", b"second")).await.unwrap();
    let kept = first.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(kept.as_deref(), Some("first"));

    let owner = second.read_blocking(ownership::find).unwrap().unwrap();
    assert_eq!((owner.holder.as_str(), owner.fencing), ("second", next));
}

#[tokio::test]
async fn the_owner_beats_and_releases_only_under_its_own_number() {
    let fixture = Fixture::on(ENGINE);
    let metadata = &fixture.metadata;
    assert_eq!(metadata.read_blocking(ownership::find).unwrap(), None);
    let claimed = fixture.now();
    let number = metadata.claim("first", "host 1", claimed).await.unwrap();
    let later = fixture.now();
    assert!(fixture.write_in_thread(move |tx| ownership::heartbeat(tx, number, later)));
    assert!(!fixture.write_in_thread(move |tx| ownership::heartbeat(tx, number + 1, later)));
    let owner = metadata.read_blocking(ownership::find).unwrap().unwrap();
    assert_eq!(
        (owner.claimed_at, owner.heartbeat_at, owner.released_at),
        (claimed, later, None)
    );
    assert!(fixture.write_in_thread(move |tx| ownership::release(tx, number, later)));
    let owner = metadata.read_blocking(ownership::find).unwrap().unwrap();
    assert_eq!(owner.released_at, Some(later));
    let again = metadata.claim("first", "host 1", fixture.now()).await.unwrap();
    assert!(again > number);
    assert_eq!(
        metadata.read_blocking(ownership::find).unwrap().unwrap().released_at,
        None
    );
}

#[test]
fn a_process_that_stands_by_reads_what_the_owner_writes_and_takes_over() {
    let fixture = Fixture::on(ENGINE);
    let standby = fixture.open_standby();
    fixture.write(|tx| settings::set(tx, "a", b"1"));
    let seen = standby.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(seen.as_deref(), Some("1"));
    let error = standby.write_blocking(|tx| settings::set(tx, "a", b"2")).unwrap_err();
    assert_eq!(error.kind(), Kind::ReadOnly);
    assert!(!standby.is_writable());

    fixture.metadata.close();
    let seen = standby.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(seen.as_deref(), Some("1"));
    standby.start_writing().unwrap();
    standby.start_writing().unwrap();
    standby.write_blocking(|tx| settings::set(tx, "a", b"2")).unwrap();
    standby.stop_writing();
    assert!(!standby.is_writable());
}

#[test]
fn a_closed_index_can_be_read_by_one_that_stands_by() {
    let fixture = Fixture::on(ENGINE);
    fixture.write(|tx| settings::set(tx, "a", b"1"));
    fixture.metadata.close();
    let standby = fixture.open_standby();
    let seen = standby.read_blocking(|tx| settings::get_text(tx, "a")).unwrap();
    assert_eq!(seen.as_deref(), Some("1"));
}
