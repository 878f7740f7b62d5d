//! Pulls, with every byte compared.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use crate::client::Client;
use crate::content::{digest_like, sha256};
use crate::http::{Answer, Request, Trouble, told};
use crate::model::{Blob, Family, Member, locked};

/// The repository whose tag everybody moves.
pub const HOT: &str = "stress/hot";

const ACCEPT: (&str, &str) = (
    "Accept",
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
);

impl Client<'_> {
    /// Somebody's images, which stay meanwhile: nothing may be missing.
    pub fn pull_anything(&mut self) -> Result<(), Trouble> {
        self.count("pull by digest");
        let Some(family) = self.model.any(&mut self.dice) else {
            return Ok(());
        };
        let Ok(life) = family.life.try_read() else {
            return Ok(());
        };
        if !life.is_alive {
            return Ok(());
        }
        if let (Some(tag), Some(head)) = (&life.tag, family.head()) {
            self.count("pull by tag");
            let target = format!("/v2/{}/manifests/{tag}", family.repository);
            self.pull_manifest(&target, head)?;
        }
        self.pull_family(&family)
    }

    /// By this client's own tags, the moving ones too.
    pub fn pull_by_tag(&mut self) -> Result<(), Trouble> {
        let found = {
            let holdings = self.model.of(self.number);
            let tags: Vec<_> = holdings.tags.iter().collect();
            let tag = self
                .dice
                .pick(&tags)
                .map(|(key, digest)| ((*key).clone(), (*digest).clone()));
            tag.and_then(|((repository, tag), digest)| {
                let is_it = |family: &&Arc<Family>| {
                    family.repository == repository && family.head().is_some_and(|head| head.digest == digest)
                };
                let family = holdings.families.iter().find(is_it).cloned();
                family.map(|family| (family, tag))
            })
        };
        let Some((family, tag)) = found else { return Ok(()) };
        let Some(head) = family.head() else { return Ok(()) };
        self.count("pull by tag");
        self.pull_manifest(&format!("/v2/{}/manifests/{tag}", family.repository), head)?;
        self.pull_blobs(&family.repository, head)
    }

    /// While its owner may delete it: each thing is there and right, or is not there.
    pub fn race_a_delete(&mut self) -> Result<(), Trouble> {
        self.count("pull what may go");
        let Some(family) = self.model.any(&mut self.dice) else {
            return Ok(());
        };
        for member in &family.members {
            self.pull_if_there(&family.repository, member, false)?;
        }
        Ok(())
    }

    pub fn pull_the_hot_tag(&mut self) -> Result<(), Trouble> {
        self.count("pull the tag that all move");
        let model = self.model;
        let hot = model.hot.read().unwrap_or_else(PoisonError::into_inner);
        let is_there = model.hot_is_there.load(Ordering::SeqCst);
        let target = format!("/v2/{HOT}/manifests/latest");
        let request = Request::new("GET", &target).headers(&[ACCEPT]);
        let answer = self.connection.insist(request)?.answer;
        // nobody's first push has been acknowledged
        if answer.status == 404 && !is_there {
            return Ok(());
        }
        let digest = sha256(&answer.body);
        let family = locked(&hot.pushed)
            .iter()
            .find(|family| family.members.iter().any(|member| member.digest == digest))
            .cloned();
        match family {
            Some(family) if answer.status == 200 => self.pull_family(&family),
            _ => Err(Trouble::Failed(told(request, &answer))),
        }
    }

    pub fn pull_family(&mut self, family: &Family) -> Result<(), Trouble> {
        for member in &family.members {
            let target = format!("/v2/{}/manifests/{}", family.repository, member.digest);
            self.pull_manifest(&target, member)?;
            self.pull_blobs(&family.repository, member)?;
        }
        Ok(())
    }

    pub fn pull_manifest(&mut self, target: &str, member: &Member) -> Result<(), Trouble> {
        let request = Request::new("GET", target).headers(&[ACCEPT]);
        let answer = self.connection.expect(&[200], request)?;
        is_manifest(request, &answer, member)
    }

    fn pull_blobs(&mut self, repository: &str, member: &Member) -> Result<(), Trouble> {
        for blob in &member.blobs {
            let target = format!("/v2/{repository}/blobs/{}", blob.digest);
            let request = Request::new("GET", &target);
            let answer = self.connection.expect(&[200], request)?;
            is_blob(request, &answer, blob)?;
        }
        Ok(())
    }

    /// A manifest may be missing; what is there is right. When nobody deletes it meanwhile, then with all its blobs.
    pub fn pull_if_there(&mut self, repository: &str, member: &Member, is_quiet: bool) -> Result<bool, Trouble> {
        let target = format!("/v2/{repository}/manifests/{}", member.digest);
        let request = Request::new("GET", &target).headers(&[ACCEPT]);
        let answer = self.connection.expect(&[200, 404], request)?;
        if answer.status == 404 {
            return Ok(false);
        }
        is_manifest(request, &answer, member)?;
        if is_quiet {
            self.pull_blobs(repository, member)?;
            return Ok(true);
        }
        for blob in &member.blobs {
            let target = format!("/v2/{repository}/blobs/{}", blob.digest);
            let request = Request::new("GET", &target);
            let answer = self.connection.expect(&[200, 404], request)?;
            if answer.status == 200 {
                is_blob(request, &answer, blob)?;
            }
        }
        Ok(true)
    }
}

fn is_manifest(request: Request<'_>, answer: &Answer, member: &Member) -> Result<(), Trouble> {
    let is_right = answer.body == member.bytes.as_bytes()
        && answer.header("content-type") == Some(member.media_type.as_str())
        && answer.header("docker-content-digest") == Some(member.digest.as_str());
    match is_right {
        true => Ok(()),
        false => Err(Trouble::Failed(format!(
            "this is not {}: {}",
            member.digest,
            told(request, answer)
        ))),
    }
}

fn is_blob(request: Request<'_>, answer: &Answer, blob: &Blob) -> Result<(), Trouble> {
    match answer.body.len() == blob.size && digest_like(&blob.digest, &answer.body) == blob.digest {
        true => Ok(()),
        false => Err(Trouble::Failed(format!(
            "{} {} brought {} bytes with another digest",
            request.method,
            request.target,
            answer.body.len()
        ))),
    }
}
