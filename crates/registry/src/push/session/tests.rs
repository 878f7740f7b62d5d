use super::*;

async fn received(storage: &Storage, id: Uuid, bytes: &'static [u8]) -> UploadState {
    let name = "a".parse().unwrap();
    let uploads = storage.uploads();
    let started = "2026-01-01T00:00:00Z";
    let mut writer = uploads
        .writer(&name, id, started, UploadState::new(false))
        .await
        .unwrap();
    writer.write(Bytes::from_static(bytes)).await.unwrap();
    writer.finish().await.unwrap();
    writer.state().clone()
}

fn session(number: u128, second: i64, state: UploadState, row_epoch: Option<i64>) -> (String, Arc<Session>) {
    let (id, name): (Uuid, RepositoryName) = (Uuid::from_u128(number), "a".parse().unwrap());
    let started = jiff::Timestamp::from_second(second).unwrap();
    let session = Session::new(id, name.clone(), name, started, state, row_epoch);
    (id.to_string(), session)
}

#[tokio::test]
async fn the_oldest_session_that_loses_nothing_makes_room() {
    let storage = Storage::memory();
    let state = received(&storage, Uuid::from_u128(9), b"bytes").await;
    let only_here = session(1, 1, state.clone(), None);
    let with_row = session(2, 2, state.clone(), Some(1));
    let in_use = session(3, 0, state, Some(1));
    let empty = session(4, 4, UploadState::new(false), None);
    let _held = Arc::clone(&in_use.1);
    let mut known: HashMap<_, _> = [only_here, with_row, in_use, empty].into();
    let mut forget = || {
        forget_oldest_unused(&mut known);
        let mut left: Vec<String> = known
            .keys()
            .map(|id| id.trim_start_matches(['0', '-']).to_owned())
            .collect();
        left.sort();
        left
    };
    // its row brings it back
    assert_eq!(forget(), ["1", "3", "4"]);
    // nothing has arrived for it
    assert_eq!(forget(), ["1", "3"]);
    assert_eq!(forget(), ["1", "3"]);
}
