//! Makes the standard zoo: `cargo run --release -p lorica-zoo --example build_zoo -- OUT`.
#![allow(clippy::print_stdout, reason = "an example prints what it does")]

use std::path::Path;

use lorica_zoo::{Event, Recipe, Sources, ZooError};

fn main() -> Result<(), ZooError> {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../testdata");
    let sources = Sources { models: data.join("models"), texts: data.join("text") };
    let out = std::env::args().nth(1).unwrap_or_else(|| "zoo".to_owned());
    let mut last = 0.0;
    let zoo = Recipe::standard(sources)?.build(out.as_ref(), &mut |event| match event {
        Event::Started { .. } => {}
        Event::Step { loss, .. } => last = loss,
        Event::Finished { member, seconds, kept } => {
            println!("{member}: {seconds:.2} s{}, last loss {last:.3}", if kept { " (kept)" } else { "" });
        }
    })?;
    println!(
        "{} members, {} pairs, {:.0} s",
        zoo.manifest().members.len(),
        zoo.manifest().pairs.len(),
        zoo.manifest().seconds
    );
    Ok(())
}
