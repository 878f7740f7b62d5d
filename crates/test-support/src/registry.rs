//! The whole registry without a socket.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::Method;
use tempfile::TempDir;
use wharf_api_distribution::{DistributionApi, PageLimits, Redirects};
use wharf_auth::Accounts;
use wharf_metadata::{Metadata, Tx};
use wharf_oci::{Digest, RepositoryName};
use wharf_registry::adoption::Adoption;
use wharf_registry::garbage_collection::{Collector, End, Policy, Report, Request};
use wharf_registry::identity::Verdict;
use wharf_registry::lifecycle::Lifecycle;
use wharf_registry::mirror::Mirror;
use wharf_registry::push::ManifestRules;
use wharf_registry::statistics::PullCounter;
use wharf_registry::trash::Keep;
use wharf_registry::upload_purge::UploadPurge;
use wharf_registry::verification::Verification;
use wharf_storage::{Recorder, Storage};

use crate::databases::Kind;
use crate::place::{Index, Place};
use crate::running::Running;
use crate::{Blob, Image, Manifest, ManualClock, TestRequest, quick_folder};

/// How long most registries keep what is deleted.
pub const WEEK: Duration = Duration::from_secs(7 * 86_400);

/// How people sign in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Auth {
    /// Nobody has to.
    #[default]
    Open,
    /// An htpasswd file with `alice` and `bob`, whose passwords are `secret`.
    Htpasswd,
    /// Accounts of our own: the administrator `admin` and the user `alice`, with the passwords
    /// [`Registry::ADMIN_PASSWORD`] and [`Registry::ALICE_PASSWORD`].
    BuiltIn,
}

/// When the storage is compared with the index.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Looks {
    /// Before the first request.
    #[default]
    First,
    /// Only what requests ask for, until the test runs the adoption.
    WhenAsked,
}

/// What a configuration would say.
#[derive(Clone, Debug)]
pub struct Options {
    /// How people sign in.
    pub auth: Auth,
    /// When the storage is looked at.
    pub looks: Looks,
    /// `storage.delete.enabled`
    pub delete: bool,
    /// `storage.maintenance.readonly`
    pub read_only: bool,
    /// `trash.keep`
    pub keep: Duration,
    /// The largest manifest in bytes.
    pub manifest_limit: usize,
    /// What manifests must obey.
    pub manifests: ManifestRules,
    /// The page sizes.
    pub pages: PageLimits,
    /// `http.host`
    pub host: Option<String>,
    /// `http.relativeurls`
    pub relative_urls: bool,
    /// Whether the power of the storage can be cut.
    pub recorded: bool,
    /// Whether it is one of several on the same database and storage.
    pub shared: bool,
    /// How garbage is collected.
    pub collection: Policy,
    /// Where clients get blobs from; `None` = from the registry.
    pub redirects: Option<Arc<dyn Redirects>>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            auth: Auth::Open,
            looks: Looks::First,
            delete: true,
            read_only: false,
            keep: Duration::ZERO,
            manifest_limit: 4 << 20,
            manifests: ManifestRules::default(),
            pages: PageLimits {
                catalog: 1000,
                tags: 1000,
            },
            host: None,
            relative_urls: false,
            recorded: false,
            shared: false,
            collection: Policy {
                grace: Duration::from_secs(3_600),
                untagged_after: None,
                keep: Keep::new(Duration::ZERO),
                objects_per_second: None,
                bytes_per_second: None,
            },
            redirects: None,
        }
    }
}

static REPLICAS: AtomicU64 = AtomicU64::new(0);

/// A running registry. Cloning gives another handle.
#[derive(Clone)]
pub struct Registry {
    running: Arc<Running>,
    place: Place,
}

/// A registry that does not run.
#[derive(Debug)]
pub struct Stopped {
    place: Place,
    options: Options,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry")
            .field("place", &self.place)
            .finish_non_exhaustive()
    }
}

impl Default for Stopped {
    fn default() -> Self {
        Self::new(Options::default())
    }
}

impl Stopped {
    /// On two new folders, one for the storage and one for the index.
    pub fn new(options: Options) -> Self {
        let place = Place {
            root: Arc::new(quick_folder()),
            index: Arc::new(Index::new()),
            clock: ManualClock::default(),
            starts: 0,
        };
        Self { place, options }
    }

    /// The same as the first of several on an empty database of a server.
    pub fn on_server(kind: Kind, options: Options) -> Self {
        let shared = true;
        let mut stopped = Self::new(Options { shared, ..options });
        stopped.place.index = Arc::new(Index::on(kind));
        stopped
    }

    /// The folder of the storage.
    pub fn root(&self) -> &Path {
        self.place.root.path()
    }

    /// The clock of the next start.
    pub fn clock(&self) -> &ManualClock {
        &self.place.clock
    }

    /// What the next start is configured with.
    pub fn options(&mut self) -> &mut Options {
        &mut self.options
    }

    /// The folder of the repository `name` below the storage, as distribution lays it out.
    pub fn repository(&self, name: &str) -> PathBuf {
        repository_folder(self.root(), name)
    }

    /// The same index beside another storage, as when the wrong volume is mounted.
    #[must_use]
    pub fn with_root(mut self, root: TempDir) -> Self {
        self.place.root = Arc::new(root);
        self
    }

    /// The same storage with its index lost.
    #[must_use]
    pub fn without_index(mut self) -> Self {
        self.place.index = Arc::new(Index::new());
        self
    }

    /// Starts it as the program does.
    pub async fn start(mut self) -> Registry {
        self.place.starts += 1;
        let running = Box::pin(Running::start(&self.place, self.options)).await;
        Registry {
            running: Arc::new(running),
            place: self.place,
        }
    }

    /// The index, for a look at it while nothing runs.
    pub fn open_index(&self) -> Metadata {
        self.place.index.open()
    }
}

fn repository_folder(root: &Path, name: &str) -> PathBuf {
    root.join("docker/registry/v2/repositories").join(name)
}

impl Registry {
    /// The password of `admin`.
    pub const ADMIN_PASSWORD: &'static str = "correct horse battery";
    /// The password of `alice`.
    pub const ALICE_PASSWORD: &'static str = "wonderland tea";

    /// A new registry that is open to everybody.
    pub async fn open() -> Self {
        Stopped::default().start().await
    }

    /// A new registry that is open to everybody and keeps what is deleted for seven days.
    pub async fn with_trash() -> Self {
        Self::with(Options {
            keep: WEEK,
            ..Options::default()
        })
        .await
    }

    /// A new registry with these settings.
    pub async fn with(options: Options) -> Self {
        Stopped::new(options).start().await
    }

    /// Begins a request.
    pub fn request(&self, method: Method, target: &str) -> TestRequest {
        TestRequest::new(self.clone(), method, target)
    }

    /// `GET`
    pub fn get(&self, target: &str) -> TestRequest {
        self.request(Method::GET, target)
    }

    /// `HEAD`
    pub fn head(&self, target: &str) -> TestRequest {
        self.request(Method::HEAD, target)
    }

    /// `POST`
    pub fn post(&self, target: &str) -> TestRequest {
        self.request(Method::POST, target)
    }

    /// `PUT`
    pub fn put(&self, target: &str) -> TestRequest {
        self.request(Method::PUT, target)
    }

    /// `PATCH`
    pub fn patch(&self, target: &str) -> TestRequest {
        self.request(Method::PATCH, target)
    }

    /// `DELETE`
    pub fn delete(&self, target: &str) -> TestRequest {
        self.request(Method::DELETE, target)
    }

    /// Adds what signs in somebody with every right.
    fn signed(&self, request: TestRequest) -> TestRequest {
        match self.running.options.auth {
            Auth::Open => request,
            Auth::Htpasswd => request.basic("alice", "secret"),
            Auth::BuiltIn => request.basic("admin", Self::ADMIN_PASSWORD),
        }
    }

    /// Pushes a blob with POST and PUT.
    pub async fn push_blob(&self, name: &str, blob: &Blob) {
        let start = self.signed(self.post(&format!("/v2/{name}/blobs/uploads/"))).send();
        let location = start.await.expect(202).location();
        let put = self.put(&format!("{location}?digest={}", blob.digest));
        let put = self.signed(put).body(blob.bytes.clone()).send().await;
        put.expect(201).expect_digest(&blob.digest);
    }

    /// Begins the push of a manifest.
    pub fn manifest_put(&self, name: &str, reference: &str, manifest: &Manifest) -> TestRequest {
        let put = self.put(&format!("/v2/{name}/manifests/{reference}"));
        let put = put.header(http::header::CONTENT_TYPE, &manifest.media_type);
        self.signed(put.body(manifest.blob.bytes.clone()))
    }

    /// Pushes a manifest under a tag or digest.
    pub async fn push_manifest(&self, name: &str, reference: &str, manifest: &Manifest) {
        self.manifest_put(name, reference, manifest).send().await.expect(201);
    }

    /// Pushes an image with everything it needs.
    pub async fn push(&self, name: &str, reference: &str, image: &Image) {
        for blob in &image.blobs {
            self.push_blob(name, blob).await;
        }
        self.push_manifest(name, reference, &image.manifest).await;
    }

    /// The digest that a tag points to, if it is there.
    pub async fn tag(&self, name: &str, tag: &str) -> Option<Digest> {
        let answer = self
            .signed(self.head(&format!("/v2/{name}/manifests/{tag}")))
            .send()
            .await;
        match answer.status.as_u16() {
            200 => Some(answer.header("docker-content-digest").parse().unwrap()),
            404 => None,
            _ => panic!("{answer:?}"),
        }
    }

    /// Every tag of a repository, as a client lists them; none when there is no repository.
    pub async fn tags(&self, name: &str) -> Vec<String> {
        let answer = self.signed(self.get(&format!("/v2/{name}/tags/list"))).send().await;
        if answer.status.as_u16() == 404 {
            return Vec::new();
        }
        let list = answer.expect(200).json();
        let tags = list["tags"].as_array().expect("a list").iter();
        tags.map(|tag| tag.as_str().unwrap().to_owned()).collect()
    }

    /// Fails the test unless `reference` is this image, down to the last byte of its layers.
    pub async fn expect_whole(&self, name: &str, reference: &str, image: &Image) {
        let manifest = self
            .signed(self.get(&format!("/v2/{name}/manifests/{reference}")))
            .send();
        let manifest = manifest.await.expect(200);
        assert_eq!(manifest.body, image.manifest.blob.bytes, "{name}:{reference}");
        assert_eq!(manifest.header("content-type"), image.manifest.media_type);
        for blob in &image.blobs {
            let target = format!("/v2/{name}/blobs/{}", blob.digest);
            let answer = self.signed(self.get(&target)).send().await.expect(200);
            assert!(answer.body == blob.bytes, "{name}:{reference} {}", blob.digest);
        }
    }

    /// A token of the built-in token service.
    pub async fn token(&self, name: &str, password: &str, scopes: &[&str]) -> String {
        let scopes: String = scopes.iter().map(|scope| format!("&scope={scope}")).collect();
        let request = self.get(&format!("/service/token?service=wharf{scopes}"));
        let answer = request.basic(name, password).send().await.expect(200).json();
        answer["token"].as_str().expect("a token").to_owned()
    }

    /// The front door.
    pub fn api(&self) -> &DistributionApi {
        &self.running.api
    }

    /// The bytes.
    pub fn storage(&self) -> &Storage {
        &self.running.storage
    }

    /// What cuts the power of the storage.
    pub fn recorder(&self) -> &Recorder {
        self.running.recorder.as_deref().expect("Options::recorded")
    }

    /// The index.
    pub fn metadata(&self) -> &Metadata {
        &self.running.metadata
    }

    /// Runs `first` in a transaction; where it calls the function that it is given, `second` runs
    /// until it has ended or waits for the transaction.
    pub async fn meet<A: Send + 'static, B>(
        &self,
        mut first: impl FnMut(&mut Tx<'_>, &dyn Fn()) -> Result<A, wharf_metadata::Error> + Send + 'static,
        second: impl Future<Output = B>,
    ) -> (A, B) {
        let (begin, begun) = std::sync::mpsc::channel();
        let (release, released) = std::sync::mpsc::channel::<()>();
        let job = move |tx: &mut Tx<'_>| {
            first(tx, &|| {
                begin.send(()).unwrap();
                // released when the other end is dropped
                let _released = released.recv();
            })
        };
        let mut first = Box::pin(self.metadata().write(job));
        while begun.try_recv().is_err() {
            let early = tokio::time::timeout(Duration::from_millis(5), &mut first).await;
            assert!(early.is_err(), "the first one has ended already");
        }
        let mut second = Box::pin(second);
        let early = loop {
            match tokio::time::timeout(Duration::from_millis(50), &mut second).await {
                Ok(outcome) => break Some(outcome),
                Err(_) if self.place.index.is_waiting() => break None,
                Err(_) => {}
            }
        };
        drop(release);
        let first = first.await.unwrap();
        match early {
            Some(second) => (first, second),
            None => (first, second.await),
        }
    }

    /// What makes links follow the index.
    pub fn mirror(&self) -> &Mirror {
        &self.running.mirror
    }

    /// What compares storage and index.
    pub fn adoption(&self) -> &Adoption {
        &self.running.adoption
    }

    /// What compares index and storage both ways.
    pub fn verification(&self) -> &Verification {
        &self.running.verification
    }

    /// Deletes, brings back, sets tags back.
    pub fn lifecycle(&self) -> &Lifecycle {
        &self.running.lifecycle
    }

    /// Removes old uploads.
    pub fn purge(&self) -> &UploadPurge {
        &self.running.purge
    }

    /// Collects garbage.
    pub fn collector(&self) -> &Collector {
        &self.running.collector
    }

    /// Collects what is due now.
    pub async fn collect(&self) -> Report {
        self.collect_as(&Request {
            cause: "test".to_owned(),
            grace: None,
            is_full: false,
            with_untagged: false,
        })
        .await
    }

    /// Collects everything that nothing holds, as for a registry that nobody pushes to.
    pub async fn collect_all(&self) -> Report {
        let request = Request {
            cause: "test".to_owned(),
            grace: Some(Duration::ZERO),
            is_full: true,
            with_untagged: false,
        };
        let report = self.collect_as(&request).await;
        assert_eq!(report.end, End::Done);
        report
    }

    /// Collects as asked.
    pub async fn collect_as(&self, request: &Request) -> Report {
        self.collector().run(request, |_| true).await.unwrap()
    }

    /// Counts pulls.
    pub fn counter(&self) -> &PullCounter {
        &self.running.counter
    }

    /// The accounts, with [`Auth::BuiltIn`].
    pub fn accounts(&self) -> &Accounts {
        self.running.accounts.as_ref().expect("Auth::BuiltIn")
    }

    /// Whether storage and index belong together.
    pub fn verdict(&self) -> &Verdict {
        &self.running.verdict
    }

    /// How many entries the start had to finish for the last process.
    pub fn replayed(&self) -> usize {
        self.running.replayed
    }

    /// The clock.
    pub fn clock(&self) -> &ManualClock {
        &self.place.clock
    }

    /// The folder of the storage.
    pub fn root(&self) -> &Path {
        self.place.root.path()
    }

    /// The folder of the repository `name` below the storage, as distribution lays it out.
    pub fn repository(&self, name: &str) -> PathBuf {
        repository_folder(self.root(), name)
    }

    /// What the tag's link in the storage says, if it is there.
    pub fn tag_link(&self, name: &str, tag: &str) -> Option<String> {
        let link = format!("_manifests/tags/{tag}/current/link");
        std::fs::read_to_string(self.repository(name).join(link)).ok()
    }

    /// Puts a repository into a project that everybody may pull from.
    pub async fn publish(&self, project: &str) {
        let project = project.to_owned();
        let set = self.metadata().write(move |tx| {
            wharf_metadata::repositories::set_visibility(tx, &project, wharf_access::Visibility::Public)
        });
        let _changed: bool = set.await.unwrap();
    }

    /// The project's visibility as the index keeps it for a repository.
    pub fn visibility(&self, name: &str) -> Option<wharf_access::Visibility> {
        let name: RepositoryName = name.parse().unwrap();
        let found = self
            .metadata()
            .read_blocking(|tx| wharf_metadata::repositories::find(tx, &name))
            .unwrap();
        found.map(|repository| repository.visibility)
    }

    /// The same moment on a copy of the index and another storage folder, while this one goes on:
    /// what a machine finds when it comes up again.
    pub fn fork(&self, root: TempDir) -> Stopped {
        let place = Place {
            root: Arc::new(root),
            index: Arc::new(self.place.index.copy()),
            clock: self.place.clock.clone(),
            starts: self.place.starts,
        };
        Stopped {
            place,
            options: self.running.options.clone(),
        }
    }

    /// Another process on the same database and storage, beside this one.
    pub async fn replica(&self) -> Self {
        assert!(self.running.options.shared, "Stopped::on_server");
        let mut place = self.place.clone();
        // names are made from it
        place.starts += 100 + REPLICAS.fetch_add(1, Ordering::Relaxed);
        let running = Box::pin(Running::start(&place, self.running.options.clone())).await;
        Self {
            running: Arc::new(running),
            place,
        }
    }

    /// Ends it in order, as SIGTERM does.
    pub async fn stop(self) -> Stopped {
        self.running.mirror.flush().await.unwrap();
        self.running.counter.flush().await.unwrap();
        self.kill()
    }

    /// Ends it at once, as `kill -9` between two requests does: what it had in memory is gone.
    pub fn kill(self) -> Stopped {
        let options = self.running.options.clone();
        self.running.metadata.close();
        Stopped {
            place: self.place,
            options,
        }
    }

    /// [`Registry::stop`] and start again.
    pub async fn restart(self) -> Self {
        self.stop().await.start().await
    }
}
