//! A folder on disk, its tensors sorted into modules, before any weight is read.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

use lorica_tensor::{
    ModuleName,
    checkpoint::{Checkpoint, TensorDescription},
};

use crate::{
    adapter::LoraModule,
    config::Config,
    error::{AdapterError, Refusal},
};

const CONFIG_FILE: &str = "adapter_config.json";
const WEIGHT_FILE: &str = "adapter_model.safetensors";
const PICKLE_FILE: &str = "adapter_model.bin";
const PREFIX: &str = "base_model.model.";
const A_SUFFIX: &str = ".lora_A.weight";
const B_SUFFIX: &str = ".lora_B.weight";

/// Tensors that other methods add to a module, and what they are.
const FOREIGN_PARTS: &[(&str, &str)] = &[
    (".lora_magnitude_vector", "the magnitudes of DoRA"),
    (".lora_A.bias", "a bias inside the adapter"),
    (".lora_B.bias", "a bias added to the output of lora_B (lora_bias)"),
    (".lora_embedding_A", "it adapts an embedding, which is not a linear layer"),
    (".lora_embedding_B", "it adapts an embedding, which is not a linear layer"),
    (".lora_E", "singular values of AdaLoRA"),
    (".lora_diag", "singular values of KaSA"),
];

/// A folder whose files are open and whose tensors are sorted.
pub(crate) struct Folder {
    pub(crate) path: PathBuf,
    pub(crate) config: Config,
    pub(crate) checkpoint: Checkpoint,
    /// The modules that are complete and consistent, in the order of their names.
    pub(crate) pairs: Vec<Pair>,
    /// Names of the tensors that are in no pair.
    pub(crate) unused: Vec<String>,
    /// Every reason to refuse the folder: settings first, then files, tensors, modules.
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) notes: Vec<String>,
}

/// The two matrices of one module.
pub(crate) struct Pair {
    pub(crate) name: ModuleName,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) rank: usize,
    pub(crate) alpha: f64,
    pub(crate) a: TensorDescription,
    pub(crate) b: TensorDescription,
}

#[derive(Default)]
struct Halves {
    a: Option<TensorDescription>,
    b: Option<TensorDescription>,
}

enum Part {
    A,
    B,
}

impl Folder {
    pub(crate) fn open(path: &Path) -> Result<Self, AdapterError> {
        let has = |file: &str| path.join(file).exists();
        let missing = |file| AdapterError::MissingFile { folder: path.to_owned(), file };
        if !has(CONFIG_FILE) {
            return Err(missing(CONFIG_FILE));
        } else if !has(WEIGHT_FILE) && has(PICKLE_FILE) {
            return Err(AdapterError::Pickle { folder: path.to_owned() });
        } else if !has(WEIGHT_FILE) {
            return Err(missing(WEIGHT_FILE));
        }
        let config = Config::read(&path.join(CONFIG_FILE))?;
        let mut folder = Self {
            path: path.to_owned(),
            checkpoint: Checkpoint::open(&path.join(WEIGHT_FILE))?,
            pairs: Vec::new(),
            unused: Vec::new(),
            refusals: config.refusals.clone(),
            notes: config.notes.clone(),
            config,
        };
        folder.look_at_other_files();
        folder.sort_tensors()?;
        Ok(folder)
    }

    /// Reads the weights of one module.
    pub(crate) fn read(&self, pair: &Pair) -> Result<LoraModule, AdapterError> {
        Ok(LoraModule {
            name: pair.name.clone(),
            inputs: pair.inputs,
            outputs: pair.outputs,
            rank: pair.rank,
            alpha: pair.alpha,
            rule: self.config.summary.rule,
            a: self.checkpoint.read_f32(&pair.a.name)?,
            b: self.checkpoint.read_f32(&pair.b.name)?,
        })
    }

    fn look_at_other_files(&mut self) {
        for file in ["new_embeddings.safetensors", "new_embeddings.bin"] {
            if self.path.join(file).exists() {
                let why = "it adds rows to the base model's embedding".to_owned();
                self.refusals.push(Refusal::File { file: file.to_owned(), why });
            }
        }
        if self.path.join(PICKLE_FILE).exists() {
            self.notes.push(format!("{PICKLE_FILE} is there too and was not read"));
        }
    }

    fn sort_tensors(&mut self) -> Result<(), AdapterError> {
        let mut modules: BTreeMap<ModuleName, Halves> = BTreeMap::new();
        for tensor in self.checkpoint.tensors() {
            match part_of(&tensor.name) {
                Ok((module, Part::A)) => modules.entry(module).or_default().a = Some(tensor),
                Ok((module, Part::B)) => modules.entry(module).or_default().b = Some(tensor),
                Err(why) => {
                    self.refusals.push(Refusal::Tensor { tensor: tensor.name.clone(), why });
                    self.unused.push(tensor.name);
                }
            }
        }
        if modules.is_empty() {
            self.refusals.push(Refusal::Empty);
        }
        let unmatched = self.config.unmatched_targets(modules.keys().map(ModuleName::as_str));
        self.notes.extend(
            unmatched.iter().map(|target| format!("target_modules names {target:?}, which no tensor adapts")),
        );
        for (module, halves) in modules {
            let names: Vec<String> =
                [&halves.a, &halves.b].into_iter().flatten().map(|t| t.name.clone()).collect();
            match self.pair_up(module, halves)? {
                Ok(pair) => self.pairs.push(pair),
                Err(refusal) => {
                    self.refusals.push(refusal);
                    self.unused.extend(names);
                }
            }
        }
        self.unused.sort();
        Ok(())
    }

    /// Makes a pair of two halves, or says why they are none. The outer error is a pattern that cannot be evaluated.
    fn pair_up(&self, module: ModuleName, halves: Halves) -> Result<Result<Pair, Refusal>, AdapterError> {
        const LORA_A: &str = "lora_A.weight";
        const LORA_B: &str = "lora_B.weight";
        let (a, b) = match (halves.a, halves.b) {
            (Some(a), Some(b)) => (a, b),
            (Some(_), None) => {
                return Ok(Err(Refusal::Unpaired { module, present: LORA_A, missing: LORA_B }));
            }
            (None, _) => return Ok(Err(Refusal::Unpaired { module, present: LORA_B, missing: LORA_A })),
        };
        let failed = |reason| AdapterError::Config { path: self.path.join(CONFIG_FILE), reason };
        if !self.config.targets(module.as_str()).map_err(failed)? {
            let targets = self.config.summary.target_modules.join(", ");
            return Ok(Err(Refusal::NotTargeted { module, targets }));
        }
        let expected = self.config.rank_of(module.as_str()).map_err(failed)?;
        let alpha = self.config.alpha_of(module.as_str()).map_err(failed)?;
        let not_a_matrix = |tensor: &TensorDescription, expected| Refusal::Shape {
            tensor: tensor.name.clone(),
            expected,
            found: tensor.shape.clone(),
        };
        let &[a_rank, inputs] = a.shape.as_slice() else {
            return Ok(Err(not_a_matrix(&a, "a matrix of rank x inputs")));
        };
        let &[outputs, b_rank] = b.shape.as_slice() else {
            return Ok(Err(not_a_matrix(&b, "a matrix of outputs x rank")));
        };
        if a_rank != expected || b_rank != expected {
            return Ok(Err(Refusal::Rank { module, expected, a: a.shape, b: b.shape }));
        } else if inputs == 0 {
            return Ok(Err(not_a_matrix(&a, "at least one input")));
        } else if outputs == 0 {
            return Ok(Err(not_a_matrix(&b, "at least one output")));
        }
        Ok(Ok(Pair { name: module, inputs, outputs, rank: expected, alpha, a, b }))
    }
}

/// The module and matrix a tensor's name stands for, or why it stands for none.
fn part_of(tensor: &str) -> Result<(ModuleName, Part), String> {
    const EXPECTED: &str = "expected base_model.model.<module>.lora_A.weight or .lora_B.weight";
    if let Some((_, what)) = FOREIGN_PARTS.iter().find(|(part, _)| tensor.contains(part)) {
        return Err((*what).to_owned());
    } else if !tensor.contains("lora_") {
        return Err(format!(
            "a whole tensor of the base model (modules_to_save, bias or embedding); {EXPECTED}"
        ));
    }
    let Some(path) = tensor.strip_prefix(PREFIX) else {
        return Err(EXPECTED.to_owned());
    };
    let (module, part) = match (path.strip_suffix(A_SUFFIX), path.strip_suffix(B_SUFFIX)) {
        (Some(module), _) => (module, Part::A),
        (None, Some(module)) => (module, Part::B),
        (None, None) => return Err(EXPECTED.to_owned()),
    };
    let module = module.parse().map_err(|error: lorica_tensor::name::NameError| error.to_string())?;
    Ok((module, part))
}
