//! Compares the methods of the repository with the requests of the scenario.

use std::{fs, path::Path};

/// Methods that read all rows on purpose, or need an empty database.
const EXEMPT: [&str; 5] = [
    // Imports fill an empty database.
    "add",
    "flaws",
    // An export and an import count all rows, and look for passwords without a hash.
    "counts",
    "plain_passwords",
    // Begins an import, and a session: the requests call the latter.
    "begin",
];

/// Checks that `requests.rs` calls every public method of `src/repository` that sends a statement.
///
/// # Errors
/// The names of the methods that no request calls.
pub fn check() -> Result<(), String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let failed = |e: std::io::Error| format!("the source cannot be read: {e}");
    let requests = fs::read_to_string(root.join("src/growth/requests.rs")).map_err(failed)?;
    let mut missing = Vec::new();
    for file in fs::read_dir(root.join("../../src/repository")).map_err(failed)? {
        let source = fs::read_to_string(file.map_err(failed)?.path()).map_err(failed)?;
        let methods = source.split("pub async fn ").skip(1);
        let names = methods.filter_map(|method| method.split('(').next());
        missing.extend(
            names
                .filter(|name| !EXEMPT.contains(name) && !requests.contains(&format!(".{name}(")))
                .map(str::to_owned),
        );
    }
    match missing.is_empty() {
        true => Ok(()),
        false => Err(format!("no request calls {}", missing.join(", "))),
    }
}
