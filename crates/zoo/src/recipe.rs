//! The members to make.
//!
//! The standard recipe has two kinds of roots: the shipped models of about a million weights, and models of a tenth of
//! that size which it trains itself, two of each shape so that some differ in nothing but their seed. From each root it
//! derives the same kinds of members with other settings, so that a classifier can be fitted on the members of some
//! roots and judged on those of others.

use std::path::{Path, PathBuf};

use crate::{
    build::Builder,
    derive::quantize::{Matrices, Quantization},
    draft::Precision,
    error::ZooError,
    manifest::Zoo,
    member::{Behaviour, Member, MemberName, Origin, Step, Text},
    shape::{Gpt2Shape, LlamaShape, Shape},
    train::Training,
};

const SEED: u64 = 1;
const TOKENS: usize = 2048;

/// Where models and texts are that the recipe starts from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sources {
    /// The folder with `tiny-gpt2`, `tiny-llama` and the adapters for them.
    pub models: PathBuf,
    /// The folder with the texts.
    pub texts: PathBuf,
}

/// What to make.
#[derive(Debug, Clone, PartialEq)]
pub struct Recipe {
    /// All random choices follow from it.
    pub seed: u64,
    /// Where to start from.
    pub sources: Sources,
    /// The members, each after the one it is made from.
    pub members: Vec<Member>,
}

/// How far a build is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event<'a> {
    /// A member is next.
    Started {
        /// Its name.
        member: &'a MemberName,
        /// Its place, from 0.
        index: usize,
        /// Number of members.
        total: usize,
    },
    /// It learned from a batch.
    Step {
        /// Its name.
        member: &'a MemberName,
        /// The step, from 0.
        step: u32,
        /// Number of steps.
        steps: u32,
        /// The batch's loss, in nats a token.
        loss: f32,
    },
    /// It is there.
    Finished {
        /// Its name.
        member: &'a MemberName,
        /// Seconds that making it took, in this run or in an earlier one.
        seconds: f64,
        /// Whether an earlier run had made it.
        kept: bool,
    },
}

impl Recipe {
    /// Makes the zoo in a folder. A member whose folder is complete is kept, so that a build that was interrupted goes
    /// on where it stopped.
    ///
    /// # Errors
    /// Sources that cannot be read, a folder that cannot be written; a member's folder that is damaged or was made from
    /// something else.
    pub fn build(&self, out: &Path, progress: &mut dyn FnMut(Event<'_>)) -> Result<Zoo, ZooError> {
        Builder::new(self, out, progress).run()
    }

    /// The whole zoo.
    ///
    /// # Errors
    /// None but a name that is not one.
    pub fn standard(sources: Sources) -> Result<Self, ZooError> {
        let mut list = List::default();
        list.shipped("gpt2", "tiny-gpt2")?;
        list.shipped("llama", "tiny-llama")?;
        list.small_roots()?;
        list.large_roots()?;
        list.of_shipped()?;
        list.of_small()?;
        list.served()?;
        Ok(Self { seed: SEED, sources, members: list.0 })
    }

    /// A few members of each cheap kind, and one that learns for a moment: for tests.
    ///
    /// # Errors
    /// None but a name that is not one.
    pub fn tiny(sources: Sources) -> Result<Self, ZooError> {
        let mut list = List::default();
        list.shipped("gpt2", "tiny-gpt2")?;
        list.shipped("llama", "tiny-llama")?;
        list.derived("gpt2", "bf16", Step::Store { precision: Precision::Bfloat })?;
        list.derived("gpt2", "sharded", Step::Shard { files: 3 })?;
        list.derived("gpt2", "renamed", Step::Rename)?;
        list.derived("gpt2", "permuted", Step::PermuteTokens)?;
        list.derived("gpt2", "misnumbered", Step::MisnumberTokens { percent: 100 })?;
        list.derived("gpt2", "extended-1", Step::AppendTokens { tokens: 1 })?;
        list.derived("llama", "int8", rounded(8, None, Matrices::Linear))?;
        list.derived("llama", "int4", rounded(4, Some(32), Matrices::Linear))?;
        list.derived("llama", "pruned-30", Step::Prune { percent: 30 })?;
        list.derived("llama", "merged-es", merged("tiny-llama-lora-es", 1.0))?;
        list.derived("llama", "dropped-2", Step::DropLayer { layer: 2 })?;
        list.derived("llama", "cooled", Step::Temper { temperature: 0.7 })?;
        let training = Training { steps: 12, batch: 4, window: 32, rate: 1e-3 };
        list.derived("llama", "tuned", Step::Tune { text: Text::Code, training })?;
        list.serve("gpt2", "hot", Behaviour::Temperature { temperature: 1.5 })?;
        Ok(Self { seed: SEED, sources, members: list.0 })
    }
}

/// Members in the making.
#[derive(Default)]
struct List(Vec<Member>);

impl List {
    fn add(&mut self, name: &str, origin: Origin) -> Result<(), ZooError> {
        self.0.push(Member { name: MemberName::new(name)?, origin });
        Ok(())
    }

    fn shipped(&mut self, name: &str, folder: &str) -> Result<(), ZooError> {
        self.add(name, Origin::Shipped { folder: folder.into() })
    }

    fn derived(&mut self, from: &str, what: &str, step: Step) -> Result<(), ZooError> {
        self.add(&format!("{from}-{what}"), Origin::Derived { from: MemberName::new(from)?, step })
    }

    fn serve(&mut self, from: &str, what: &str, behaviour: Behaviour) -> Result<(), ZooError> {
        self.add(&format!("{from}-served-{what}"), Origin::Served { from: MemberName::new(from)?, behaviour })
    }

    fn trained(&mut self, name: &str, shape: Shape, training: Training) -> Result<(), ZooError> {
        self.add(name, Origin::Trained { shape, text: Text::Docs, training, seed: 0 })
    }

    /// Small models from random weights: two seeds of each of two shapes, and shapes and a tokenizer of their own.
    fn small_roots(&mut self) -> Result<(), ZooError> {
        let training = Training { steps: 300, batch: 4, window: 128, rate: 5e-3 };
        for name in ["small-gpt2-a", "small-gpt2-b"] {
            self.trained(name, small_gpt2(TOKENS, 64, 2), training)?;
        }
        for name in ["small-llama-a", "small-llama-b"] {
            self.trained(name, small_llama(64, 2), training)?;
        }
        self.trained("small-gpt2-wide", small_gpt2(TOKENS, 96, 2), training)?;
        self.trained("small-llama-deep", small_llama(64, 4), training)?;
        self.trained("small-gpt2-tokens", small_gpt2(1024, 64, 2), training)
    }

    /// The shapes of the shipped models, trained from other random weights on another text.
    fn large_roots(&mut self) -> Result<(), ZooError> {
        let training = Training { steps: 200, batch: 2, window: 128, rate: 4e-3 };
        let gpt2 = Gpt2Shape { vocabulary: TOKENS, context: 256, hidden: 128, layers: 4, heads: 4 };
        self.trained("gpt2-again", Shape::Gpt2(gpt2), training)?;
        let llama = LlamaShape {
            vocabulary: TOKENS,
            context: 256,
            hidden: 128,
            layers: 4,
            heads: 4,
            key_value_heads: 2,
            inner: 344,
        };
        self.trained("llama-again", Shape::Llama(llama), training)
    }

    fn of_shipped(&mut self) -> Result<(), ZooError> {
        self.derived("gpt2", "renamed", Step::Rename)?;
        for root in ["gpt2", "llama"] {
            self.same(root)?;
            self.derived(root, "extended-64", Step::AppendTokens { tokens: 64 })?;
            self.derived(root, "int8-channel", rounded(8, None, Matrices::Linear))?;
            self.derived(root, "int8-all-group64", rounded(8, Some(64), Matrices::All))?;
            self.derived(root, "int4-group32", rounded(4, Some(32), Matrices::Linear))?;
            self.derived(root, "int4-all-channel", rounded(4, None, Matrices::All))?;
            for percent in [10, 30, 50] {
                self.derived(root, &format!("pruned-{percent}"), Step::Prune { percent })?;
            }
            self.derived(root, "cooled", Step::Temper { temperature: 0.7 })?;
            self.derived(root, "dropped-2", Step::DropLayer { layer: 2 })?;
            self.derived(root, "tuned-docs-little", tuned(Text::Docs, 15, 3e-4))?;
            self.derived(root, "tuned-docs-much", tuned(Text::Docs, 100, 2e-3))?;
            self.derived(root, "tuned-code-much", tuned(Text::Code, 80, 2e-3))?;
            self.derived(root, "tuned-es-little", tuned(Text::Spanish, 15, 1e-3))?;
            let training = Training { steps: 80, batch: 2, window: 128, rate: 2e-3 };
            self.derived(root, "distilled-2", Step::Distill { layers: 2, text: Text::Docs, training })?;
        }
        self.derived("llama", "int3-group64", rounded(3, Some(64), Matrices::Linear))?;
        self.derived("gpt2", "misnumbered-10", Step::MisnumberTokens { percent: 10 })?;
        self.derived("llama", "misnumbered-100", Step::MisnumberTokens { percent: 100 })?;
        for (name, adapter, strength) in [
            ("merged-es", "tiny-gpt2-lora-es", 1.0),
            ("merged-es-half", "tiny-gpt2-lora-es", 0.5),
            ("merged-attn", "tiny-gpt2-lora-attn", 1.0),
            ("merged-attn-quarter", "tiny-gpt2-lora-attn", 0.25),
        ] {
            self.derived("gpt2", name, merged(adapter, strength))?;
        }
        for (name, strength) in [("merged-es", 1.0), ("merged-es-half", 0.5), ("merged-es-quarter", 0.25)] {
            self.derived("llama", name, merged("tiny-llama-lora-es", strength))?;
        }
        // Two steps from the root.
        self.derived("gpt2-tuned-docs-much", "int8", rounded(8, None, Matrices::Linear))?;
        self.derived("llama-merged-es", "bf16", Step::Store { precision: Precision::Bfloat })
    }

    fn of_small(&mut self) -> Result<(), ZooError> {
        for root in ["small-gpt2-a", "small-llama-a"] {
            self.same(root)?;
            self.derived(root, "int8-group32", rounded(8, Some(32), Matrices::All))?;
            self.derived(root, "int4-channel", rounded(4, None, Matrices::Linear))?;
            self.derived(root, "pruned-20", Step::Prune { percent: 20 })?;
            self.derived(root, "pruned-40", Step::Prune { percent: 40 })?;
            self.derived(root, "warmed", Step::Temper { temperature: 1.4 })?;
            self.derived(root, "tuned-code-little", tuned(Text::Code, 15, 1e-3))?;
            self.derived(root, "tuned-code-much", tuned(Text::Code, 150, 3e-3))?;
            let training = Training { steps: 120, batch: 2, window: 128, rate: 3e-3 };
            self.derived(root, "distilled-1", Step::Distill { layers: 1, text: Text::Docs, training })?;
        }
        self.derived("small-llama-deep", "dropped-1", Step::DropLayer { layer: 1 })
    }

    /// The members of a root that compute the same.
    fn same(&mut self, root: &str) -> Result<(), ZooError> {
        self.derived(root, "bf16", Step::Store { precision: Precision::Bfloat })?;
        self.derived(root, "f16", Step::Store { precision: Precision::Half })?;
        self.derived(root, "sharded", Step::Shard { files: 3 })?;
        self.derived(root, "permuted", Step::PermuteTokens)?;
        self.derived(root, "extended-1", Step::AppendTokens { tokens: 1 })
    }

    fn served(&mut self) -> Result<(), ZooError> {
        for (root, other) in [("gpt2", "llama"), ("llama", "gpt2"), ("small-gpt2-a", "small-gpt2-b")] {
            let with = MemberName::new(other)?;
            self.serve(root, "hot", Behaviour::Temperature { temperature: 1.5 })?;
            self.serve(root, "cold", Behaviour::Temperature { temperature: 0.7 })?;
            self.serve(root, "paraphrased", Behaviour::Paraphrase)?;
            self.serve(root, "truncated", Behaviour::Truncate { tokens: 4 })?;
            self.serve(root, "backdoor", Behaviour::Backdoor { rate: 0.01, with })?;
        }
        Ok(())
    }
}

fn small_gpt2(vocabulary: usize, hidden: usize, layers: usize) -> Shape {
    Shape::Gpt2(Gpt2Shape { vocabulary, context: 256, hidden, layers, heads: 4 })
}

fn small_llama(hidden: usize, layers: usize) -> Shape {
    Shape::Llama(LlamaShape {
        vocabulary: TOKENS,
        context: 256,
        hidden,
        layers,
        heads: 4,
        key_value_heads: 2,
        inner: 3 * hidden,
    })
}

fn rounded(bits: u32, group: Option<usize>, matrices: Matrices) -> Step {
    let stored = if bits == 8 { Precision::Half } else { Precision::Single };
    Step::Quantize { quantization: Quantization { bits, group, matrices }, stored }
}

fn merged(adapter: &str, strength: f64) -> Step {
    Step::Merge { adapter: adapter.into(), strength }
}

fn tuned(text: Text, steps: u32, rate: f64) -> Step {
    // The Spanish text is short: a tenth of it, which is held out, must hold a window.
    let (batch, window) = if text == Text::Spanish { (4, 64) } else { (2, 128) };
    Step::Tune { text, training: Training { steps, batch, window, rate } }
}
