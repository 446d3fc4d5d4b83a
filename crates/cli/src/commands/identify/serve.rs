//! A local model behind the OpenAI completions interface, on this machine only.

use std::{
    io::{self, Read as _, Write},
    sync::Arc,
};

use lorica_endpoint::server::{Behaviour, Engine, Offers, PromptOffer, ServerOptions, serve};
use lorica_examine::{
    engine::LocalEngine,
    local::{LocalModel, LocalOptions},
};
use serde::Serialize;

use super::resolve;
use crate::{
    args::identify::{OfferChoice, ServeModelArgs},
    error::CliError,
    exit::Exit,
    report::{Console, Document, Report, format::wrapped},
};

/// Said once the server listens.
#[derive(Debug, Serialize)]
struct ServedReport {
    url: String,
    model: String,
    behaviours: Vec<&'static str>,
}

pub(super) fn run(args: &ServeModelArgs, console: &Console) -> Result<Exit, CliError> {
    let behaviours = args.behaviours.iter().map(|text| behaviour(text)).collect::<Result<Vec<_>, _>>()?;
    let open = |folder| -> Result<Arc<dyn Engine>, CliError> {
        let model = LocalModel::open(folder, LocalOptions::default())?;
        Ok(Arc::new(LocalEngine::new(resolve::folder_name(folder), model)))
    };
    let engine = open(&args.model)?;
    let name = engine.model().to_owned();
    let other = args.other.as_deref().map(open).transpose()?;
    let report_behaviours = behaviours.iter().map(Behaviour::name).collect();
    let offers = Offers {
        prompt: match args.offer {
            OfferChoice::Prompt => PromptOffer::Echo,
            OfferChoice::Top | OfferChoice::Text => PromptOffer::None,
        },
        top: match args.offer {
            OfferChoice::Prompt | OfferChoice::Top => args.top.get(),
            OfferChoice::Text => 0,
        },
        ..Offers::default()
    };
    let options =
        ServerOptions { address: args.listen, offers, behaviours, other, ..ServerOptions::default() };
    let server = serve(engine, options)?;
    let report = ServedReport { url: server.url(), model: name, behaviours: report_behaviours };
    // One line of JSON, so that whoever started the server can read it while the server runs.
    match console.json() {
        true => {
            let mut line = serde_json::to_vec(&Document::new(&report))
                .map_err(|error| CliError::Report(error.into()))?;
            line.push(b'\n');
            console.stdout(&line)?;
        }
        false => {
            console.emit(&report)?;
        }
    }
    if args.end_with_stdin {
        // An error ends it as well: whoever held the other end is gone.
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        server.shutdown();
    } else {
        // A signal ends the process, and the server with it: nothing of it is kept.
        loop {
            std::thread::park();
        }
    }
    Ok(Exit::Yes)
}

fn behaviour(text: &str) -> Result<Behaviour, CliError> {
    serde_json::from_str(text)
        .map_err(|error| CliError::Usage(format!("--behaviour {text:?} is no behaviour: {error}")))
}

impl Report for ServedReport {
    const SCHEMA: &'static str = "lorica-identify-serve/1";

    fn text(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "serving {} at {}", self.model, self.url)?;
        if !self.behaviours.is_empty() {
            writeln!(out, "{}", wrapped("it misbehaves: ", &self.behaviours.join(", ")))?;
        }
        writeln!(out, "Only programs on this machine can connect. Stop with Ctrl-C.")
    }
}
