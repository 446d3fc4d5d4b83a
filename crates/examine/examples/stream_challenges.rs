//! Answers challenges from two checkpoints one after the other, within a memory limit, and prints what that took.
//!
//! `stream_challenges REFERENCE CANDIDATE MAX_MEMORY COUNT[,COUNT...] [COMMAND]`: for each count, so many challenges go
//! through the reference in one pass; the last count goes through the candidate as well, and the mean total variation
//! distance is printed. COMMAND is run before each pass, to drop the page cache. The output is JSON.

#![allow(clippy::print_stdout, reason = "it is a program")]

use std::{error::Error, num::NonZeroUsize, path::Path, process::Command};

use lorica_examine::local::{LocalModel, LocalOptions, peak_memory};
use lorica_identity::{Answer, Bank, Challenge, ChallengeKey, Question, Respondent, Scored, score};
use serde_json::{Value, json};

/// Positions of each challenge at which distributions are compared.
const POSITIONS: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [reference, candidate, limit, counts, command @ ..] = arguments.as_slice() else {
        return Err(
            "usage: stream_challenges REFERENCE CANDIDATE MAX_MEMORY COUNT[,COUNT...] [COMMAND]".into()
        );
    };
    let max_memory: u64 = limit.parse()?;
    let counts = counts.split(',').map(str::parse).collect::<Result<Vec<u32>, _>>()?;
    let most = counts.iter().copied().max().ok_or("no count")?;
    let key = ChallengeKey::new([7; 32]);
    let challenges = Bank::standard()?.challenges(&key, "larger-than-memory", 0..most, POSITIONS)?;
    let options = LocalOptions {
        max_memory: Some(max_memory),
        batch: NonZeroUsize::new(most as usize).ok_or("a count of 0")?,
        ..LocalOptions::default()
    };

    let mut model = LocalModel::open(Path::new(reference), options.clone())?;
    let mut passes = Vec::new();
    let mut expected = Vec::new();
    for &count in &counts {
        let part = challenges.get(..count as usize).unwrap_or_default();
        let (answers, pass) = run(&mut model, part, command)?;
        passes.push(pass);
        expected = answers;
    }
    let streamed = model.is_streamed();
    drop(model);
    let asked = challenges.get(..expected.len()).unwrap_or_default();
    let mut model = LocalModel::open(Path::new(candidate), options)?;
    let (answers, other) = run(&mut model, asked, command)?;
    let mut sum = 0.0;
    for (left, right) in expected.iter().zip(&answers) {
        let Scored::Value(value) = score(&Question::Distributions, left, right)? else {
            return Err("a score was withheld".into());
        };
        sum += value;
    }
    let peak = peak_memory().ok_or("no /proc/self/status")?;
    let output = json!({
        "max_memory": max_memory,
        "streamed": streamed,
        "passes": passes,
        "candidate_pass": other,
        "mean_total_variation": sum / answers.len().max(1) as f64,
        "peak_resident": peak.resident,
        "peak_mapped": peak.mapped,
    });
    println!("{}", serde_json::to_string_pretty(&output)?);
    Ok(())
}

/// One batch: its answers, and what it took.
fn run(
    model: &mut LocalModel,
    challenges: &[Challenge],
    command: &[String],
) -> Result<(Vec<Answer>, Value), Box<dyn Error>> {
    if let [program, arguments @ ..] = command
        && !Command::new(program).args(arguments).status()?.success()
    {
        return Err(format!("{program} failed").into());
    }
    let mut tokens = 0;
    for challenge in challenges {
        tokens += model.encode_content(&challenge.prompt)?.len();
    }
    let (started, before) = (std::time::Instant::now(), processor_seconds()?);
    let answers = model.answer(Question::Distributions, challenges, &mut |_| ())?;
    let (seconds, processor) = (started.elapsed().as_secs_f64(), processor_seconds()? - before);
    let pass = model.last_pass().map(|pass| {
        json!({ "passes": pass.passes, "bytes": pass.bytes, "window": pass.window,
                "tokens": pass.tokens, "rows": pass.rows,
                "seconds_waiting_for_weights": pass.waited.as_secs_f64() })
    });
    let took = json!({ "challenges": challenges.len(), "prompt_tokens": tokens, "seconds": seconds,
                       "processor_seconds": processor, "pass": pass });
    Ok((answers, took))
}

/// Processor time of this process so far, its threads and the kernel's work for it included.
fn processor_seconds() -> Result<f64, Box<dyn Error>> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let (_, fields) = stat.rsplit_once(')').ok_or("/proc/self/stat has no name")?;
    // The 14th and 15th of all fields, in hundredths of a second; behind the name is the third.
    let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
    Ok(ticks as f64 / 100.0)
}
