//! Tasks of the people who work on Wharf.
fn main() {}
