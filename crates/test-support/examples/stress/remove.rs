//! Deletes.

use std::sync::{Arc, PoisonError};

use crate::client::Client;
use crate::content::{self, sha256};
use crate::http::{Insisted, Request, Trouble, told};
use crate::model::{Family, Hot, locked};
use crate::pull::HOT;

impl Client<'_> {
    /// One of this client's families goes with all its tags.
    pub fn delete_a_family(&mut self) -> Result<(), Trouble> {
        let Some(family) = self.own() else { return Ok(()) };
        self.count("delete manifests");
        let mut life = family.life.write().unwrap_or_else(PoisonError::into_inner);
        life.is_alive = false;
        let Some(head) = family.head() else { return Ok(()) };
        if let Some(tag) = life.tag.take()
            && self.dice.percent(30)
        {
            self.delete_tag(&family.repository, &tag)?;
        }
        // signatures go before their image, after it, or are left to the collector
        let way = self.dice.below(3);
        if way == 0 {
            self.delete_referrers(&family, false)?;
        }
        self.delete_manifest(&family.repository, &head.digest, false)?;
        for member in &family.members[..family.head] {
            if member.subject.is_none() {
                self.delete_manifest(&family.repository, &member.digest, false)?;
            }
        }
        if way == 1 {
            self.delete_referrers(&family, true)?;
        }
        self.forget(&family, way == 2);
        Ok(())
    }

    fn delete_referrers(&mut self, family: &Family, may_be_gone: bool) -> Result<(), Trouble> {
        for referrer in family.referrers() {
            self.delete_manifest(&family.repository, &referrer.digest, may_be_gone)?;
        }
        Ok(())
    }

    fn forget(&mut self, family: &Arc<Family>, leaves_referrers: bool) {
        let mut holdings = self.model.of(self.number);
        holdings.families.retain(|other| !Arc::ptr_eq(other, family));
        holdings.tags.retain(|(repository, _), digest| {
            *repository != family.repository || family.members.iter().all(|member| member.digest != *digest)
        });
        for member in &family.members {
            let name = (family.repository.clone(), member.digest.clone());
            match member.subject.is_some() && leaves_referrers {
                true => holdings.doomed.push(name),
                false => holdings.gone.push(name),
            }
        }
    }

    /// An acknowledged delete shows at once.
    pub fn delete_manifest(&mut self, repository: &str, digest: &str, may_be_gone: bool) -> Result<(), Trouble> {
        let target = format!("/v2/{repository}/manifests/{digest}");
        self.delete(&target, may_be_gone)
    }

    fn delete(&mut self, target: &str, may_be_gone: bool) -> Result<(), Trouble> {
        let request = Request::new("DELETE", target);
        let Insisted { answer, repeated } = self.connection.insist(request)?;
        match answer.status {
            202 => {}
            404 if may_be_gone || repeated => {}
            _ => return Err(Trouble::Failed(told(request, &answer))),
        }
        self.connection.expect(&[404], Request::new("GET", target))?;
        Ok(())
    }

    fn delete_tag(&mut self, repository: &str, tag: &str) -> Result<(), Trouble> {
        self.count("delete tag");
        self.delete(&format!("/v2/{repository}/manifests/{tag}"), false)?;
        let key = (repository.to_owned(), tag.to_owned());
        self.model.of(self.number).tags.remove(&key);
        Ok(())
    }

    /// A tag goes, what it named stays.
    pub fn delete_a_tag(&mut self) -> Result<(), Trouble> {
        let Some(family) = self.own() else { return Ok(()) };
        let mut life = family.life.write().unwrap_or_else(PoisonError::into_inner);
        let Some(tag) = life.tag.take() else { return Ok(()) };
        self.delete_tag(&family.repository, &tag)?;
        self.pull_family(&family)
    }

    /// A whole repository of this client.
    pub fn delete_a_repository(&mut self) -> Result<(), Trouble> {
        let repository = self.own_repository();
        let Some(admin) = &mut self.admin else {
            return self.push_and_delete_a_blob(&repository);
        };
        let families: Vec<Arc<Family>> = {
            let holdings = self.model.of(self.number);
            let families = holdings
                .families
                .iter()
                .filter(|family| family.repository == repository);
            families.cloned().collect()
        };
        let lives: Vec<_> = families
            .iter()
            .map(|family| family.life.write().unwrap_or_else(PoisonError::into_inner))
            .collect();
        // pushes of unknown fate go with it
        let (going, staying): (Vec<_>, Vec<_>) = std::mem::take(&mut self.pending)
            .into_iter()
            .partition(|pending| pending.repository == repository);
        self.pending = staying;
        let target = format!("/api/v2.0/repositories/{}", repository.replace('/', "%2F"));
        let request = Request::new("DELETE", &target);
        let answer = admin.insist(request)?.answer;
        match answer.status {
            200 | 202 => {}
            404 if families.is_empty() || admin.has_outages() => {}
            _ => return Err(Trouble::Failed(told(request, &answer))),
        }
        self.count("delete repository");
        for mut life in lives {
            life.is_alive = false;
        }
        for family in &families {
            self.forget(family, false);
        }
        let gone = going.iter().flat_map(|pending| pending.made.iter());
        let gone = gone.map(|made| (repository.clone(), made.member.digest.clone()));
        self.model.of(self.number).gone.extend(gone);
        for family in &families {
            for member in &family.members {
                let target = format!("/v2/{repository}/manifests/{}", member.digest);
                self.connection.expect(&[404], Request::new("GET", &target))?;
            }
        }
        Ok(())
    }

    fn push_and_delete_a_blob(&mut self, repository: &str) -> Result<(), Trouble> {
        self.count("delete blob");
        let content = content::own_layer(&mut self.dice);
        self.push_blob(repository, &content)?;
        // no manifest holds it: the collector may have been faster
        self.delete(&format!("/v2/{repository}/blobs/{}", content.blob.digest), true)
    }

    /// Only the image that the tag names stays.
    pub fn delete_old_hot_images(&mut self, hot: &Hot) -> Result<(), Trouble> {
        self.count("delete what the tag that all move had");
        let target = format!("/v2/{HOT}/manifests/latest");
        let request = Request::new("GET", &target);
        let answer = self.connection.expect(&[200, 404], request)?;
        let current = sha256(&answer.body);
        let pushed = std::mem::take(&mut *locked(&hot.pushed));
        if answer.status == 404 && !pushed.is_empty() {
            return Err(Trouble::Failed(told(request, &answer)));
        }
        let is_current = |family: &Arc<Family>| family.members.iter().any(|member| member.digest == current);
        let (stays, goes): (Vec<_>, Vec<_>) = pushed.into_iter().partition(is_current);
        if stays.is_empty() && answer.status == 200 {
            return Err(Trouble::Failed(format!(
                "nobody pushed this: {}",
                told(request, &answer)
            )));
        }
        *locked(&hot.pushed) = stays;
        for family in goes {
            for member in &family.members {
                self.delete_manifest(HOT, &member.digest, false)?;
                self.model
                    .of(self.number)
                    .gone
                    .push((HOT.to_owned(), member.digest.clone()));
            }
        }
        Ok(())
    }
}
