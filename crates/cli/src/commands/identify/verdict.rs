//! What a comparison found, for people and for programs.

use std::{
    io::{self, Write},
    path::Path,
};

use lorica_evidence::{
    Fingerprint, Header,
    record::{CandidateResult, Closing, FaultKind, Outcome, Relation, StructureCheck},
};
use lorica_examine::{agreement::Agreement, comparison::Compared};
use lorica_identity::{Decision, DifferentBy, Plan, Question, RARE_THRESHOLD, ScoreScale, State, Tier};
use serde::Serialize;

use crate::{
    exit::Exit,
    report::{
        Report,
        format::{bytes, plural, seconds, wrapped},
    },
};

/// A comparison that has ended, or that a bundle holds.
#[derive(Debug, Serialize)]
pub(crate) struct VerdictReport {
    /// The answer for all candidates together: ERROR before DIFFERENT before UNDECIDED before SAME.
    pub(crate) answer: &'static str,
    reference: String,
    candidates: Vec<CandidateVerdict>,
    rule: Rule,
    access: Access,
    structure: Vec<StructureCheck>,
    calibration: Option<lorica_evidence::record::Calibration>,
    seconds: f64,
    peak_memory: Option<u64>,
    /// Requests that were sent again after a failure, to all sides.
    retries: u64,
    bundle: String,
    signer: Fingerprint,
    pub(crate) does_not_show: Vec<String>,
}

/// What was found about one candidate. Distances are in `[0, 1]`, or h in `[-2, 2]` where texts were compared.
#[derive(Debug, Serialize)]
struct CandidateVerdict {
    name: String,
    answer: &'static str,
    /// For DIFFERENT: `mean` or `rare-differences`.
    by: Option<DifferentBy>,
    mean: Option<f64>,
    lower: Option<f64>,
    upper: Option<f64>,
    /// Scored challenges.
    queries: u32,
    withheld: u32,
    /// Natural logarithm of the e-value behind the answer; none without a decision.
    log_e_value: Option<f64>,
    /// Prompts with a distance above one half, and the bounds of their rate.
    visibly_different: Option<VisiblyDifferent>,
    error: Option<Failure>,
    relation: Option<Relation>,
    /// Challenges answered in this process, and those among them that came beyond the stop.
    asked: Option<usize>,
    asked_in_vain: Option<usize>,
}

#[derive(Debug, Serialize)]
struct VisiblyDifferent {
    prompts: u32,
    lower: f64,
    upper: f64,
}

#[derive(Debug, Serialize)]
struct Failure {
    side: String,
    kind: FaultKind,
    detail: String,
}

/// The rule that was fixed before the first question.
#[derive(Debug, Serialize)]
struct Rule {
    mode: String,
    /// Error probability of each decision, over all candidates.
    alpha: f64,
    /// Of each candidate.
    alpha_each: f64,
    gamma: f64,
    delta_star: f64,
    minimum: u32,
    maximum: u32,
    floor: u32,
    needed: u32,
    rare_rate: Option<f64>,
    families: Vec<String>,
}

/// What was compared.
#[derive(Debug, Serialize)]
struct Access {
    tier: Tier,
    question: Question,
    /// Most probable tokens told at each position, where a side does not tell them all.
    top: Option<usize>,
    /// Why it is less than could be.
    reasons: Vec<String>,
}

impl VerdictReport {
    pub(super) fn new(compared: Compared, agreed: &Agreement, folder: &Path) -> Self {
        let Compared { header, finished, asked } = compared;
        let Header { plan, reference, candidates, structure, calibration, question, .. } = header;
        let Closing { results, seconds, peak_memory, retries, .. } = finished.closing;
        let candidates: Vec<CandidateVerdict> = candidates
            .into_iter()
            .zip(results)
            .enumerate()
            .map(|(index, (candidate, result))| {
                CandidateVerdict::new(candidate.name, result, plan.scale(), asked.get(index).copied())
            })
            .collect();
        Self {
            answer: worst(candidates.iter().map(|candidate| candidate.answer)),
            reference: reference.name,
            candidates,
            rule: Rule::of(&plan),
            access: Access { tier: agreed.tier, question, top: agreed.top, reasons: agreed.reasons.clone() },
            structure,
            calibration,
            seconds,
            peak_memory,
            retries,
            bundle: folder.display().to_string(),
            signer: finished.signer,
            does_not_show: does_not_show(question, &plan),
        }
    }
}

/// The answer for all candidates together.
pub(super) fn worst(answers: impl Iterator<Item = &'static str> + Clone) -> &'static str {
    let order = ["ERROR", "DIFFERENT", "UNDECIDED"];
    order.into_iter().find(|word| answers.clone().any(|answer| answer == *word)).unwrap_or("SAME")
}

/// How a command ends that gave this answer.
pub(super) fn exit(answer: &str) -> Exit {
    match answer {
        "SAME" => Exit::Yes,
        "DIFFERENT" => Exit::No,
        "UNDECIDED" => Exit::Undecided,
        _ => Exit::Failed,
    }
}

/// What nobody may read into an answer.
pub(super) fn does_not_show(question: Question, plan: &Plan) -> Vec<String> {
    let mut lines = vec![
        "Anything about the data it was trained on, about backdoors that these prompts do not touch, or about safety."
            .to_owned(),
        "Anything about prompts unlike those of the families asked, or about the model on another day: an endpoint can \
         be exchanged after the last question, and one that recognises challenges can answer them alone with the \
         promised model."
            .to_owned(),
        format!(
            "That a SAME is equality: it says that the mean distance over such prompts is at most {}.",
            number(plan.mode().gamma())
        ),
    ];
    if matches!(question, Question::Texts { .. }) {
        lines.push(
            "By texts alone, only differences are seen that change which characters come where. Models whose texts vary \
             much are close by this measure, and so is a model that is sampled at another temperature than was asked \
             for; rare differences are not tested. Ask for log-probabilities where they are to be had."
                .to_owned(),
        );
    }
    lines
}

impl Rule {
    pub(super) fn of(plan: &Plan) -> Self {
        Self {
            mode: plan.mode().name().to_owned(),
            alpha: plan.mode().alpha(),
            alpha_each: plan.alpha(),
            gamma: plan.mode().gamma(),
            delta_star: plan.mode().delta_star(),
            minimum: plan.minimum(),
            maximum: plan.maximum(),
            floor: plan.floor(),
            needed: plan.needed(),
            rare_rate: plan.rare_rate(),
            families: plan.families().to_vec(),
        }
    }
}

impl CandidateVerdict {
    fn new(name: String, result: CandidateResult, scale: ScoreScale, asked: Option<(usize, usize)>) -> Self {
        let CandidateResult { outcome, queries, withheld, state, relation } = result;
        let answer = outcome.word();
        let (by, error, decision) = match outcome {
            Outcome::Decided(decision) => (by(decision), None, Some(decision)),
            Outcome::Error(fault) => {
                (None, Some(Failure { side: fault.side, kind: fault.kind, detail: fault.detail }), None)
            }
        };
        let distance = |value: fn(&State) -> f64| state.as_ref().map(|state| scale.to_distance(value(state)));
        let visibly_different = match (scale, &state) {
            (ScoreScale::Distance, Some(state)) => Some(VisiblyDifferent {
                prompts: state.exceedances,
                lower: state.rare_lower,
                upper: state.rare_upper,
            }),
            _ => None,
        };
        Self {
            name,
            answer,
            by,
            mean: state.as_ref().and_then(|state| state.mean).map(|mean| scale.to_distance(mean)),
            lower: distance(|state| state.lower),
            upper: distance(|state| state.upper),
            queries,
            withheld,
            log_e_value: decision.zip(state.as_ref()).and_then(|(decision, state)| e_value(decision, state)),
            visibly_different,
            error,
            relation,
            asked: asked.map(|(asked, _)| asked),
            asked_in_vain: asked.map(|(_, in_vain)| in_vain),
        }
    }

    fn text(&self, report: &VerdictReport, out: &mut dyn Write) -> io::Result<()> {
        let Rule { alpha_each, gamma, delta_star, .. } = &report.rule;
        let several = report.candidates.len() > 1;
        let answer = if several { format!("   {}", self.answer) } else { String::new() };
        writeln!(out, "candidate    {}{answer}", self.name)?;
        if let Some(Failure { side, kind, detail }) = &self.error {
            writeln!(out, "{}", wrapped("error        ", &format!("{side}: {kind}: {detail}")))?;
            writeln!(
                out,
                "{}",
                wrapped(
                    "             ",
                    "An error says nothing about the models. What was asked before it is in the evidence."
                )
            )?;
        }
        if let (Some(mean), Some(lower), Some(upper)) = (self.mean, self.lower, self.upper) {
            let text = format!("mean {}, between {} and {}", number(mean), number(lower), number(upper));
            writeln!(out, "distance     {text} ({})", report.access.unit())?;
        }
        let mut asked = format!("{} scored", plural(self.queries.into(), "challenge"));
        if self.withheld > 0 {
            asked.push_str(&format!(
                ", {} refused by a side: they count against either answer",
                self.withheld
            ));
        }
        match self.asked_in_vain {
            Some(count) if count > 0 => {
                asked.push_str(&format!(
                    "; {} beyond the stop, not looked at",
                    plural(count as u64, "answer")
                ));
            }
            _ => (),
        }
        writeln!(out, "{}", wrapped("asked        ", &asked))?;
        let percent = percent(*alpha_each);
        let meaning = match (self.answer, self.by) {
            ("SAME", _) => format!(
                "if the mean distance were above {}, a run would end in SAME with probability {percent} at most, \
                 whenever it stops",
                number(*gamma)
            ),
            ("DIFFERENT", Some(DifferentBy::RareDifferences)) => format!(
                "if at most one prompt in a thousand were answered visibly differently, a run would end like this with \
                 probability {} at most, whenever it stops",
                self::percent(alpha_each / 10.0)
            ),
            ("DIFFERENT", _) => format!(
                "if the mean distance were below {}, a run would end in DIFFERENT with probability {percent} at most, \
                 whenever it stops",
                number(*delta_star)
            ),
            ("UNDECIDED", _) => {
                "neither SAME nor DIFFERENT could be shown within the budget: a larger one, or another \
                                 mode, may decide"
                    .to_owned()
            }
            _ => String::new(),
        };
        if !meaning.is_empty() {
            writeln!(out, "{}", wrapped("error rate   ", &meaning))?;
        }
        if let Some(log) = self.log_e_value {
            writeln!(out, "e-value      {}", e_value_text(log))?;
        }
        if let Some(VisiblyDifferent { prompts, upper, .. }) = self.visibly_different {
            let text = format!(
                "{prompts} of {} prompts answered visibly differently (distance above {RARE_THRESHOLD}); at most {} of \
                 all such prompts are, at the same error rate",
                self.queries,
                self::percent(upper)
            );
            writeln!(out, "{}", wrapped("rare         ", &text))?;
        }
        if self.answer == "DIFFERENT" {
            match &self.relation {
                Some(relation) => writeln!(out, "relation     probably {}", relation.class)?,
                None => writeln!(
                    out,
                    "relation     not available: it is estimated between folders, by a fitted classifier alone"
                )?,
            }
        }
        Ok(())
    }
}

impl Access {
    fn unit(&self) -> &'static str {
        match self.question {
            Question::Distributions => "total variation of next-token distributions, 0 to 1",
            Question::Texts { .. } => "squared discrepancy of sampled texts, 0 for equal models",
        }
    }

    fn words(&self) -> String {
        let tier = match self.tier {
            Tier::LocalWeights => "the weights of all sides were at hand".to_owned(),
            Tier::PromptLogProbabilities => "log-probabilities of prompts".to_owned(),
            Tier::TopLogProbabilities => "log-probabilities of the most probable next tokens".to_owned(),
            Tier::TextOnly => "text alone".to_owned(),
        };
        let top = self.top.map_or_else(String::new, |top| {
            format!("; the {top} most probable tokens were compared, the rest as one")
        });
        let reasons = match self.reasons.as_slice() {
            [] => String::new(),
            reasons => format!("; because {}", reasons.join("; ")),
        };
        format!("{tier}{top}{reasons}")
    }
}

impl Report for VerdictReport {
    const SCHEMA: &'static str = "lorica-identify/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "{}", self.answer)?;
        writeln!(out, "reference    {}", self.reference)?;
        for candidate in &self.candidates {
            candidate.text(self, out)?;
        }
        let Rule { mode, gamma, delta_star, maximum, needed, families, .. } = &self.rule;
        let rule = format!(
            "{mode}: SAME if the mean distance is at most {}, DIFFERENT if it is at least {}; {} of {} families at most, \
             at least {needed} for SAME",
            number(*gamma),
            number(*delta_star),
            plural((*maximum).into(), "challenge"),
            families.len(),
        );
        writeln!(out, "{}", wrapped("rule         ", &rule))?;
        if self.candidates.len() > 1 {
            let shared = format!(
                "{} of {} for each of the {} candidates: the error rate is divided among them",
                percent(self.rule.alpha_each),
                percent(self.rule.alpha),
                self.candidates.len()
            );
            writeln!(out, "{}", wrapped("shared       ", &shared))?;
        }
        writeln!(out, "{}", wrapped("access       ", &self.access.words()))?;
        for check in &self.structure {
            writeln!(out, "{}", wrapped("files        ", &format!("{}: {}", check.name, check.finding)))?;
        }
        match &self.calibration {
            Some(calibration) => {
                for condition in &calibration.conditions {
                    writeln!(
                        out,
                        "calibration  {}: mean {}, largest {}",
                        condition.name,
                        number(condition.mean),
                        number(condition.largest)
                    )?;
                }
            }
            None => writeln!(
                out,
                "calibration  not measured: `lorica identify calibrate` says how far a model is from itself"
            )?,
        }
        let memory =
            self.peak_memory.map_or_else(String::new, |peak| format!(", {} of memory at most", bytes(peak)));
        writeln!(out, "time         {}{memory}", seconds(self.seconds))?;
        if self.retries > 0 {
            writeln!(out, "retries      {} sent again after a failure", plural(self.retries, "request"))?;
        }
        writeln!(out, "evidence     {}: open report.html", self.bundle)?;
        writeln!(out, "             check it with `lorica verify --bundle {}`", self.bundle)?;
        writeln!(out, "signer       {}", self.signer)?;
        writeln!(out, "\nwhat this does not show:")?;
        self.does_not_show.iter().try_for_each(|line| writeln!(out, "{}", wrapped("  - ", line)))
    }

    fn exit(&self) -> Exit {
        exit(self.answer)
    }
}

fn by(decision: Decision) -> Option<DifferentBy> {
    match decision {
        Decision::Different { by } => Some(by),
        Decision::Same | Decision::Undecided => None,
    }
}

/// The e-value that the decision rests on.
fn e_value(decision: Decision, state: &State) -> Option<f64> {
    match decision {
        Decision::Same => Some(state.log_e_same),
        Decision::Different { by: DifferentBy::Mean } => Some(state.log_e_different),
        Decision::Different { by: DifferentBy::RareDifferences } => Some(state.log_e_rare),
        Decision::Undecided => None,
    }
}

/// An e-value that may be astronomic.
fn e_value_text(log: f64) -> String {
    let tens = log / std::f64::consts::LN_10;
    if tens < 6.0 { format!("{:.1}", log.exp()) } else { format!("10^{tens:.0}") }
}

/// A distance with as many digits as say something.
pub(super) fn number(value: f64) -> String {
    let text = format!("{value:.4}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "" | "-" | "-0" => "0".to_owned(),
        text => text.to_owned(),
    }
}

pub(super) fn percent(share: f64) -> String {
    let value = 100.0 * share;
    let digits = if value >= 10.0 {
        0
    } else if value >= 0.1 {
        1
    } else {
        3
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    format!("{text} %")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_error_outweighs_every_answer() {
        assert_eq!(worst(["SAME", "DIFFERENT", "ERROR"].into_iter()), "ERROR");
        assert_eq!(worst(["SAME", "UNDECIDED"].into_iter()), "UNDECIDED");
        assert_eq!(worst(["SAME", "SAME"].into_iter()), "SAME");
        assert_eq!(
            [exit("SAME"), exit("DIFFERENT"), exit("UNDECIDED"), exit("ERROR")].map(Exit::code),
            [0, 1, 3, 4]
        );
    }

    #[test]
    fn numbers_read_well() {
        assert_eq!(number(0.1), "0.1");
        assert_eq!(number(0.0), "0");
        assert_eq!(number(-0.00001), "0");
        assert_eq!(number(100.0), "100");
        assert_eq!(percent(0.025), "2.5 %");
        assert_eq!(percent(0.001), "0.1 %");
        assert_eq!(percent(0.0001), "0.01 %");
        assert_eq!(percent(0.25), "25 %");
        assert_eq!(percent(0.3), "30 %");
        assert_eq!(e_value_text(5.0), "148.4");
        assert_eq!(e_value_text(100.0), "10^43");
    }
}
