use super::*;
use proptest::prelude::{any, proptest};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn a_digest_prints_as_it_was_written() {
    let digest: Digest = EMPTY.parse().unwrap();
    assert_eq!(digest.to_string(), EMPTY);
    assert_eq!(digest.hex(), &EMPTY[7..]);
    assert_eq!(digest.algorithm(), Algorithm::Sha256);
    let long = format!("sha512:{}", "0f".repeat(64));
    assert_eq!(long.parse::<Digest>().unwrap().to_string(), long);
}

#[test]
fn nonsense_is_refused_with_its_reason() {
    let cases = [
        ("", DigestError::NoSeparator),
        ("sha256", DigestError::NoSeparator),
        ("md5:d41d8cd98f00b204e9800998ecf8427e", DigestError::UnknownAlgorithm),
        ("sha256:abc", DigestError::WrongLength),
        ("sha256:", DigestError::WrongLength),
    ];
    for (text, reason) in cases {
        assert_eq!(text.parse::<Digest>(), Err(reason), "{text}");
    }
    let upper = EMPTY.to_uppercase().replace("SHA256", "sha256");
    assert_eq!(upper.parse::<Digest>(), Err(DigestError::NotHexadecimal));
    let climbing = format!("sha256:{}{}", "../".repeat(21), "a");
    assert_eq!(climbing.parse::<Digest>(), Err(DigestError::NotHexadecimal));
}

proptest! {
    #[test]
    fn any_text_parses_or_is_refused(text in any::<String>()) {
        if let Ok(digest) = text.parse::<Digest>() {
            assert_eq!(digest.to_string(), text);
        }
    }

    #[test]
    fn any_hash_survives_a_round_trip(hash in any::<[u8; 32]>()) {
        let digest = Digest::Sha256(hash);
        assert_eq!(digest.to_string().parse::<Digest>().unwrap(), digest);
    }
}
