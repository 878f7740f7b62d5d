//! What is wrong, word for word.

use super::{problem, problems, with};

#[test]
fn an_unknown_key_shows_its_line_and_the_nearest_one() {
    assert_eq!(
        problem(
            "version: 0.1\nstorage:\n  filesystem:\n    rootdirectory: /data\nhttp:\n  adrr: :5000\n",
            &[]
        ),
        "unknown key `adrr` in `http`
  --> config.yml:6:3
   |
 6 |   adrr: …
   |   ^^^^
   = did you mean `addr`?"
    );
    assert_eq!(
        problem(&with("htpp:\n  addr: :5000\n"), &[]),
        "unknown key `htpp` at the top
  --> config.yml:3:1
   |
 3 | htpp:
   | ^^^^
   = did you mean `http`?"
    );
    assert!(
        problem(&with("rootdirectory: /x\n"), &[])
            .ends_with("= `rootdirectory` belongs into `storage.filesystem` or `storage.s3`")
    );
    assert!(problem(&with("http: {wombat: 1}\n"), &[]).contains("= known here: `addr`, `net`, `host`,"));
}

#[test]
fn a_misspelt_secret_is_not_shown() {
    let text = problem(&with("http:\n  secrett: hunter2\n"), &[]);
    assert!(
        !text.contains("hunter2") && text.contains("did you mean `secret`?"),
        "{text}"
    );
    let text = problem(&with("http:\n  secret: [hunter2]\n"), &[]);
    assert!(!text.contains("hunter2"), "{text}");
    let text = problem(&with("redis: {addr: x, password: 'hunter2\n"), &[]);
    assert!(!text.contains("hunter2"), "{text}");
    let text = problem(&with("http:\n  secret: hunter2: hunter3\n"), &[]);
    assert!(!text.contains("hunter"), "{text}");
}

#[test]
fn unknown_keys_of_a_driver_are_ignored_with_a_warning_as_in_distribution() {
    let file = "version: 0.1\nstorage:\n  filesystem:\n    rootdirectroy: /data\n";
    assert_eq!(
        super::warnings(file, &[]),
        [
            "config.yml:4:5: unknown key `rootdirectroy` in `storage.filesystem` is ignored: did you mean \
          `rootdirectory`?"
        ]
    );
}

#[test]
fn drivers_that_come_later_are_refused_with_what_to_do() {
    assert_eq!(
        problem("version: 0.1\nstorage:\n  gcs:\n    bucket: b\n", &[]),
        "`storage.gcs` is not supported yet
  --> config.yml:3:3
   |
 3 |   gcs:
   |   ^^^
   = this version stores in a folder (`storage.filesystem`) or an S3 bucket (`storage.s3`): take one of them, or keep \
         distribution until this driver is there"
    );
    let azure = problem("version: 0.1\nstorage: {azure: {accountname: a, container: c}}\n", &[]);
    assert!(azure.starts_with("`storage.azure` is not supported yet"), "{azure}");
    for driver in ["swift", "oss"] {
        let text = problem(
            &format!("version: 0.1\nstorage:\n  {driver}: {{username: u, password: p}}\n"),
            &[],
        );
        assert!(text.ends_with(
            "distribution 3 removed this driver too: copy the data to a folder and use `storage.filesystem`"
        ));
    }
}

#[test]
fn later_features_are_refused_only_where_they_are_used() {
    let cases = [
        (
            "proxy:\n  remoteurl: https://registry-1.docker.io\n",
            "`proxy` is not supported yet",
            "pull-through caching is not there yet: remove `proxy` to serve what is stored here, or keep distribution \
             for the mirror until then",
        ),
        (
            "notifications:\n  endpoints:\n    - {name: n, url: 'http://x'}\n",
            "`notifications.endpoints[0]` is not supported yet",
            "events are not sent yet: remove the endpoint, or set `disabled: true` on it to start without it",
        ),
        (
            "http: {tls: {letsencrypt: {cachefile: /c, email: a@b, hosts: [x]}}}\n",
            "`http.tls.letsencrypt` is not supported yet",
            "certificates are only read from files yet: let certbot, lego or cert-manager fetch one and name it in \
             `http.tls.certificate` and `http.tls.key`; it is read again when it changes",
        ),
        (
            "middleware: {repository: [{name: mine}]}\n",
            "`middleware.repository[0]` is not supported yet",
            "this version runs no middleware: remove the entry, or set `disabled: true` on it",
        ),
    ];
    for (more, message, help) in cases {
        let problems = problems(&with(more), &[]);
        assert_eq!(problems.len(), 1, "{problems:?}");
        assert_eq!(
            (problems[0].message.as_str(), problems[0].help.as_deref()),
            (message, Some(help))
        );
    }
    let unused = with(
        "proxy: {remoteurl: '', username: u}\nmiddleware: {storage: [{name: redirect, disabled: true}]}\n\
         http: {tls: {letsencrypt: {email: a@b}}}\n",
    );
    assert_eq!(
        super::warnings(&unused, &[]),
        [
            "config.yml:5:14: `http.tls.letsencrypt` has no effect without `http.tls.letsencrypt.cachefile`",
            "config.yml:3:1: `proxy` has no effect without `proxy.remoteurl`",
            "config.yml:4:31: `middleware.storage[0]` is disabled and left out",
        ]
    );
}

#[test]
fn every_mistake_is_named_at_once() {
    let file = "\
version: 0.1
storage:
  filesystem: {rootdirectory: [/a]}
http:
  addr: 5000
  draintimeout: 30x
  headers: {'bad name': [x]}
catalog: {maxentries: many}
";
    let messages: Vec<String> = problems(file, &[]).into_iter().map(|problem| problem.message).collect();
    assert_eq!(
        messages,
        [
            "`storage.filesystem.rootdirectory`: this is a list, and should be a text",
            "`http.addr`: \"5000\" has no port: write it like :5000, 127.0.0.1:5000 or [::1]:5000",
            "`http.draintimeout`: \"30x\" is not a duration: write it like 30s, 1h30m or 168h",
            "`http.headers`: \"bad name\" cannot be a header's name",
            "`catalog.maxentries`: \"many\" is not a whole number",
        ]
    );
}

/// A piece of a file and what is said about it.
const WRONG: &[(&str, &str)] = &[
    (
        "log: {level: loud}",
        "`log.level`: \"loud\" is not one of error, warn, info, debug",
    ),
    (
        "log: {formatter: xml}",
        "`log.formatter`: \"xml\" is not one of text, json, logstash",
    ),
    (
        "log: {accesslog: {disabled: 2}}",
        "`log.accesslog.disabled`: \"2\" is neither true nor false",
    ),
    (
        "tags: {maxtags: -1}",
        "`tags.maxtags`: -1 is too small: it must be at least 0",
    ),
    (
        "http: {draintimeout: -1s}",
        "`http.draintimeout`: \"-1s\" is less than nothing: write it like 30s, 1h30m or 168h",
    ),
    ("http: {net: udp}", "`http.net`: \"udp\" is not one of tcp, unix"),
    (
        "http: {net: unix}",
        "`http.addr`: `net: unix` needs the path of a socket here",
    ),
    (
        "http: {addr: '::1:5000'}",
        "`http.addr`: \"::1:5000\" is ambiguous: write it like :5000, 127.0.0.1:5000 or [::1]:5000",
    ),
    (
        "http: {addr: ':99999'}",
        "`http.addr`: \":99999\" has no valid port: write it like :5000, 127.0.0.1:5000 or [::1]:5000",
    ),
    (
        "http: {host: registry.example.com}",
        "`http.host`: \"registry.example.com\" is not a URL with scheme and host",
    ),
    ("http: {prefix: /a/../b}", "`http.prefix`: \"/a/../b\" is not a path"),
    (
        "http: {tls: {certificate: /c}}",
        "`http.tls.certificate`: `http.tls.key` is missing beside it",
    ),
    (
        "http: {tls: {key: /k}}",
        "`http.tls.key`: `http.tls.certificate` is missing beside it",
    ),
    (
        "http: {tls: {certificate: /c, key: /k, ciphersuites: [TLS_NO]}}",
        "`http.tls.ciphersuites`: \"TLS_NO\" is not a cipher suite",
    ),
    (
        "http: {tls: {minimumtls: ssl3}}",
        "`http.tls.minimumtls`: \"ssl3\" is not one of tls1.0, tls1.1, tls1.2, tls1.3",
    ),
    (
        "http: {trusted_proxies: [10.0.0.0/40]}",
        "`http.trusted_proxies`: \"10.0.0.0/40\" is neither an address nor a network like 10.0.0.0/8",
    ),
    (
        "http: {limits: {manifest_size: 4M}}",
        "`http.limits.manifest_size`: \"4M\" is not a size: write it like 4MiB, 512KiB or 4194304",
    ),
    (
        "http: {limits: {manifest_size: 1}}",
        "`http.limits.manifest_size`: 1B is out of range: it must be from 1KiB to 1GiB",
    ),
    (
        "http: {headers: [x]}",
        "`http.headers`: this should be names with a list of values each",
    ),
    ("http: 5000", "`http` must be a section with keys of its own"),
    ("health: {tcp: {addr: 'a:1'}}", "`health.tcp` must be a list"),
    ("health: {tcp: [{timeout: 1s}]}", "`health.tcp[0].addr` is missing"),
    (
        "health: {http: [{uri: ftp://x}]}",
        "`health.http[0].uri`: this should begin with http:// or https://",
    ),
    (
        "validation: {manifests: {urls: {allow: ['(']}}}",
        "`validation.manifests.urls.allow`: \"(\" is not a regular expression: unclosed group",
    ),
    (
        "validation: {manifests: {indexes: {platforms: some}}}",
        "`validation.manifests.indexes.platforms`: \"some\" is not one of all, none, list",
    ),
    (
        "gc: {grace_period: 1s}",
        "`gc.grace_period`: 1s is too short: it must be at least 600s",
    ),
    (
        "telemetry: {traces: {enabled: true, sample_ratio: 2}}",
        "`telemetry.traces.sample_ratio`: \"2\" is not a number from 0 to 1",
    ),
    ("auth: {htpasswd: {realm: r}}", "`auth.htpasswd.path` is missing"),
    ("auth: {ldap: {url: x}}", "unknown auth scheme `ldap` in `auth`"),
    (
        "auth: {silly: {realm: a, service: b}, none: {}}",
        "more than one auth scheme: `silly` (config.yml:3:8), `none` (config.yml:3:39)",
    ),
    (
        "auth: {token: {realm: r, service: s, issuer: i}}",
        "`auth.token.realm`: the issuer's keys are missing",
    ),
    (
        "auth: {htpasswd: {realm: r, path: p}}\naccess: {accounts: true}",
        "`access.accounts`: built-in accounts cannot stand beside an `auth` scheme yet",
    ),
    ("database: {path: /p, host: h}", "unknown key `host` in `database`"),
];

#[test]
fn wrong_values_say_what_is_wanted() {
    for (more, message) in WRONG {
        let problems = problems(&with(&format!("{more}\n")), &[]);
        assert_eq!(problems.len(), 1, "{more}: {problems:#?}");
        assert_eq!(problems[0].message, *message);
    }
}

#[test]
fn a_file_without_the_needed_sections_says_what_to_add() {
    let problems = problems("{}", &[]);
    let messages: Vec<(&str, Option<&str>)> = problems
        .iter()
        .map(|problem| (problem.message.as_str(), problem.help.as_deref()))
        .collect();
    assert_eq!(
        messages,
        [
            ("`version` is missing", Some("add the line `version: 0.1` at the top")),
            (
                "`storage` is missing",
                Some("add `storage: {filesystem: {rootdirectory: /var/lib/registry}}`")
            ),
        ]
    );
    assert!(problem("version: 0.2\nstorage: inmemory\n", &[]).starts_with("`version`: \"0.2\" is not one of 0.1"));
    assert!(
        problem("version: 0.1\nstorage: {delete: {enabled: true}}\n", &[]).starts_with("`storage` names no driver")
    );
    assert!(
        problem("version: 0.1\nstorage: {floppy: {}}\n", &[])
            .starts_with("unknown storage driver `floppy` in `storage`")
    );
    let two = problem(
        "version: 0.1\nstorage:\n  inmemory:\n  filesystem: {rootdirectory: /x}\n",
        &[],
    );
    assert!(two.starts_with(
        "more than one storage driver: `inmemory` (config.yml:3:3), `filesystem` (config.yml:4:3)\n  --> config.yml:4:3"
    ));
    assert_eq!(super::problems("", &[]).len(), 2);
    assert!(problem("just text", &[]).starts_with("the file must be a section with keys of its own"));
}

#[test]
fn broken_yaml_shows_where() {
    assert_eq!(
        problem("version: 0.1\nlog: {level: info\nstorage: inmemory\n", &[])
            .lines()
            .take(2)
            .last(),
        Some("  --> config.yml:3:8")
    );
    let twice = problem(
        "version: 0.1\nlog:\n  level: info\n  level: debug\nstorage: inmemory\n",
        &[],
    );
    assert_eq!(
        twice,
        "the key `level` is here twice
  --> config.yml:4:3
   |
 4 |   level: …
   |   ^^^^^
   = the first one is in line 3: keep one of them"
    );
}

#[test]
fn aliases_cannot_blow_up_memory_or_the_stack() {
    let mut bomb = String::from("a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n");
    for level in 1..12 {
        let below = format!("*a{}", level - 1);
        bomb.push_str(&format!("a{level}: &a{level} [{}]\n", vec![below; 10].join(", ")));
    }
    assert!(problem(&bomb, &[]).starts_with("more than 100000 values"));
    let mut deep = String::from("a0: &a0 x\n");
    for level in 1..400 {
        deep.push_str(&format!("a{level}: &a{level} [*a{}]\n", level - 1));
    }
    assert!(problem(&deep, &[]).starts_with("this alias makes the file too deep"));
    assert!(problem("a: &a [*a]\n", &[]).starts_with("this alias stands inside what it names"));
}

#[test]
fn a_schedule_or_time_zone_that_means_nothing_is_named_with_what_to_write() {
    let schedule = problem(&with("jobs:\n  schedules: {job_purge: sometimes}\n"), &[]);
    assert!(
        schedule.starts_with("`jobs.schedules.job_purge`: \"sometimes\" is no schedule: write never,"),
        "{schedule}"
    );
    assert!(schedule.contains("config.yml:4:"), "{schedule}");
    let zone = problem(&with("jobs: {time_zone: Berlin}\n"), &[]);
    assert!(
        zone.starts_with("`jobs.time_zone`: \"Berlin\" is no time zone: write UTC"),
        "{zone}"
    );
    let kind = problem(&with("jobs:\n  schedules: {job_purges: '@daily'}\n"), &[]);
    assert!(kind.contains("did you mean `job_purge`?"), "{kind}");
    let retention = problem(&with("jobs: {retention: 10s}\n"), &[]);
    assert!(
        retention.starts_with("`jobs.retention`: 10s is too short"),
        "{retention}"
    );
    assert!(problem(&with("jobs: {concurrency: 0}\n"), &[]).starts_with("`jobs.concurrency`"));
}
