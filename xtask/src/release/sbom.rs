//! What the program is made of, as CycloneDX 1.6 (ECMA-424).

use std::collections::HashMap;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::hex;
use crate::cargo::{Metadata, Package};

/// A bill of materials.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Bom {
    #[serde(rename = "$schema")]
    schema: &'static str,
    bom_format: &'static str,
    spec_version: &'static str,
    serial_number: String,
    version: u32,
    metadata: About,
    pub(super) components: Vec<Component>,
    pub(super) dependencies: Vec<Uses>,
}

#[derive(Debug, Serialize)]
struct About {
    timestamp: String,
    component: Component,
}

/// One package.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Component {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(rename = "bom-ref")]
    pub(super) reference: String,
    name: String,
    version: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<String>,
    scope: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) hashes: Vec<Hash>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) licenses: Vec<License>,
    purl: String,
    #[serde(rename = "externalReferences", skip_serializing_if = "Vec::is_empty")]
    references: Vec<Reference>,
}

/// The checksum that the lock file pins.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hash {
    alg: &'static str,
    pub(super) content: String,
}

/// An SPDX expression.
#[derive(Clone, Debug, Serialize)]
pub(super) struct License {
    pub(super) expression: String,
}

#[derive(Clone, Debug, Serialize)]
struct Reference {
    #[serde(rename = "type")]
    kind: &'static str,
    url: String,
}

/// What one package is built from.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Uses {
    #[serde(rename = "ref")]
    pub(super) reference: String,
    pub(super) depends_on: Vec<String>,
}

/// Describes `program`: every package that is compiled into it or runs while it is built. `time` is that of the
/// commit, so that the same commit gives the same bytes.
pub(super) fn sbom(metadata: &Metadata, program: &Package, lock: &str, time: &str) -> Bom {
    let checksums = checksums(lock);
    let reachable = metadata.reachable(&program.id, true);
    let runs = metadata.reachable(&program.id, false);
    let mut packages: Vec<&Package> = metadata
        .packages
        .iter()
        .filter(|package| reachable.contains(package.id.as_str()))
        .collect();
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let described = |package: &&Package| {
        let is_built_in = runs.contains(package.id.as_str());
        component(package, if is_built_in { "required" } else { "excluded" }, &checksums)
    };
    let others = packages.iter().filter(|package| package.id != program.id);
    let components: Vec<Component> = others.map(described).collect();
    let mut main = component(program, "required", &checksums);
    main.kind = "application";
    Bom {
        schema: "http://cyclonedx.org/schema/bom-1.6.schema.json",
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: serial_number(&components, time),
        version: 1,
        metadata: About {
            timestamp: time.to_owned(),
            component: main,
        },
        components,
        dependencies: uses(metadata, &packages),
    }
}

fn component(package: &Package, scope: &'static str, checksums: &HashMap<(&str, &str), &str>) -> Component {
    let checksum = checksums.get(&(package.name.as_str(), package.version.as_str()));
    let hash = checksum.map(|content| Hash {
        alg: "SHA-256",
        content: (*content).to_owned(),
    });
    // some manifests still write MIT/Apache-2.0, which is no SPDX expression
    let license = package.license.as_deref().map(|license| License {
        expression: license.replace('/', " OR "),
    });
    let reference = package.repository.clone().map(|url| Reference { kind: "vcs", url });
    Component {
        kind: "library",
        reference: purl(package),
        name: package.name.clone(),
        version: package.version.clone(),
        description: package.description.as_deref().map(|text| text.trim().to_owned()),
        scope,
        hashes: hash.into_iter().collect(),
        licenses: license.into_iter().collect(),
        purl: purl(package),
        references: reference.into_iter().collect(),
    }
}

/// The package URL of a crate.
fn purl(package: &Package) -> String {
    // of a version's characters only the plus has a meaning in URLs
    format!("pkg:cargo/{}@{}", package.name, package.version.replace('+', "%2B"))
}

fn uses(metadata: &Metadata, packages: &[&Package]) -> Vec<Uses> {
    let by_id: HashMap<&str, &Package> = packages.iter().map(|package| (package.id.as_str(), *package)).collect();
    let mut found = Vec::new();
    for node in &metadata.resolve.nodes {
        let Some(package) = by_id.get(node.id.as_str()) else {
            continue;
        };
        let edges = node.deps.iter().filter(|edge| edge.is_followed(true));
        let mut depends_on: Vec<String> = edges
            .filter_map(|edge| by_id.get(edge.pkg.as_str()))
            .map(|used| purl(used))
            .collect();
        depends_on.sort();
        depends_on.dedup();
        found.push(Uses {
            reference: purl(package),
            depends_on,
        });
    }
    found.sort_by(|a, b| a.reference.cmp(&b.reference));
    found
}

/// The checksums of a lock file, by name and version.
fn checksums(lock: &str) -> HashMap<(&str, &str), &str> {
    let mut found = HashMap::new();
    for entry in lock.split("[[package]]") {
        let field = |name: &str| {
            let line = entry
                .lines()
                .find_map(|line| line.strip_prefix(name)?.strip_prefix(" = \""));
            line.and_then(|value| value.strip_suffix('"'))
        };
        if let (Some(name), Some(version), Some(checksum)) = (field("name"), field("version"), field("checksum")) {
            found.insert((name, version), checksum);
        }
    }
    found
}

/// A UUID made from the content (version 8: "vendor specific", RFC 9562).
fn serial_number(components: &[Component], time: &str) -> String {
    let mut hasher = Sha256::new();
    hasher.update(time);
    for component in components {
        hasher.update(&component.reference);
    }
    let mut bytes = hasher.finalize();
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let text = hex(&bytes[..16]);
    let part = |begin: usize, end: usize| text.get(begin..end).unwrap_or_default().to_owned();
    let parts = [part(0, 8), part(8, 12), part(12, 16), part(16, 20), part(20, 32)];
    format!("urn:uuid:{}", parts.join("-"))
}
