//! A small table by name that is read without a lock.

use std::sync::OnceLock;

/// More names than any of our labels has.
const SLOTS: usize = 40;

/// Entries are made when their name is first asked for and never go away.
#[derive(Debug)]
pub(super) struct Table<T> {
    slots: Box<[OnceLock<(&'static str, T)>]>,
    overflow: OnceLock<(&'static str, T)>,
    make: fn() -> T,
}

impl<T> Table<T> {
    pub(super) fn new(make: fn() -> T) -> Self {
        Self {
            slots: std::iter::repeat_with(OnceLock::new).take(SLOTS).collect(),
            overflow: OnceLock::new(),
            make,
        }
    }

    /// The entry of a name. Past the last slot all names share the entry `other`.
    pub(super) fn get(&self, name: &'static str) -> &T {
        for slot in &self.slots {
            // a slot that another thread has just taken holds its name, maybe this one
            let (taken_by, entry) = slot.get_or_init(|| (name, (self.make)()));
            if std::ptr::eq(*taken_by, name) || *taken_by == name {
                return entry;
            }
        }
        &self.overflow.get_or_init(|| ("other", (self.make)())).1
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (&'static str, &T)> {
        let slots = self.slots.iter().chain(std::iter::once(&self.overflow));
        slots.filter_map(OnceLock::get).map(|(name, entry)| (*name, entry))
    }
}
