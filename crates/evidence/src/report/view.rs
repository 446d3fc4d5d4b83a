//! What the report's template shows: words and numbers, ready to be read.

use std::collections::BTreeMap;

use lorica_identity::{
    Decision, Description, DifferentBy, Plan, Question, RARE_THRESHOLD, ScoreScale, State, Tier,
};
use serde::Serialize;

use crate::{
    record::{Calibration, CalibrationCondition, Closing, Header, Outcome, Relation},
    summary::{Sample, Summary},
};

use super::Contents;

#[derive(Debug, Serialize)]
pub(super) struct View<'a> {
    header: &'a Header,
    closing: &'a Closing,
    reference: SideView<'a>,
    candidates: Vec<CandidateView<'a>>,
    plan: PlanView,
    calibration: Option<Vec<ConditionView<'a>>>,
    asked: String,
    samples_note: &'static str,
    distance: &'static str,
    peak_memory: String,
    seconds: String,
    signer: String,
    verify_command: String,
    report_format: &'static str,
}

#[derive(Debug, Serialize)]
struct SideView<'a> {
    name: &'a str,
    tier: &'static str,
    details: &'a BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct PlanView {
    mode: String,
    alpha: String,
    alpha_odds: String,
    each_alpha: String,
    shared: bool,
    gamma: String,
    delta_star: String,
    minimum: u32,
    maximum: u32,
    floor: u32,
    rare_rate: Option<String>,
    rare_tested: bool,
    rare_threshold: String,
}

#[derive(Debug, Serialize)]
struct CandidateView<'a> {
    number: u32,
    side: SideView<'a>,
    word: &'static str,
    class: &'static str,
    sentence: String,
    meaning: String,
    queries: u32,
    withheld: u32,
    plot: &'a str,
    plot_words: String,
    numbers: Vec<(&'static str, String)>,
    families: Vec<FamilyView<'a>>,
    largest: Vec<SampleView<'a>>,
    withheld_samples: Vec<SampleView<'a>>,
    structure: Vec<&'a crate::record::StructureCheck>,
    relation: Option<RelationView<'a>>,
    fault: Option<FaultView<'a>>,
}

#[derive(Debug, Serialize)]
struct FamilyView<'a> {
    name: &'a str,
    queries: u32,
    withheld: u32,
    mean: String,
    largest: String,
}

#[derive(Debug, Serialize)]
struct ConditionView<'a> {
    name: &'a str,
    queries: u32,
    mean: String,
    largest: String,
}

#[derive(Debug, Serialize)]
struct SampleView<'a> {
    number: u64,
    family: &'a str,
    prompt: &'a str,
    score: String,
    reference: &'a [String],
    candidate: &'a [String],
}

#[derive(Debug, Serialize)]
struct RelationView<'a> {
    class: &'a str,
    probabilities: Vec<(&'a str, String)>,
    features: Vec<(&'a str, String)>,
    classifier: &'a str,
}

#[derive(Debug, Serialize)]
struct FaultView<'a> {
    side: &'a str,
    kind: String,
    detail: &'a str,
}

pub(super) fn view<'a>(contents: &Contents<'a>, plots: &'a [String]) -> View<'a> {
    let Contents { header, closing, summaries, signer } = *contents;
    let candidates = header
        .candidates
        .iter()
        .zip(&closing.results)
        .zip(summaries.iter().zip(plots))
        .zip(0..)
        .map(|(((side, result), (summary, plot)), index)| Candidate {
            header,
            side,
            result,
            summary,
            plot,
            index,
        })
        .map(Candidate::view)
        .collect();
    let name = closing.peak_memory.map_or_else(|| "not measured".to_owned(), bytes);
    View {
        header,
        closing,
        reference: side(&header.reference),
        candidates,
        plan: plan_view(&header.plan),
        calibration: header.calibration.as_ref().map(|calibration| conditions(&header.plan, calibration)),
        asked: asked(header),
        samples_note: match header.question {
            Question::Distributions => {
                "Each prompt is shown up to the place where the two predictions are farthest apart, with the most \
                 probable next tokens."
            }
            Question::Texts { .. } => "Two continuations of each side are shown.",
        },
        distance: match header.plan.scale() {
            ScoreScale::Distance => {
                "The distance of one question is between 0 (both models give every next word the same probability) \
                 and 1 (nothing in common): the total variation distance of their predictions."
            }
            ScoreScale::TwoSample => {
                "The distance of one question compares texts that both models wrote. It is 0 on average where both \
                 write alike, and grows with the difference; a single question can come out below 0 by chance."
            }
        },
        peak_memory: name,
        seconds: format!("{:.0} s", closing.seconds),
        signer: signer.to_string(),
        verify_command: format!("lorica verify --bundle FOLDER --signer {signer}"),
        report_format: super::REPORT_FORMAT,
    }
}

fn side(description: &Description) -> SideView<'_> {
    SideView { name: &description.name, tier: tier(description.tier), details: &description.details }
}

fn tier(tier: Tier) -> &'static str {
    match tier {
        Tier::LocalWeights => "the model's files were at hand, and every probability was computed here",
        Tier::PromptLogProbabilities => "a remote service that tells probabilities of the words of a prompt",
        Tier::TopLogProbabilities => {
            "a remote service that tells probabilities of the most probable next words"
        }
        Tier::TextOnly => "a remote service that gives text alone",
    }
}

fn asked(header: &Header) -> String {
    match header.question {
        Question::Distributions => format!(
            "At {} places of each prompt, both models told how probable each next word is.",
            header.positions
        ),
        Question::Texts { samples, tokens, temperature } => format!(
            "Both models continued each prompt {samples} times, with up to {tokens} tokens at temperature {temperature}."
        ),
    }
}

fn plan_view(plan: &Plan) -> PlanView {
    PlanView {
        mode: plan.mode().name().to_owned(),
        alpha: percent(plan.mode().alpha()),
        alpha_odds: format!("{:.0}", 1.0 / plan.mode().alpha()),
        each_alpha: percent(plan.alpha()),
        shared: plan.candidates().get() > 1,
        gamma: plan.mode().gamma().to_string(),
        delta_star: plan.mode().delta_star().to_string(),
        minimum: plan.minimum(),
        maximum: plan.maximum(),
        floor: plan.floor(),
        rare_rate: plan.rare_rate().map(percent),
        rare_tested: plan.alpha_rare().is_some(),
        rare_threshold: RARE_THRESHOLD.to_string(),
    }
}

fn conditions<'a>(plan: &Plan, calibration: &'a Calibration) -> Vec<ConditionView<'a>> {
    let distance = |score: f64| format!("{:.6}", plan.scale().to_distance(score));
    let view = |condition: &'a CalibrationCondition| ConditionView {
        name: &condition.name,
        queries: condition.queries,
        mean: distance(condition.mean),
        largest: distance(condition.largest),
    };
    calibration.conditions.iter().map(view).collect()
}

/// One candidate with everything that is known of it.
#[derive(Clone, Copy)]
struct Candidate<'a> {
    header: &'a Header,
    side: &'a Description,
    result: &'a crate::record::CandidateResult,
    summary: &'a Summary,
    plot: &'a str,
    index: u32,
}

impl<'a> Candidate<'a> {
    fn view(self) -> CandidateView<'a> {
        let Self { header, side: description, result, summary, plot, index } = self;
        let (sentence, meaning) = self.sentence();
        let fault = match &result.outcome {
            Outcome::Decided(_) => None,
            Outcome::Error(fault) => {
                Some(FaultView { side: &fault.side, kind: fault.kind.to_string(), detail: &fault.detail })
            }
        };
        CandidateView {
            number: index.saturating_add(1),
            side: side(description),
            word: result.outcome.word(),
            class: match &result.outcome {
                Outcome::Decided(Decision::Same) => "same",
                Outcome::Decided(Decision::Different { .. }) => "different",
                Outcome::Decided(Decision::Undecided) => "undecided",
                Outcome::Error(_) => "error",
            },
            sentence,
            meaning,
            queries: result.queries,
            withheld: result.withheld,
            plot,
            plot_words: self.plot_words(),
            numbers: result.state.as_ref().map(|state| numbers(&header.plan, state)).unwrap_or_default(),
            families: self.families(),
            largest: summary.largest.iter().map(|sample| self.sample(sample)).collect(),
            withheld_samples: summary.withheld_samples.iter().map(|sample| self.sample(sample)).collect(),
            structure: header.structure.iter().filter(|check| check.candidate == index).collect(),
            relation: result.relation.as_ref().map(relation),
            fault,
        }
    }

    /// The answer in one sentence, and what it rests on in another.
    fn sentence(self) -> (String, String) {
        let (candidate, reference) = (&self.side.name, &self.header.reference.name);
        let plan = &self.header.plan;
        let (gamma, delta) = (plan.mode().gamma(), plan.mode().delta_star());
        let n = self.result.queries;
        let bound = |pick: fn(&State) -> f64| {
            self.result.state.as_ref().map_or_else(String::new, |s| number(plan.scale().to_distance(pick(s))))
        };
        let exceedances = self.result.state.as_ref().map_or(0, |state| state.exceedances);
        match &self.result.outcome {
            Outcome::Decided(Decision::Same) => (
                format!("On prompts like those asked, “{candidate}” behaves as “{reference}” does."),
                format!(
                    "{n} questions showed that their average distance is at most {}, which is within the {gamma} \
                     that counts as the same. If it were more than {gamma}, this procedure would still answer SAME \
                     in at most {} of all runs.",
                    bound(|state| state.upper),
                    percent(plan.alpha())
                ),
            ),
            Outcome::Decided(Decision::Different { by: DifferentBy::Mean }) => (
                format!("“{candidate}” does not behave as “{reference}” does."),
                format!(
                    "{n} questions showed that their average distance is at least {}, and {delta} already counts as \
                     different. If it were less than {delta}, this procedure would still answer DIFFERENT in at most \
                     {} of all runs.",
                    bound(|state| state.lower),
                    percent(plan.alpha())
                ),
            ),
            Outcome::Decided(Decision::Different { by: DifferentBy::RareDifferences }) => (
                format!("“{candidate}” answers some prompts quite differently from “{reference}”."),
                format!(
                    "{exceedances} of {n} questions came out with a distance above {RARE_THRESHOLD}, which is more \
                     often than one in a thousand. If such differences were rarer than that, this procedure would \
                     still answer DIFFERENT in at most {} of all runs.",
                    percent(plan.alpha())
                ),
            ),
            Outcome::Decided(Decision::Undecided) => (
                format!("Whether “{candidate}” behaves as “{reference}” does is not decided."),
                format!(
                    "After all {n} questions that the plan allows, the average distance is between {} and {}. That \
                     shows neither that it is within {gamma} nor that it is {delta} or more. Nothing follows, either \
                     way.",
                    bound(|state| state.lower),
                    bound(|state| state.upper)
                ),
            ),
            Outcome::Error(_) => (
                format!("The comparison of “{candidate}” with “{reference}” could not be completed."),
                "An error is no result: nothing follows about the models, neither that they are the same nor that \
                 they differ."
                    .to_owned(),
            ),
        }
    }

    fn plot_words(self) -> String {
        let plan = &self.header.plan;
        match &self.result.state {
            None => "No question was scored.".to_owned(),
            Some(state) => format!(
                "After {} questions the average distance lies between {} and {}; each of these two bounds is wrong in at \
                 most {} of all runs.",
                state.n,
                number(plan.scale().to_distance(state.lower)),
                number(plan.scale().to_distance(state.upper)),
                percent(plan.alpha())
            ),
        }
    }

    fn families(self) -> Vec<FamilyView<'a>> {
        let scale = self.header.plan.scale();
        let view = |family: &'a crate::summary::FamilySummary| {
            let scored = family.queries.saturating_sub(family.withheld);
            let shown = |value: f64| {
                if scored == 0 { "–".to_owned() } else { number(scale.to_distance(value)) }
            };
            FamilyView {
                name: &family.name,
                queries: family.queries,
                withheld: family.withheld,
                mean: shown(family.sum / f64::from(scored.max(1))),
                largest: shown(family.largest),
            }
        };
        self.summary.families.iter().map(view).collect()
    }

    fn sample(self, sample: &'a Sample) -> SampleView<'a> {
        let scale = self.header.plan.scale();
        SampleView {
            number: u64::from(sample.index).saturating_add(1),
            family: &sample.family,
            prompt: &sample.prompt,
            score: sample.score.map_or_else(|| "withheld".to_owned(), |s| number(scale.to_distance(s))),
            reference: &sample.reference,
            candidate: &sample.candidate,
        }
    }
}

fn numbers(plan: &Plan, state: &State) -> Vec<(&'static str, String)> {
    let distance = |score: f64| number(plan.scale().to_distance(score));
    let mut numbers = vec![
        ("Questions scored", state.n.to_string()),
        ("Answers withheld", state.withheld.to_string()),
        ("Average distance observed", state.mean.map_or_else(|| "none".to_owned(), distance)),
        ("Lower bound of the average distance", distance(state.lower)),
        ("Upper bound of the average distance", distance(state.upper)),
        ("Evidence (e-value) that the distance is below the threshold for SAME", e_value(state.log_e_same)),
        (
            "Evidence (e-value) that the distance is above the threshold for DIFFERENT",
            e_value(state.log_e_different),
        ),
    ];
    if plan.alpha_rare().is_some() {
        numbers.extend([
            ("Questions with a large difference", state.exceedances.to_string()),
            ("Lower bound of their rate", percent(state.rare_lower)),
            ("Upper bound of their rate", percent(state.rare_upper)),
            (
                "Evidence (e-value) that large differences come more often than 1 in 1,000",
                e_value(state.log_e_rare),
            ),
        ]);
    }
    numbers
}

fn relation(relation: &Relation) -> RelationView<'_> {
    let mut probabilities: Vec<_> = relation.probabilities.iter().collect();
    probabilities.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    RelationView {
        class: &relation.class,
        probabilities: probabilities.into_iter().map(|(class, p)| (class.as_str(), percent(*p))).collect(),
        features: relation.features.iter().map(|(name, value)| (name.as_str(), number(*value))).collect(),
        classifier: &relation.classifier,
    }
}

/// An e-value from its logarithm; large ones as a power of ten.
fn e_value(log: f64) -> String {
    let tens = log * std::f64::consts::LOG10_E;
    if tens.abs() < 5.0 { significant(libm::exp(log)) } else { format!("10^{tens:.1}") }
}

fn number(value: f64) -> String {
    format!("{value:.4}")
}

/// Three significant digits, without an exponent.
fn significant(value: f64) -> String {
    if value >= 100.0 {
        format!("{value:.0}")
    } else if value >= 1.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// A probability in per cent, without digits that say nothing.
fn percent(value: f64) -> String {
    let text = format!("{:.4}", 100.0 * value);
    let text = text.trim_end_matches('0').trim_end_matches('.');
    format!("{text} %")
}

fn bytes(count: u64) -> String {
    let mut whole = count;
    let mut unit = "bytes";
    let mut rest = 0;
    for name in ["KiB", "MiB", "GiB", "TiB"] {
        if whole < 1024 {
            break;
        }
        rest = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit = name;
    }
    if unit == "bytes" { format!("{whole} bytes") } else { format!("{whole}.{rest} {unit}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_people_read_them() {
        assert_eq!(
            [percent(0.01), percent(0.025), percent(0.0), percent(1.0)],
            ["1 %", "2.5 %", "0 %", "100 %"]
        );
        assert_eq!([e_value(0.0), e_value(4.8), e_value(-2.7)], ["1.00", "122", "0.0672"]);
        assert_eq!([e_value(60.0), e_value(-60.0)], ["10^26.1", "10^-26.1"]);
        assert_eq!([bytes(1023), bytes(1536), bytes(8 << 30)], ["1023 bytes", "1.5 KiB", "8.0 GiB"]);
    }
}
