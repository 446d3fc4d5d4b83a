//! The key goes into one header and nowhere else.

use std::process::Command;

use lorica_endpoint::{
    Endpoint, EndpointConfig,
    server::{Behaviour, Fault, Offers, ServerOptions},
};
use lorica_identity::{Respondent as _, RespondentFault};

use super::{challenges, config, distributions, start, start_with, texts};

const VARIABLE: &str = "LORICA_TEST_ENDPOINT_KEY";
const CANARY: &str = "sk-canary-0123456789-abcdefghij";

/// Runs a test in a process of its own with the key in its environment, and looks for the key in all that it prints.
fn with_key(test: &str, body: impl FnOnce()) {
    if std::env::var_os(VARIABLE).is_some() {
        return body();
    }
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(VARIABLE, CANARY)
        .output()
        .unwrap();
    let printed =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{printed}");
    assert!(printed.contains("1 passed"), "the test was not found: {printed}");
    assert!(!printed.contains(CANARY), "{printed}");
}

fn keyed(url: &str) -> EndpointConfig {
    let mut settings = config(url);
    settings.key_variable = Some(VARIABLE.to_owned());
    settings
}

/// Nothing of the canary that would help anybody.
fn assert_clean(text: &str) {
    for start in 0..CANARY.len() - 8 {
        assert!(!text.contains(&CANARY[start..start + 8]), "{text}");
    }
}

#[test]
fn a_key_opens_the_endpoint_and_shows_nowhere() {
    with_key("keys::a_key_opens_the_endpoint_and_shows_nowhere", || {
        let server = start_with(ServerOptions { key: Some(CANARY.to_owned()), ..ServerOptions::default() });
        let settings = keyed(&server.url());
        assert_clean(&format!("{settings:?}"));
        let mut endpoint = Endpoint::connect(settings).unwrap();
        assert_clean(&format!("{endpoint:?}"));
        assert_clean(&serde_json::to_string(endpoint.description()).unwrap());
        assert!(distributions(&mut endpoint, &challenges()).is_ok());
        let error = Endpoint::connect(config(&server.url())).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unauthorized);
        assert!(error.detail.contains("environment variable"), "{error}");
    });
}

#[test]
fn a_server_that_tells_the_key_back_is_not_repeated() {
    with_key("keys::a_server_that_tells_the_key_back_is_not_repeated", || {
        for status in [200, 400, 401, 403, 429, 500, 503] {
            let fault = Behaviour::Fault {
                fault: Fault::TellKey { status },
                containing: Some("zebra".to_owned()),
                times: None,
                after: None,
            };
            let server = start(Offers::default(), vec![fault]);
            let mut endpoint = Endpoint::connect(keyed(&server.url())).unwrap();
            for found in [
                distributions(&mut endpoint, &challenges()).unwrap_err(),
                endpoint.answer(texts(2, 2, 1.0), &challenges(), &mut |_| {}).unwrap_err(),
            ] {
                assert_clean(&format!("{found} {found:?}"));
                if status == 200 {
                    assert_eq!(found.fault, RespondentFault::Malformed);
                    assert!(found.detail.contains("holds the key"), "{found}");
                }
                if status == 400 {
                    assert!(found.detail.contains("I was sent Bearer [key]"), "{found}");
                }
            }
        }
    });
}

#[test]
fn a_key_does_not_travel_unencrypted() {
    with_key("keys::a_key_does_not_travel_unencrypted", || {
        // An address for documentation: nothing is sent there.
        let error = Endpoint::connect(keyed("http://192.0.2.1/v1")).unwrap_err();
        assert_eq!(error.fault, RespondentFault::Unusable);
        assert!(error.detail.contains("https"), "{error}");
    });
}

#[test]
fn a_variable_that_is_not_set_is_named() {
    let mut settings = config("http://127.0.0.1:9/v1");
    settings.key_variable = Some("LORICA_TEST_NO_SUCH_KEY".to_owned());
    let error = Endpoint::connect(settings).unwrap_err();
    assert_eq!(error.fault, RespondentFault::Unusable);
    assert!(error.detail.contains("LORICA_TEST_NO_SUCH_KEY"), "{error}");
}
