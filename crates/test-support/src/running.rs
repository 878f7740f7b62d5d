//! The parts of a running registry, wired as the program wires them.

use std::sync::Arc;

use wharf_api_common::{BaseUrls, TrustedProxies};
use wharf_api_distribution::{Capabilities, DistributionApi};
use wharf_auth::token::OwnTokens;
use wharf_auth::{Accounts, Actor, Authenticator, Config as AuthConfig, Limits, PasswordQueue, Tools};
use wharf_metadata::Metadata;
use wharf_registry::adoption::Adoption;
use wharf_registry::caches::Caches;
use wharf_registry::catalog::Catalog;
use wharf_registry::deletion::DeletionRules;
use wharf_registry::garbage_collection::{self, Collector, Policy, Touches};
use wharf_registry::identity::{self, Verdict};
use wharf_registry::lifecycle::{Lifecycle, LifecycleParts};
use wharf_registry::mirror::Mirror;
use wharf_registry::pull::Pulls;
use wharf_registry::push::{PushParts, PushRules, Pushes};
use wharf_registry::referrers::ReferrerLists;
use wharf_registry::repository::Repositories;
use wharf_registry::statistics::PullCounter;
use wharf_registry::tag::Tags;
use wharf_registry::trash::Keep;
use wharf_registry::turns::Turns;
use wharf_registry::upload_purge::{self, UploadPurge};
use wharf_registry::verification::Verification;
use wharf_storage::{Recorder, Storage, filesystem};
use zeroize::Zeroizing;

use crate::place::Place;
use crate::registry::{Auth, Looks, Options};
use crate::{Registry, random};

pub(crate) struct Running {
    pub(crate) options: Options,
    pub(crate) api: DistributionApi,
    pub(crate) storage: Storage,
    pub(crate) recorder: Option<Arc<Recorder>>,
    pub(crate) metadata: Metadata,
    pub(crate) mirror: Mirror,
    pub(crate) adoption: Adoption,
    pub(crate) counter: PullCounter,
    pub(crate) purge: UploadPurge,
    pub(crate) collector: Collector,
    pub(crate) verification: Verification,
    pub(crate) lifecycle: Lifecycle,
    pub(crate) accounts: Option<Accounts>,
    pub(crate) verdict: Verdict,
    pub(crate) replayed: usize,
}

/// What every capability holds.
struct Parts {
    storage: Storage,
    metadata: Metadata,
    caches: Caches,
    mirror: Mirror,
    adoption: Adoption,
    counter: PullCounter,
    touches: Touches,
    repositories: Repositories,
    lifecycle: Lifecycle,
}

impl Running {
    /// What the program does in the same order: see its composition root.
    pub(crate) async fn start(place: &Place, options: Options) -> Self {
        let clock = place.clock.clock();
        let (storage, recorder) = open_storage(place, &options);
        let metadata = place.index.open();
        let holder = format!("start {}", place.starts);
        let mirror = take_part(place, options.shared, (&metadata, &storage)).await;
        let caches = Caches::new(&metadata);
        let adoption = Adoption::new(
            metadata.clone(),
            storage.clone(),
            caches.clone(),
            mirror.clone(),
            clock.clone(),
        );
        let repositories = Repositories::new(metadata.clone(), caches.clone(), adoption.clone());
        let lifecycle_parts = LifecycleParts {
            repositories: repositories.clone(),
            metadata: metadata.clone(),
            storage: storage.clone(),
            caches: caches.clone(),
            mirror: mirror.clone(),
            turns: Turns::new(metadata.clone(), &holder, clock.clone()),
            clock: clock.clone(),
        };
        let parts = Parts {
            counter: PullCounter::new(metadata.clone(), clock.clone()),
            touches: Touches::new(metadata.clone(), clock.clone(), options.collection.grace),
            repositories,
            lifecycle: Lifecycle::new(lifecycle_parts, deletion_rules(&options)),
            storage,
            metadata,
            caches,
            mirror,
            adoption,
        };
        let (verdict, replayed) = parts.prepare(place, &options).await;
        let (authenticator, accounts) = authenticator(place, &options, &parts.metadata).await;
        let verification = parts.verification(clock.clone());
        let everyone = TrustedProxies::everyone();
        let base_urls = BaseUrls::new(options.host.as_deref(), "", options.relative_urls, everyone);
        let capabilities = parts.capabilities(place, &options);
        let collector = parts.collector(place, &options);
        Self {
            api: DistributionApi::new(capabilities, Arc::new(authenticator), base_urls.unwrap(), options.pages),
            purge: UploadPurge::new(parts.metadata.clone(), parts.storage.clone(), clock),
            collector,
            verification,
            options,
            recorder,
            storage: parts.storage,
            metadata: parts.metadata,
            mirror: parts.mirror,
            adoption: parts.adoption,
            counter: parts.counter,
            lifecycle: parts.lifecycle,
            accounts,
            verdict,
            replayed,
        }
    }
}

impl Parts {
    async fn prepare(&self, place: &Place, options: &Options) -> (Verdict, usize) {
        let random = random(place.starts);
        let verdict = identity::check(&self.metadata, &self.storage, &random).await.unwrap();
        if verdict != Verdict::Same {
            self.adoption.trust();
            return (verdict, 0);
        }
        if options.shared {
            match self.adoption.is_complete().await.unwrap() {
                true => self.adoption.trust(),
                false => self.adoption.run().await.unwrap(),
            }
            return (verdict, 0);
        }
        self.storage.state().clear_temporaries().await.unwrap();
        let replayed = self.mirror.recover().await.unwrap() + self.lifecycle.deletions.recover().await.unwrap();
        let recovered = upload_purge::recover_writing(&self.metadata, &self.storage, place.clock.now()).await;
        let deleting = garbage_collection::recover_deleting(&self.metadata, &self.storage, place.clock.now()).await;
        if options.looks == Looks::First {
            self.adoption.run().await.unwrap();
        }
        (verdict, replayed + recovered.unwrap() + deleting.unwrap())
    }

    fn verification(&self, clock: wharf_registry::Clock) -> Verification {
        Verification::new(
            self.metadata.clone(),
            self.storage.clone(),
            self.caches.clone(),
            self.mirror.clone(),
            self.adoption.clone(),
            clock,
        )
    }

    fn collector(&self, place: &Place, options: &Options) -> Collector {
        let parts = garbage_collection::Parts {
            metadata: self.metadata.clone(),
            storage: self.storage.clone(),
            caches: self.caches.clone(),
            mirror: self.mirror.clone(),
            adoption: self.adoption.clone(),
            clock: place.clock.clock(),
        };
        let random = random(place.starts + 3_000_000);
        let policy = Policy {
            keep: Keep::new(options.keep),
            ..options.collection
        };
        Collector::new(parts, policy, self.touches.clone(), &random)
    }

    fn capabilities(&self, place: &Place, options: &Options) -> Capabilities {
        let (metadata, storage, clock) = (&self.metadata, &self.storage, place.clock.clock());
        let repositories = self.repositories.clone();
        let push_parts = PushParts {
            repositories: repositories.clone(),
            metadata: metadata.clone(),
            storage: storage.clone(),
            caches: self.caches.clone(),
            mirror: self.mirror.clone(),
            clock,
            random: random(place.starts + 2_000_000),
        };
        let pulls = Pulls::new(
            repositories.clone(),
            metadata.clone(),
            storage.clone(),
            self.caches.clone(),
            self.counter.clone(),
            self.touches.clone(),
            options.manifest_limit as u64,
        );
        Capabilities {
            pulls: pulls.clone(),
            pushes: Pushes::new(push_parts, push_rules(options)),
            deletions: self.lifecycle.deletions.clone(),
            tags: Tags::new(repositories.clone(), metadata.clone()),
            catalog: Catalog::new(metadata.clone(), self.adoption.clone()),
            referrers: ReferrerLists::new(repositories.clone(), metadata.clone(), pulls),
            redirects: options.redirects.clone(),
            repositories,
        }
    }
}

/// Owns the index, or shares it.
async fn take_part(place: &Place, is_shared: bool, (metadata, storage): (&Metadata, &Storage)) -> Mirror {
    let holder = format!("start {}", place.starts);
    let mirror = Mirror::new(metadata.clone(), storage.clone());
    if is_shared {
        metadata.share();
        return mirror.shared(&holder, place.clock.clock());
    }
    let claimed = metadata.claim(&holder, "a test", place.clock.now().into()).await;
    let _fencing = claimed.unwrap();
    mirror
}

fn open_storage(place: &Place, options: &Options) -> (Storage, Option<Arc<Recorder>>) {
    let config = filesystem::Config {
        root: place.root.path().to_owned(),
    };
    if options.recorded {
        let (storage, recorder) = Storage::recorded(config).unwrap();
        return (storage, Some(recorder));
    }
    (Storage::filesystem(config).unwrap(), None)
}

fn deletion_rules(options: &Options) -> DeletionRules {
    DeletionRules {
        is_enabled: options.delete,
        is_read_only: options.read_only,
        keep: Keep::new(options.keep),
    }
}

fn push_rules(options: &Options) -> PushRules {
    PushRules {
        is_read_only: options.read_only,
        manifest_limit: options.manifest_limit,
        grace: options.collection.grace,
        manifests: Arc::new(options.manifests.clone()),
    }
}

async fn authenticator(place: &Place, options: &Options, metadata: &Metadata) -> (Authenticator, Option<Accounts>) {
    /// `secret`, at the smallest cost.
    const HASH: &str = "$2y$05$cVbCBsMD7OLSvx4EHR1ruOO1JYbXa1xkff0ree71ik5FVHZBBeZD6";
    let random = random(place.starts + 1_000_000);
    let (clock, passwords) = (place.clock.clock(), PasswordQueue::new(2, 64));
    let mut accounts = None;
    let config = match options.auth {
        Auth::Open => AuthConfig::Open,
        Auth::Htpasswd => {
            let path = place.index.folder().join("htpasswd");
            std::fs::write(&path, format!("alice:{HASH}\nbob:{HASH}\n")).unwrap();
            AuthConfig::Htpasswd {
                realm: "Registry Realm".to_owned(),
                path,
            }
        }
        Auth::BuiltIn => {
            let made = Accounts::new(metadata.clone(), passwords.clone(), clock.clone(), random.clone());
            let secret = |text: &str| Zeroizing::new(text.as_bytes().to_vec());
            made.ensure_administrator(Some(secret(Registry::ADMIN_PASSWORD)))
                .await
                .unwrap();
            // it exists already after a restart
            let _alice = made
                .create("alice", secret(Registry::ALICE_PASSWORD), false, Actor::PROGRAM)
                .await;
            let keys = made.signing_keys().await.unwrap();
            let tokens = OwnTokens::new("wharf", 300, keys, random.clone()).unwrap();
            made.poll().await.unwrap();
            accounts = Some(made.clone());
            AuthConfig::BuiltIn { accounts: made, tokens }
        }
    };
    let tools = Tools {
        clock,
        random,
        passwords,
        limits: Limits::default(),
        remembered: 1000,
        observe: Arc::new(|_| ()),
    };
    (Authenticator::new(config, tools).unwrap().0, accounts)
}
