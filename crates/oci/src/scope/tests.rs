use super::*;
use proptest::prelude::{any, proptest};

#[test]
fn a_scope_is_split_from_both_ends() {
    let scope: Scope = "repository:localhost:5000/team/app:pull,push".parse().unwrap();
    assert_eq!(scope.name, "localhost:5000/team/app");
    assert_eq!(scope.actions, ["pull", "push"]);
    let scope: Scope = "repository(plugin):a/b:pull".parse().unwrap();
    assert_eq!((scope.kind.as_str(), scope.class.as_str()), ("repository", "plugin"));
    assert_eq!(scope.to_string(), "repository(plugin):a/b:pull");
    assert_eq!(Scope::catalog().to_string(), "registry:catalog:*");
}

#[test]
fn malformed_parts_are_left_out_of_a_list() {
    let list = Scope::parse_list("repository:a:pull nonsense  repository(x:a:pull repository:b:push");
    assert_eq!(
        list,
        [Scope::repository("a", &["pull"]), Scope::repository("b", &["push"])]
    );
}

proptest! {
    #[test]
    fn no_text_makes_the_parser_panic(text in any::<String>()) {
        for scope in Scope::parse_list(&text) {
            assert!(!scope.name.is_empty());
        }
    }
}
