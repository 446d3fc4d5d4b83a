# The recipes call the same scripts as the continuous integration. `just --list` shows them.

# Everything that CI runs.
ci:
    .ci/run

# All tests.
test:
    scripts/check test

# All tests with the portable kernels in place of the SIMD ones.
test-portable:
    scripts/check test-portable

# Formatting, lints, and the rules about dependencies and sources.
lint:
    scripts/check format
    scripts/check clippy
    scripts/check rules

# Licences, sources and versions of all dependencies.
deny:
    scripts/check deny

# The documentation of all crates.
docs:
    scripts/check docs

# The main job on shipped data.
demo:
    cargo run --release -- demo

# Times and sizes of a session for given shapes: `just bench --modules 24 --in 768 --out 768`.
bench *shape:
    cargo run --release -- bench session {{shape}}

# All stored benchmarks: docs/benchmarks/session, with its page.
bench-store:
    scripts/bench

# The stored benchmarks of training proofs: docs/benchmarks/training, with its page. Takes some minutes.
bench-training *arguments:
    scripts/bench-training {{arguments}}

# One target of fuzz/ for a number of seconds; needs a nightly toolchain and cargo-fuzz.
fuzz target seconds="60":
    cargo run --release -p lorica-testkit --example fuzz_seeds
    cargo +nightly fuzz run {{target}} -- -max_total_time={{seconds}}

# The stored benchmarks of model identity: docs/benchmarks/identity. Takes most of an hour.
bench-identity:
    scripts/bench-identity

# The robustness suite in two modes: docs/benchmarks/identity/robustness-*.
bench-robustness *arguments:
    scripts/bench-robustness {{arguments}}

# What the text tier sees: docs/benchmarks/identity/text-tier.*.
bench-text-tier *arguments:
    scripts/bench-text-tier {{arguments}}

# A model against itself behind llama.cpp's server, which is built first: docs/benchmarks/identity/foreign-server.*.
foreign-server *arguments:
    scripts/foreign/run {{arguments}}

# What the range argument adds to a registration: docs/benchmarks/session/range.md.
bench-range:
    scripts/bench-range
