//! Weights on disk: exact for a run, floats for PyTorch.

use lorica_relation::training::{Settings, TrainingConfig};
use lorica_train::{
    DataSet, FixedTrainer, State, initial_parameters,
    model_file::{LinearLayers, floats, read_state, write_floats, write_state},
};

const CONFIG: &str = r#"
format = "lorica-training/1"
[model]
layers = [3, 4, 2]
[loss]
kind = "cross-entropy"
[update]
kind = "sgd"
learning_rate = 0.1
momentum = 0.5
[batch]
size = 5
"#;

fn settings(text: &str) -> Settings {
    TrainingConfig::from_toml(text).expect("a configuration").settings().expect("settings")
}

fn texts() -> [String; 3] {
    let lora = CONFIG.replace("\"sgd\"", "\"lora\"\nrank = 2\nalpha = 2");
    [CONFIG.to_owned(), lora, CONFIG.replace("[3, 4, 2]", "[3, 4, 2]\nbias = false")]
}

#[test]
fn a_run_goes_on_from_its_state() {
    for text in texts() {
        let settings = settings(&text);
        let samples: Vec<i16> = (0..10i16).flat_map(|i| [9 * i, 40 - 7 * i, 3, i % 2, 1 - i % 2]).collect();
        let data = DataSet::new(3, 2, samples).expect("whole rows");
        let batches = [vec![0, 1, 2, 3, 4], vec![5, 6, 7, 8, 9], vec![4, 9, 1, 1, 7], vec![2, 3, 5, 0, 8]];
        let mut through =
            FixedTrainer::new(settings.clone(), initial_parameters(&settings, 3)).expect("weights");
        let mut first =
            FixedTrainer::new(settings.clone(), initial_parameters(&settings, 3)).expect("weights");
        through.run(&data, &batches).expect("steps");
        first.run(&data, &batches[..2]).expect("steps");

        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("state.safetensors");
        write_state(&path, &settings, &first.state()).expect("a file");
        let state = read_state(&path, &settings).expect("the state");
        assert_eq!(state, first.state());
        let mut second = FixedTrainer::resume(settings.clone(), state).expect("the same settings");
        let chunk = second.run(&data, &batches[2..]).expect("steps");
        assert_eq!(chunk.program.program.steps_before, 2);
        assert_eq!(chunk.program.program.check(&chunk.witness), Ok(()));
        assert_eq!(second.state(), through.state());
    }
}

#[test]
fn a_state_of_other_settings_is_refused() {
    let settings_of_state = settings(CONFIG);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.safetensors");
    let state = FixedTrainer::new(settings_of_state.clone(), initial_parameters(&settings_of_state, 3));
    let state: State = state.expect("weights").state();
    write_state(&path, &settings_of_state, &state).expect("a file");
    let other = settings(&CONFIG.replace("0.1", "0.2"));
    let message = read_state(&path, &other).expect_err("another learning rate").to_string();
    let expected = format!("settings: expected {}, found {}", other.digest(), settings_of_state.digest());
    assert!(message.ends_with(&expected), "{message}");

    let mut bytes = std::fs::read(&path).expect("the file");
    bytes.pop();
    std::fs::write(&path, bytes).expect("the file");
    assert!(read_state(&path, &settings_of_state).is_err());
}

#[test]
fn floats_come_back_as_the_same_integers() {
    for text in texts() {
        let settings = settings(&text);
        let parameters = initial_parameters(&settings, 3);
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        let matrices = floats(&settings, &parameters);
        let matrices: Vec<&[f32]> = matrices.iter().map(Vec::as_slice).collect();
        write_floats(&path, &settings, &matrices).expect("a file");
        let layers = LinearLayers::open(&path).expect("linear layers");
        assert_eq!(layers.quantise(&settings).expect("weights that fit"), parameters);
        if text == CONFIG {
            let biasless = settings_without_bias();
            let message = layers.quantise(&biasless).expect_err("a bias").to_string();
            assert!(
                message.ends_with("layer 0: expected no bias (model.bias = false), found a bias"),
                "{message}"
            );
        }
    }
}

fn settings_without_bias() -> Settings {
    settings(&texts()[2])
}
