#!/usr/bin/env bash
# Installs what tests, lints and benchmarks need besides Rust: a Python environment in .venv, the packages of clients/node, console and
# tools from npm, generators of code for other languages, and etcd, which only the benchmarks need. Quick when everything is there already.
set -euo pipefail
cd "$(dirname "$0")/.."

# Debian packages, where they are missing and we may install them.
missing=()
command -v cc >/dev/null || missing+=(build-essential)
command -v python3 >/dev/null || missing+=(python3)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
# The tests of the console. A browser that a wrapper such as a snap brings does not count.
command -v chromium >/dev/null || missing+=(chromium)
# The tour of docs/rest.md.
command -v curl >/dev/null || missing+=(curl)
# Generators of code for other languages, which tests/contract runs.
command -v protoc >/dev/null || missing+=(protobuf-compiler)
command -v grpc_cpp_plugin >/dev/null || missing+=(protobuf-compiler-grpc)
command -v grpc_java_plugin >/dev/null || missing+=(protobuf-compiler-grpc-java-plugin)
command -v protoc-gen-go >/dev/null || missing+=(protoc-gen-go)
command -v protoc-gen-go-grpc >/dev/null || missing+=(protoc-gen-go-grpc)
ruby -e 'require "grpc"' 2>/dev/null || missing+=(ruby-grpc)
command -v php >/dev/null || missing+=(php-cli)
[ -e /usr/share/php/Google/Protobuf/autoload.php ] || [ -d /usr/share/php/Google/Protobuf ] || missing+=(php-google-protobuf)
if [ ${#missing[@]} -gt 0 ]; then
  if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
    echo "missing: ${missing[*]} (as root on Debian this script installs them)" >&2
    exit 1
  fi
  echo "installing Debian packages: ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# The benchmarks say so and leave it out where it is missing. The package would start a service of its own, which is not wanted.
if [ ! -x /usr/bin/etcd ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "installing Debian package: etcd-server"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get install -y -qq --no-install-recommends etcd-server >/dev/null ||
      echo "etcd-server was not installed: the benchmarks will leave it out" >&2
  else
    echo "no /usr/bin/etcd: the benchmarks will leave it out (as root on Debian this script installs it)" >&2
  fi
fi

# Runs a command if what it depends on changed since it last succeeded. $1: the stamp, $2...: files, --, the command.
once() {
  local stamp=$1 files=() want
  shift
  while [ "$1" != -- ]; do files+=("$1"); shift; done
  shift
  want=$(sha256sum "${files[@]}")
  if [ "$(cat "$stamp" 2>/dev/null)" != "$want" ]; then
    echo "installing ${files[*]}"
    "$@"
    printf '%s\n' "$want" >"$stamp"
  fi
}

python_packages() {
  python3 -m venv --clear .venv
  .venv/bin/pip install --quiet --disable-pip-version-check "$@"
}
once .venv/installed clients/python/requirements.txt tools/requirements.txt -- \
  python_packages -r clients/python/requirements.txt -r tools/requirements.txt

for place in clients/node tools; do
  once "$place/node_modules/installed" "$place/package-lock.json" -- \
    npm ci --prefix "$place" --no-audit --no-fund --loglevel=error
done
# No package of the console runs anything when it is installed.
once console/node_modules/installed console/package-lock.json -- \
  npm ci --prefix console --ignore-scripts --no-audit --no-fund --loglevel=error
