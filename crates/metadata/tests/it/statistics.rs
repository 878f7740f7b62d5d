//! Pulls and pushes.

use wharf_metadata::statistics::{self, Pulled, Pulls, Pushes};
use wharf_metadata::{Timestamp, manifests};

use super::ENGINE;
use crate::fixture::{Fixture, digest, tag};

const fn pulled(count: u64, last: i64) -> Pulled {
    Pulled {
        count,
        last: Some(Timestamp(last)),
    }
}

const fn pushes(repository_id: i64) -> Pushes {
    Pushes {
        repository_id,
        count: 2,
        last: Timestamp(5),
    }
}

#[test]
fn pulls_add_up_in_batches_and_those_of_what_is_gone_are_dropped() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    let manifest = fixture.manifest(id, digest(1), &[]).id;
    fixture.tag(id, "latest", digest(1));
    let pulls = |number, text: Option<&str>, count, last| Pulls {
        repository_id: id,
        manifest: digest(number),
        tag: text.map(tag),
        count,
        last: Timestamp(last),
    };
    let batch = vec![
        pulls(1, Some("latest"), 3, 50),
        pulls(1, None, 2, 40),
        pulls(1, Some("gone"), 1, 30),
        pulls(9, Some("latest"), 7, 90),
    ];
    let push = [pushes(id), pushes(99)];
    for _ in 0..2 {
        let batch = batch.clone();
        fixture.write(move |tx| statistics::add_pulls(tx, &batch));
        fixture.write(move |tx| statistics::add_pushes(tx, &push));
    }
    assert_eq!(fixture.read(|tx| statistics::of_manifest(tx, manifest)), pulled(12, 50));
    assert_eq!(
        fixture.read(|tx| statistics::of_tag(tx, id, &tag("latest"))),
        pulled(6, 50)
    );
    assert_eq!(
        fixture.read(|tx| statistics::of_tag(tx, id, &tag("gone"))),
        Pulled::default()
    );
    assert_eq!(
        fixture.read(|tx| statistics::of_repository(tx, id)),
        (pulled(12, 50), 4)
    );
    assert_eq!(
        fixture.read(|tx| statistics::of_repository(tx, 99)),
        (Pulled::default(), 0)
    );

    let now = fixture.now();
    fixture.write(move |tx| manifests::delete(tx, id, &digest(1), "", now));
    assert_eq!(
        fixture.read(|tx| statistics::of_manifest(tx, manifest)),
        Pulled::default()
    );
    assert_eq!(
        fixture.read(|tx| statistics::of_tag(tx, id, &tag("latest"))),
        Pulled::default()
    );
}
