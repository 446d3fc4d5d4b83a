//! Writes the frozen session of this version into a new folder, or with a second argument the frozen registration with a range
//! argument, the frozen data set and model, or the frozen training proofs:
//! `cargo run --release -p lorica-testkit --example freeze -- DIR [range|rows|training]`.
//!
//! Only for a new version of a format, with its reason in the change log: what is frozen never changes.

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = std::env::args_os().nth(1).ok_or("name a new folder")?;
    match std::env::args().nth(2).as_deref() {
        None => lorica_testkit::frozen::write(folder.as_ref()),
        Some("range") => lorica_testkit::frozen::write_range(folder.as_ref()),
        Some("rows") => lorica_testkit::frozen::write_rows(folder.as_ref()),
        Some("training") => lorica_testkit::frozen::write_training(folder.as_ref()),
        Some(other) => Err(format!("{other} is nothing that is frozen").into()),
    }
}
