use super::*;
use proptest::prelude::*;

const HEX: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn digest() -> Digest {
    format!("sha256:{HEX}").parse().unwrap()
}

fn long_digest() -> Digest {
    format!("sha512:{}{}", HEX, HEX).parse().unwrap()
}

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

#[test]
fn every_place_is_where_distribution_looks_for_it() {
    let repository = name("team/app");
    let tag: Tag = "v1.0".parse().unwrap();
    let id = Uuid::from_u128(0x0123_4567_89ab_cdef_0123_4567_89ab_cdef);
    let v2 = "docker/registry/v2";
    let places = [
        (blob(&digest()).unwrap(), format!("{v2}/blobs/sha256/e3/{HEX}/data")),
        (blob_folder(&digest()).unwrap(), format!("{v2}/blobs/sha256/e3/{HEX}")),
        (
            link(&digest_folder(&revisions(&repository, Algorithm::Sha256), &digest())),
            format!("{v2}/repositories/team/app/_manifests/revisions/sha256/{HEX}/link"),
        ),
        (
            tag_current(&repository, &tag),
            format!("{v2}/repositories/team/app/_manifests/tags/v1.0/current/link"),
        ),
        (
            link(&digest_folder(
                &tag_index(&repository, &tag, Algorithm::Sha256),
                &digest(),
            )),
            format!("{v2}/repositories/team/app/_manifests/tags/v1.0/index/sha256/{HEX}/link"),
        ),
        (
            link(&digest_folder(&layers(&repository, Algorithm::Sha256), &digest())),
            format!("{v2}/repositories/team/app/_layers/sha256/{HEX}/link"),
        ),
        (
            link(&digest_folder(&layers(&repository, Algorithm::Sha512), &long_digest())),
            format!("{v2}/repositories/team/app/_layers/sha512/{HEX}{HEX}/link"),
        ),
        (
            upload_data(&repository, id),
            format!("{v2}/repositories/team/app/_uploads/01234567-89ab-cdef-0123-456789abcdef/data"),
        ),
        (
            upload_started(&repository, id),
            format!("{v2}/repositories/team/app/_uploads/01234567-89ab-cdef-0123-456789abcdef/startedat"),
        ),
    ];
    for (place, expected) in places {
        assert_eq!(place.as_str(), expected);
    }
}

#[test]
fn bytes_have_no_place_under_another_algorithm_than_sha256() {
    assert_eq!(blob(&long_digest()), None);
    assert_eq!(blob_folder(&long_digest()), None);
}

#[test]
fn a_repository_is_recognised_by_its_folder() {
    let place = repository(&name("a/b/c"));
    assert_eq!(parse_repository(&place), Some(name("a/b/c")));
    assert_eq!(parse_repository(&repositories()), None);
    assert_eq!(parse_repository(&repositories().child("UPPER").unwrap()), None);
    assert_eq!(parse_repository(&blobs()), None);
}

#[test]
fn a_link_holds_a_digest_and_nothing_else() {
    let text = format!("sha256:{HEX}");
    assert_eq!(parse_link(text.as_bytes()), Some(digest()));
    assert_eq!(parse_link(format!("{text}\n").as_bytes()), Some(digest()));
    for broken in [
        "",
        "sha256:",
        "latest",
        &text[..40],
        &format!("{text}{text}"),
        &format!(" {text}"),
    ] {
        assert_eq!(parse_link(broken.as_bytes()), None, "{broken:?}");
    }
    assert_eq!(parse_link(b"\xff\xfe"), None);
}

#[test]
fn only_plain_names_are_children() {
    for broken in ["", ".", "..", "a/b", "/", "a\0"] {
        assert_eq!(repositories().child(broken), None, "{broken:?}");
    }
    let child = repositories().child("a").unwrap();
    assert_eq!(child.parent(), Some(repositories()));
    assert_eq!(child.file_name(), "a");
}

#[test]
fn state_names_stay_in_their_folder() {
    for legal in ["identity.json", "types/sha256-ab.json", "a_b/c-d/0"] {
        assert_eq!(StateName::new(legal).unwrap().as_str(), legal);
    }
    for broken in [
        "", "/", "a/", "/a", "a//b", "..", "../a", "a/../b", ".hidden", "A", "tmp", "tmp/1", "a b", "ä",
    ] {
        assert_eq!(StateName::new(broken), None, "{broken:?}");
    }
    assert_eq!(StateName::new(&"a".repeat(201)), None);
}

/// Fails unless `place` is below the root by its parts.
fn assert_inside(place: &Location) {
    let path = std::path::Path::new(place.as_str());
    assert!(
        path.components()
            .all(|part| matches!(part, std::path::Component::Normal(_))),
        "{place}"
    );
    let is_ours = place.as_str().starts_with("docker/registry/v2/") || place.as_str().starts_with("wharf/");
    assert!(is_ours, "{place}");
}

proptest! {
    #[test]
    fn no_name_leaves_the_root(
        repository in "[a-zA-Z0-9._/\\-\\\\%\u{0}]{0,40}",
        tag_text in "[a-zA-Z0-9._/\\-]{0,20}",
        digest_text in "(sha256|sha512|md5|\\.\\.):[0-9a-fA-F./]{0,130}",
        state_text in "[a-z./_\\-]{0,30}",
        child in ".{0,10}",
    ) {
        if let Some(state_name) = StateName::new(&state_text) {
            assert_inside(&state(&state_name));
        }
        if let Some(place) = repositories().child(&child) {
            assert_inside(&place);
            prop_assert_eq!(place.parent(), Some(repositories()));
        }
        let Ok(repository) = repository.parse::<RepositoryName>() else { return Ok(()) };
        assert_inside(&super::repository(&repository));
        assert_inside(&upload_data(&repository, Uuid::nil()));
        if let Ok(tag_name) = tag_text.parse::<Tag>() {
            let place = tag_current(&repository, &tag_name);
            assert_inside(&place);
            prop_assert!(place.as_str().starts_with(tag(&repository, &tag_name).as_str()));
        }
        if let Ok(digest) = digest_text.parse::<Digest>() {
            assert_inside(&link(&digest_folder(&layers(&repository, digest.algorithm()), &digest)));
        }
    }

    #[test]
    fn what_is_built_is_parsed_back(
        repository in "[a-z0-9]{1,8}((\\.|_|__|-{1,3}|/)[a-z0-9]{1,8}){0,5}",
        bytes in proptest::array::uniform32(any::<u8>()),
    ) {
        let repository: RepositoryName = repository.parse().unwrap();
        prop_assert_eq!(parse_repository(&super::repository(&repository)), Some(repository.clone()));
        let digest = Digest::Sha256(bytes);
        let folder = digest_folder(&revisions(&repository, Algorithm::Sha256), &digest);
        prop_assert_eq!(parse_digest(Algorithm::Sha256, folder.file_name()), Some(digest));
        prop_assert_eq!(parse_digest(Algorithm::Sha512, folder.file_name()), None);
        prop_assert_eq!(parse_link(digest.to_string().as_bytes()), Some(digest));
    }
}
