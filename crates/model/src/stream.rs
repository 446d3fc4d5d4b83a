//! A model larger than memory: its layers stream by, one pass for a whole batch of texts.
//!
//! A thread reads weights in the order in which they are needed, as far ahead as the budget allows; each layer runs
//! all texts and is dropped. The layers are the very blocks of a loaded model, their matrices in the type they are
//! stored in. Of the embedding only the rows of the texts' tokens are read; the output matrix comes in blocks of rows.

use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Condvar, Mutex, PoisonError, mpsc},
    time::{Duration, Instant},
};

use candle_core::{Device, Tensor};

use crate::{
    budget::{MemoryBudget, Plan, Sizes, longest},
    config::ModelConfig,
    decoder::{Block, LastNorm, Outline},
    error::ModelError,
    family::Family,
    folder::ModelFolder,
    progress::Progress,
    rows::{Flow, RowRequest, Visit, check},
    weights::{Content, Loader, Rounding, WeightFiles, stored_tensor},
};

/// A model whose weights stay in their files.
pub struct StreamedModel {
    family: Family,
    config: ModelConfig,
    weights: Arc<WeightFiles>,
    rounding: Rounding,
    sizes: Sizes,
}

/// What a call of [`StreamedModel::rows`] took.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct PassReport {
    /// How often all weights were read.
    pub passes: usize,
    /// Bytes of weights read.
    pub bytes: u64,
    /// Tokens that went through the layers; what texts share at their beginning counts once.
    pub tokens: usize,
    /// Rows that went through the output matrix.
    pub rows: usize,
    /// The most bytes of weights that could be held at once.
    pub window: u64,
    /// Time for which computing waited for weights.
    pub waited: Duration,
    /// Time for the whole call.
    pub elapsed: Duration,
}

impl StreamedModel {
    /// Checks a model's tensors, by names and shapes, and that a text of one token fits into the budget.
    ///
    /// # Errors
    /// Tensors that are missing, unexpected or of another shape; a budget that is too small, with what is needed.
    pub fn open(folder: &ModelFolder, rounding: Rounding, budget: MemoryBudget) -> Result<Self, ModelError> {
        let (family, weights) = folder.sources();
        folder.modules()?;
        let outline = family.outline(&weights);
        let sizes = sizes(&family, &weights, outline, rounding)?;
        let model = Self { family, config: folder.config().clone(), weights, rounding, sizes };
        model.sizes.plan(&[RowRequest { tokens: &[0], positions: &[0] }], budget)?;
        Ok(model)
    }

    /// The decoder family, as `model_type` names it.
    pub fn family(&self) -> &'static str {
        self.family.name()
    }

    /// Sizes and end-of-text tokens.
    pub fn config(&self) -> &ModelConfig {
        &self.config
    }

    /// Hands out the logits of the wanted rows, as [`crate::BaseModel::rows`] does. Progress is in bytes read.
    ///
    /// # Errors
    /// As there; a budget that cannot hold one layer and the longest text; weights that cannot be read or are not
    /// finite.
    pub fn rows(
        &self,
        requests: &[RowRequest<'_>],
        budget: MemoryBudget,
        visit: Visit<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PassReport, ModelError> {
        check(&self.config, requests)?;
        let started = Instant::now();
        let plan = self.plan(requests, budget)?;
        let credit = Credit::new(plan.credit);
        let (sender, receiver) = mpsc::channel();
        let mut report = std::thread::scope(|scope| {
            let _closing = Closing(&credit);
            let (plan, credit) = (&plan, &credit);
            std::thread::Builder::new()
                .name("weights".into())
                .spawn_scoped(scope, move || {
                    // Where nobody listens any more, the pass has failed, and says so itself.
                    if let Err(error) = self.read(plan, credit, &sender) {
                        let _ = sender.send(Err(error));
                    }
                })
                .map_err(|error| ModelError::Reader { reason: error.to_string() })?;
            self.compute(Call { requests, plan, credit }, &receiver, visit, progress)
        })?;
        report.elapsed = started.elapsed();
        Ok(report)
    }

    /// The plan; where it is too small for the longest text, that one is in the error.
    fn plan(&self, requests: &[RowRequest<'_>], budget: MemoryBudget) -> Result<Plan, ModelError> {
        self.sizes.plan(requests, budget).map_err(|error| match longest(requests) {
            Some(request) => self.sizes.too_small(&request, budget),
            None => error,
        })
    }

    /// Reads weights in the order in which they are needed.
    fn read(&self, plan: &Plan, credit: &Credit, sender: &Sender) -> Result<(), ModelError> {
        let outline = &self.sizes.outline;
        let parts = self.family.parts();
        let send = |unit, held| {
            let gone = |_| ModelError::Reader { reason: "the pass ended".into() };
            sender.send(Ok(Sent { unit, held })).map_err(gone)
        };
        for wave in &plan.waves {
            for layer in 0..outline.layers {
                let mut held = 0;
                let mut before = |bytes| {
                    held += self.held(bytes);
                    credit.take(self.held(bytes))
                };
                let mut loader = Loader::new(&self.weights, Content::Stored, self.rounding, &mut before);
                let block = parts.block(&mut loader, layer)?;
                send(Unit::Block(block), held)?;
            }
            let mut free = |_| Ok(());
            let mut loader = Loader::new(&self.weights, Content::Stored, self.rounding, &mut free);
            send(Unit::Norm(parts.norm(&mut loader)?), 0)?;
            let name = if outline.tied { &outline.embedding } else { outline.output };
            for first in (0..outline.vocabulary).step_by(wave.output_rows) {
                let rows = first..outline.vocabulary.min(first + wave.output_rows);
                let held = (rows.len() * outline.hidden) as u64 * self.sizes.entry;
                credit.take(held)?;
                send(Unit::Output(first, self.matrix_rows(name, rows)?), held)?;
            }
        }
        Ok(())
    }

    /// Bytes that count for a tensor of so many stored bytes: rounding holds both forms for a while.
    fn held(&self, bytes: u64) -> u64 {
        held(self.rounding, bytes)
    }

    fn matrix_rows(&self, name: &str, rows: Range<usize>) -> Result<Tensor, ModelError> {
        let shape = [rows.len(), self.sizes.outline.hidden];
        let values = self.weights.rows(name, rows, self.sizes.outline.hidden, self.rounding)?;
        Ok(stored_tensor(values, &shape)?)
    }

    /// Runs what comes.
    fn compute(
        &self,
        call: Call<'_>,
        receiver: &Receiver,
        visit: Visit<'_>,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<PassReport, ModelError> {
        let Call { requests, plan, credit } = call;
        let outline = &self.sizes.outline;
        let mut inbox = Inbox { receiver, waited: Duration::ZERO };
        let mut free = |_| Ok(());
        let mut loader = Loader::new(&self.weights, Content::Stored, self.rounding, &mut free);
        let positions = self.family.parts().positions(&mut loader)?;
        let total = self.pass_bytes() * plan.waves.len() as u64;
        let mut state = Progress { done: 0, total };
        let (mut tokens, mut rows) = (0, 0);
        for wave in &plan.waves {
            let mut embed = |tokens: &[u32]| self.embed(tokens);
            let mut flow = Flow::start(outline, requests, &wave.groups, positions.as_ref(), &mut embed)?;
            tokens += flow.tokens()?;
            rows += flow.wanted();
            for layer in 0..outline.layers {
                let Sent { unit: Unit::Block(block), held } = inbox.next()? else { return Err(disorder()) };
                flow.layer(&*block, layer)?;
                drop(block);
                credit.give(held);
                state.done = total.min(state.done + held);
                progress(state);
            }
            let Sent { unit: Unit::Norm(norm), .. } = inbox.next()? else { return Err(disorder()) };
            let wanted = flow.finish(&norm)?;
            for _ in (0..outline.vocabulary).step_by(wave.output_rows) {
                let Sent { unit: Unit::Output(first, matrix), held } = inbox.next()? else {
                    return Err(disorder());
                };
                wanted.logits(first, &matrix, visit)?;
                drop(matrix);
                credit.give(held);
                state.done = total.min(state.done + held);
                progress(state);
            }
        }
        progress(Progress { done: total, total });
        let (passes, window) = (plan.waves.len(), plan.credit);
        let (waited, elapsed) = (inbox.waited, Duration::ZERO);
        Ok(PassReport { passes, bytes: total, tokens, rows, window, waited, elapsed })
    }

    /// Bytes of weights that one pass reads: all but an embedding of which only some rows are.
    fn pass_bytes(&self) -> u64 {
        let outline = &self.sizes.outline;
        let skipped = if outline.tied { 0 } else { self.weights.stored_bytes(&outline.embedding) };
        self.weights.total_bytes() - skipped
    }

    /// The embedding's rows of some tokens, `[tokens, hidden]`, each read once.
    fn embed(&self, tokens: &[u32]) -> Result<Tensor, ModelError> {
        let hidden = self.sizes.outline.hidden;
        let mut places: BTreeMap<u32, usize> = tokens.iter().map(|&token| (token, 0)).collect();
        let mut table = Vec::with_capacity(places.len() * hidden);
        for (place, (&token, slot)) in places.iter_mut().enumerate() {
            let row = token as usize;
            let values =
                self.weights.rows(&self.sizes.outline.embedding, row..row + 1, hidden, self.rounding)?;
            table.extend(values.into_f32());
            *slot = place;
        }
        let table = Tensor::from_vec(table, (places.len(), hidden), &Device::Cpu)?;
        let rows: Vec<u32> =
            tokens.iter().map(|token| places.get(token).copied().unwrap_or_default() as u32).collect();
        Ok(table.index_select(&Tensor::new(rows, &Device::Cpu)?, 0)?)
    }
}

/// What a pass works on.
#[derive(Clone, Copy)]
struct Call<'a> {
    requests: &'a [RowRequest<'a>],
    plan: &'a Plan,
    credit: &'a Credit,
}

/// Weights that are ready to be computed with.
enum Unit {
    Block(Box<dyn Block>),
    Norm(LastNorm),
    /// Rows of the output matrix from this one on.
    Output(usize, Tensor),
}

struct Sent {
    unit: Unit,
    /// Bytes to give back once it is dropped.
    held: u64,
}

type Sender = mpsc::Sender<Result<Sent, ModelError>>;
type Receiver = mpsc::Receiver<Result<Sent, ModelError>>;

struct Inbox<'a> {
    receiver: &'a Receiver,
    waited: Duration,
}

impl Inbox<'_> {
    fn next(&mut self) -> Result<Sent, ModelError> {
        let started = Instant::now();
        let sent = self.receiver.recv().map_err(|_| disorder())?;
        self.waited += started.elapsed();
        sent
    }
}

/// The reader ended without an error of its own, which only a panic in it can bring about.
fn disorder() -> ModelError {
    ModelError::Reader { reason: "they did not come in order".into() }
}

/// Bytes of weights that may still be read before others are dropped.
struct Credit {
    state: Mutex<(u64, bool)>,
    changed: Condvar,
}

impl Credit {
    fn new(bytes: u64) -> Self {
        Self { state: Mutex::new((bytes, false)), changed: Condvar::new() }
    }

    /// Waits until so many bytes are free.
    fn take(&self, bytes: u64) -> Result<(), ModelError> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut state = self
            .changed
            .wait_while(state, |(free, closed)| *free < bytes && !*closed)
            .unwrap_or_else(PoisonError::into_inner);
        if state.1 {
            return Err(ModelError::Reader { reason: "the pass ended".into() });
        }
        state.0 -= bytes;
        Ok(())
    }

    fn give(&self, bytes: u64) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 += bytes;
        self.changed.notify_all();
    }

    fn close(&self) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = true;
        self.changed.notify_all();
    }
}

/// Lets the reader end when the pass does, however that ends.
struct Closing<'a>(&'a Credit);

impl Drop for Closing<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

fn held(rounding: Rounding, bytes: u64) -> u64 {
    if rounding == Rounding::None { bytes } else { bytes + bytes / 2 }
}

/// Sizes from the shapes in the files' headers.
fn sizes(
    family: &Family,
    weights: &WeightFiles,
    outline: Outline,
    rounding: Rounding,
) -> Result<Sizes, ModelError> {
    let parts = family.parts();
    let mut layer = 0;
    for index in 0..outline.layers {
        let mut bytes = 0;
        let mut count = |tensor| {
            bytes += held(rounding, tensor);
            Ok(())
        };
        parts.block(&mut Loader::new(weights, Content::Shapes, rounding, &mut count), index)?;
        layer = layer.max(bytes);
    }
    let mut resident = 0;
    let mut count = |bytes| {
        // In single precision, whatever the type stored.
        resident += 2 * bytes;
        Ok(())
    };
    let mut loader = Loader::new(weights, Content::Shapes, rounding, &mut count);
    parts.positions(&mut loader)?;
    parts.norm(&mut loader)?;
    let name = if outline.tied { &outline.embedding } else { outline.output };
    let entries = (outline.vocabulary * outline.hidden) as u64;
    let entry = held(rounding, weights.stored_bytes(name)).div_ceil(entries.max(1));
    Ok(Sizes { outline, layer, resident, entry })
}
