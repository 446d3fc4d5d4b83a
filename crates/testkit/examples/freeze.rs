//! Writes the frozen session of this version into a new folder: `cargo run --release -p lorica-testkit --example freeze -- DIR`.
//!
//! Only for a new version of a format, with its reason in the change log: what is frozen never changes.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a new folder")?;
    lorica_testkit::frozen::write(folder.as_ref())
}
