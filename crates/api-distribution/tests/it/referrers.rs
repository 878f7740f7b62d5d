//! `/v2/<name>/referrers/<digest>`

use serde_json::{Value, json};
use wharf_oci::media_type;
use wharf_test_support::{Answer, Image, Manifest, Registry, artifact, image, index};

async fn list(registry: &Registry, query: &str) -> Answer {
    let answer = registry
        .get(&format!("/v2/a/referrers/{query}"))
        .send()
        .await
        .expect(200);
    assert_eq!(answer.header("content-type"), media_type::OCI_INDEX);
    let body = answer.json();
    assert_eq!(body["schemaVersion"], 2);
    assert_eq!(body["mediaType"], media_type::OCI_INDEX);
    assert!(body["manifests"].is_array());
    answer
}

fn digests(answer: &Answer) -> Vec<String> {
    let mut all: Vec<String> = answer.json()["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|manifest| manifest["digest"].as_str().unwrap().to_owned())
        .collect();
    all.sort();
    all
}

fn expected(images: &[&Image]) -> Vec<String> {
    let mut all: Vec<String> = images.iter().map(|image| image.digest().to_string()).collect();
    all.sort();
    all
}

#[tokio::test]
async fn what_is_unknown_has_no_referrers_and_is_no_error() {
    let registry = Registry::open().await;
    let digest = image("x").digest();
    assert!(digests(&list(&registry, &digest.to_string()).await).is_empty());
    registry.push("a", "v1", &image("a")).await;
    assert!(digests(&list(&registry, &digest.to_string()).await).is_empty());
    assert!(digests(&list(&registry, &image("a").digest().to_string()).await).is_empty());
    let long = image("x").manifest.blob.sha512();
    assert!(digests(&list(&registry, &long.to_string()).await).is_empty());
}

#[tokio::test]
async fn a_referrer_is_listed_with_what_it_says_of_itself() {
    let registry = Registry::open().await;
    let subject = image("a");
    registry.push("a", "v1", &subject).await;
    let note = artifact(&subject.manifest, "application/vnd.example.note", "hello");
    registry.push("a", &note.digest().to_string(), &note).await;
    let answer = list(&registry, &subject.digest().to_string()).await;
    let expected = json!([{
        "mediaType": media_type::OCI_MANIFEST,
        "digest": note.digest().to_string(),
        "size": note.manifest.blob.bytes.len(),
        "artifactType": "application/vnd.example.note",
        "annotations": {"note": "hello"},
    }]);
    assert_eq!(answer.json()["manifests"], expected);
    assert!(answer.header("oci-filters-applied").is_empty());
    assert!(answer.header("link").is_empty());
}

#[tokio::test]
async fn the_type_falls_back_to_that_of_the_configuration_and_an_index_refers_too() {
    let registry = Registry::open().await;
    let subject = image("a");
    registry.push("a", "v1", &subject).await;
    let config = wharf_test_support::Blob::new("{\"cosign\":1}");
    registry.push_blob("a", &config).await;
    let signature = Manifest::new(&json!({
        "schemaVersion": 2, "mediaType": media_type::OCI_MANIFEST,
        "config": config.descriptor("application/vnd.example.config"), "layers": [],
        "subject": subject.manifest.descriptor(),
    }));
    let mut tree: Value = serde_json::from_slice(&index(&[]).blob.bytes).unwrap();
    tree["subject"] = subject.manifest.descriptor();
    tree["artifactType"] = json!("application/vnd.example.tree");
    let tree = Manifest::new(&tree);
    for manifest in [&signature, &tree] {
        registry
            .push_manifest("a", &manifest.digest().to_string(), manifest)
            .await;
    }
    let answer = list(&registry, &subject.digest().to_string()).await;
    let types: Vec<String> = answer.json()["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|manifest| manifest["artifactType"].as_str().unwrap().to_owned())
        .collect();
    assert!(
        types.contains(&"application/vnd.example.config".to_owned()),
        "{types:?}"
    );
    assert!(types.contains(&"application/vnd.example.tree".to_owned()), "{types:?}");
}

#[tokio::test]
async fn a_filter_is_applied_and_says_so() {
    let registry = Registry::open().await;
    let subject = image("a");
    let (one, two) = (
        artifact(&subject.manifest, "x/one", ""),
        artifact(&subject.manifest, "x/two", ""),
    );
    for note in [&one, &two] {
        registry.push("a", &note.digest().to_string(), note).await;
    }
    let subject = subject.digest();
    assert_eq!(
        digests(&list(&registry, &subject.to_string()).await),
        expected(&[&one, &two])
    );
    let answer = list(&registry, &format!("{subject}?artifactType=x/one")).await;
    assert_eq!(answer.header("oci-filters-applied"), "artifactType");
    assert_eq!(digests(&answer), expected(&[&one]));
    let answer = list(&registry, &format!("{subject}?artifactType=x%2Fthree")).await;
    assert_eq!(answer.header("oci-filters-applied"), "artifactType");
    assert!(digests(&answer).is_empty());
}

#[tokio::test]
async fn many_referrers_come_in_pages_that_keep_the_filter() {
    let registry = Registry::open().await;
    let subject = image("a");
    let mut wanted = Vec::new();
    for number in 0..9 {
        let kind = if number % 3 == 0 { "x/other" } else { "x/kind" };
        let note = artifact(&subject.manifest, kind, &number.to_string());
        registry.push("a", &note.digest().to_string(), &note).await;
        if kind == "x/kind" {
            wanted.push(note.digest().to_string());
        }
    }
    wanted.sort();
    let (mut seen, mut query) = (
        Vec::new(),
        Some(format!("{}?artifactType=x/kind&n=2", subject.digest())),
    );
    while let Some(page) = query {
        let answer = list(&registry, &page).await;
        let found = digests(&answer);
        assert!(found.len() <= 2);
        assert_eq!(answer.header("oci-filters-applied"), "artifactType");
        seen.extend(found);
        let link = answer.header("link");
        query = (!link.is_empty()).then(|| {
            assert!(link.ends_with(r#"; rel="next""#), "{link}");
            let target = link.trim_start_matches('<').split('>').next().unwrap();
            target.rsplit("/referrers/").next().unwrap().to_owned()
        });
    }
    assert_eq!(seen, wanted);
}

#[tokio::test]
async fn a_deleted_referrer_is_listed_no_more_and_a_deleted_subject_keeps_its_referrers() {
    let registry = Registry::open().await;
    let subject = image("a");
    registry.push("a", "v1", &subject).await;
    let (one, two) = (
        artifact(&subject.manifest, "x/one", ""),
        artifact(&subject.manifest, "x/two", ""),
    );
    for note in [&one, &two] {
        registry.push("a", &note.digest().to_string(), note).await;
    }
    registry
        .delete(&format!("/v2/a/manifests/{}", one.digest()))
        .send()
        .await
        .expect(202);
    let subject_digest = subject.digest().to_string();
    assert_eq!(digests(&list(&registry, &subject_digest).await), expected(&[&two]));
    registry
        .delete(&format!("/v2/a/manifests/{subject_digest}"))
        .send()
        .await
        .expect(202);
    assert_eq!(digests(&list(&registry, &subject_digest).await), expected(&[&two]));
    let registry = registry.stop().await.without_index().start().await;
    assert_eq!(digests(&list(&registry, &subject_digest).await), expected(&[&two]));
}

#[tokio::test]
async fn what_a_client_kept_in_the_fallback_tag_is_listed_too() {
    let registry = Registry::open().await;
    let subject = image("a");
    registry.push("a", "v1", &subject).await;
    // as oras does it on a registry that does not know referrers: the manifest is there, and an
    // index under the tag sha256-<hex> lists it
    let note = artifact(&subject.manifest, "x/note", "");
    registry.push("a", &note.digest().to_string(), &note).await;
    let fallback = index(&[&note.manifest]);
    registry
        .push_manifest("a", &subject.digest().to_string().replace(':', "-"), &fallback)
        .await;
    let answer = list(&registry, &subject.digest().to_string()).await;
    assert_eq!(digests(&answer), expected(&[&note]));
}
