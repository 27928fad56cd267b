# Short names for the commands of CONTRIBUTING.md. `just` alone lists them.

set positional-arguments

_list:
    @just --list --unsorted

# Serves on http://127.0.0.1:8080 with sample data; flags go to the server.
dev *FLAGS:
    cargo run -- "$@"

# Runs the Rust tests on both stores, beside a private Postgres.
test *FILTER:
    scripts/with-postgres cargo test --locked "$@"

# Runs the tests of one binary whose names contain FILTER, on both stores, and shows their output.
test-one FILTER BINARY="api":
    scripts/with-postgres cargo test --locked --test "{{ BINARY }}" "{{ FILTER }}" -- --nocapture --include-ignored

# Runs tests/api on SQLite; needs no Postgres. FILTER is the name of a module, such as chats::
test-sqlite FILTER="":
    cargo test --locked --test api "{{ FILTER }}"

# Runs everything that CI runs, and installs missing tools.
test-all *FILTER:
    scripts/test "$@"

# Fails on warnings of clippy and on unformatted code.
lint:
    cargo fmt --all --check
    cargo clippy --locked --workspace --all-targets -- -D warnings

# Formats the source.
fmt:
    cargo fmt --all

# Breaks the server for SECONDS on each store and checks what clients saw.
check SECONDS="60" *OPTIONS:
    scripts/check "$@"

# Runs one scenario of tools/load/README.md, such as `just bench fanout`.
bench *ARGUMENTS:
    cargo build --locked --release -p messaging-api -p load
    scripts/with-postgres cargo run --locked --release -p load -- "$@"

# Sends every statement to a large database on each store, and fails where one reads too much.
growth *OPTIONS:
    cargo build --locked --release -p load
    cargo run --locked --release -p load -- growth "$@"
    scripts/with-postgres cargo run --locked --release -p load -- growth --store postgres "$@"

# Builds the documentation of the source, and checks the links and commands of the documents.
docs:
    RUSTDOCFLAGS="-D warnings" cargo doc --locked --no-deps
    cargo test --locked --test docs
