//! The generated parts of the documents. The code that knows their content lives beside what they describe and
//! is a test there: it compares, and with `WHARF_WRITE_REFERENCE` set it writes first.

use std::process::Command;

use anyhow::Result;

/// Writes them again.
///
/// # Errors
///
/// The program does not compile.
pub fn run() -> Result<()> {
    let mut command = Command::new("cargo");
    command
        .current_dir(crate::root()?)
        .args(["test", "--quiet", "--package", "wharf", "--", "reference_page"])
        .env("WHARF_WRITE_REFERENCE", "1");
    crate::cargo::run(&mut command)
}
