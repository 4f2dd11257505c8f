//! The part of a page that is made from results. Knows nothing of what they are.

use std::io;
use std::path::Path;

const BEGIN: &str = "<!-- results -->\n";
const END: &str = "<!-- /results -->\n";

/// Writes the results in place of the last ones.
pub fn replace(path: &Path, results: &str) -> io::Result<()> {
    let page = std::fs::read_to_string(path)?;
    let missing =
        || io::Error::other(format!("{} has no lines {} and {}", path.display(), BEGIN.trim(), END.trim()));
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    std::fs::write(path, format!("{before}{BEGIN}\n{}\n\n{END}{after}", results.trim()))
}
