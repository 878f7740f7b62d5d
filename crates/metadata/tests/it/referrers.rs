//! Referrers.

use wharf_metadata::manifests::{self, NewManifest};
use wharf_metadata::referrers;
use wharf_oci::descriptor::Annotations;

use super::ENGINE;
use crate::fixture::{Fixture, digest, plain, sha512};

fn refer(fixture: &Fixture, id: i64, number: u32, artifact_type: &'static str) {
    let now = fixture.now();
    fixture.write(move |tx| {
        let annotations = Annotations::from([("number".to_owned(), number.to_string())]);
        let manifest = NewManifest {
            artifact_type: Some(artifact_type),
            subject: Some(digest(100)),
            sha512: (number == 3).then(|| sha512(3)),
            ..plain(digest(number), &annotations, now)
        };
        manifests::insert(tx, id, &manifest)
    });
}

#[test]
fn referrers_are_listed_with_type_and_annotations_before_their_subject_is_there() {
    let fixture = Fixture::on(ENGINE);
    let id = fixture.repository("team/app").id;
    for (number, artifact_type) in [(2, "sbom"), (1, "signature"), (3, "signature")] {
        refer(&fixture, id, number, artifact_type);
    }
    let page = |artifact_type, after: Option<wharf_oci::Digest>, limit| {
        fixture.read(|tx| referrers::page(tx, id, &digest(100), artifact_type, after.as_ref(), limit))
    };
    let all = page(None, None, 10);
    let order: Vec<_> = all.iter().map(|listed| listed.sha256).collect();
    assert_eq!(order, [digest(1), digest(2), digest(3)]);
    assert_eq!(all[2].referrer.digest, sha512(3), "the name it was pushed under");
    assert_eq!(all[0].referrer.artifact_type.as_deref(), Some("signature"));
    assert_eq!(all[0].referrer.annotations["number"], "1");

    assert_eq!(page(None, None, 1), all[..1]);
    assert_eq!(page(None, Some(digest(1)), 10), all[1..]);
    let signatures = page(Some("signature"), None, 10);
    assert_eq!(signatures, [all[0].clone(), all[2].clone()]);
    assert_eq!(page(Some("signature"), Some(digest(1)), 10), all[2..]);
    assert_eq!(page(Some("other"), None, 10), []);
    assert!(fixture.read(|tx| referrers::exist(tx, id, &digest(100))));
    assert!(!fixture.read(|tx| referrers::exist(tx, id, &digest(1))));
    let other = fixture.repository("team/other").id;
    assert!(!fixture.read(|tx| referrers::exist(tx, other, &digest(100))));
}
