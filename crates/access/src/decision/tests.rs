use super::*;

fn user(name: &str, is_admin: bool) -> Principal {
    Principal::whole(Identity::User {
        id: 1,
        name: name.to_owned(),
        is_admin,
    })
}

fn decide_on(principal: &Principal, action: Action, name: &str, visibility: Visibility) -> Decision {
    decide(
        principal,
        action,
        Resource::Repository(&name.parse().unwrap(), visibility),
    )
}

#[test]
fn nobody_may_pull_what_is_public_and_nothing_else() {
    let nobody = Principal::anonymous();
    assert_eq!(
        decide_on(&nobody, Action::Pull, "a/b", Visibility::Public),
        Decision::Allowed
    );
    for visibility in [Visibility::Private, Visibility::Internal] {
        assert_eq!(
            decide_on(&nobody, Action::Pull, "a/b", visibility),
            Decision::NeedsCredentials
        );
    }
    assert_eq!(
        decide_on(&nobody, Action::Push, "a/b", Visibility::Public),
        Decision::NeedsCredentials
    );
    assert_eq!(
        decide(&nobody, Action::List, Resource::Catalog),
        Decision::NeedsCredentials
    );
}

#[test]
fn a_user_owns_the_project_of_that_name_but_not_the_repository_of_that_name() {
    let ann = user("ann", false);
    for action in [Action::Pull, Action::Push, Action::Delete] {
        assert_eq!(
            decide_on(&ann, action, "ann/app", Visibility::Private),
            Decision::Allowed
        );
        assert_eq!(decide_on(&ann, action, "ann", Visibility::Private), Decision::Denied);
        assert_eq!(
            decide_on(&ann, action, "annex/app", Visibility::Private),
            Decision::Denied
        );
    }
    assert_eq!(
        decide_on(&ann, Action::Pull, "bob/app", Visibility::Internal),
        Decision::Allowed
    );
    assert_eq!(
        decide_on(&ann, Action::Push, "bob/app", Visibility::Public),
        Decision::Denied
    );
    assert_eq!(decide(&ann, Action::Administer, Resource::System), Decision::Denied);
}

#[test]
fn administrators_htpasswd_users_and_unguarded_registries_have_every_right_on_images() {
    let principals = [
        user("admin", true),
        Principal::whole(Identity::Htpasswd("ci".to_owned())),
        Principal::whole(Identity::Unguarded),
    ];
    for principal in &principals {
        for action in [Action::Pull, Action::Push, Action::Delete] {
            assert_eq!(
                decide_on(principal, action, "any/name", Visibility::Private),
                Decision::Allowed
            );
        }
    }
    assert_eq!(
        decide(&principals[0], Action::Administer, Resource::System),
        Decision::Allowed
    );
    assert_eq!(
        decide(&principals[1], Action::Administer, Resource::System),
        Decision::Denied
    );
    assert_eq!(
        decide(&principals[2], Action::Administer, Resource::System),
        Decision::Denied
    );
}

#[test]
fn a_token_gives_no_more_than_its_scopes() {
    let mut admin = user("admin", true);
    admin.scopes = Some(vec![Scope::repository("a/b", &["pull"])]);
    assert_eq!(
        decide_on(&admin, Action::Pull, "a/b", Visibility::Private),
        Decision::Allowed
    );
    assert_eq!(
        decide_on(&admin, Action::Push, "a/b", Visibility::Private),
        Decision::NeedsCredentials
    );
    assert_eq!(
        decide_on(&admin, Action::Pull, "a/bc", Visibility::Private),
        Decision::NeedsCredentials
    );
    assert_eq!(
        decide(&admin, Action::List, Resource::Catalog),
        Decision::NeedsCredentials
    );
    assert_eq!(
        decide(&admin, Action::Administer, Resource::System),
        Decision::NeedsCredentials
    );
    admin.scopes = Some(vec![Scope::catalog(), Scope::repository("a/b", &["*"])]);
    assert_eq!(decide(&admin, Action::List, Resource::Catalog), Decision::Allowed);
    assert_eq!(
        decide_on(&admin, Action::Delete, "a/b", Visibility::Private),
        Decision::Allowed
    );
    let mut stranger = Principal::whole(Identity::External("ci".to_owned()));
    stranger.scopes = Some(Vec::new());
    assert_eq!(
        decide_on(&stranger, Action::Pull, "a/b", Visibility::Public),
        Decision::NeedsCredentials
    );
}
