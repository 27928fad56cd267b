//! Rebuilds the crate when a file appears in or vanishes from `web`, which is embedded in the binary.

#![allow(clippy::print_stdout)]

fn main() {
    println!("cargo::rerun-if-changed=web");
}
