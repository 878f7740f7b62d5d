//! Chance, bytes and manifests.

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256, Sha512};

use crate::model::{Blob, Member};

pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const SIGNATURE: &str = "application/vnd.example.signature.v1+json";

/// How many layers and configurations all clients share. Few enough that each is often held by nobody, and
/// soon wanted again.
const POOL: u64 = 240;
/// One of so many pool layers is named by its sha512.
const EVERY_SHA512: u64 = 12;

/// A generator of chance (SplitMix64): the same seed rolls the same.
pub struct Dice(u64);

impl Dice {
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// From zero up to `end`, without it.
    pub fn below(&mut self, end: u64) -> u64 {
        self.roll() % end.max(1)
    }

    /// So many times of a hundred.
    pub fn percent(&mut self, times: u64) -> bool {
        self.below(100) < times
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        let length = u64::try_from(from.len()).unwrap_or(0);
        from.get(usize::try_from(self.below(length)).unwrap_or(0))
    }
}

/// A blob with its bytes.
#[derive(Clone)]
pub struct Content {
    pub blob: Blob,
    pub bytes: Vec<u8>,
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex(&Sha256::digest(bytes)))
}

pub fn sha512(bytes: &[u8]) -> String {
    format!("sha512:{}", hex(&Sha512::digest(bytes)))
}

/// The digest of the bytes by the algorithm that `like` names.
pub fn digest_like(like: &str, bytes: &[u8]) -> String {
    match like.starts_with("sha512:") {
        true => sha512(bytes),
        false => sha256(bytes),
    }
}

fn hex(hash: &[u8]) -> String {
    hash.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn filled(seed: u64, length: u64) -> Vec<u8> {
    let mut dice = Dice::new(seed);
    let words = (0..length.div_ceil(8)).flat_map(|_| dice.roll().to_le_bytes());
    let mut bytes: Vec<u8> = words.collect();
    bytes.truncate(usize::try_from(length).unwrap_or(0));
    bytes
}

/// Mostly small: what is tried here is order, not throughput.
fn length(dice: &mut Dice) -> u64 {
    match dice.below(400) {
        0 => 1_000_000 + dice.below(500_000),
        1..40 => 20_000 + dice.below(60_000),
        _ => 64 + dice.below(6_000),
    }
}

fn content(bytes: Vec<u8>, is_sha512: bool, media_type: &str) -> Content {
    let stored = sha256(&bytes);
    let digest = if is_sha512 { sha512(&bytes) } else { stored.clone() };
    let blob = Blob {
        digest,
        stored,
        size: bytes.len(),
        media_type: media_type.to_owned(),
    };
    Content { blob, bytes }
}

/// One of the layers that everybody uses.
pub fn pool_layer(seed: u64, dice: &mut Dice) -> Content {
    // some are wanted often, most now and then
    let number = dice.below(POOL).min(dice.below(POOL * 3));
    let mut of_its_own = Dice::new(seed ^ number.wrapping_mul(0x0123_4567_89AB_CDEF));
    let length = length(&mut of_its_own);
    content(filled(of_its_own.roll(), length), number % EVERY_SHA512 == 5, LAYER)
}

/// A layer that nobody else has.
pub fn own_layer(dice: &mut Dice) -> Content {
    let length = length(dice);
    content(filled(dice.roll(), length), false, LAYER)
}

fn config(seed: u64, name: &str, dice: &mut Dice) -> Content {
    let label = match dice.percent(40) {
        true => format!("shared {seed} {}", dice.below(24)),
        false => name.to_owned(),
    };
    let text = json!({"architecture": "amd64", "os": "linux", "label": label}).to_string();
    content(text.into_bytes(), false, CONFIG)
}

/// A manifest with the blobs that must be there before it.
#[derive(Clone)]
pub struct Made {
    pub member: Member,
    pub contents: Vec<Content>,
}

pub fn image(seed: u64, name: &str, dice: &mut Dice) -> Made {
    let config = config(seed, name, dice);
    let mut layers: Vec<Content> = (0..=dice.below(3)).map(|_| pool_layer(seed, dice)).collect();
    if dice.percent(25) {
        layers.push(own_layer(dice));
    }
    let mut seen = Vec::new();
    layers.retain(|layer| {
        let is_new = !seen.contains(&layer.blob.digest);
        seen.push(layer.blob.digest.clone());
        is_new
    });
    let described: Vec<Value> = layers.iter().map(|layer| described(&layer.blob)).collect();
    let body = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "config": self::described(&config.blob), "layers": described,
        "annotations": {"name": name},
    });
    let contents = std::iter::once(config).chain(layers).collect();
    made(MANIFEST, &body, contents, None)
}

pub fn index(name: &str, children: &[&Member]) -> Made {
    let described: Vec<Value> = children
        .iter()
        .map(|child| json!({"mediaType": child.media_type, "digest": child.digest, "size": child.bytes.len()}))
        .collect();
    let body = json!({
        "schemaVersion": 2, "mediaType": INDEX, "manifests": described, "annotations": {"name": name},
    });
    made(INDEX, &body, Vec::new(), None)
}

/// A signature of `subject`.
pub fn referrer(name: &str, subject: &Member, dice: &mut Dice) -> Made {
    let empty = content(b"{}".to_vec(), false, "application/vnd.oci.empty.v1+json");
    let signature = content(filled(dice.roll(), 64 + dice.below(400)), false, SIGNATURE);
    let body = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": SIGNATURE, "config": described(&empty.blob),
        "layers": [described(&signature.blob)],
        "subject": {"mediaType": subject.media_type, "digest": subject.digest, "size": subject.bytes.len()},
        "annotations": {"name": name},
    });
    made(MANIFEST, &body, vec![empty, signature], Some(subject.digest.clone()))
}

fn described(blob: &Blob) -> Value {
    json!({"mediaType": blob.media_type, "digest": blob.digest, "size": blob.size})
}

fn made(media_type: &str, body: &Value, contents: Vec<Content>, subject: Option<String>) -> Made {
    let bytes = body.to_string();
    let member = Member {
        digest: sha256(bytes.as_bytes()),
        media_type: media_type.to_owned(),
        blobs: contents.iter().map(|content| content.blob.clone()).collect(),
        subject,
        bytes,
    };
    Made { member, contents }
}
