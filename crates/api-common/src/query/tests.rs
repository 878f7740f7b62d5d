use proptest::prelude::{any, prop_assert_eq, proptest};

use super::{all, append, decode, first};

#[test]
fn parameters_are_decoded_and_the_first_counts() {
    assert_eq!(first("n=5&last=a%2Fb+c&n=6", "n").unwrap(), "5");
    assert_eq!(first("n=5&last=a%2Fb+c", "last").unwrap(), "a/b c");
    assert_eq!(first("&&x", "x").unwrap(), "");
    assert_eq!(first("a=b", "x"), None);
    let scopes: Vec<_> = all("scope=a&scope=b%20c", "scope").collect();
    assert_eq!(scopes, ["a", "b c"]);
}

#[test]
fn broken_escapes_stay_and_broken_utf8_is_replaced() {
    assert_eq!(decode("100%"), "100%");
    assert_eq!(decode("%zz%4"), "%zz%4");
    assert_eq!(decode("%ff"), "\u{fffd}");
}

proptest! {
    #[test]
    fn what_is_appended_is_read_back(name in any::<String>(), value in any::<String>()) {
        let mut query = String::new();
        append(&mut query, &name, &value);
        append(&mut query, "more", "1");
        let found = first(&query, &name).unwrap().into_owned();
        prop_assert_eq!(found, value);
    }

    #[test]
    fn any_text_decodes(text in any::<String>()) {
        let _ = decode(&text);
    }
}
