//! One client: what it does next, chosen by dice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, PoisonError};

use serde_json::Value;

use crate::content::Dice;
use crate::http::{Connection, Request, Trouble, told};
use crate::model::{Family, Model};
use crate::push::Pending;

/// How many families a client has at most, and below which it pushes rather than deletes.
const MOST: usize = 14;
const FEW: usize = 4;

/// One of the clients that press on the registry at the same time.
pub struct Client<'m> {
    pub number: usize,
    pub model: &'m Model,
    pub connection: Connection,
    /// To the management API, where repositories are deleted.
    pub admin: Option<Connection>,
    pub dice: Dice,
    /// How often what was done.
    pub tally: BTreeMap<&'static str, u64>,
    /// Pushes that went unanswered.
    pub pending: Vec<Pending>,
    pub serial: u64,
}

impl Client<'_> {
    pub fn count(&mut self, what: &'static str) {
        *self.tally.entry(what).or_default() += 1;
    }

    /// One operation.
    pub fn step(&mut self) -> Result<(), Trouble> {
        let held = self.model.of(self.number).families.len();
        if !self.pending.is_empty() && self.dice.percent(30) {
            return self.resolve_one();
        }
        if held < FEW {
            return self.push_family();
        }
        match self.dice.below(200) {
            0..62 if held < MOST => self.push_family(),
            0..96 => self.delete_a_family(),
            96..132 => self.pull_anything(),
            132..144 => self.pull_by_tag(),
            144..152 => self.race_a_delete(),
            152..160 => self.move_a_tag(),
            160..164 => self.delete_a_tag(),
            164..172 => self.ask_for_heads(),
            172..180 => self.cancel_an_upload(),
            180..184 => self.push_a_lone_blob(),
            184..187 => self.list_tags(),
            187..191 => self.list_referrers(),
            191..195 => self.move_the_hot_tag(),
            195..198 => self.pull_the_hot_tag(),
            198 => self.clean_the_hot_tag(),
            _ => self.delete_a_repository(),
        }
    }

    /// A family of this client.
    pub fn own(&mut self) -> Option<Arc<Family>> {
        let holdings = self.model.of(self.number);
        self.dice.pick(&holdings.families).cloned()
    }

    /// A repository to push to: one of the client's own, or one that all share.
    pub fn repository(&mut self) -> String {
        match self.dice.percent(45) {
            true => format!("stress/shared-{}", self.dice.below(3)),
            false => self.own_repository(),
        }
    }

    pub fn own_repository(&mut self) -> String {
        format!(
            "stress/c{:02}/{}",
            self.number,
            ["a", "b", "c/d"][usize::try_from(self.dice.below(3)).unwrap_or(0)]
        )
    }

    /// The begin of all tags of this client.
    pub fn prefix(&self) -> String {
        format!("c{:02}-", self.number)
    }

    /// The tags of this client in a repository are exactly those that were acknowledged.
    fn list_tags(&mut self) -> Result<(), Trouble> {
        self.count("list tags");
        let Some(family) = self.own() else { return Ok(()) };
        let repository = &family.repository;
        let limit = [3, 50, 1000][usize::try_from(self.dice.below(3)).unwrap_or(0)];
        let mut target = format!("/v2/{repository}/tags/list?n={limit}");
        let mut found = BTreeSet::new();
        loop {
            let answer = self.connection.expect(&[200], Request::new("GET", &target))?;
            let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
            let names = body["tags"].as_array().cloned().unwrap_or_default();
            found.extend(names.iter().filter_map(|name| name.as_str().map(str::to_owned)));
            match answer.header("link").and_then(next_page) {
                Some(next) => target = next,
                None => break,
            }
        }
        let prefix = self.prefix();
        found.retain(|tag| tag.starts_with(&prefix));
        let mut expected: BTreeSet<String> = {
            let holdings = self.model.of(self.number);
            let tags = holdings.tags.keys().filter(|(name, _)| name == repository);
            tags.map(|(_, tag)| tag.clone()).collect()
        };
        for pending in &self.pending {
            if let Some(tag) = &pending.tag {
                found.remove(tag);
                expected.remove(tag);
            }
        }
        match found == expected {
            true => Ok(()),
            false => Err(Trouble::Failed(format!(
                "the tags of {repository} are {found:?}, but acknowledged were {expected:?}"
            ))),
        }
    }

    /// Every signature of an image is listed while the image is there.
    fn list_referrers(&mut self) -> Result<(), Trouble> {
        self.count("list referrers");
        let Some(family) = self.model.any(&mut self.dice) else {
            return Ok(());
        };
        let Ok(life) = family.life.try_read() else {
            return Ok(());
        };
        let (true, Some(head)) = (life.is_alive, family.head()) else {
            return Ok(());
        };
        let target = format!("/v2/{}/referrers/{}", family.repository, head.digest);
        let request = Request::new("GET", &target);
        let answer = self.connection.expect(&[200], request)?;
        let body: Value = serde_json::from_slice(&answer.body).unwrap_or_default();
        let listed = body["manifests"].as_array().cloned().unwrap_or_default();
        for referrer in family.referrers() {
            if !listed.iter().any(|entry| entry["digest"] == referrer.digest.as_str()) {
                return Err(Trouble::Failed(format!(
                    "{} is not in: {}",
                    referrer.digest,
                    told(request, &answer)
                )));
            }
        }
        Ok(())
    }

    /// What is there says so without its bytes.
    fn ask_for_heads(&mut self) -> Result<(), Trouble> {
        self.count("head");
        let Some(family) = self.model.any(&mut self.dice) else {
            return Ok(());
        };
        let Ok(life) = family.life.try_read() else {
            return Ok(());
        };
        if !life.is_alive {
            return Ok(());
        }
        for member in &family.members {
            let target = format!("/v2/{}/manifests/{}", family.repository, member.digest);
            let answer = self.connection.expect(&[200], Request::new("HEAD", &target))?;
            has_size(&target, answer.header("content-length"), member.bytes.len())?;
            for blob in &member.blobs {
                let target = format!("/v2/{}/blobs/{}", family.repository, blob.digest);
                let answer = self.connection.expect(&[200], Request::new("HEAD", &target))?;
                has_size(&target, answer.header("content-length"), blob.size)?;
            }
        }
        Ok(())
    }

    /// Deletes what this client has, and answers for every push.
    pub fn finish(&mut self, deletes: bool) -> Result<(), Trouble> {
        while !self.pending.is_empty() {
            self.resolve_one()?;
        }
        while deletes && !self.model.of(self.number).families.is_empty() {
            self.delete_a_family()?;
        }
        Ok(())
    }

    /// Deletes the images that the hot tag had.
    fn clean_the_hot_tag(&mut self) -> Result<(), Trouble> {
        let model = self.model;
        let hot = model.hot.write().unwrap_or_else(PoisonError::into_inner);
        self.delete_old_hot_images(&hot)
    }
}

fn has_size(target: &str, told: Option<&str>, size: usize) -> Result<(), Trouble> {
    match told.and_then(|text| text.parse::<usize>().ok()) == Some(size) {
        true => Ok(()),
        false => Err(Trouble::Failed(format!(
            "HEAD {target} says {told:?} bytes, but it has {size}"
        ))),
    }
}

fn next_page(link: &str) -> Option<String> {
    let target = link.strip_prefix('<')?.split_once('>')?.0;
    Some(target[target.find("/v2/")?..].to_owned())
}
