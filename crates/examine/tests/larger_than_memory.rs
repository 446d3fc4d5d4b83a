//! A checkpoint that the address space cannot hold is answered from all the same, in a child process that `ulimit -v`
//! would end at the first byte too many.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[allow(dead_code, reason = "as a program it has a main function of its own")]
#[path = "../examples/make_checkpoint.rs"]
mod make_checkpoint;

use std::{path::Path, process::Command};

use lorica_examine::local::{LocalModel, LocalOptions, peak_memory};
use lorica_identity::{Answer, Challenge, Question, Respondent};

/// What the child may map beyond what it maps before it answers. The weights are 125 MiB as stored, and twice that
/// in single precision.
const BEYOND: u64 = 64 << 20;
const WEIGHTS_AT_LEAST: u64 = 120 << 20;

const FOLDER: &str = "LORICA_TEST_FOLDER";
const MODE: &str = "LORICA_TEST_MODE";

fn challenges() -> Vec<Challenge> {
    ["The function returns zero on success.", "Water boils at", "A list of the first five primes: 2, 3, 5"]
        .into_iter()
        .zip(0..)
        .map(|(prompt, index)| Challenge {
            index,
            family: "general".into(),
            prompt: prompt.into(),
            positions: vec![prompt.find(' ').unwrap() as u32, prompt.len() as u32],
        })
        .collect()
}

fn options(max_memory: Option<u64>) -> LocalOptions {
    LocalOptions { max_memory, ..LocalOptions::default() }
}

/// Runs [`child`] in a process of its own, with an address space of so many bytes.
fn run(folder: &Path, mode: &str, address_space: Option<u64>) -> std::process::Output {
    let limit = address_space.map_or("unlimited".into(), |bytes| (bytes >> 10).to_string());
    Command::new("sh")
        .args(["-c", "ulimit -v \"$0\" && exec \"$@\"", &limit])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture", "--test-threads", "1"])
        .env(FOLDER, folder)
        .env(MODE, mode)
        // What threads map for themselves depends on the machine's processors otherwise.
        .env("RAYON_NUM_THREADS", "2")
        .env("MALLOC_ARENA_MAX", "1")
        .output()
        .unwrap()
}

fn line<'a>(output: &'a str, name: &str) -> &'a str {
    output.lines().find_map(|line| line.split_once(name)).unwrap_or_else(|| panic!("no {name} in {output}")).1
}

#[test]
fn a_model_larger_than_the_address_space_answers_as_it_does_in_memory() {
    if peak_memory().is_none() {
        // Limits are kept by the kernel's accounts, which this system does not keep.
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    make_checkpoint::make("small", folder.path(), None).unwrap();
    let stored: u64 =
        std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
    assert!(stored > WEIGHTS_AT_LEAST && WEIGHTS_AT_LEAST > BEYOND);

    let before = run(folder.path(), "open", None);
    let before: u64 = line(&String::from_utf8_lossy(&before.stdout), "peak ").parse().unwrap();
    let limit = before + BEYOND;

    // The limit is one that ends a process: the loaded model does not fit.
    let loaded = run(folder.path(), "load", Some(limit));
    assert!(!loaded.status.success(), "{}", String::from_utf8_lossy(&loaded.stdout));

    let streamed = run(folder.path(), "stream", Some(limit));
    let output = String::from_utf8_lossy(&streamed.stdout);
    assert!(streamed.status.success(), "{output}{}", String::from_utf8_lossy(&streamed.stderr));
    assert!(line(&output, "peak ").parse::<u64>().unwrap() <= limit);

    let answers: Vec<Answer> = serde_json::from_str(line(&output, "answers ")).unwrap();
    let mut model = LocalModel::open(folder.path(), options(None)).unwrap();
    assert!(!model.is_streamed());
    let expected = model.answer(Question::Distributions, &challenges(), &mut |_| ()).unwrap();
    assert_eq!(answers.len(), expected.len());
    for (answer, expected) in answers.iter().zip(&expected) {
        let (Answer::Distributions(left), Answer::Distributions(right)) = (answer, expected) else {
            panic!("no distributions");
        };
        assert_eq!(left.len(), 2);
        for (left, right) in left.iter().zip(right) {
            assert!(left.total_variation(right) < 1e-4);
        }
    }
}

#[test]
#[ignore = "it is run by the test above, in a process of its own"]
fn child() {
    let Ok(folder) = std::env::var(FOLDER) else { return };
    let mode = std::env::var(MODE).unwrap();
    // More than is there in any case: what is left of the address space decides.
    let max_memory = if mode == "load" { None } else { Some(600 << 20) };
    let mut model = LocalModel::open(Path::new(&folder), options(max_memory)).unwrap();
    assert!(mode == "load" || model.is_streamed());
    if mode != "open" {
        let answers = model.answer(Question::Distributions, &challenges(), &mut |_| ()).unwrap();
        let pass = model.last_pass();
        assert_eq!(pass.map(|pass| pass.passes), (mode == "stream").then_some(1));
        #[allow(clippy::print_stdout, reason = "it is how the child answers")]
        {
            println!("answers {}", serde_json::to_string(&answers).unwrap());
        }
    }
    #[allow(clippy::print_stdout, reason = "it is how the child answers")]
    {
        println!("peak {}", peak_memory().unwrap().mapped);
    }
}
