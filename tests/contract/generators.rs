//! The generators of other languages take the proto files, and what they make can be loaded where that is cheap. Knows `protoc` and its
//! plugins, as Debian, PyPI and npm have them.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::tools;

/// Runs a command, which must succeed.
#[track_caller]
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed:\n{said}");
    said
}

/// Whether these programs are on the path. A test without its tools is skipped.
fn has(programs: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let found = |program: &&str| std::env::split_paths(&paths).any(|path| path.join(program).exists());
    let missing: Vec<_> = programs.iter().filter(|program| !found(program)).copied().collect();
    tools::found_or_skip(missing.is_empty().then(PathBuf::new), &missing.join(", ")).is_some()
}

/// The proto files of these directories, as `protoc` wants to be told of them.
fn files(directories: &[&str]) -> Vec<String> {
    let proto = tools::root().join("proto");
    let mut files = vec![];
    for directory in directories {
        for entry in std::fs::read_dir(proto.join(directory)).expect("a directory of proto files") {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            if name.ends_with(".proto") {
                files.push(format!("{directory}/{name}"));
            }
        }
    }
    files.sort();
    assert!(files.len() > 7, "{files:?}");
    files
}

const ALL: [&str; 3] = ["confwatch/v1", "google/api", "google/rpc"];
/// Where a language has google.api and google.rpc as a package.
const OURS: [&str; 1] = ["confwatch/v1"];

/// Generates into a directory of its own. `{}` in an argument is that directory.
fn generate(arguments: &[&str], directories: &[&str]) -> TempDir {
    let out = tempfile::tempdir().expect("a directory");
    let to = out.path().display().to_string();
    let proto = tools::root().join("proto");
    run(Command::new("protoc")
        .current_dir(&proto)
        .arg("-I.")
        .args(arguments.iter().map(|argument| argument.replace("{}", &to)))
        .args(files(directories)));
    out
}

/// All files below a directory with this ending.
fn generated(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        match path.is_dir() {
            true => found.extend(generated(&path, ending)),
            false if path.to_string_lossy().ends_with(ending) => found.push(path),
            false => {}
        }
    }
    found.sort();
    found
}

fn plugin(name: &str) -> String {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let path = std::env::split_paths(&paths).map(|path| path.join(name)).find(|path| path.exists());
    format!("--plugin=protoc-gen-grpc={}", path.expect("it was just found").display())
}

#[test]
fn cpp_is_generated() {
    if !has(&["protoc", "grpc_cpp_plugin"]) {
        return;
    }
    let out = generate(&["--cpp_out={}", "--grpc_out={}", &plugin("grpc_cpp_plugin")], &ALL);
    assert_eq!(generated(out.path(), ".grpc.pb.h").len(), files(&ALL).len());
}

#[test]
fn java_is_generated() {
    if !has(&["protoc", "grpc_java_plugin"]) {
        return;
    }
    let out = generate(&["--java_out={}", "--grpc_out={}", &plugin("grpc_java_plugin")], &ALL);
    assert_eq!(generated(out.path(), "Grpc.java").len(), 8, "one for each service");
    assert!(out.path().join("io/confwatch/v1/WatchResponse.java").exists());
}

/// Without gRPC: Debian has no plugins for these two.
#[test]
fn csharp_and_objective_c_are_generated() {
    if !has(&["protoc"]) {
        return;
    }
    let out = generate(&["--csharp_out={}", "--objc_out={}"], &ALL);
    assert_eq!(generated(out.path(), ".cs").len(), files(&ALL).len());
    assert_eq!(generated(out.path(), ".pbobjc.h").len(), files(&ALL).len());
}

#[test]
fn go_is_generated() {
    if !has(&["protoc", "protoc-gen-go", "protoc-gen-go-grpc"]) {
        return;
    }
    let out = generate(&["--go_out={}", "--go-grpc_out={}"], &OURS);
    let package = out.path().join("github.com/confwatch/confwatch/proto/confwatch/v1");
    assert_eq!(generated(&package, ".pb.go").len(), files(&OURS).len() + 8);
    for file in generated(&package, ".pb.go") {
        let source = std::fs::read_to_string(&file).expect("a source");
        assert!(source.contains("package confwatchv1"), "{}", file.display());
        assert!(!source.contains("Reset_ "), "a field collides with a method in {}", file.display());
    }
}

#[test]
fn ruby_is_generated_and_loaded() {
    if !has(&["protoc", "grpc_ruby_plugin", "ruby"]) {
        return;
    }
    let out = generate(&["--ruby_out={}", "--grpc_out={}", &plugin("grpc_ruby_plugin")], &OURS);
    let script = r##"
        Dir["confwatch/v1/*_pb.rb"].sort.each { |file| require file }
        services = Confwatch::V1.constants.grep(/Service$/).map { |name| Confwatch::V1.const_get(name)::Stub }
        abort "#{services.size} services" unless services.size == 8
        # Each field is read by a method of its own name: no other method hides it.
        Confwatch::V1.constants.map { |name| Confwatch::V1.const_get(name) }.each do |message|
          next unless message.respond_to?(:descriptor) && message.descriptor.is_a?(Google::Protobuf::Descriptor)
          message.descriptor.each do |field|
            hidden = message.new.public_methods.include?(field.name.to_sym)
            abort "#{message}.#{field.name} is hidden by a method" if hidden
          end
        end
        puts Confwatch::V1::Commit.new(chain_hash: "sha256:1").chain_hash
    "##;
    let said = run(Command::new("ruby").current_dir(out.path()).args(["-I.", "-e", script]));
    assert!(said.ends_with("sha256:1\n"), "{said}");
}

#[test]
fn php_is_generated_and_loaded() {
    if !has(&["protoc", "grpc_php_plugin", "php"]) {
        return;
    }
    let out = generate(&["--php_out={}", "--grpc_out={}", &plugin("grpc_php_plugin")], &ALL);
    for client in generated(out.path(), "Client.php") {
        run(Command::new("php").arg("-l").arg(client));
    }
    let script = r#"
        spl_autoload_register(function ($class) {
            $file = str_replace("\\", "/", $class) . ".php";
            foreach ([getcwd(), "/usr/share/php"] as $directory) {
                if (is_file("$directory/$file")) { require_once "$directory/$file"; return; }
            }
        });
        foreach (glob("Confwatch/V1/*.php") as $file) {
            $class = basename($file, ".php");
            // Clients need the extension of gRPC.
            if (!str_ends_with($class, "Client") && !str_ends_with($class, "Stub")) {
                new ReflectionClass("Confwatch\\V1\\$class");
            }
        }
        $commit = new Confwatch\V1\Commit();
        $commit->setChainHash("sha256:1");
        $info = new Google\Rpc\ErrorInfo();
        echo $commit->getChainHash(), PHP_EOL;
    "#;
    let said = run(Command::new("php").current_dir(out.path()).args(["-r", script]));
    assert!(said.ends_with("sha256:1\n"), "{said}");
}

#[test]
fn python_is_generated_and_loaded() {
    let Some(python) = tools::python("grpc_tools, grpc_status") else { return };
    let out = tempfile::tempdir().expect("a directory");
    let clients = tools::root().join("clients/python");
    run(Command::new(&python).arg(clients.join("generate.py")).arg(out.path()));
    let script = "
import glob, importlib, keyword
from google.rpc import error_details_pb2
from confwatch.v1 import commit_pb2
names = sorted(path[:-3].replace('/', '.') for path in glob.glob('confwatch/v1/*_pb2*.py'))
modules = [importlib.import_module(name) for name in names]
stubs = [stub for module in modules for stub in vars(module) if stub.endswith('ServiceStub')]
assert len(stubs) == 8, stubs
for file in (module.DESCRIPTOR for module in modules if hasattr(module, 'DESCRIPTOR')):
    for message in file.message_types_by_name.values():
        for field in message.fields:
            assert not keyword.iskeyword(field.name), field.full_name
print(commit_pb2.Commit(chain_hash='sha256:1').chain_hash)
";
    let said = run(Command::new(&python).current_dir(out.path()).args(["-c", script]));
    assert_eq!(said, "sha256:1\n");
}

#[test]
fn typescript_is_generated_and_compiled() {
    let modules = tools::root().join("tools/node_modules");
    let generator = modules.join(".bin/protoc-gen-es");
    let compiler = modules.join(".bin/tsc");
    let found = generator.exists() && compiler.exists();
    if !has(&["protoc", "node"])
        || tools::found_or_skip(found.then_some(()), "TypeScript in tools/node_modules").is_none()
    {
        return;
    }
    let plugin = format!("--plugin=protoc-gen-es={}", generator.display());
    let out = generate(&[&plugin, "--es_out={}", "--es_opt=target=ts,import_extension=js"], &ALL);
    std::os::unix::fs::symlink(&modules, out.path().join("node_modules")).expect("a link");
    let sources: Vec<_> =
        ["confwatch", "google"].iter().flat_map(|of| generated(&out.path().join(of), ".ts")).collect();
    assert_eq!(sources.len(), files(&ALL).len());
    let options = ["--noEmit", "--strict", "--skipLibCheck", "--target", "es2022"];
    let modules = ["--module", "nodenext", "--moduleResolution", "nodenext"];
    run(Command::new(compiler).current_dir(out.path()).args(options).args(modules).args(sources));
}
