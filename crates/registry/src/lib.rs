//! The capabilities of the registry, one folder each.
