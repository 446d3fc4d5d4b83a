//! Recipes: every member is there, loads, and is what its label says; a build resumes; damage is found.
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod common;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use common::{distance, sources};
use lorica_zoo::{
    Behaviour, Event, Member, MemberName, Origin, Recipe, Relation, Step, Truth, Zoo, ZooError,
    manifest::{MANIFEST, RECORD},
    train::Tokens,
};

fn name(text: &str) -> MemberName {
    MemberName::new(text).unwrap()
}

/// Builds a recipe and returns the members that were made anew.
fn build(recipe: &Recipe, out: &Path) -> Result<(Zoo, Vec<String>), ZooError> {
    let mut anew = Vec::new();
    let zoo = recipe.build(out, &mut |event| {
        if let Event::Finished { member, kept: false, .. } = event {
            anew.push(member.to_string());
        }
    })?;
    Ok((zoo, anew))
}

/// The tiny recipe with these members only.
fn only(names: &[&str]) -> Recipe {
    let mut recipe = Recipe::tiny(sources()).unwrap();
    recipe.members.retain(|member| names.contains(&member.name.as_str()));
    assert_eq!(recipe.members.len(), names.len());
    recipe
}

#[test]
fn the_tiny_zoo_is_what_its_labels_say() {
    let out = tempfile::tempdir().unwrap();
    let recipe = Recipe::tiny(sources()).unwrap();
    let (zoo, anew) = build(&recipe, out.path()).unwrap();
    assert_eq!(anew.len(), recipe.members.len());
    zoo.verify().unwrap();
    assert_eq!(Zoo::open(out.path()).unwrap(), zoo);
    assert_eq!(zoo.manifest().pairs.len(), recipe.members.len() * (recipe.members.len() - 1));

    for entry in &zoo.manifest().members {
        let Some(root) = entry.member.origin.parent() else { continue };
        let known = zoo.known(root.as_str(), entry.member.name.as_str()).unwrap();
        let back = zoo.known(entry.member.name.as_str(), root.as_str()).unwrap();
        assert_eq!((known.truth, known.relation), (back.truth, back.relation));
        if entry.record.is_none() || entry.member.name.as_str() == "gpt2-permuted" {
            continue;
        }
        let path = zoo.path(&entry.member.name);
        if known.relation == Relation::TokensMisnumbered {
            continue;
        }
        let distance = distance(&zoo.path(root), &path);
        match known.truth {
            Truth::Same => assert_eq!(distance, 0.0, "{}", entry.member.name),
            Truth::NearlySame => assert!(distance < 0.02, "{}: {distance}", entry.member.name),
            Truth::Different => assert!(distance > 0.0, "{}", entry.member.name),
        }
    }
    let relation = |reference: &str, candidate: &str| {
        let known = zoo.known(reference, candidate).unwrap();
        (known.truth, known.relation, known.direct)
    };
    assert_eq!(relation("gpt2-renamed", "gpt2-permuted"), (Truth::Same, Relation::SameWeights, true));
    assert_eq!(
        relation("gpt2-bf16", "gpt2-sharded"),
        (Truth::NearlySame, Relation::SameWeightsRounded, true)
    );
    assert_eq!(relation("llama-int8", "llama-tuned"), (Truth::Different, Relation::FineTuned, false));
    assert_eq!(relation("gpt2", "llama"), (Truth::Different, Relation::OtherArchitecture, true));
    assert_eq!(relation("gpt2", "gpt2-served-hot"), (Truth::Different, Relation::TemperatureChanged, true));
    assert_eq!(zoo.known("gpt2", "gpt2"), None);
    let learned = zoo.entry("llama-tuned").unwrap().record.as_ref().unwrap().learned.unwrap();
    assert!(learned.after < learned.before);
}

#[test]
fn a_build_goes_on_where_it_stopped() {
    let out = tempfile::tempdir().unwrap();
    let first = only(&["gpt2", "gpt2-bf16"]);
    let (_, anew) = build(&first, out.path()).unwrap();
    assert_eq!(anew, ["gpt2", "gpt2-bf16"]);
    let weights = fs::metadata(out.path().join("gpt2/model.safetensors")).unwrap().modified().unwrap();

    // A run that was killed leaves a folder under another name.
    let partial = out.path().join(".gpt2-sharded.partial");
    fs::create_dir(&partial).unwrap();
    fs::write(partial.join("model.safetensors"), "half").unwrap();
    let more = only(&["gpt2", "gpt2-bf16", "gpt2-sharded"]);
    let (zoo, anew) = build(&more, out.path()).unwrap();
    assert_eq!(anew, ["gpt2-sharded"]);
    assert!(!partial.exists());
    zoo.verify().unwrap();
    let again = fs::metadata(out.path().join("gpt2/model.safetensors")).unwrap().modified().unwrap();
    assert_eq!(weights, again);

    let (same, anew) = build(&more, out.path()).unwrap();
    assert_eq!((same.manifest(), anew.len()), (zoo.manifest(), 0));

    // A member that was removed is made again, and comes out the same.
    fs::remove_dir_all(out.path().join("gpt2-bf16")).unwrap();
    let (again, anew) = build(&more, out.path()).unwrap();
    assert_eq!(anew, ["gpt2-bf16"]);
    let files = |zoo: &Zoo| zoo.entry("gpt2-bf16").unwrap().record.clone().unwrap().files;
    assert_eq!(files(&again), files(&zoo));
}

#[test]
fn damage_is_found_by_digest() {
    let out = tempfile::tempdir().unwrap();
    let recipe = only(&["gpt2", "gpt2-bf16"]);
    let (zoo, _) = build(&recipe, out.path()).unwrap();
    let path = out.path().join("gpt2-bf16/model.safetensors");
    let good = fs::read(&path).unwrap();
    let mut bad = good.clone();
    *bad.last_mut().unwrap() ^= 1;
    fs::write(&path, bad).unwrap();
    let is_corrupt =
        |error: ZooError| matches!(error, ZooError::Corrupt { path: found, .. } if found == path);
    assert!(is_corrupt(zoo.verify().unwrap_err()));
    assert!(is_corrupt(build(&recipe, out.path()).unwrap_err()));
    fs::write(&path, good).unwrap();
    zoo.verify().unwrap();

    let extra = out.path().join("gpt2-bf16/extra");
    fs::write(&extra, "").unwrap();
    assert!(matches!(zoo.verify(), Err(ZooError::Files { .. })));
    fs::remove_file(extra).unwrap();
    fs::remove_file(out.path().join("gpt2/tokenizer.json")).unwrap();
    assert!(matches!(zoo.verify(), Err(ZooError::Files { .. })));
    assert!(matches!(build(&recipe, out.path()), Err(ZooError::Files { .. })));
}

#[test]
fn a_folder_of_another_recipe_is_not_taken_for_this_one() {
    let out = tempfile::tempdir().unwrap();
    let mut recipe = only(&["llama", "llama-pruned-30"]);
    build(&recipe, out.path()).unwrap();
    recipe.members[1].origin = Origin::Derived { from: name("llama"), step: Step::Prune { percent: 31 } };
    let error = build(&recipe, out.path()).unwrap_err();
    assert!(matches!(&error, ZooError::OtherRecipe { path } if path.ends_with("llama-pruned-30")), "{error}");
    recipe.seed += 1;
    assert!(matches!(build(&recipe, out.path()), Err(ZooError::OtherRecipe { .. })));
}

#[test]
fn a_recipe_must_name_members_in_order_and_once() {
    let out = tempfile::tempdir().unwrap();
    let derived = |of: &str, from: &str| Member {
        name: name(of),
        origin: Origin::Derived { from: name(from), step: Step::Shard { files: 2 } },
    };
    let attempt = |members: Vec<Member>| {
        let recipe = Recipe { seed: 1, sources: sources(), members };
        build(&recipe, out.path()).unwrap_err()
    };
    let root = only(&["gpt2"]).members.remove(0);
    assert!(matches!(attempt(vec![derived("a", "gpt2"), root.clone()]), ZooError::Parent { .. }));
    assert!(matches!(attempt(vec![root.clone(), root.clone()]), ZooError::Twice { .. }));
    let behaviour = Behaviour::Backdoor { rate: 0.01, with: name("nobody") };
    let served =
        |behaviour| Member { name: name("served"), origin: Origin::Served { from: name("gpt2"), behaviour } };
    assert!(matches!(attempt(vec![root.clone(), served(behaviour)]), ZooError::Parent { .. }));
    let from_served = vec![root, served(Behaviour::Paraphrase), derived("b", "served")];
    assert!(matches!(attempt(from_served), ZooError::Parent { .. }));
    // Nothing was written before the recipe was checked.
    assert_eq!(fs::read_dir(out.path()).unwrap().count(), 0);
}

#[test]
fn manifest_and_records_are_strict() {
    let out = tempfile::tempdir().unwrap();
    build(&only(&["gpt2"]), out.path()).unwrap();
    let path = out.path().join(MANIFEST);
    let good = fs::read_to_string(&path).unwrap();
    for (from, to) in [("\"format\"", "\"extra\": 1, \"format\""), ("lorica-zoo/1", "lorica-zoo/2")] {
        assert!(good.contains(from));
        fs::write(&path, good.replacen(from, to, 1)).unwrap();
        assert!(Zoo::open(out.path()).is_err(), "{to}");
    }
    let record = out.path().join("gpt2").join(RECORD);
    let text = fs::read_to_string(&record).unwrap();
    fs::write(&record, text.replacen('{', "{\"extra\": 1,", 1)).unwrap();
    assert!(matches!(build(&only(&["gpt2"]), out.path()), Err(ZooError::Json { .. })));
}

#[test]
fn every_text_is_long_enough_for_its_lessons() {
    let tokenizer = fs::read(sources().models.join("tiny-gpt2/tokenizer.json")).unwrap();
    for member in Recipe::standard(sources()).unwrap().members {
        let (text, training) = match member.origin {
            Origin::Trained { text, training, .. }
            | Origin::Derived { step: Step::Tune { text, training }, .. }
            | Origin::Derived { step: Step::Distill { text, training, .. }, .. } => (text, training),
            _ => continue,
        };
        // The first few pages are enough to know.
        let text = fs::read_to_string(sources().texts.join(text.file())).unwrap();
        let text: String = text.chars().take(20_000).collect();
        Tokens::encode(&tokenizer, &text).unwrap().held_out(training.window).unwrap();
    }
}

#[test]
fn the_standard_recipe_has_several_members_of_every_kind() {
    let recipe = Recipe::standard(sources()).unwrap();
    let names: BTreeSet<&str> = recipe.members.iter().map(|member| member.name.as_str()).collect();
    assert_eq!(names.len(), recipe.members.len());
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    for member in &recipe.members {
        let value = serde_json::to_value(&member.origin).unwrap();
        let kind = value["step"]["step"].as_str().or(value["behaviour"]["behaviour"].as_str());
        *kinds.entry(kind.or(value["kind"].as_str()).unwrap().to_owned()).or_default() += 1;
        let text = serde_json::to_string(member).unwrap();
        assert_eq!(serde_json::from_str::<Member>(&text).unwrap(), *member);
    }
    for (kind, count) in &kinds {
        assert!(*count >= 2 || kind == "rename", "{kind}: {count}");
    }
    for kind in [
        "store",
        "shard",
        "rename",
        "permute-tokens",
        "misnumber-tokens",
        "append-tokens",
        "quantize",
        "prune",
        "merge",
        "tune",
        "distill",
        "drop-layer",
        "temper",
        "trained",
        "shipped",
        "temperature",
        "paraphrase",
        "truncate",
        "backdoor",
    ] {
        assert!(kinds.contains_key(kind), "{kind} is missing");
    }
}
