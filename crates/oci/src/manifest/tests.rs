use super::*;
use proptest::prelude::{any, proptest};
use serde_json::{Value, json};

fn digest(character: char) -> String {
    format!("sha256:{}", character.to_string().repeat(64))
}

fn descriptor(media_type: &str, character: char) -> Value {
    json!({"mediaType": media_type, "digest": digest(character), "size": 3})
}

fn image() -> Value {
    json!({"schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": descriptor(media_type::OCI_CONFIG, 'a'),
        "layers": [descriptor("application/vnd.oci.image.layer.v1.tar+zstd", 'b')],
        "subject": descriptor(media_type::OCI_MANIFEST, 'c'),
        "annotations": {"k": "v"}, "x-unknown": [1, {"deep": true}]})
}

fn parse(content_type: Option<&str>, value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(content_type, value.to_string().as_bytes())
}

#[test]
fn an_image_says_what_it_points_to() {
    let manifest = parse(Some(media_type::OCI_MANIFEST), &image()).unwrap();
    assert_eq!(manifest.kind, Kind::Image);
    assert_eq!(manifest.artifact_type.as_deref(), Some(media_type::OCI_CONFIG));
    assert_eq!(manifest.subject.as_ref().unwrap().digest.to_string(), digest('c'));
    let names: Vec<_> = manifest.references().map(ToString::to_string).collect();
    assert_eq!(names, [digest('a'), digest('b')]);
    assert_eq!(manifest.annotations["k"], "v");
}

#[test]
fn an_index_without_artifact_type_has_none() {
    let index = json!({"schemaVersion": 2, "mediaType": media_type::OCI_INDEX,
        "manifests": [{"mediaType": media_type::OCI_MANIFEST, "digest": digest('d'), "size": 1,
            "platform": {"architecture": "zarch", "os": "plan9000", "variant": "v8", "features": ["x"]}}]});
    let manifest = parse(None, &index).unwrap();
    assert_eq!(manifest.kind, Kind::Index);
    assert_eq!(manifest.artifact_type, None);
    assert_eq!(manifest.manifests[0].platform.as_ref().unwrap().architecture, "zarch");
    assert_eq!(manifest.required_blobs().count(), 0);
}

#[test]
fn a_missing_media_type_is_found_by_header_or_shape() {
    let mut value = image();
    value.as_object_mut().unwrap().remove("mediaType");
    for header in [
        Some(media_type::OCI_MANIFEST),
        Some("application/vnd.oci.image.manifest.v1+json; charset=utf-8"),
        None,
        Some("application/json"),
    ] {
        assert_eq!(
            parse(header, &value).unwrap().media_type,
            media_type::OCI_MANIFEST,
            "{header:?}"
        );
    }
    assert_eq!(
        parse(Some(media_type::DOCKER_MANIFEST), &value).unwrap().kind,
        Kind::DockerImage
    );
}

#[test]
fn unknown_types_stay_opaque_even_when_they_are_not_json() {
    let manifest = Manifest::parse(Some("application/vnd.example+cbor"), b"\xa0\x01").unwrap();
    assert_eq!(
        (manifest.kind, manifest.media_type.as_str()),
        (Kind::Opaque, "application/vnd.example+cbor")
    );
    let manifest = parse(
        Some("application/vnd.example+json"),
        &json!({"layers": [], "schemaVersion": 7}),
    )
    .unwrap();
    assert_eq!(manifest.kind, Kind::Opaque);
}

#[test]
fn foreign_layers_may_be_absent() {
    let mut value = image();
    value["layers"] = json!([
        descriptor(media_type::DOCKER_FOREIGN_LAYER, 'b'),
        {"mediaType": "application/x", "digest": digest('c'), "size": 1, "urls": ["https://example.com/x"]},
        descriptor("application/x", 'd'),
    ]);
    let manifest = parse(None, &value).unwrap();
    let required: Vec<_> = manifest.required_blobs().map(|blob| blob.digest.to_string()).collect();
    assert_eq!(required, [digest('a'), digest('d')]);
}

#[test]
fn schema_1_holds_its_layers_where_it_is_found_and_is_refused_where_it_is_pushed() {
    let mut value = json!({"schemaVersion": 1, "name": "a", "tag": "old", "history": [],
        "fsLayers": [{"blobSum": digest('a')}, {"blobSum": digest('b')}, {"blobSum": digest('a')}]});
    let found = parse(None, &value).unwrap();
    assert_eq!(
        (found.kind, found.media_type.as_str()),
        (Kind::DockerSchema1, media_type::DOCKER_SCHEMA1)
    );
    let references: Vec<_> = found.references().map(Digest::to_string).collect();
    assert_eq!(references, [digest('a'), digest('b'), digest('a')]);
    value["signatures"] = json!([{"signature": "x"}]);
    assert_eq!(
        parse(None, &value).unwrap().media_type,
        media_type::DOCKER_SCHEMA1_SIGNED
    );
    let pushed = |content_type: Option<&str>| Manifest::parse_pushed(content_type, value.to_string().as_bytes());
    for content_type in [
        None,
        Some(media_type::DOCKER_SCHEMA1),
        Some(media_type::DOCKER_SCHEMA1_SIGNED),
    ] {
        assert_eq!(pushed(content_type).unwrap_err(), ManifestError::Schema1);
    }
    value["fsLayers"] = json!([{"blobSum": "sha256:x"}]);
    assert!(parse(None, &value).unwrap_err().to_string().contains("fsLayers"));
    // elsewhere the member means nothing
    let mut value = image();
    value["fsLayers"] = json!(5);
    assert_eq!(parse(Some(media_type::OCI_MANIFEST), &value).unwrap().kind, Kind::Image);
}

#[test]
fn broken_manifests_are_refused_with_their_cause() {
    let refused = |content_type: Option<&str>, value: Value| parse(content_type, &value).unwrap_err().to_string();
    assert!(refused(Some(media_type::OCI_INDEX), image()).contains("content type is"));
    assert!(refused(Some(media_type::OCI_MANIFEST), json!({"schemaVersion": 2})).contains("has no config"));
    assert!(refused(Some(media_type::OCI_INDEX), json!({"schemaVersion": 2})).contains("has no manifests"));
    assert!(refused(Some(media_type::OCI_INDEX), json!({"manifests": []})).contains("no schemaVersion"));
    let mut value = image();
    value["schemaVersion"] = json!(3);
    assert!(refused(None, value).contains("schemaVersion 3"));
    let mut value = image();
    value["manifests"] = json!([]);
    assert!(refused(None, value).contains("only an index"));
    let mut value = image();
    value["layers"][0]["digest"] = json!("sha256:../../etc");
    assert!(refused(None, value).contains("in layers is not a digest"));
    let mut value = image();
    value["config"]["size"] = json!(-1);
    assert!(refused(None, value).contains("negative"));
    let error = Manifest::parse(Some(media_type::OCI_MANIFEST), b"{")
        .unwrap_err()
        .to_string();
    assert!(error.contains("line 1"), "{error}");
}

proptest! {
    #[test]
    fn no_bytes_make_the_parser_panic(bytes in any::<Vec<u8>>(), header in any::<Option<String>>()) {
        let _ = Manifest::parse(header.as_deref(), &bytes);
    }
}
