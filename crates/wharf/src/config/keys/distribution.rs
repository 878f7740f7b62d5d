//! distribution's keys, all but the storage and http sections.

use super::{Key, Kind, Release, When, key};

const LEVELS: &[&str] = &["error", "warn", "info", "debug"];
const COUNT: Kind = Kind::Int(0, i64::MAX);
const ANY: Kind = Kind::Int(i64::MIN, i64::MAX);

const NO_MAIL: &str = "no mail is sent yet: watch the log, or let your log collector send the mail";
const NO_MIDDLEWARE: &str = "this version runs no middleware: remove the entry, or set `disabled: true` on it";
const NO_EVENTS: &str =
    "events are not sent yet: remove the endpoint, or set `disabled: true` on it to start without it";
const NO_REDIS: &str = "nothing in this version uses Redis: what distribution caches there is in Wharf's own index";
const NO_PROXY: &str = "pull-through caching is not there yet: remove `proxy` to serve what is stored here, or keep \
     distribution for the mirror until then";
const NO_REPORTING: &str = "errors are only written to the log; distribution 3 removed this section too";
const NO_SCHEMA1: &str = "schema 1 manifests are not accepted; distribution 3 removed this section too";
const NO_CLASSES: &str = "repositories of every class are accepted";

/// `version`, `log`.
pub(super) static GENERAL: &[Key] = &[
    key(
        "version",
        Kind::Choice(&["0.1"]),
        "Version of the file's format. Needed in every file.",
    )
    .required(),
    key("log", Kind::Section, "What is logged, and how."),
    key(
        "log.level",
        Kind::Choice(LEVELS),
        "The least severe lines that are written.",
    )
    .default("info"),
    key(
        "log.formatter",
        Kind::Choice(&["text", "json", "logstash"]),
        "Shape of a line.",
    )
    .default("text"),
    key("log.fields", Kind::Fields, "Fields that every line carries."),
    key(
        "log.accesslog",
        Kind::Section,
        "One line for each request, on standard output.",
    ),
    key("log.accesslog.disabled", Kind::Bool, "Write no access log.").default("false"),
    key(
        "log.reportcaller",
        Kind::Bool,
        "Name the place in the source in each line.",
    )
    .default("false")
    .only(Release::Three),
    key("log.hooks", Kind::Sections, "Mails about log lines.")
        .ignored(NO_MAIL)
        .when(When::Unless("disabled")),
    key("log.hooks[].type", Kind::Choice(&["mail"]), "Kind of the hook."),
    key("log.hooks[].disabled", Kind::Bool, "Leave this hook out.").default("false"),
    key("log.hooks[].levels", Kind::Texts, "Levels that cause a mail."),
    key("log.hooks[].options", Kind::Section, "How to send it.").field("MAILOPTIONS"),
    key("log.hooks[].options.smtp", Kind::Section, "The mail server."),
    key("log.hooks[].options.smtp.addr", Kind::Text, "Its address."),
    key("log.hooks[].options.smtp.username", Kind::Text, "User for it."),
    key("log.hooks[].options.smtp.password", Kind::Text, "Password for it.").secret(),
    key(
        "log.hooks[].options.smtp.insecure",
        Kind::Bool,
        "Do not verify its certificate.",
    )
    .default("false"),
    key("log.hooks[].options.from", Kind::Text, "Sender."),
    key("log.hooks[].options.to", Kind::Texts, "Recipients."),
    key(
        "loglevel",
        Kind::Choice(LEVELS),
        "Old spelling of `log.level`, which wins.",
    ),
];

/// `auth`, `middleware`.
pub(super) static ACCESS: &[Key] = &[
    key(
        "auth",
        Kind::OneOf,
        "Who may do what: at most one scheme. Without it a configuration file means open to everyone, as in distribution.",
    ),
    key("auth.none", Kind::Params, "The same as no `auth`.")
        .only(Release::Three)
        .optional(),
    key(
        "auth.silly",
        Kind::Params,
        "Lets in every request with an `Authorization` header. For development.",
    )
    .optional(),
    key("auth.silly.realm", Kind::Text, "`realm` of the challenge.").required(),
    key("auth.silly.service", Kind::Text, "`service` of the challenge.").required(),
    key(
        "auth.htpasswd",
        Kind::Params,
        "Users of an htpasswd file (bcrypt); each has every right.",
    )
    .optional(),
    key("auth.htpasswd.realm", Kind::Text, "`realm` of the `Basic` challenge.").required(),
    key(
        "auth.htpasswd.path",
        Kind::Path,
        "The file. It is read again when it changes.",
    )
    .required(),
    key(
        "auth.token",
        Kind::Params,
        "Bearer tokens of an external token service.",
    )
    .optional(),
    key("auth.token.realm", Kind::Text, "URL of the token service.").required(),
    key(
        "auth.token.service",
        Kind::Text,
        "Name of this registry: the audience of its tokens.",
    )
    .required(),
    key("auth.token.issuer", Kind::Text, "The `iss` of its tokens.").required(),
    key(
        "auth.token.rootcertbundle",
        Kind::Path,
        "PEM file with the issuer's certificates. This or `jwks` is needed.",
    ),
    key(
        "auth.token.jwks",
        Kind::Path,
        "File with the issuer's JSON Web Key Set.",
    )
    .only(Release::Three),
    key(
        "auth.token.autoredirect",
        Kind::Bool,
        "Name the host that the client asked as the realm.",
    )
    .default("false"),
    key("auth.token.autoredirectpath", Kind::Text, "Path of the realm then.")
        .default("/auth/token")
        .only(Release::Three),
    key(
        "auth.token.signingalgorithms",
        Kind::Choices(&[
            "EdDSA", "HS256", "HS384", "HS512", "RS256", "RS384", "RS512", "ES256", "ES384", "ES512", "PS256", "PS384",
            "PS512",
        ]),
        "Algorithms that are accepted; all of them if empty.",
    )
    .only(Release::Three),
    key(
        "middleware",
        Kind::Section,
        "Middleware around the registry, its repositories or its storage.",
    ),
    key("middleware.registry", Kind::Sections, "Around the registry.")
        .refused(NO_MIDDLEWARE)
        .when(When::Unless("disabled")),
    key("middleware.registry[].name", Kind::Text, "Which one.").required(),
    key(
        "middleware.registry[].disabled",
        Kind::Bool,
        "Leave it out (distribution runs it all the same).",
    )
    .default("false"),
    key("middleware.registry[].options", Kind::Fields, "Its options."),
    key("middleware.repository", Kind::Sections, "Around each repository.")
        .refused(NO_MIDDLEWARE)
        .when(When::Unless("disabled")),
    key("middleware.repository[].name", Kind::Text, "Which one.").required(),
    key(
        "middleware.repository[].disabled",
        Kind::Bool,
        "Leave it out (distribution runs it all the same).",
    )
    .default("false"),
    key("middleware.repository[].options", Kind::Fields, "Its options."),
    key(
        "middleware.storage",
        Kind::Sections,
        "Where clients are sent for blobs: `cloudfront`, `redirect`, `rewrite`. The last entry decides.",
    )
    .when(When::Unless("disabled")),
    key("middleware.storage[].name", Kind::Text, "Which one.").required(),
    key(
        "middleware.storage[].disabled",
        Kind::Bool,
        "Leave it out (distribution runs it all the same).",
    )
    .default("false"),
    key("middleware.storage[].options", Kind::Params, "Its options."),
    key(
        "middleware.storage[].options.baseurl",
        Kind::Text,
        "Where clients are sent.",
    ),
    key(
        "middleware.storage[].options.privatekey",
        Kind::Path,
        "cloudfront: PEM file with the private key (RSA or ECDSA P-256) that signs URLs.",
    ),
    key(
        "middleware.storage[].options.keypairid",
        Kind::Text,
        "cloudfront: id of that key.",
    ),
    key(
        "middleware.storage[].options.duration",
        Kind::Duration,
        "cloudfront: how long a URL is good.",
    )
    .default("20m"),
    key(
        "middleware.storage[].options.ipfilteredby",
        Kind::Choice(&["none", "aws", "awsregion"]),
        "cloudfront: who is sent to the bucket instead. Only `none` is there yet.",
    )
    .default("none"),
    key(
        "middleware.storage[].options.awsregion",
        Kind::Text,
        "cloudfront: regions of that filter.",
    ),
    key(
        "middleware.storage[].options.updatefrequency",
        Kind::Duration,
        "cloudfront: between two reads of the ranges.",
    )
    .default("12h")
    .aliases(&["updatefrenquency"]),
    key(
        "middleware.storage[].options.iprangesurl",
        Kind::Text,
        "cloudfront: where the ranges are.",
    ),
    key(
        "middleware.storage[].options.scheme",
        Kind::Text,
        "rewrite: new scheme.",
    )
    .only(Release::Three),
    key("middleware.storage[].options.host", Kind::Text, "rewrite: new host.").only(Release::Three),
    key(
        "middleware.storage[].options.trimpathprefix",
        Kind::Text,
        "rewrite: prefix to cut off.",
    )
    .only(Release::Three),
    key(
        "middleware.storage[].options.authtype",
        Kind::Text,
        "alicdn: kind of the signature.",
    )
    .only(Release::Two),
    key(
        "middleware.storage[].options.urlprivatekey",
        Kind::Text,
        "alicdn: key of the signature.",
    )
    .only(Release::Two)
    .secret(),
];

/// `notifications`, `health`, `proxy`, `validation`, `policy`, and what distribution 3 removed.
pub(super) static SERVICES: &[Key] = &[
    key(
        "notifications",
        Kind::Section,
        "Events about pushes, pulls and deletes.",
    ),
    key("notifications.events", Kind::Section, "What is in an event.").field("EVENTCONFIG"),
    key(
        "notifications.events.includereferences",
        Kind::Bool,
        "The references of a manifest too.",
    )
    .default("false")
    .notice("no events are sent yet"),
    key("notifications.endpoints", Kind::Sections, "Where events go.")
        .refused(NO_EVENTS)
        .when(When::Unless("disabled")),
    key("notifications.endpoints[].name", Kind::Text, "Name of the endpoint.").required(),
    key("notifications.endpoints[].disabled", Kind::Bool, "Leave it out.").default("false"),
    key("notifications.endpoints[].url", Kind::Text, "Its URL.").required(),
    key(
        "notifications.endpoints[].headers",
        Kind::Headers,
        "Headers of each request.",
    )
    .secret(),
    key(
        "notifications.endpoints[].timeout",
        Kind::Duration,
        "How long an answer may take.",
    )
    .default("1s"),
    key("notifications.endpoints[].threshold", ANY, "Failures before it waits.").default("10"),
    key(
        "notifications.endpoints[].backoff",
        Kind::Duration,
        "How long it waits.",
    )
    .default("1s"),
    key(
        "notifications.endpoints[].ignoredmediatypes",
        Kind::Texts,
        "Media types without events.",
    ),
    key(
        "notifications.endpoints[].ignore",
        Kind::Section,
        "What causes no events.",
    ),
    key(
        "notifications.endpoints[].ignore.mediatypes",
        Kind::Texts,
        "Media types without events.",
    ),
    key(
        "notifications.endpoints[].ignore.actions",
        Kind::Texts,
        "Actions without events.",
    ),
    key("health", Kind::Section, "What must be well for the registry to answer."),
    key("health.storagedriver", Kind::Section, "The storage."),
    key("health.storagedriver.enabled", Kind::Bool, "Check it.").default("false"),
    key("health.storagedriver.interval", Kind::Duration, "Between two checks.").default("10s"),
    key(
        "health.storagedriver.threshold",
        COUNT,
        "Failures in a row that make it unhealthy; 0 and 1: the first one.",
    )
    .default("0"),
    key("health.file", Kind::Sections, "Unhealthy while a file exists.").field("FILECHECKERS"),
    key("health.file[].file", Kind::Path, "The file.").required(),
    key("health.file[].interval", Kind::Duration, "Between two checks.").default("10s"),
    key("health.file[].threshold", COUNT, "Of no effect in distribution either.")
        .notice("one look at a file is enough"),
    key("health.http", Kind::Sections, "A URL that must answer.").field("HTTPCHECKERS"),
    key("health.http[].uri", Kind::Text, "The URL.").required(),
    key("health.http[].headers", Kind::Headers, "Headers of the request.").secret(),
    key(
        "health.http[].statuscode",
        Kind::Int(0, 599),
        "The status that means healthy.",
    )
    .default("200"),
    key(
        "health.http[].timeout",
        Kind::Duration,
        "How long it may take; 0 = for ever.",
    )
    .default("0s"),
    key("health.http[].interval", Kind::Duration, "Between two checks.").default("10s"),
    key("health.http[].threshold", COUNT, "As for `storagedriver`.").default("0"),
    key("health.tcp", Kind::Sections, "An address that must accept connections.").field("TCPCHECKERS"),
    key("health.tcp[].addr", Kind::Text, "`host:port`.").required(),
    key(
        "health.tcp[].timeout",
        Kind::Duration,
        "How long it may take; 0 = for ever.",
    )
    .default("0s"),
    key("health.tcp[].interval", Kind::Duration, "Between two checks.").default("10s"),
    key("health.tcp[].threshold", COUNT, "As for `storagedriver`.").default("0"),
    key("proxy", Kind::Section, "A cache in front of another registry.")
        .optional()
        .refused(NO_PROXY)
        .when(When::Has("remoteurl")),
    key("proxy.remoteurl", Kind::Text, "The other registry."),
    key("proxy.username", Kind::Text, "User there."),
    key("proxy.password", Kind::Text, "Password there.").secret(),
    key("proxy.exec", Kind::Section, "A docker credential helper.")
        .only(Release::Three)
        .optional(),
    key("proxy.exec.command", Kind::Text, "The helper.").only(Release::Three),
    key("proxy.exec.lifetime", Kind::Duration, "How long its answer is used.").only(Release::Three),
    key("proxy.ttl", Kind::Duration, "How long something is kept; 0 = for ever.")
        .default("168h")
        .only(Release::Three),
    key(
        "proxy.cachewritetimeout",
        Kind::Duration,
        "How long writing to the cache may take.",
    )
    .default("5m")
    .only(Release::ThreeOne),
    key("validation", Kind::Section, "What a manifest must fulfil."),
    key("validation.enabled", Kind::Bool, "Old: `true` wins over `disabled`.").default("false"),
    key("validation.disabled", Kind::Bool, "Check neither URLs nor indexes.").default("false"),
    key("validation.manifests", Kind::Section, "Checks of manifests."),
    key(
        "validation.manifests.urls",
        Kind::Section,
        "URLs of foreign layers. Without rules every URL is refused.",
    ),
    key(
        "validation.manifests.urls.allow",
        Kind::Texts,
        "Regular expressions of which one must match.",
    ),
    key(
        "validation.manifests.urls.deny",
        Kind::Texts,
        "Regular expressions of which none may match.",
    ),
    key("validation.manifests.indexes", Kind::Section, "Children of indexes.").only(Release::Three),
    key(
        "validation.manifests.indexes.platforms",
        Kind::Choice(&["all", "none", "list"]),
        "Which children must be there.",
    )
    .default("all")
    .only(Release::Three),
    key(
        "validation.manifests.indexes.platformlist",
        Kind::Sections,
        "Platforms of `platforms: list`.",
    )
    .only(Release::Three),
    key(
        "validation.manifests.indexes.platformlist[].architecture",
        Kind::Text,
        "As in the index.",
    )
    .only(Release::Three),
    key(
        "validation.manifests.indexes.platformlist[].os",
        Kind::Text,
        "As in the index.",
    )
    .only(Release::Three),
    key("policy", Kind::Section, "Policies.").ignored(NO_CLASSES),
    key("policy.repository", Kind::Section, "Policies of repositories."),
    key(
        "policy.repository.classes",
        Kind::Texts,
        "Classes (`image`, `plugin`) that may be pushed.",
    ),
    key("reporting", Kind::Section, "Error reporting services.")
        .only(Release::Two)
        .optional()
        .ignored(NO_REPORTING),
    key("reporting.bugsnag", Kind::Section, "Bugsnag.").only(Release::Two),
    key("reporting.bugsnag.apikey", Kind::Text, "Key.")
        .only(Release::Two)
        .secret(),
    key("reporting.bugsnag.releasestage", Kind::Text, "Stage.").only(Release::Two),
    key("reporting.bugsnag.endpoint", Kind::Text, "Where.").only(Release::Two),
    key("reporting.newrelic", Kind::Section, "New Relic.").only(Release::Two),
    key("reporting.newrelic.licensekey", Kind::Text, "Key.")
        .only(Release::Two)
        .secret(),
    key("reporting.newrelic.name", Kind::Text, "Name.").only(Release::Two),
    key("reporting.newrelic.verbose", Kind::Bool, "More.").only(Release::Two),
    key("compatibility", Kind::Section, "Old formats.")
        .only(Release::Two)
        .optional()
        .ignored(NO_SCHEMA1),
    key("compatibility.schema1", Kind::Section, "Docker's schema 1 manifests.").only(Release::Two),
    key(
        "compatibility.schema1.signingkeyfile",
        Kind::Path,
        "Key that signs them.",
    )
    .field("TRUSTKEY")
    .only(Release::Two),
    key("compatibility.schema1.enabled", Kind::Bool, "Accept them.").only(Release::Two),
];

/// `redis` in the shapes of 2.8 and of 3.
pub(super) static REDIS: &[Key] = &[
    key("redis", Kind::Section, "A Redis for the cache of blob descriptors.")
        .optional()
        .ignored(NO_REDIS),
    key("redis.addr", Kind::Text, "Address.").only(Release::Two),
    key("redis.addrs", Kind::Texts, "Addresses; more than one is a cluster.").only(Release::Three),
    key("redis.username", Kind::Text, "User.").only(Release::Three),
    key("redis.password", Kind::Text, "Password.").secret(),
    key("redis.db", COUNT, "Number of the database."),
    key("redis.dialtimeout", Kind::Duration, "For a connection."),
    key("redis.readtimeout", Kind::Duration, "For an answer."),
    key("redis.writetimeout", Kind::Duration, "For a request."),
    key("redis.pool", Kind::Section, "Connections.").only(Release::Two),
    key("redis.pool.maxidle", COUNT, "Idle ones that are kept.").only(Release::Two),
    key("redis.pool.maxactive", COUNT, "At a time.").only(Release::Two),
    key("redis.pool.idletimeout", Kind::Duration, "How long idle ones are kept.").only(Release::Two),
    key("redis.clientname", Kind::Text, "Name of this client.").only(Release::Three),
    key("redis.protocol", COUNT, "Version of the protocol.").only(Release::Three),
    key("redis.sentinelusername", Kind::Text, "User at the sentinels.").only(Release::Three),
    key("redis.sentinelpassword", Kind::Text, "Password at the sentinels.")
        .only(Release::Three)
        .secret(),
    key("redis.mastername", Kind::Text, "The master that sentinels know.").only(Release::Three),
    key("redis.maxretries", ANY, "Tries.").only(Release::Three),
    key("redis.minretrybackoff", Kind::Duration, "Shortest wait.").only(Release::Three),
    key("redis.maxretrybackoff", Kind::Duration, "Longest wait.").only(Release::Three),
    key("redis.contexttimeoutenabled", Kind::Bool, "Use the request's deadline.").only(Release::Three),
    key("redis.poolfifo", Kind::Bool, "Oldest connection first.").only(Release::Three),
    key("redis.poolsize", COUNT, "Connections.").only(Release::Three),
    key("redis.pooltimeout", Kind::Duration, "Wait for a connection.").only(Release::Three),
    key("redis.minidleconns", COUNT, "Idle connections at least.").only(Release::Three),
    key("redis.maxidleconns", COUNT, "Idle connections at most.").only(Release::Three),
    key("redis.maxactiveconns", COUNT, "Connections at most.").only(Release::Three),
    key(
        "redis.connmaxidletime",
        Kind::Duration,
        "How long idle connections are kept.",
    )
    .only(Release::Three),
    key(
        "redis.connmaxlifetime",
        Kind::Duration,
        "How long connections are kept.",
    )
    .only(Release::Three),
    key("redis.maxredirects", COUNT, "Redirects in a cluster.").only(Release::Three),
    key("redis.readonly", Kind::Bool, "Read from replicas.").only(Release::Three),
    key("redis.routebylatency", Kind::Bool, "Prefer the nearest node.").only(Release::Three),
    key("redis.routerandomly", Kind::Bool, "Take any node.").only(Release::Three),
    key("redis.disableidentity", Kind::Bool, "Do not say who we are.").only(Release::Three),
    key("redis.identitysuffix", Kind::Text, "Added to who we are.").only(Release::Three),
    key("redis.unstableresp3", Kind::Bool, "RESP3.").only(Release::Three),
    key("redis.tls", Kind::Section, "TLS.").only(Release::Three),
    key("redis.tls.certificate", Kind::Path, "Client certificate.").only(Release::Three),
    key("redis.tls.key", Kind::Path, "Its key.").only(Release::Three),
    key("redis.tls.rootcas", Kind::Paths, "Certificate authorities.").only(Release::Three),
];

/// `catalog`, `tags`.
pub(super) static LIMITS: &[Key] = &[
    key("catalog", Kind::Section, "The list of repositories."),
    key(
        "catalog.maxentries",
        ANY,
        "Largest page; a larger `n` is refused. 0 and less: the default.",
    )
    .default("1000"),
    key("tags", Kind::Section, "Lists of tags.").only(Release::Three),
    key(
        "tags.maxtags",
        COUNT,
        "Largest page; a larger `n` is lowered to it. 0: the default.",
    )
    .default("1000")
    .only(Release::Three),
];
