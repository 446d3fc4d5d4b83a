//! From a recipe to a zoo on disk: each member in turn, those that are complete kept.
//!
//! A member is made in a folder with another name, and renamed when everything in it, its record last, is written.
//! Its record says what it was made from: a member is kept only while that is unchanged, up to the files of its parents.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use lorica_adapter::Adapter;
use lorica_tensor::{Digest, files::read_at_most};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;

use crate::{
    derive::{layers, merge, output, prune, quantize, vocabulary},
    draft::{Draft, Layout, read_json, write_json},
    error::ZooError,
    manifest::{Entry, FORMAT, Manifest, Pair, RECORD, Record, Zoo, digest_of},
    member::{Behaviour, Member, MemberName, Origin, Step, Text},
    recipe::{Event, Recipe},
    relation::{Known, Relation},
    shape::Shape,
    train::{self, Learned, Network, Objective, Tokens, Training},
};

const MAX_TEXT_BYTES: u64 = 16 << 20;
/// The tokenizer of all members that are trained from scratch is that of this shipped model.
const TOKENIZER_OF: &str = "tiny-gpt2";

/// A recipe being carried out.
pub(crate) struct Builder<'a> {
    recipe: &'a Recipe,
    out: &'a Path,
    progress: &'a mut dyn FnMut(Event<'_>),
    made: Vec<Entry>,
}

/// A member as it is made: the model, how it is stored, and what it learned.
struct Made {
    draft: Draft,
    layout: Layout,
    learned: Option<Learned>,
}

/// What a model learns from, and how.
struct Lesson<'a> {
    member: &'a MemberName,
    text: Text,
    training: Training,
    objective: Objective<'a>,
}

impl<'a> Builder<'a> {
    pub(crate) fn new(recipe: &'a Recipe, out: &'a Path, progress: &'a mut dyn FnMut(Event<'_>)) -> Self {
        Self { recipe, out, progress, made: Vec::new() }
    }

    pub(crate) fn run(mut self) -> Result<Zoo, ZooError> {
        self.check()?;
        fs::create_dir_all(self.out).map_err(ZooError::folder(self.out))?;
        let total = self.recipe.members.len();
        for (index, member) in self.recipe.members.iter().enumerate() {
            (self.progress)(Event::Started { member: &member.name, index, total });
            let mut kept = false;
            let record = if member.origin.has_folder() {
                let made_from = self.made_from(member)?;
                let record = self.kept(member, made_from)?;
                kept = record.is_some();
                Some(match record {
                    Some(record) => record,
                    None => self.make(member, made_from)?,
                })
            } else {
                None
            };
            let seconds = record.as_ref().map_or(0.0, |record| record.seconds);
            (self.progress)(Event::Finished { member: &member.name, seconds, kept });
            self.made.push(Entry { member: member.clone(), record });
        }
        let pairs = pairs(&self.made);
        let seconds = self.made.iter().filter_map(|entry| Some(entry.record.as_ref()?.seconds)).sum();
        let manifest =
            Manifest { format: FORMAT.into(), seed: self.recipe.seed, seconds, members: self.made, pairs };
        Zoo::write(self.out, manifest)
    }

    /// Names are unique, and whatever a member is made from comes before it and has a folder.
    fn check(&self) -> Result<(), ZooError> {
        let mut folders = BTreeSet::new();
        let mut names = BTreeSet::new();
        for Member { name, origin } in &self.recipe.members {
            let other = match origin {
                Origin::Served { behaviour: Behaviour::Backdoor { with, .. }, .. } => Some(with),
                _ => None,
            };
            for parent in origin.parent().into_iter().chain(other) {
                if !folders.contains(parent) {
                    return Err(ZooError::Parent { member: name.clone(), parent: parent.clone() });
                }
            }
            if !names.insert(name) {
                return Err(ZooError::Twice { member: name.clone() });
            }
            if origin.has_folder() {
                folders.insert(name);
            }
        }
        Ok(())
    }

    /// Digest of everything a member is made from.
    fn made_from(&self, member: &Member) -> Result<Digest, ZooError> {
        let mut files = Vec::new();
        let mut add = |path: PathBuf| -> Result<(), ZooError> {
            files.push(digest_of(&path)?);
            Ok(())
        };
        let models = &self.recipe.sources.models;
        let text = match &member.origin {
            Origin::Shipped { folder } => {
                let folder = models.join(folder);
                ["config.json", "tokenizer.json", "model.safetensors"]
                    .iter()
                    .try_for_each(|name| add(folder.join(name)))?;
                None
            }
            Origin::Trained { text, .. } => {
                add(models.join(TOKENIZER_OF).join("tokenizer.json"))?;
                Some(*text)
            }
            Origin::Derived { step: Step::Merge { adapter, .. }, .. } => {
                let folder = models.join(adapter);
                ["adapter_config.json", "adapter_model.safetensors"]
                    .iter()
                    .try_for_each(|name| add(folder.join(name)))?;
                None
            }
            Origin::Derived { step: Step::Tune { text, .. } | Step::Distill { text, .. }, .. } => Some(*text),
            Origin::Derived { .. } | Origin::Served { .. } => None,
        };
        if let Some(text) = text {
            add(self.recipe.sources.texts.join(text.file()))?;
        }
        let parent =
            member.origin.parent().and_then(|parent| self.record(parent)).map(|record| &record.files);
        let whole = serde_json::to_vec(&(FORMAT, self.recipe.seed, member, files, parent))
            .map_err(|source| ZooError::Json { path: self.out.join(member.name.as_str()), source })?;
        Ok(Digest::sha256(&whole))
    }

    fn record(&self, name: &MemberName) -> Option<&Record> {
        self.made.iter().find(|entry| entry.member.name == *name)?.record.as_ref()
    }

    /// The record of a member that is complete and was made from the same things; nothing if there is no folder.
    fn kept(&self, member: &Member, made_from: Digest) -> Result<Option<Record>, ZooError> {
        let folder = self.out.join(member.name.as_str());
        if !folder.exists() {
            return Ok(None);
        }
        let record: Record = read_json(&folder.join(RECORD))?;
        if record.made_from != made_from {
            return Err(ZooError::OtherRecipe { path: folder });
        }
        record.verify(&folder)?;
        Ok(Some(record))
    }

    fn make(&mut self, member: &Member, made_from: Digest) -> Result<Record, ZooError> {
        let start = Instant::now();
        let Made { draft, layout, learned } = self.draft(member)?;
        let partial = self.out.join(format!(".{}.partial", member.name));
        if partial.exists() {
            fs::remove_dir_all(&partial).map_err(ZooError::folder(&partial))?;
        }
        fs::create_dir(&partial).map_err(ZooError::folder(&partial))?;
        let files = draft
            .write(&partial, layout)?
            .into_iter()
            .map(|name| Ok((name.clone(), digest_of(&partial.join(name))?)))
            .collect::<Result<_, ZooError>>()?;
        // What the decoder refuses is no member.
        lorica_model::ModelFolder::open(&partial)?.load(&mut |_| ())?;
        let record = Record {
            made_from,
            files,
            shape: draft.shape()?,
            parameters: draft.parameters(),
            learned,
            seconds: start.elapsed().as_secs_f64(),
        };
        write_json(&partial.join(RECORD), &record)?;
        let folder = self.out.join(member.name.as_str());
        fs::rename(&partial, &folder).map_err(ZooError::folder(&folder))?;
        Ok(record)
    }

    fn draft(&mut self, member: &Member) -> Result<Made, ZooError> {
        let models = &self.recipe.sources.models;
        match &member.origin {
            Origin::Shipped { folder } => {
                let draft = Draft::read(&models.join(folder))?;
                Ok(Made { draft, layout: Layout::default(), learned: None })
            }
            Origin::Trained { shape, text, training, .. } => {
                let shipped = Draft::read(&models.join(TOKENIZER_OF))?;
                let tokenizer = if shape.vocabulary() == shipped.shape()?.vocabulary() {
                    shipped.tokenizer
                } else {
                    vocabulary::truncated_tokenizer(&shipped.tokenizer, shape.vocabulary())?
                };
                let mut draft = train::network::random(shape, tokenizer, &mut self.rng(member));
                let objective = Objective::NextToken;
                let lesson = Lesson { member: &member.name, text: *text, training: *training, objective };
                let learned = Some(self.teach(&mut draft, lesson)?);
                Ok(Made { draft, layout: Layout::default(), learned })
            }
            Origin::Derived { from, step } => self.derive(member, from, step),
            Origin::Served { from, .. } => {
                Err(ZooError::Parent { member: member.name.clone(), parent: from.clone() })
            }
        }
    }

    fn derive(&mut self, member: &Member, from: &MemberName, step: &Step) -> Result<Made, ZooError> {
        let mut draft = Draft::read(&self.out.join(from.as_str()))?;
        let mut layout = Layout::default();
        let mut learned = None;
        let mut rng = self.rng(member);
        match step {
            Step::Store { precision } => layout.precision = *precision,
            Step::Shard { files } => layout.files = *files,
            Step::Rename => layout.unprefixed = true,
            Step::PermuteTokens => vocabulary::permute_tokens(&mut draft, &mut rng)?,
            Step::MisnumberTokens { percent } => {
                vocabulary::misnumber_tokens(&mut draft, *percent, &mut rng)?;
            }
            Step::AppendTokens { tokens } => vocabulary::append_tokens(&mut draft, *tokens, &mut rng)?,
            Step::Quantize { quantization, stored } => {
                quantize::quantize(&mut draft, *quantization)?;
                layout.precision = *stored;
            }
            Step::Prune { percent } => prune::prune(&mut draft, *percent)?,
            Step::Merge { adapter, strength } => {
                let adapter = Adapter::load(&self.recipe.sources.models.join(adapter))?;
                merge::merge(&mut draft, &adapter, *strength)?;
            }
            Step::Tune { text, training } => {
                let objective = Objective::NextToken;
                let lesson = Lesson { member: &member.name, text: *text, training: *training, objective };
                learned = Some(self.teach(&mut draft, lesson)?);
            }
            Step::Distill { layers: kept, text, training } => {
                let teacher = Network::frozen(&draft)?;
                let kept = layers::evenly(teacher.shape().layers(), *kept);
                layers::keep_layers(&mut draft, &kept)?;
                let objective = Objective::Teacher(&teacher);
                let lesson = Lesson { member: &member.name, text: *text, training: *training, objective };
                learned = Some(self.teach(&mut draft, lesson)?);
            }
            Step::DropLayer { layer } => {
                let count = draft.shape()?.layers();
                if *layer >= count {
                    let (setting, found) = ("layer", layer.to_string());
                    return Err(ZooError::Setting { setting, expected: format!("below {count}"), found });
                }
                let kept: Vec<usize> = (0..count).filter(|other| other != layer).collect();
                layers::keep_layers(&mut draft, &kept)?;
            }
            Step::Temper { temperature } => output::temper(&mut draft, *temperature)?,
        }
        Ok(Made { draft, layout, learned })
    }

    fn teach(&mut self, draft: &mut Draft, lesson: Lesson<'_>) -> Result<Learned, ZooError> {
        let path = self.recipe.sources.texts.join(lesson.text.file());
        let bytes = read_at_most(&path, MAX_TEXT_BYTES)?;
        let tokens = Tokens::encode(&draft.tokenizer, &String::from_utf8_lossy(&bytes))?;
        let network = Network::trainable(draft)?;
        let (member, steps) = (lesson.member, lesson.training.steps);
        let mut rng = seeded(self.recipe.seed, "batches", member);
        let progress = &mut *self.progress;
        let mut report = |step, loss| progress(Event::Step { member, step, steps, loss });
        let learned =
            train::train(&network, &tokens, (lesson.training, &lesson.objective), &mut rng, &mut report)?;
        network.store(draft)?;
        Ok(learned)
    }

    fn rng(&self, member: &Member) -> ChaCha8Rng {
        seeded(self.recipe.seed, "weights", &member.name)
    }
}

fn seeded(seed: u64, purpose: &str, member: &MemberName) -> ChaCha8Rng {
    ChaCha8Rng::from_seed(Digest::sha256(format!("lorica zoo|{seed}|{purpose}|{member}").as_bytes()).0)
}

/// What is known of every ordered pair of two members.
fn pairs(entries: &[Entry]) -> Vec<Pair> {
    let mut pairs = Vec::new();
    for reference in entries {
        for candidate in entries {
            if let Some(known) = known(entries, reference, candidate) {
                pairs.push(Pair {
                    reference: reference.member.name.clone(),
                    candidate: candidate.member.name.clone(),
                    known,
                });
            }
        }
    }
    pairs
}

/// A member's ancestors from its root down to itself, each with the step that leads to it.
fn line<'a>(entries: &'a [Entry], entry: &'a Entry) -> Vec<(&'a Entry, Option<Relation>)> {
    let mut line = Vec::new();
    let mut next = Some(entry);
    while let Some(entry) = next {
        let step = match &entry.member.origin {
            Origin::Shipped { .. } | Origin::Trained { .. } => None,
            Origin::Derived { step, .. } => Some(Relation::of_step(step)),
            Origin::Served { behaviour, .. } => Some(Relation::of_behaviour(behaviour)),
        };
        line.push((entry, step));
        let parent = entry.member.origin.parent();
        next = parent.and_then(|parent| entries.iter().find(|other| other.member.name == *parent));
    }
    line.reverse();
    line
}

fn known(entries: &[Entry], reference: &Entry, candidate: &Entry) -> Option<Known> {
    if reference.member.name == candidate.member.name {
        return None;
    }
    let (up, down) = (line(entries, reference), line(entries, candidate));
    let shared = up.iter().zip(&down).take_while(|((a, _), (b, _))| a.member.name == b.member.name).count();
    let up_steps = up.iter().skip(shared).rev().filter_map(|(_, step)| *step);
    let down_steps = down.iter().skip(shared).filter_map(|(_, step)| *step);
    let between = if shared > 0 {
        None
    } else {
        let shape =
            |line: &[(&Entry, _)]| -> Option<Shape> { Some(line.first()?.0.record.as_ref()?.shape.clone()) };
        Some(Relation::of_roots(&shape(&up)?, &shape(&down)?))
    };
    Some(Known::from_steps(up_steps.chain(between).chain(down_steps)))
}
