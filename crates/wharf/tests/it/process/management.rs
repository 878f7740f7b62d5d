//! The management API on the registry's own port.

use super::client::{self, Answer};
use super::program::{Folder, Program};

fn post_user(program: &Program, login: Option<(&str, &str)>, body: &str) -> Answer {
    let basic = login.map(|(name, password)| client::basic(name, password));
    let mut headers = vec![("Content-Type", "application/json")];
    headers.extend(basic.as_deref().map(|value| ("Authorization", value)));
    let path = "/api/v2.0/users";
    program.client().send("POST", path, &headers, body.as_bytes())
}

fn code(answer: &Answer) -> String {
    answer.json()["errors"][0]["code"].as_str().unwrap().to_owned()
}

#[test]
fn only_an_administrator_manages_accounts_over_the_network() {
    let folder = Folder::with_accounts();
    let program = folder.start_with(&[("WHARF_ADMIN_PASSWORD", "first password")]);
    let anna = r#"{"username": "anna", "password": "a password of anna"}"#;
    let refused = post_user(&program, None, anna).expect(401);
    assert_eq!(refused.header("www-authenticate"), "Basic realm=\"wharf\"");
    assert_eq!(code(&refused), "UNAUTHORIZED");
    post_user(&program, Some(("admin", "wrong password")), anna).expect(401);
    post_user(&program, Some(("admin", "first password")), anna).expect(201);
    let again = post_user(&program, Some(("admin", "first password")), anna).expect(409);
    assert_eq!(code(&again), "CONFLICT");
    let berta = r#"{"username": "berta", "password": "a password of berta"}"#;
    let denied = post_user(&program, Some(("anna", "a password of anna")), berta).expect(403);
    assert_eq!(code(&denied), "FORBIDDEN");
    let unreadable = post_user(&program, Some(("admin", "first password")), "{").expect(400);
    assert_eq!(code(&unreadable), "BAD_REQUEST");
}

#[test]
fn what_the_management_api_does_not_have_says_where_it_begins() {
    let folder = Folder::open();
    let program = folder.start();
    let client = program.client();
    let nothing = client.send("GET", "/api/v2.0/nothing", &[], b"").expect(404);
    assert_eq!(code(&nothing), "NOT_FOUND");
    client.send("GET", "/api/v1/users", &[], b"").expect(404);
    let method = client.send("PATCH", "/api/v2.0/users", &[], b"").expect(405);
    assert_eq!(code(&method), "METHOD_NOT_ALLOWED");
    // a registry that asks nobody for a password has no administrators on the network
    let open = client
        .send("POST", "/api/v2.0/index/accept-storage", &[], b"")
        .expect(403);
    assert_eq!(code(&open), "FORBIDDEN");
}
