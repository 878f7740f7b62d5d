//! The http section. Wharf's own keys in it stand in `wharf`.

use super::{Key, Kind, Release, When, key};

const NO_ACME: &str = "certificates are only read from files yet: let certbot, lego or cert-manager fetch one and name it in \
     `http.tls.certificate` and `http.tls.key`; it is read again when it changes";

/// `http`.
pub(super) static HTTP: &[Key] = &[
    key("http", Kind::Section, "The listener."),
    key(
        "http.addr",
        Kind::Text,
        "Address: `host:port`, `:port`, or the path of a socket with `net: unix`.",
    )
    .default(":5000"),
    key("http.net", Kind::Choice(&["tcp", "unix"]), "Kind of the address.").default("tcp"),
    key(
        "http.host",
        Kind::Text,
        "URL under which clients reach this registry, for generated links.",
    ),
    key("http.prefix", Kind::Text, "Path before `/v2/`.").default("/"),
    key(
        "http.secret",
        Kind::Text,
        "Signs the state of uploads; the same for all replicas. Made up if empty.",
    )
    .secret(),
    key(
        "http.relativeurls",
        Kind::Bool,
        "Answer with relative `Location` headers.",
    )
    .default("false"),
    key(
        "http.draintimeout",
        Kind::Duration,
        "How long running requests may take after SIGTERM. 0 = Wharf's own choice.",
    )
    .default("0s"),
    key("http.tls", Kind::Section, "HTTPS."),
    key(
        "http.tls.certificate",
        Kind::Path,
        "PEM file with the certificate and its chain.",
    ),
    key("http.tls.key", Kind::Path, "PEM file with its key."),
    key(
        "http.tls.clientcas",
        Kind::Paths,
        "PEM files: certificate authorities of client certificates.",
    ),
    key(
        "http.tls.clientauth",
        Kind::Choice(&[
            "request-client-cert",
            "require-any-client-cert",
            "verify-client-cert-if-given",
            "require-and-verify-client-cert",
        ]),
        "What is asked of clients when `clientcas` is set.",
    )
    .default("require-and-verify-client-cert")
    .only(Release::Three),
    key(
        "http.tls.minimumtls",
        Kind::Choice(&["tls1.0", "tls1.1", "tls1.2", "tls1.3"]),
        "Oldest version. `tls1.0` and `tls1.1` (2.8 only) are raised to `tls1.2` with a warning.",
    )
    .default("tls1.2"),
    key(
        "http.tls.ciphersuites",
        Kind::Texts,
        "Cipher suites for TLS 1.2, by their Go or IANA names. Those without forward secrecy or with CBC, 3DES or \
         RC4 are left out with a warning.",
    ),
    key(
        "http.tls.letsencrypt",
        Kind::Section,
        "Certificates from an ACME service.",
    )
    .refused(NO_ACME)
    .when(When::Has("cachefile")),
    key(
        "http.tls.letsencrypt.cachefile",
        Kind::Path,
        "Folder for the certificates.",
    ),
    key("http.tls.letsencrypt.email", Kind::Text, "Address of the account."),
    key("http.tls.letsencrypt.hosts", Kind::Texts, "Names to ask for."),
    key("http.tls.letsencrypt.directoryurl", Kind::Text, "The service.").only(Release::Three),
    key(
        "http.headers",
        Kind::Headers,
        "Headers of every response: a list of values for each name.",
    ),
    key("http.http2", Kind::Section, "HTTP/2."),
    key("http.http2.disabled", Kind::Bool, "Speak HTTP/1.1 only.").default("false"),
    key("http.h2c", Kind::Section, "HTTP/2 without TLS.").only(Release::Three),
    key("http.h2c.enabled", Kind::Bool, "Accept it.")
        .default("false")
        .only(Release::Three),
    key("http.debug", Kind::Section, "A second listener for metrics and health."),
    key("http.debug.addr", Kind::Text, "Its address; none if empty."),
    key("http.debug.prometheus", Kind::Section, "Metrics."),
    key(
        "http.debug.prometheus.enabled",
        Kind::Bool,
        "Serve them on the debug listener.",
    )
    .default("false"),
    key("http.debug.prometheus.path", Kind::Text, "Where.").default("/metrics"),
];
