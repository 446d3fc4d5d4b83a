//! `adapter_config.json`: scaling and patterns are taken, what changes the forward pass is refused.

use std::{collections::BTreeMap, fmt, marker::PhantomData, path::Path};

use fancy_regex::Regex;
use lorica_tensor::files::read_at_most;
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::error::{AdapterError, Refusal};

/// The largest configuration that is read, in bytes.
const MAX_CONFIG_BYTES: u64 = 16 << 20;

/// How alpha and the rank make the scaling factor.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalingRule {
    /// `alpha / r`
    Rank,
    /// `alpha / sqrt(r)` (rsLoRA, `use_rslora`)
    SqrtRank,
}

impl ScalingRule {
    /// The scaling factor s of `delta = s B (A x)`.
    pub fn factor(self, alpha: f64, rank: usize) -> f64 {
        match self {
            Self::Rank => alpha / rank as f64,
            Self::SqrtRank => alpha / (rank as f64).sqrt(),
        }
    }
}

/// What the configuration says, for people.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ConfigSummary {
    /// The kind of adapter; `LORA` for everything that is supported.
    pub peft_type: String,
    /// The PEFT release that wrote the folder.
    pub peft_version: Option<String>,
    /// The base model's name or path, as the person who trained gave it. A label: it proves nothing.
    pub base_model: Option<String>,
    /// `r`, where `rank_pattern` says nothing else.
    pub rank: usize,
    /// `lora_alpha`, where `alpha_pattern` says nothing else.
    pub alpha: f64,
    /// How alpha and the rank make the scaling factor.
    pub rule: ScalingRule,
    /// `target_modules`: names, or one regular expression, or `all-linear`.
    pub target_modules: Vec<String>,
}

/// Settings that change the forward pass, and how. Off means null, false or empty.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("use_dora", "DoRA rescales the adapted weight by learned magnitudes (lora_magnitude_vector)"),
    ("lora_bias", "a bias is added to the output of lora_B"),
    ("modules_to_save", "whole modules were trained and must replace those of the base model"),
    ("alora_invocation_tokens", "aLoRA is active only after its invocation tokens"),
    ("alora_invocation_string", "aLoRA is active only after its invocation string"),
    ("use_qalora", "QALoRA pools the input before lora_A"),
    ("target_parameters", "it adapts parameters that are not linear layers"),
    ("layer_replication", "it stacks copies of the base model's layers"),
    ("trainable_token_indices", "rows of the embedding were trained"),
    ("megatron_config", "it describes parallel linear layers of Megatron"),
    ("use_bdlora", "BD-LoRA constrains the matrices to blocks"),
    ("arrow_config", "Arrow routes each token among several adapters"),
    ("kasa_config", "KaSA adds trained singular values between A and B"),
    ("monteclora_config", "MonteCLoRA samples weights around A and B"),
    ("ensure_weight_tying", "it ties adapted weights of the embedding and the output layer"),
];

/// Settings that touch only initialisation, training or bookkeeping.
///
/// `qalora_group_size` and `megatron_core` matter only with settings that are refused. `fan_in_fan_out` is about the
/// layout of the base weight: lora_A and lora_B keep theirs. Which modules `exclude_modules`, `layers_to_transform`
/// and `layers_pattern` leave is seen from the tensors.
const HARMLESS: &[&str] = &[
    "auto_mapping",
    "corda_config",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "qalora_group_size",
    "revision",
    "runtime_config",
    "task_type",
];

/// Ways to initialise that change the base weights, so that an adapter not converted back fits only those.
const CHANGES_BASE: &[&str] = &["pissa", "olora", "corda", "loftq", "lora_ga"];

/// The settings that are read; every other one is judged by its name.
const READ: &[&str] = &[
    "alpha_pattern",
    "base_model_name_or_path",
    "bias",
    "init_lora_weights",
    "lora_alpha",
    "peft_type",
    "peft_version",
    "r",
    "rank_pattern",
    "target_modules",
    "use_rslora",
];

/// A JSON object whose values are not yet parsed: an error can then name the field, and the order of a nested
/// object is not lost.
struct Fields<'a>(BTreeMap<String, &'a RawValue>);

impl<'a> Fields<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(bytes).map(Self).map_err(|e| format!("not a JSON object: {e}"))
    }

    /// A field's value; `None` when it is missing or null.
    fn get<T: Deserialize<'a>>(&self, key: &str) -> Result<Option<T>, String> {
        let Some(raw) = self.0.get(key) else { return Ok(None) };
        serde_json::from_str(raw.get()).map_err(|e| format!("field {key}: {e}, found {}", show(raw.get())))
    }

    fn require<T: Deserialize<'a>>(&self, key: &str) -> Result<T, String> {
        self.get(key)?.ok_or_else(|| format!("field {key} is missing"))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Targets {
    Names(Vec<String>),
    Expression(String),
}

/// A configuration, read and judged.
pub(crate) struct Config {
    pub(crate) summary: ConfigSummary,
    pub(crate) refusals: Vec<Refusal>,
    pub(crate) notes: Vec<String>,
    targets: Target,
    ranks: Pattern<usize>,
    alphas: Pattern<f64>,
}

/// Which modules PEFT adapts.
enum Target {
    /// Chosen by the architecture, or `all-linear`: the tensors decide.
    Unstated,
    Names(Vec<String>),
    Expression(Regex),
}

impl Config {
    /// Reads the file. A well-formed file that asks for something unsupported is not an error here: its
    /// reasons are in `refusals`.
    pub(crate) fn read(path: &Path) -> Result<Self, AdapterError> {
        let bytes = read_at_most(path, MAX_CONFIG_BYTES)?;
        Self::parse(&bytes).map_err(|reason| AdapterError::Config { path: path.to_owned(), reason })
    }

    fn parse(bytes: &[u8]) -> Result<Self, String> {
        let fields = Fields::parse(bytes)?;
        // Other kinds of adapter have other required fields, so the kind is looked at first.
        let peft_type: String = fields.require("peft_type")?;
        if peft_type == "LORA" {
            Self::of_lora(&fields, peft_type)
        } else {
            Ok(Self::of_another_kind(peft_type))
        }
    }

    fn of_another_kind(peft_type: String) -> Self {
        Self {
            refusals: vec![Refusal::PeftType { found: peft_type.clone() }],
            notes: Vec::new(),
            summary: ConfigSummary {
                peft_type,
                peft_version: None,
                base_model: None,
                rank: 0,
                alpha: 0.0,
                rule: ScalingRule::Rank,
                target_modules: Vec::new(),
            },
            targets: Target::Unstated,
            ranks: Pattern { entries: Vec::new(), default: 0 },
            alphas: Pattern { entries: Vec::new(), default: 0.0 },
        }
    }

    fn of_lora(fields: &Fields<'_>, peft_type: String) -> Result<Self, String> {
        let rank: usize = fields.require("r")?;
        let alpha: f64 = fields.require("lora_alpha")?;
        let ranks: OrderedMap<usize> = fields.get("rank_pattern")?.unwrap_or_default();
        let alphas: OrderedMap<f64> = fields.get("alpha_pattern")?.unwrap_or_default();
        if rank == 0 {
            return Err("field r: expected a rank of at least 1, found 0".to_owned());
        } else if let Some((key, _)) = ranks.0.iter().find(|(_, rank)| *rank == 0) {
            return Err(format!("field rank_pattern, key {key:?}: expected a rank of at least 1, found 0"));
        }
        let (targets, target_modules) = match fields.get("target_modules")? {
            None => (Target::Unstated, Vec::new()),
            Some(Targets::Names(names)) => (Target::Names(names.clone()), names),
            Some(Targets::Expression(text)) if text == "all-linear" => (Target::Unstated, vec![text]),
            Some(Targets::Expression(text)) => {
                let whole = Regex::new(&format!("^(?:{text})$"));
                (Target::Expression(whole.map_err(|e| format!("field target_modules: {e}"))?), vec![text])
            }
        };
        Ok(Self {
            summary: ConfigSummary {
                peft_type,
                peft_version: fields.get("peft_version")?,
                base_model: fields.get("base_model_name_or_path")?,
                rank,
                alpha,
                rule: match fields.get("use_rslora")? {
                    Some(true) => ScalingRule::SqrtRank,
                    Some(false) | None => ScalingRule::Rank,
                },
                target_modules,
            },
            refusals: refused_settings(fields)?,
            notes: initialisation_note(fields.get("init_lora_weights")?).into_iter().collect(),
            targets,
            ranks: Pattern::new("rank_pattern", ranks, rank)?,
            alphas: Pattern::new("alpha_pattern", alphas, alpha)?,
        })
    }

    /// The rank of a module: `rank_pattern`, or `r`.
    pub(crate) fn rank_of(&self, module: &str) -> Result<usize, String> {
        self.ranks.value_for(module).map_err(|e| format!("field rank_pattern: {e}"))
    }

    /// The alpha of a module: `alpha_pattern`, or `lora_alpha`.
    pub(crate) fn alpha_of(&self, module: &str) -> Result<f64, String> {
        self.alphas.value_for(module).map_err(|e| format!("field alpha_pattern: {e}"))
    }

    /// Whether `target_modules` names a module. PEFT drops the weights of a module that it does not name.
    pub(crate) fn targets(&self, module: &str) -> Result<bool, String> {
        match &self.targets {
            Target::Unstated => Ok(true),
            Target::Names(names) => Ok(names.iter().any(|name| is_path_end(module, name))),
            Target::Expression(regex) => {
                regex.is_match(module).map_err(|e| format!("field target_modules: {e}"))
            }
        }
    }

    /// The names in `target_modules` that none of these modules has.
    pub(crate) fn unmatched_targets<'a>(
        &self,
        modules: impl Iterator<Item = &'a str> + Clone,
    ) -> Vec<String> {
        match &self.targets {
            Target::Unstated | Target::Expression(_) => Vec::new(),
            Target::Names(names) => names
                .iter()
                .filter(|name| !modules.clone().any(|module| is_path_end(module, name)))
                .cloned()
                .collect(),
        }
    }
}

/// A target in a list is a module's whole path or its end, cut at a dot.
fn is_path_end(module: &str, target: &str) -> bool {
    module.strip_suffix(target).is_some_and(|front| front.is_empty() || front.ends_with('.'))
}

fn refused_settings(fields: &Fields<'_>) -> Result<Vec<Refusal>, String> {
    let mut refusals = Vec::new();
    if let Some(bias) = fields.get::<String>("bias")?.filter(|bias| bias != "none") {
        refusals.push(Refusal::Setting {
            key: "bias".to_owned(),
            value: format!("{bias:?}"),
            why: "biases of the base model were trained with the adapter".to_owned(),
        });
    }
    for (key, raw) in &fields.0 {
        let is_known = READ.contains(&key.as_str()) || HARMLESS.contains(&key.as_str());
        if is_known || fields.get::<Value>(key)?.is_none_or(|value| is_off(&value)) {
            continue;
        }
        let (key, value) = (key.clone(), show(raw.get()));
        refusals.push(match UNSUPPORTED.iter().find(|(name, _)| *name == key) {
            Some((_, why)) => Refusal::Setting { key, value, why: (*why).to_owned() },
            None => Refusal::UnknownSetting { key, value },
        });
    }
    Ok(refusals)
}

fn initialisation_note(method: Option<Value>) -> Option<String> {
    let method = method?;
    let method = method.as_str()?;
    CHANGES_BASE.iter().any(|prefix| method.starts_with(prefix)).then(|| {
        format!(
            "init_lora_weights is {method:?}: training began by changing the base weights. Unless the adapter was \
             converted when it was saved, it fits only those changed weights"
        )
    })
}

fn is_off(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Bool(true) | Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(entries) => entries.is_empty(),
        Value::Object(entries) => entries.is_empty(),
    }
}

/// A value as JSON, cut to a length that fits a message.
fn show(json: &str) -> String {
    const LONGEST: usize = 80;
    match json.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}...", &json[..end]),
        None => json.to_owned(),
    }
}

/// Values for modules whose name matches a key, with PEFT's rule: the keys are tried in the order of the file,
/// each as the regular expression `(.*\.)?(key)$` from the start of the module's name, and the first match wins.
struct Pattern<T> {
    entries: Vec<(Regex, T)>,
    default: T,
}

impl<T: Copy> Pattern<T> {
    fn new(field: &str, map: OrderedMap<T>, default: T) -> Result<Self, String> {
        let entries = map.0.into_iter().map(|(key, value)| {
            let regex = Regex::new(&format!(r"^(.*\.)?({key})$"));
            regex.map(|regex| (regex, value)).map_err(|e| format!("field {field}: key {key:?}: {e}"))
        });
        Ok(Self { entries: entries.collect::<Result<_, _>>()?, default })
    }

    fn value_for(&self, module: &str) -> Result<T, String> {
        for (regex, value) in &self.entries {
            if regex.is_match(module).map_err(|e| e.to_string())? {
                return Ok(*value);
            }
        }
        Ok(self.default)
    }
}

/// A JSON object in the order of the file, which decides between two keys that match one module.
struct OrderedMap<T>(Vec<(String, T)>);

impl<T> Default for OrderedMap<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OrderedMap<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Entries<T>(PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for Entries<T> {
            type Value = OrderedMap<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object from module patterns to numbers")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut entries = Vec::new();
                while let Some(entry) = map.next_entry()? {
                    entries.push(entry);
                }
                Ok(OrderedMap(entries))
            }
        }

        deserializer.deserialize_map(Entries(PhantomData))
    }
}
