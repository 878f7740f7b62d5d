use super::{checksums, hex, program, sbom};
use crate::cargo::Metadata;

fn bom() -> sbom::Bom {
    let root = crate::root().unwrap();
    let metadata = Metadata::read(&root).unwrap();
    let lock = std::fs::read_to_string(root.join("Cargo.lock")).unwrap();
    sbom::sbom(
        &metadata,
        program(&metadata).unwrap(),
        &lock,
        "2026-01-01T00:00:00+00:00",
    )
}

#[test]
fn the_sbom_names_what_is_built_in_and_nothing_that_only_tests_use() {
    let bom = bom();
    let has = |name: &str| {
        bom.components
            .iter()
            .any(|part| part.reference.starts_with(&format!("pkg:cargo/{name}@")))
    };
    assert!(has("tokio") && has("rustls") && has("wharf-storage"));
    assert!(!has("proptest") && !has("divan") && !has("xtask"));
}

#[test]
fn every_part_of_the_sbom_has_a_licence_and_those_of_others_a_checksum() {
    for part in bom().components {
        assert!(!part.licenses.is_empty(), "{} has no licence", part.reference);
        assert!(part.licenses.iter().all(|license| !license.expression.contains('/')));
        let is_ours = part.reference.starts_with("pkg:cargo/wharf-");
        assert_eq!(part.hashes.is_empty(), is_ours, "{}", part.reference);
        assert!(part.hashes.iter().all(|hash| hash.content.len() == 64));
    }
}

#[test]
fn every_reference_of_the_sbom_leads_somewhere() {
    let bom = bom();
    let known: std::collections::HashSet<&str> = bom.dependencies.iter().map(|uses| uses.reference.as_str()).collect();
    let uses = bom.dependencies.iter().flat_map(|uses| &uses.depends_on);
    let lost: Vec<&String> = uses.filter(|reference| !known.contains(reference.as_str())).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(
        bom.components
            .iter()
            .all(|part| known.contains(part.reference.as_str()))
    );
}

#[test]
fn the_same_commit_gives_the_same_sbom() {
    let text = |bom: &sbom::Bom| serde_json::to_string(bom).unwrap();
    let first = text(&bom());
    assert_eq!(first, text(&bom()));
    let value: serde_json::Value = serde_json::from_str(&first).unwrap();
    assert_eq!(value["bomFormat"], "CycloneDX");
    assert_eq!(value["specVersion"], "1.6");
    let serial = value["serialNumber"].as_str().unwrap();
    assert!(
        serial.starts_with("urn:uuid:") && serial.len() == "urn:uuid:".len() + 36,
        "{serial}"
    );
}

#[test]
fn checksums_are_written_as_sha256sum_reads_them() {
    let folder = std::env::temp_dir().join(format!("wharf-xtask-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::write(folder.join("a"), "abc").unwrap();
    let text = checksums(&folder, &["a"]).unwrap();
    std::fs::remove_dir_all(&folder).unwrap();
    assert_eq!(
        text,
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad  a\n"
    );
    assert_eq!(hex(&[0, 255]), "00ff");
}
