//! The index: every SQL statement of Wharf.
