//! Pushes, as clients of all kinds do them.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError, RwLock};

use crate::client::Client;
use crate::content::{self, Content, Made};
use crate::http::{Answer, Connection, Payload, Request, Trouble, told, wait_a_moment};
use crate::model::{Family, Life, locked};
use crate::pull::HOT;

/// How often a push begins again when it is told that its blobs are unknown, or is not answered.
const TRIES: usize = 400;
/// How often one blob is pushed after the other before all are pushed at the same time.
const PATIENT: usize = 6;

/// A push that went unanswered: each of its manifests may be there or not.
pub struct Pending {
    pub repository: String,
    pub tag: Option<String>,
    pub head: usize,
    pub made: Vec<Made>,
}

/// What became of a manifest.
enum Sent {
    Acknowledged,
    Unanswered,
}

impl Client<'_> {
    /// An image, an index with its children, either with or without signatures.
    pub fn push_family(&mut self) -> Result<(), Trouble> {
        let repository = self.repository();
        let (made, head) = self.make();
        let tag = self
            .dice
            .percent(80)
            .then(|| format!("{}t{}", self.prefix(), self.serial));
        let pending = Pending {
            repository,
            tag,
            head,
            made,
        };
        self.count(match head {
            0 if pending.made.len() == 1 => "push image",
            _ if pending.made[head].member.media_type == content::INDEX => "push index with children",
            _ => "push image with referrers",
        });
        self.push_pending(pending)
    }

    /// Manifests in the order of their push, and which of them is the image or index.
    fn make(&mut self) -> (Vec<Made>, usize) {
        self.serial += 1;
        let seed = self.model.seed;
        let name = format!("{seed}-{}-{}", self.number, self.serial);
        let mut made = Vec::new();
        if self.dice.percent(18) {
            for child in 0..2 + self.dice.below(2) {
                made.push(content::image(seed, &format!("{name}-{child}"), &mut self.dice));
            }
            let children: Vec<_> = made.iter().map(|child| &child.member).collect();
            let index = content::index(&name, &children);
            made.push(index);
        } else {
            made.push(content::image(seed, &name, &mut self.dice));
        }
        let mut head = made.len() - 1;
        if self.dice.percent(25) {
            for referrer in 0..=self.dice.below(2) {
                let name = format!("{name}-signature-{referrer}");
                let referrer = content::referrer(&name, &made[head].member, &mut self.dice);
                if head == 0 && self.dice.percent(10) {
                    // a signature before its subject
                    made.insert(0, referrer);
                    head += 1;
                } else {
                    made.push(referrer);
                }
            }
        }
        (made, head)
    }

    fn push_pending(&mut self, pending: Pending) -> Result<(), Trouble> {
        for (number, made) in pending.made.iter().enumerate() {
            let reference = match &pending.tag {
                Some(tag) if number == pending.head => tag,
                _ => &made.member.digest,
            };
            match self.push_manifest(&pending.repository, reference, made, true)? {
                Sent::Acknowledged => {}
                Sent::Unanswered => {
                    self.count("  (left unanswered)");
                    self.pending.push(pending);
                    return Ok(());
                }
            }
        }
        let family = self.family(pending);
        let mut holdings = self.model.of(self.number);
        let tag = family.life.read().unwrap_or_else(PoisonError::into_inner).tag.clone();
        if let (Some(tag), Some(head)) = (tag, family.head()) {
            holdings
                .tags
                .insert((family.repository.clone(), tag), head.digest.clone());
        }
        holdings.families.push(family);
        Ok(())
    }

    fn family(&self, pending: Pending) -> Arc<Family> {
        let life = Life {
            is_alive: true,
            tag: pending.tag,
        };
        Arc::new(Family {
            repository: pending.repository,
            head: pending.head,
            members: pending.made.into_iter().map(|made| made.member).collect(),
            life: RwLock::new(life),
        })
    }

    /// An unanswered push: what is there must be whole. It is pushed again, or deleted.
    pub fn resolve_one(&mut self) -> Result<(), Trouble> {
        let Some(mut pending) = self.pending.pop() else {
            return Ok(());
        };
        self.count("resolve an unanswered push");
        for made in &pending.made {
            self.pull_if_there(&pending.repository, &made.member, true)?;
        }
        if self.dice.percent(50) {
            // its subject first: a referrer of a subject that was deleted is the collector's
            let head = pending.made.remove(pending.head);
            let children = match head.member.media_type == content::INDEX {
                true => pending.head,
                false => 0,
            };
            pending.made.insert(children, head);
            pending.head = children;
            return self.push_pending(pending);
        }
        for number in std::iter::once(pending.head).chain(0..pending.made.len()) {
            let digest = &pending.made[number].member.digest;
            self.delete_manifest(&pending.repository, digest, true)?;
        }
        let gone = pending
            .made
            .iter()
            .map(|made| (pending.repository.clone(), made.member.digest.clone()));
        self.model.of(self.number).gone.extend(gone);
        Ok(())
    }

    /// Another image under a tag that was there.
    pub fn move_a_tag(&mut self) -> Result<(), Trouble> {
        self.count("move tag");
        let Some(family) = self.own() else { return Ok(()) };
        let Some(head) = family.head() else { return Ok(()) };
        let tag = format!("{}moving-{}", self.prefix(), self.dice.below(2));
        let made = Made {
            member: head.clone(),
            contents: Vec::new(),
        };
        // it is there with all its blobs: no refusal is right
        self.push_manifest(&family.repository, &tag, &made, false)?;
        let key = (family.repository.clone(), tag);
        self.model.of(self.number).tags.insert(key, head.digest.clone());
        Ok(())
    }

    /// A blob that no manifest will name.
    pub fn push_a_lone_blob(&mut self) -> Result<(), Trouble> {
        self.count("push a blob alone");
        let repository = self.own_repository();
        let content = content::pool_layer(self.model.seed, &mut self.dice);
        self.push_blob(&repository, &content)
    }

    pub fn move_the_hot_tag(&mut self) -> Result<(), Trouble> {
        self.count("move the tag that all move");
        let model = self.model;
        let hot = model.hot.read().unwrap_or_else(PoisonError::into_inner);
        self.serial += 1;
        let name = format!("{}-{}-{}", model.seed, self.number, self.serial);
        let made = content::image(model.seed, &name, &mut self.dice);
        let pending = Pending {
            repository: HOT.to_owned(),
            tag: None,
            head: 0,
            made: vec![made.clone()],
        };
        let family = self.family(pending);
        locked(&hot.pushed).push(family);
        self.push_manifest(HOT, "latest", &made, false)?;
        model.hot_is_there.store(true, Ordering::SeqCst);
        Ok(())
    }

    /// Pushes what it needs, then the manifest. At grace zero the collector may take a blob between the two, and the
    /// push begins again.
    fn push_manifest(
        &mut self,
        repository: &str,
        reference: &str,
        made: &Made,
        may_leave: bool,
    ) -> Result<Sent, Trouble> {
        let target = format!("/v2/{repository}/manifests/{reference}");
        let headers = [("Content-Type", made.member.media_type.as_str())];
        let request = Request::new("PUT", &target)
            .headers(&headers)
            .payload(Payload::Whole(made.member.bytes.as_bytes()));
        let mut last = String::from("it was never answered");
        for tries in 0..TRIES {
            if tries < PATIENT {
                for content in &made.contents {
                    self.push_blob(repository, content)?;
                }
            } else {
                self.push_together(repository, &made.contents)?;
            }
            match self.connection.ask(request) {
                Ok(answer) if answer.status == 201 => return Ok(Sent::Acknowledged),
                Ok(answer) if is_blob_unknown(&answer) && !made.contents.is_empty() => {
                    self.count("  (told that a blob is unknown)");
                    last = told(request, &answer);
                }
                Ok(answer) => return Err(Trouble::Failed(told(request, &answer))),
                Err(Trouble::Failed(text)) => return Err(Trouble::Failed(text)),
                Err(_) if may_leave && self.dice.percent(25) => return Ok(Sent::Unanswered),
                Err(_) => wait_a_moment(),
            }
        }
        Err(Trouble::Failed(format!(
            "{TRIES} tries to push {repository}:{reference} were in vain: {last}"
        )))
    }

    /// All at the same time: one after the other takes longer than the collector leaves at grace zero.
    fn push_together(&mut self, repository: &str, contents: &[Content]) -> Result<(), Trouble> {
        self.count("  (pushed all blobs at the same time)");
        let mut connections: Vec<_> = contents.iter().map(|_| self.connection.another()).collect();
        let outcomes: Vec<Result<(), Trouble>> = std::thread::scope(|scope| {
            let upload = |(connection, content): (&'_ mut Connection, &Content)| {
                let target = format!("/v2/{repository}/blobs/uploads/?digest={}", content.blob.digest);
                let request = Request::new("POST", &target).payload(Payload::Whole(&content.bytes));
                connection.expect(&[201], request).map(drop)
            };
            let uploads: Vec<_> = connections
                .iter_mut()
                .zip(contents)
                .map(|pair| scope.spawn(move || upload(pair)))
                .collect();
            let joined = uploads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.filter_map(Result::ok).collect()
        });
        for connection in &connections {
            self.connection.count(connection);
        }
        outcomes.into_iter().collect()
    }

    /// By HEAD, mount or upload.
    pub fn push_blob(&mut self, repository: &str, content: &Content) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            match self.try_blob(repository, content) {
                Err(Trouble::Lost(_) | Trouble::Busy) => wait_a_moment(),
                Ok(true) => return Ok(()),
                // the upload is unknown after a restart
                Ok(false) => self.count("  (begun an upload again)"),
                Err(failed) => return Err(failed),
            }
        }
        Err(Trouble::Failed(format!(
            "{TRIES} tries to push {} to {repository} were in vain",
            content.blob.digest
        )))
    }

    fn try_blob(&mut self, repository: &str, content: &Content) -> Result<bool, Trouble> {
        let digest = &content.blob.digest;
        match self.dice.below(10) {
            0..4 => {
                let target = format!("/v2/{repository}/blobs/{digest}");
                let request = Request::new("HEAD", &target);
                let answer = self.connection.ask(request)?;
                match answer.status {
                    200 => Ok(true),
                    404 => self.upload(repository, content),
                    _ => Err(Trouble::Failed(told(request, &answer))),
                }
            }
            4..7 => match self.mount(repository, digest)? {
                true => Ok(true),
                false => self.upload(repository, content),
            },
            _ => self.upload(repository, content),
        }
    }

    /// From somebody's image, which stays meanwhile; so the registry has no reason to refuse.
    fn mount(&mut self, repository: &str, digest: &str) -> Result<bool, Trouble> {
        let model = self.model;
        for _ in 0..24 {
            let Some(family) = model.any(&mut self.dice) else { break };
            let has_it = family
                .members
                .iter()
                .any(|member| member.blobs.iter().any(|blob| blob.digest == digest));
            let Ok(life) = family.life.try_read() else { continue };
            if !has_it || !life.is_alive || family.repository == repository {
                continue;
            }
            self.count("mount blob");
            let target = format!(
                "/v2/{repository}/blobs/uploads/?mount={digest}&from={}",
                family.repository
            );
            let request = Request::new("POST", &target);
            let answer = self.connection.ask(request)?;
            return match answer.status {
                201 => Ok(true),
                _ => Err(Trouble::Failed(told(request, &answer))),
            };
        }
        Ok(false)
    }

    fn upload(&mut self, repository: &str, content: &Content) -> Result<bool, Trouble> {
        let (bytes, digest) = (content.bytes.as_slice(), &content.blob.digest);
        let target = match self.dice.percent(20) {
            true => {
                self.count("upload blob in one POST");
                return self.finish_upload(
                    "POST",
                    &format!("/v2/{repository}/blobs/uploads/?digest={digest}"),
                    bytes,
                );
            }
            false => match digest.starts_with("sha512:") && self.dice.percent(50) {
                true => format!("/v2/{repository}/blobs/uploads/?digest-algorithm=sha512"),
                false => format!("/v2/{repository}/blobs/uploads/"),
            },
        };
        let mut location = self.begin_upload(&target)?;
        let rest = match self.dice.below(3) {
            0 => {
                self.count("upload blob in POST and PUT");
                bytes
            }
            1 => {
                self.count("upload blob as a stream");
                let request = Request::new("PATCH", &location).payload(Payload::Pieces(bytes));
                let Some(next) = self.append(request)? else {
                    return Ok(false);
                };
                location = next;
                b""
            }
            _ => {
                self.count("upload blob in chunks");
                let step = bytes.len() / 3 + 1;
                let mut start = 0;
                while start + step < bytes.len() {
                    let chunk = &bytes[start..start + step];
                    let range = format!("{start}-{}", start + step - 1);
                    let headers = [("Content-Range", range.as_str())];
                    let request = Request::new("PATCH", &location)
                        .headers(&headers)
                        .payload(Payload::Whole(chunk));
                    let Some(next) = self.append(request)? else {
                        return Ok(false);
                    };
                    location = next;
                    start += step;
                }
                &bytes[start..]
            }
        };
        let joint = if location.contains('?') { '&' } else { '?' };
        self.finish_upload("PUT", &format!("{location}{joint}digest={digest}"), rest)
    }

    fn begin_upload(&mut self, target: &str) -> Result<String, Trouble> {
        let request = Request::new("POST", target);
        let answer = self.connection.ask(request)?;
        match (answer.status, answer.location()) {
            (202, Some(location)) => Ok(location),
            _ => Err(Trouble::Failed(told(request, &answer))),
        }
    }

    /// `None` when the upload is unknown, which only a restart may do.
    fn append(&mut self, request: Request<'_>) -> Result<Option<String>, Trouble> {
        let answer = self.connection.ask(request)?;
        match (answer.status, answer.location()) {
            (202, Some(location)) => Ok(Some(location)),
            _ if self.is_lost_upload(&answer) => Ok(None),
            _ => Err(Trouble::Failed(told(request, &answer))),
        }
    }

    fn finish_upload(&mut self, method: &str, target: &str, bytes: &[u8]) -> Result<bool, Trouble> {
        let headers = [("Content-Type", "application/octet-stream")];
        let request = Request::new(method, target)
            .headers(&headers)
            .payload(Payload::Whole(bytes));
        let answer = self.connection.ask(request)?;
        match answer.status {
            201 => Ok(true),
            _ if self.is_lost_upload(&answer) => Ok(false),
            _ => Err(Trouble::Failed(told(request, &answer))),
        }
    }

    fn is_lost_upload(&self, answer: &Answer) -> bool {
        self.connection.has_outages() && (answer.status == 416 || answer.code() == "BLOB_UPLOAD_UNKNOWN")
    }

    /// An upload that comes to nothing.
    pub fn cancel_an_upload(&mut self) -> Result<(), Trouble> {
        let repository = self.repository();
        let bytes = content::own_layer(&mut self.dice).bytes;
        match self.try_cancel(&repository, &bytes) {
            Err(Trouble::Lost(_) | Trouble::Busy) => Ok(()),
            other => other,
        }
    }

    fn try_cancel(&mut self, repository: &str, bytes: &[u8]) -> Result<(), Trouble> {
        let mut location = self.begin_upload(&format!("/v2/{repository}/blobs/uploads/"))?;
        if self.dice.percent(30) {
            self.count("cut an upload");
            return self.connection.cut(&location, bytes);
        }
        if self.dice.percent(70) {
            let request = Request::new("PATCH", &location).payload(Payload::Whole(bytes));
            let Some(next) = self.append(request)? else {
                return Ok(());
            };
            location = next;
        }
        if self.dice.percent(30) {
            self.count("upload what has another digest");
            let target = format!(
                "{location}{}digest={}",
                if location.contains('?') { '&' } else { '?' },
                content::sha256(b"other")
            );
            let request = Request::new("PUT", &target);
            let answer = self.connection.ask(request)?;
            return match answer.status == 400 || self.is_lost_upload(&answer) {
                true => Ok(()),
                false => Err(Trouble::Failed(told(request, &answer))),
            };
        }
        self.count("cancel an upload");
        let request = Request::new("DELETE", &location);
        let answer = self.connection.ask(request)?;
        match answer.status == 204 || self.is_lost_upload(&answer) {
            true => Ok(()),
            false => Err(Trouble::Failed(told(request, &answer))),
        }
    }
}

fn is_blob_unknown(answer: &Answer) -> bool {
    matches!(answer.code().as_str(), "MANIFEST_BLOB_UNKNOWN" | "BLOB_UNKNOWN")
}
