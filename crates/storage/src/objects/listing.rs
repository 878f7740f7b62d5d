//! What lies in a folder of a bucket.

use super::{AT_ONCE, Objects, again, error::failed, fingerprint_of, modified};
use crate::{
    Result,
    driver::{Detail, Entry, Probe},
    links::MOST_CONTENT,
    paths::Location,
};
use futures_util::{StreamExt, TryStreamExt, stream};
use object_store::{
    ObjectMeta,
    list::{PaginatedListOptions, PaginatedListResult},
};

/// Reads a listing page by page.
#[derive(Debug)]
struct Pages {
    objects: Objects,
    folder: Location,
    /// What is asked for next; `None` at the end.
    next: Option<Page>,
}

#[derive(Clone, Debug)]
struct Page {
    token: Option<String>,
    delimiter: Option<&'static str>,
}

impl Pages {
    fn new(objects: Objects, folder: &Location, delimiter: Option<&'static str>) -> Self {
        Self {
            objects,
            folder: folder.clone(),
            next: Some(Page { token: None, delimiter }),
        }
    }

    async fn next(&mut self) -> Result<Option<PaginatedListResult>> {
        let Some(page) = self.next.clone() else {
            return Ok(None);
        };
        let prefix = self.objects.prefix(&self.folder)?;
        let options = || PaginatedListOptions {
            delimiter: page.delimiter.map(Into::into),
            page_token: page.token.clone(),
            ..PaginatedListOptions::default()
        };
        let pages = &self.objects.inner.plain.pages;
        let found = again(|| pages.list_paginated(Some(&prefix), options())).await;
        let mut found = found.map_err(|error| failed("list", &self.folder, &error))?;
        self.next = found.page_token.take().map(|token| Page {
            token: Some(token),
            ..page
        });
        Ok(Some(found))
    }
}

/// Every object in a folder, however deep.
#[derive(Debug)]
pub(crate) struct Keys(Pages);

impl Keys {
    pub(crate) fn new(objects: Objects, folder: &Location) -> Self {
        Self(Pages::new(objects, folder, None))
    }

    /// The next ones, at most a thousand, with their sizes and the times of their last changes in
    /// nanoseconds since 1970; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<(Location, u64, i64)>>> {
        let Some(page) = self.0.next().await? else {
            return Ok(None);
        };
        let objects = page.result.objects.iter();
        let found = objects.filter_map(|object| {
            let location = self.0.objects.location(&object.location)?;
            Some((location, object.size, modified(object)))
        });
        Ok(Some(found.collect()))
    }
}

/// The entries of one folder.
#[derive(Debug)]
pub struct FolderLister {
    pages: Pages,
    links: Option<Links>,
}

/// How entries are found among all keys below a folder.
#[derive(Debug)]
struct Links {
    suffix: &'static str,
    detail: Detail,
    /// How many parts of a key name an entry.
    depth: usize,
    /// The entry whose keys may go on in the next page.
    open: Option<Found>,
}

/// An entry, and the object that was looked for below it.
#[derive(Debug)]
struct Found {
    name: String,
    is_folder: bool,
    link: Option<ObjectMeta>,
}

impl FolderLister {
    pub(super) fn entries(objects: Objects, folder: &Location) -> Self {
        Self {
            pages: Pages::new(objects, folder, Some("/")),
            links: None,
        }
    }

    pub(super) fn links(objects: Objects, folder: &Location, suffix: &'static str, detail: Detail) -> Self {
        Self::below(objects, folder, suffix, (detail, 1))
    }

    /// Like `links`, for entries that lie so many folders deep; their names have that many parts.
    pub(crate) fn below(
        objects: Objects,
        folder: &Location,
        suffix: &'static str,
        (detail, depth): (Detail, usize),
    ) -> Self {
        Self {
            pages: Pages::new(objects, folder, None),
            links: Some(Links {
                suffix,
                detail,
                depth,
                open: None,
            }),
        }
    }

    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Entry>>> {
        loop {
            let page = self.pages.next().await?;
            let is_end = page.is_none();
            let entries = match (&mut self.links, page) {
                (None, None) => return Ok(None),
                (None, Some(page)) => entries(&self.pages, page),
                (Some(links), page) => {
                    let found = links.gather(&self.pages, page);
                    look(&self.pages.objects, found, links.detail).await?
                }
            };
            if !entries.is_empty() {
                return Ok(Some(entries));
            }
            if is_end {
                return Ok(None);
            }
        }
    }
}

/// What one page says of a folder's own entries.
fn entries(pages: &Pages, page: PaginatedListResult) -> Vec<Entry> {
    let name = |path| {
        let location = pages.objects.location(path)?;
        let name = below(&location, &pages.folder)?.to_owned();
        Some(name).filter(|name| !name.contains('/'))
    };
    let folders = page.result.common_prefixes.iter().filter_map(|path| {
        Some(Entry {
            name: name(path)?,
            is_folder: true,
            link: None,
            modified: 0,
        })
    });
    let files = page.result.objects.iter().filter_map(|object| {
        Some(Entry {
            name: name(&object.location)?,
            is_folder: false,
            link: None,
            modified: modified(object),
        })
    });
    folders.chain(files).collect()
}

/// What a place is called below a folder.
fn below<'a>(location: &'a Location, folder: &Location) -> Option<&'a str> {
    location.as_str().strip_prefix(folder.as_str())?.strip_prefix('/')
}

impl Links {
    /// The entries that a page completes; without a page, the last one.
    fn gather(&mut self, pages: &Pages, page: Option<PaginatedListResult>) -> Vec<Found> {
        let Some(page) = page else {
            return self.open.take().into_iter().collect();
        };
        let mut all = Vec::new();
        for object in page.result.objects {
            let Some(location) = pages.objects.location(&object.location) else {
                continue;
            };
            let Some(key) = below(&location, &pages.folder) else {
                continue;
            };
            let (name, rest) = split(key, self.depth);
            if self.open.as_ref().is_none_or(|open| open.name != name) {
                all.extend(self.open.replace(Found {
                    name: name.to_owned(),
                    is_folder: rest.is_some(),
                    link: None,
                }));
            }
            if let Some(open) = &mut self.open
                && rest.is_some_and(|rest| rest == self.suffix)
            {
                open.link = Some(object);
            }
        }
        all
    }
}

/// The first parts of a key, and what follows them.
fn split(key: &str, depth: usize) -> (&str, Option<&str>) {
    let mut slashes = key.match_indices('/').skip(depth - 1);
    match slashes.next() {
        Some((at, _)) => (&key[..at], key.get(at + 1..)),
        None => (key, None),
    }
}

/// Looks at what was found as closely as it was asked for.
async fn look(objects: &Objects, found: Vec<Found>, detail: Detail) -> Result<Vec<Entry>> {
    let entry = |found: Found| async move {
        let modified = found.link.as_ref().map_or(0, modified);
        let link = match found.link {
            None => Probe::Missing,
            Some(object) if detail == Detail::Stat => Probe::Stat(fingerprint_of(&object)),
            Some(object) => match objects.location(&object.location) {
                Some(location) => read(objects, &location, object.size).await?,
                None => Probe::Missing,
            },
        };
        Ok(Entry {
            name: found.name,
            is_folder: found.is_folder,
            link: found.is_folder.then_some(link),
            modified,
        })
    };
    stream::iter(found.into_iter().map(entry))
        .buffered(AT_ONCE)
        .try_collect()
        .await
}

async fn read(objects: &Objects, location: &Location, size: u64) -> Result<Probe> {
    let object = match size {
        0..=MOST_CONTENT => objects.fetch(location, u64::MAX).await?,
        _ => objects.fetch_beginning(location, MOST_CONTENT).await?,
    };
    Ok(object.map_or(Probe::Missing, Probe::Object))
}
