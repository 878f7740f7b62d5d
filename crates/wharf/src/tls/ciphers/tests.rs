use super::restrict;
use crate::tls::Error;

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

fn left(list: &[&str]) -> Result<Vec<String>, Error> {
    let mut provider = rustls::crypto::aws_lc_rs::default_provider();
    restrict(&mut provider, &names(list))?;
    let suites = provider.cipher_suites.iter();
    Ok(suites.map(|suite| format!("{:?}", suite.suite())).collect())
}

#[test]
fn go_names_choose_the_suites_of_tls_1_2_and_leave_1_3_alone() {
    let left = left(&["TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256", "TLS_RSA_WITH_AES_128_CBC_SHA"]).unwrap();
    assert_eq!(left.len(), 4, "{left:?}");
    assert!(left.contains(&"TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256".to_owned()));
    assert!(left.contains(&"TLS13_AES_128_GCM_SHA256".to_owned()));
}

#[test]
fn a_list_without_a_supported_suite_and_an_unknown_suite_are_refused() {
    let gone = left(&["TLS_RSA_WITH_RC4_128_SHA"]).unwrap_err();
    assert!(gone.to_string().contains("TLS_RSA_WITH_RC4_128_SHA"));
    let unknown = left(&["TLS_SUPER_SAFE"]).unwrap_err();
    assert!(unknown.to_string().contains("TLS_SUPER_SAFE"));
}
