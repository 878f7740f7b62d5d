//! The composition root: makes every part from the configuration, and nothing else does.

mod accounts;
mod background;
pub mod backup;
mod bucket;
mod database;
mod handler;
mod index;
mod jobs;
pub mod local;
mod management;
pub mod restore;
mod settings;
mod standby;
mod welcome;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use wharf_api_common::RequestIds;
use wharf_api_distribution::{Capabilities, DistributionApi, PageLimits};
use wharf_api_management::ManagementApi;
use wharf_api_management::index::Accepted;
use wharf_auth::{Accounts, Authenticator};
use wharf_jobs::Jobs;
use wharf_registry::adoption::Adoption;
use wharf_registry::backup::Backups;
use wharf_registry::backup::snapshot::Snapshots;
use wharf_registry::caches::Caches;
use wharf_registry::catalog::Catalog;
use wharf_registry::deletion::DeletionRules;
use wharf_registry::garbage_collection::{self, Collector, Touches};
use wharf_registry::lifecycle::{Lifecycle, LifecycleParts};
use wharf_registry::mirror::Mirror;
use wharf_registry::pull::Pulls;
use wharf_registry::push::{PushParts, Pushes};
use wharf_registry::referrers::ReferrerLists;
use wharf_registry::repository::Repositories;
use wharf_registry::statistics::PullCounter;
use wharf_registry::tag::Tags;
use wharf_registry::trash::Keep;
use wharf_registry::upload_purge::UploadPurge;
use wharf_registry::verification::Verification;
use wharf_registry::{Clock, Random};
use wharf_storage::{ErrorKind, Storage};

use crate::config::{Config, Loaded, Origin, Severity, StorageDriver};
use crate::health::{self, Health};
use crate::listen::Listener;
use crate::metrics::Metrics;
use crate::shutdown::{Shutdown, Signals, Tasks};
use crate::telemetry::{self, AccessLog};
use crate::tls::Certificates;

pub use handler::FrontDoor;

/// The version of this program.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The time of this machine.
pub fn clock() -> Clock {
    #[expect(clippy::disallowed_methods, reason = "the composition root reads the clock")]
    Arc::new(jiff::Timestamp::now)
}

/// Randomness of this machine.
pub fn random() -> Random {
    Arc::new(|buffer: &mut [u8]| {
        // the generator is seeded by the system when the process starts and does not fail after that
        if aws_lc_rs::rand::fill(buffer).is_err() {
            std::process::abort();
        }
    })
}

/// What background tasks work on.
#[derive(Clone)]
struct Workings {
    storage: Storage,
    index: index::Index,
    mirror: Mirror,
    counter: PullCounter,
    adoption: Adoption,
    repositories: Repositories,
    lifecycle: Lifecycle,
    purge: UploadPurge,
    jobs: Jobs,
    touches: Touches,
    collector: Collector,
    verification: Verification,
    /// Where people sign in with them.
    accounts: Option<Accounts>,
    /// Whether nothing is served: a command works on the files of a registry that is stopped.
    is_stopped: bool,
    caches: Caches,
    health: Health,
    backups: Backups,
    /// Where there is a key to encrypt them with.
    snapshots: Option<Snapshots>,
}

/// Runs the registry until a signal ends it.
///
/// # Errors
///
/// It cannot start: the message says why and what to do.
pub async fn serve(loaded: Loaded) -> Result<()> {
    let Loaded { config, warnings, .. } = loaded;
    let telemetry = telemetry::init(&settings::telemetry(&config))?;
    for warning in &warnings {
        match warning.severity {
            Severity::Notice => tracing::info!(source = %warning.source, "{}", warning.message),
            Severity::Warning => tracing::warn!(source = %warning.source, "{}", warning.message),
        }
    }
    if let Origin::File(path) = &config.origin {
        tracing::info!(file = %path.display(), "configuration read");
    }
    let outcome = Box::pin(run(&config)).await;
    tokio::task::spawn_blocking(move || telemetry.finish()).await?;
    outcome
}

async fn run(config: &Config) -> Result<()> {
    let signals = Signals::catch().context("signals cannot be caught")?;
    let shutdown = Shutdown::new();
    let tasks = Tasks::new(shutdown.clone());
    let health = Health::new();
    let metrics = Arc::new(Metrics::new(VERSION));
    background::watch_signals(signals, shutdown.clone());
    if !database::wait(config, &health, &shutdown).await? {
        return Ok(());
    }
    let assembled = assemble(config, &health, &metrics).await?;
    let (workings, first_sign_in) = (assembled.workings, assembled.first_sign_in);
    let engine = jobs::Engine::new(config, &workings, &metrics);
    metrics.watch_collector(workings.collector.clone());
    metrics.watch_verification(workings.verification.clone());
    metrics.watch_trash(workings.lifecycle.trash.clone());
    metrics.watch_caches(workings.caches.clone());
    let management = Arc::new(management::api(config, &tasks, &workings));
    let listener = Listener::bind(settings::listener(config)).await?;
    metrics.add_listener("main", listener.stats());
    let access_log = match config.log.access_log {
        true => Some(Arc::new(
            AccessLog::stdout().context("the access log cannot be written")?,
        )),
        false => None,
    };
    let mut seed = [0u8; 16];
    (random())(&mut seed);
    let front_door = FrontDoor {
        api: Arc::new(assembled.api),
        management: Arc::clone(&management),
        authenticator: assembled.authenticator,
        health: health.clone(),
        metrics: Arc::clone(&metrics),
        access_log: access_log.clone(),
        base_urls: settings::base_urls(config)?,
        request_ids: RequestIds::new(seed),
        headers: settings::headers(config)?,
    };
    let certificates = settings::tls(config).map(Certificates::load).transpose()?.map(Arc::new);
    if let Some(certificates) = &certificates {
        tasks.spawn("certificates", Arc::clone(certificates).watch(shutdown.clone()));
    }
    serve_debug(config, &tasks, &health, &metrics, listener.stats()).await?;
    background::start(config, &tasks, &workings)?;
    database::watch(&tasks, &workings.index.metadata, &health);
    if workings.index.is_owner() {
        own(config, &tasks, &workings, (management, engine)).await?;
    } else {
        standby::start(config, &tasks, &workings, (management, engine));
    }
    welcome::print(config, listener.local(), first_sign_in.as_ref());
    let drain = settings::drain(config);
    let drained = listener
        .serve(Arc::new(front_door), certificates, shutdown, drain)
        .await;
    Box::pin(finish(tasks, workings, drained.cut)).await
}

/// Starts what only the owner of the index does.
async fn own(
    config: &Config,
    tasks: &Tasks,
    workings: &Workings,
    (management, engine): (Arc<ManagementApi>, jobs::Engine),
) -> Result<()> {
    backup::warn_of_single_disk(config, &workings.index.metadata, &workings.storage).await?;
    match workings.index.is_shared() && !workings.index.is_trusted() {
        true => background::wait_until_accepted(config, tasks, workings),
        false => background::start_adoption(config, tasks, workings),
    }
    engine.start(tasks);
    // one of several cannot speak for all
    match admin_socket(config).filter(|_| !workings.index.is_shared()) {
        Some(socket) => management::listen(socket, tasks, management).await,
        None => Ok(()),
    }
}

/// Takes what the storage holds now for true, as an administrator asked, and goes on with it.
async fn accept_storage(config: &Config, tasks: &Tasks, workings: &Workings) -> Result<Accepted> {
    let index = &workings.index;
    if index.is_trusted() {
        return Ok(Accepted::Nothing);
    }
    wharf_registry::identity::accept(&index.metadata).await?;
    if workings.is_stopped {
        return Ok(Accepted::AtNextStart);
    }
    index::prepare(config, workings).await?;
    background::start_adoption(config, tasks, workings);
    tracing::warn!("the storage was accepted as it is: what is gone from it goes from the index");
    Ok(Accepted::Now)
}

/// Writes down what is still in memory, in the order in which it was promised.
async fn finish(tasks: Tasks, workings: Workings, cut: usize) -> Result<()> {
    let late = tasks.finish(std::time::Duration::from_secs(10)).await;
    if !late.is_empty() {
        tracing::warn!(?late, "tasks did not end in time");
    }
    let Workings {
        mirror,
        counter,
        index,
        snapshots,
        ..
    } = workings;
    if let Err(error) = mirror.flush().await {
        tracing::warn!(%error, "links are not durable yet: the next start finishes them");
    }
    if let Err(error) = counter.flush().await {
        tracing::warn!(%error, "the last pull counts are lost");
    }
    if let Some(snapshots) = snapshots.filter(|_| index.is_trusted())
        && let Err(error) = snapshots.finish().await
    {
        tracing::warn!(%error, "the last changes are in no snapshot: the next start makes one");
    }
    index.close().await;
    tracing::info!(connections_cut = cut, "stopped");
    Ok(())
}

/// The parts that answer requests, and what they work on.
struct Assembled {
    api: DistributionApi,
    authenticator: Arc<Authenticator>,
    workings: Workings,
    first_sign_in: Option<accounts::FirstSignIn>,
}

async fn assemble(config: &Config, health: &Health, metrics: &Arc<Metrics>) -> Result<Assembled> {
    let (clock, random) = (clock(), random());
    let mut workings = Box::pin(open(config, health, metrics)).await?;
    let Workings { index, storage, .. } = &workings;
    let authenticating = accounts::authenticator(config, index, storage, clock.clone(), random.clone(), metrics);
    let (authenticator, first_sign_in) = index.at_start(Box::pin(authenticating)).await?;
    workings.accounts = authenticator.accounts().cloned();
    let authenticator = Arc::new(authenticator);
    let capabilities = capabilities(config, &workings, clock, random)?;
    let limits = PageLimits {
        catalog: config.catalog_max_entries,
        tags: config.tags_max_tags,
    };
    let base_urls = settings::base_urls(config)?;
    Ok(Assembled {
        api: DistributionApi::new(capabilities, Arc::clone(&authenticator), base_urls, limits),
        authenticator,
        workings,
        first_sign_in,
    })
}

/// Opens storage and index, without accounts.
async fn open(config: &Config, health: &Health, metrics: &Arc<Metrics>) -> Result<Workings> {
    let clock = clock();
    let storage = observed(open_storage(config)?, metrics);
    check_rights(config, &storage).await?;
    let index = Box::pin(index::open(config, &storage)).await?;
    let metadata = index.metadata.clone();
    let caches = Caches::new(&metadata);
    let mirror = Mirror::new(metadata.clone(), storage.clone());
    let mirror = match index.is_shared() {
        true => mirror.shared(index.name(), clock.clone()),
        false => mirror,
    };
    let adoption = Adoption::new(
        metadata.clone(),
        storage.clone(),
        caches.clone(),
        mirror.clone(),
        clock.clone(),
    );
    let repositories = Repositories::new(metadata.clone(), caches.clone(), adoption.clone());
    let parts = LifecycleParts {
        repositories: repositories.clone(),
        metadata: metadata.clone(),
        storage: storage.clone(),
        caches: caches.clone(),
        mirror: mirror.clone(),
        turns: index.turns.clone(),
        clock: clock.clone(),
    };
    let touches = Touches::new(metadata.clone(), clock.clone(), config.gc.grace_period);
    let collector = collector(config, &index, (&parts, &adoption), touches.clone());
    let verification = verification(&parts, &adoption);
    let workings = Workings {
        touches,
        collector,
        verification,
        counter: PullCounter::new(metadata.clone(), clock.clone()),
        jobs: jobs::handle(config, &metadata),
        purge: UploadPurge::new(metadata, storage.clone(), clock),
        lifecycle: Lifecycle::new(parts, deletion_rules(config)),
        repositories,
        accounts: None,
        is_stopped: false,
        health: health.clone(),
        backups: backup::backups(&index.metadata, backup::key(config)?),
        snapshots: backup::snapshots(config, &index.metadata, &storage)?,
        storage,
        index,
        mirror,
        adoption,
        caches,
    };
    if workings.index.is_owner() {
        Box::pin(index::prepare(config, &workings)).await?;
    } else {
        standby::begin(&workings.caches, &workings.adoption);
    }
    Ok(workings)
}

fn collector(
    config: &Config,
    index: &index::Index,
    (parts, adoption): (&LifecycleParts, &Adoption),
    touches: Touches,
) -> Collector {
    let collected = garbage_collection::Parts {
        metadata: parts.metadata.clone(),
        storage: parts.storage.clone(),
        caches: parts.caches.clone(),
        mirror: parts.mirror.clone(),
        adoption: adoption.clone(),
        clock: parts.clock.clone(),
    };
    let collector = Collector::new(collected, settings::collection(config), touches, &random());
    collector.within(surroundings(config, index, false))
}

fn verification(parts: &LifecycleParts, adoption: &Adoption) -> Verification {
    Verification::new(
        parts.metadata.clone(),
        parts.storage.clone(),
        parts.caches.clone(),
        parts.mirror.clone(),
        adoption.clone(),
        parts.clock.clone(),
    )
}

const fn deletion_rules(config: &Config) -> DeletionRules {
    DeletionRules {
        is_enabled: config.storage.delete_enabled,
        is_read_only: config.storage.read_only,
        keep: Keep::new(config.trash.keep),
    }
}

/// Opens the files of a registry that does not run, for a command.
async fn stopped(config: &Config, health: &Health, metrics: &Arc<Metrics>) -> Result<Workings> {
    let mut workings = Box::pin(open(config, health, metrics)).await?;
    if !workings.index.is_owner() {
        bail!("another wharf process works on this storage folder, but does not answer on its socket");
    }
    workings.accounts = accounts::offline(config, &workings.index);
    if workings.index.is_shared() {
        // others may serve meanwhile
        return Ok(workings);
    }
    workings.is_stopped = true;
    workings.collector = workings.collector.within(surroundings(config, &workings.index, true));
    workings.verification = workings.verification.alone();
    if workings.index.is_trusted() {
        workings.adoption.begin_alone();
    }
    Ok(workings)
}

/// Whom the collector of this process has to mind.
fn surroundings(config: &Config, index: &index::Index, is_stopped: bool) -> garbage_collection::Surroundings {
    let index = index.clone();
    garbage_collection::Surroundings {
        is_stopped,
        is_quiet: is_stopped || config.storage.read_only,
        is_trusted: Arc::new(move || index.is_trusted()),
    }
}

/// Makes what `/v2/` offers.
fn capabilities(config: &Config, workings: &Workings, clock: Clock, random: Random) -> Result<Capabilities> {
    let Workings {
        storage,
        mirror,
        adoption,
        counter,
        touches,
        index,
        caches,
        repositories,
        lifecycle,
        ..
    } = workings;
    let metadata = index.metadata.clone();
    let push_parts = PushParts {
        repositories: repositories.clone(),
        metadata: metadata.clone(),
        storage: storage.clone(),
        caches: caches.clone(),
        mirror: mirror.clone(),
        clock: clock.clone(),
        random,
    };
    let pulls = Pulls::new(
        repositories.clone(),
        metadata.clone(),
        storage.clone(),
        caches.clone(),
        counter.clone(),
        touches.clone(),
        config.http.limits.manifest_size,
    );
    Ok(Capabilities {
        redirects: crate::redirects::of(config, self::clock())?,
        pushes: Pushes::new(push_parts, settings::push_rules(config)?),
        deletions: lifecycle.deletions.clone(),
        tags: Tags::new(repositories.clone(), metadata.clone()),
        catalog: Catalog::new(metadata.clone(), adoption.clone()),
        referrers: ReferrerLists::new(repositories.clone(), metadata, pulls.clone()),
        pulls,
        repositories: repositories.clone(),
    })
}

fn open_storage(config: &Config) -> Result<Storage> {
    match &config.storage.driver {
        StorageDriver::Filesystem { root, .. } => {
            if config.origin == Origin::Defaults {
                make_private(root)?;
            }
            let settings = wharf_storage::filesystem::Config { root: root.clone() };
            let opened = Storage::filesystem(settings).map(|storage| storage.caching(config.storage.push_cache));
            opened.with_context(|| format!("the storage folder {} cannot be used", root.display()))
        }
        StorageDriver::S3(settings) => bucket::open(settings),
        StorageDriver::InMemory => Ok(Storage::memory()),
    }
}

/// A folder of somebody else is refused before anything is done with it.
async fn check_rights(config: &Config, storage: &Storage) -> Result<()> {
    if let StorageDriver::S3(settings) = &config.storage.driver {
        return bucket::check(settings, config.storage.read_only).await;
    }
    let Err(error) = storage.state().check_rights(!config.storage.read_only).await else {
        return Ok(());
    };
    let root = storage_root(config).unwrap_or(Path::new("")).display();
    let (user, group) = (rustix::process::geteuid(), rustix::process::getegid());
    let advice = match error.kind() {
        ErrorKind::ReadOnly => "mount it for writing".to_owned(),
        ErrorKind::PermissionDenied => format!(
            "run wharf as the user whose files they are, or give them to the user who runs it now with \
             `chown -R {user}:{group} {root}`",
            user = user.as_raw(),
            group = group.as_raw()
        ),
        _ => "look at what lies there".to_owned(),
    };
    bail!("the storage folder {root} cannot be used: {error}: {advice}")
}

/// Makes the folder that nobody has configured for its owner only: it holds the accounts as well.
/// One that is there keeps its mode.
fn make_private(root: &Path) -> Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    let failed = || format!("the folder {} cannot be made", root.display());
    if let Some(above) = root.parent() {
        std::fs::create_dir_all(above).with_context(failed)?;
    }
    match std::fs::DirBuilder::new().mode(0o700).create(root) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error).with_context(failed),
        _ => Ok(()),
    }
}

/// Counts what the storage does (`registry_storage_action_seconds`).
fn observed(storage: Storage, metrics: &Arc<Metrics>) -> Storage {
    let (driver, metrics) = (storage.name(), Arc::clone(metrics));
    storage.observed(Arc::new(move |action, took| {
        metrics.storage(driver, action).observe(took)
    }))
}

/// The folder of the storage, when it is one.
fn storage_root(config: &Config) -> Option<&Path> {
    match &config.storage.driver {
        StorageDriver::Filesystem { root, .. } => Some(root),
        StorageDriver::S3(_) | StorageDriver::InMemory => None,
    }
}

/// The socket on which command-line tools reach a running registry: in `wharf/`, or beside a
/// database that lies elsewhere, where it is found even if the storage folder is a wrong one.
pub fn admin_socket(config: &Config) -> Option<PathBuf> {
    if let Some(database) = &config.database.path {
        let mut socket = database.clone().into_os_string();
        socket.push(".sock");
        return Some(socket.into());
    }
    let root = storage_root(config).map(Path::to_owned);
    let root = root.or_else(|| bucket::local_folder(config));
    root.map(|root| root.join("wharf").join("admin.sock"))
}

async fn serve_debug(
    config: &Config,
    tasks: &Tasks,
    health: &Health,
    metrics: &Arc<Metrics>,
    main: Arc<crate::listen::Stats>,
) -> Result<()> {
    let Some(debug) = &config.http.debug else { return Ok(()) };
    let listener = Listener::bind(crate::listen::Config::new(settings::address(&debug.listen))).await?;
    tracing::info!(address = %settings::reachable(listener.local()), "debug server listens");
    let listeners = vec![("main", main), ("debug", listener.stats())];
    let settings = health::DebugConfig {
        metrics_path: debug.metrics_path.clone(),
        version: VERSION,
    };
    let handler = Arc::new(health::Debug::new(
        settings,
        health.clone(),
        Arc::clone(metrics),
        listeners,
    ));
    let shutdown = tasks.shutdown().clone();
    tasks.spawn("debug server", async move {
        listener
            .serve(handler, None, shutdown, std::time::Duration::from_secs(1))
            .await;
    });
    Ok(())
}
