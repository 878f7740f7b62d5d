//! Which file is read.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::{LEAST, variables};
use crate::config::{Auth, Error, Listen, Origin, StorageDriver, load_from};

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

#[test]
fn without_a_file_the_built_in_defaults_hold() {
    let config = load_from(None, &[], &[]).unwrap().config;
    assert_eq!(config.origin, Origin::Defaults);
    assert_eq!(
        config.storage.driver,
        StorageDriver::Filesystem {
            root: "./wharf-data".into(),
            max_threads: 100
        }
    );
    assert_eq!(
        config.http.listen,
        Listen::Tcp {
            host: "127.0.0.1".to_owned(),
            port: 5000
        }
    );
    assert!(config.access.accounts, "nobody is let in without an account");
    assert!(config.storage.delete_enabled);
    assert_eq!(config.access.token_lifetime, Duration::from_secs(300));
}

#[test]
fn without_a_file_the_environment_holds_on_top_of_the_defaults() {
    let env = variables(&[
        ("WHARF_DATA", "/var/lib/registry"),
        ("WHARF_ADDR", ":5000"),
        ("REGISTRY_AUTH_HTPASSWD_REALM", "r"),
        ("REGISTRY_AUTH_HTPASSWD_PATH", "/auth"),
    ]);
    let config = load_from(None, &env, &[]).unwrap().config;
    assert_eq!(
        config.storage.driver,
        StorageDriver::Filesystem {
            root: "/var/lib/registry".into(),
            max_threads: 100
        }
    );
    assert_eq!(
        config.http.listen,
        Listen::Tcp {
            host: String::new(),
            port: 5000
        }
    );
    assert!(matches!(config.auth, Auth::Htpasswd { .. }));
    assert!(!config.access.accounts);
    let memory = load_from(None, &variables(&[("REGISTRY_STORAGE", "inmemory")]), &[]).unwrap();
    assert_eq!(memory.config.storage.driver, StorageDriver::InMemory);
    assert!(memory.warnings.is_empty());
    let memory = load_from(None, &variables(&[("REGISTRY_STORAGE_INMEMORY", "{}")]), &[]).unwrap();
    assert_eq!(memory.config.storage.driver, StorageDriver::InMemory);
}

#[test]
fn the_named_file_comes_first_then_the_variable_then_the_two_places() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for name in ["named.yml", "variable.yml", "of-3/config.yml", "of-2/config.yml"] {
        write(&at(name), LEAST);
    }
    let env = vec![(
        "REGISTRY_CONFIGURATION_PATH".to_owned(),
        at("variable.yml").display().to_string(),
    )];
    let of_3 = at("of-3/config.yml");
    let of_2 = at("of-2/config.yml");
    let places = [of_3.as_path(), of_2.as_path()];
    let origin = |file: Option<&Path>, env: &[(String, String)], places: &[&Path]| {
        load_from(file, env, places).unwrap().config.origin
    };
    assert_eq!(
        origin(Some(&at("named.yml")), &env, &places),
        Origin::File(at("named.yml"))
    );
    assert_eq!(origin(None, &env, &places), Origin::File(at("variable.yml")));
    assert_eq!(origin(None, &[], &places), Origin::File(of_3.clone()));
    assert_eq!(origin(None, &[], &[&at("missing"), &of_2]), Origin::File(of_2.clone()));
    let both = load_from(None, &[], &places).unwrap();
    assert_eq!(
        super::texts(&both.warnings),
        [format!(
            "{} is there too and is not used: {} comes first; name the file on the command line to be sure",
            of_2.display(),
            of_3.display()
        )]
    );
}

#[test]
fn a_missing_file_says_what_is_there_instead() {
    let folder = tempfile::tempdir().unwrap();
    let shown = folder.path().display();
    write(&folder.path().join("registry.yaml"), LEAST);
    write(&folder.path().join("..data/registry.yaml"), LEAST);
    write(&folder.path().join("certs/tls.crt"), "");
    let error = load_from(Some(&folder.path().join("config.yml")), &[], &[]).unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }));
    assert_eq!(
        error.to_string(),
        format!(
            "cannot find the configuration file {shown}/config.yml: the folder {shown} holds certs/, registry.yaml\n   \
             = if this folder is a mounted ConfigMap, its key must be called config.yml (it is called registry.yaml): \
             rename the key, map it with `items: [{{key: registry.yaml, path: config.yml}}]`, or name the file on the \
             command line"
        )
    );
    let error = load_from(Some(&folder.path().join("no/where/config.yml")), &[], &[]).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "cannot find the configuration file {shown}/no/where/config.yml: the folder {shown}/no/where does not \
             exist; {shown} is there"
        )
    );
}

#[test]
fn a_folder_or_bytes_in_the_place_of_the_file_are_explained() {
    let folder = tempfile::tempdir().unwrap();
    let error = load_from(Some(folder.path()), &[], &[]).unwrap_err().to_string();
    assert!(
        error.contains("it is a folder (Docker makes one when the mounted file does not exist"),
        "{error}"
    );
    let file = folder.path().join("config.yml");
    fs::write(&file, [0xff, 0xfe, 0x00]).unwrap();
    let error = load_from(Some(&file), &[], &[]).unwrap_err().to_string();
    assert!(error.ends_with("the file is not UTF-8 text"), "{error}");
}
