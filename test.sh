#!/usr/bin/env bash
# Installs what the tests need and runs all of them, those that talk to the server from Python, Node and grpcurl included.
# Arguments go to cargo test.
set -euo pipefail
cd "$(dirname "$0")"

./tools/install.sh
export CONFWATCH_REQUIRE_TOOLS=1 CONFWATCH_KILL_ROUNDS="${CONFWATCH_KILL_ROUNDS:-100}"
cargo test "$@"
if [ $# = 0 ]; then
    # What the server promises holds with authentication, too. The same binary: nothing is built again. Tests that choose for themselves whether
    # their server authenticates are the same in both runs.
    skip=()
    for module in clocks cors doors everything_at_once exceptions login noninterference oidc reveal reveal_budget secret_layers secret_writes visibility watch_model; do
        skip+=(--skip "$module::")
    done
    CONFWATCH_TEST_AUTH=on cargo test --test wire -- "${skip[@]}"
fi
