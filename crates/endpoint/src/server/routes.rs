//! The requests that a server takes, and the order in which behaviours act on them.

use std::{
    collections::VecDeque,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    Json, Router,
    body::{Body as HttpBody, Bytes},
    extract::{DefaultBodyLimit, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse as _, Response},
    routing::{get, post},
};
use serde_json::json;

use super::{
    ServerOptions,
    answers::answer,
    behaviour::{Behaviour, Fault},
    engine::{Engine, EngineError},
    request::{Asked, Body, Kind, Refused},
    view::{Memory, Seen, View, choose, draw},
};

/// The most bytes of a request.
const LARGEST_REQUEST: usize = 4 << 20;

/// A server's state.
struct Service {
    engine: Arc<dyn Engine>,
    options: ServerOptions,
    /// Requests so far.
    requests: AtomicU64,
    memory: Memory,
    /// When the requests of the current window came, for the rate limit.
    recent: Mutex<VecDeque<Instant>>,
    /// How many requests each fault has been meant for, in the order of the behaviours.
    meant: Vec<AtomicU32>,
}

/// The routes.
pub(super) fn router(engine: Arc<dyn Engine>, options: ServerOptions) -> Router {
    let meant = options.behaviours.iter().map(|_| AtomicU32::new(0)).collect();
    let service = Arc::new(Service {
        engine,
        options,
        requests: AtomicU64::new(0),
        memory: Memory::default(),
        recent: Mutex::default(),
        meant,
    });
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/completions", post(completions))
        .route("/v1/chat/completions", post(chat))
        .layer(DefaultBodyLimit::max(LARGEST_REQUEST))
        .with_state(service)
}

async fn models(State(service): State<Arc<Service>>) -> Response {
    let model =
        json!({ "id": service.engine.model(), "object": "model", "created": 0, "owned_by": "lorica" });
    Json(json!({ "object": "list", "data": [model] })).into_response()
}

async fn completions(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    respond(service, Kind::Completions, headers, body).await
}

async fn chat(State(service): State<Arc<Service>>, headers: HeaderMap, body: Bytes) -> Response {
    respond(service, Kind::Chat, headers, body).await
}

async fn respond(service: Arc<Service>, kind: Kind, headers: HeaderMap, body: Bytes) -> Response {
    let number = service.requests.fetch_add(1, Ordering::Relaxed);
    let asked = match service.admit(kind, &headers, &body) {
        Ok(asked) => asked,
        Err(refused) => return refusal(&refused),
    };
    let fault = service.fault(&asked);
    if let Some(fault) = &fault
        && let Some(response) = service.instead(fault, &headers).await
    {
        return response;
    }
    if let Some(response) = service.beyond_limit() {
        return response;
    }
    tokio::time::sleep(service.latency(number)).await;
    let working = Arc::clone(&service);
    let struck = fault.clone();
    let answered = tokio::task::spawn_blocking(move || working.answer(&asked, number, struck.as_ref())).await;
    let text = match answered {
        Ok(Ok(text)) => text,
        Ok(Err(error)) => return refusal(&of_engine(&error)),
        Err(error) => return refusal(&of_engine(&EngineError::Failed(error.to_string()))),
    };
    let kind = [(header::CONTENT_TYPE, "application/json")];
    if fault == Some(Fault::Close) {
        let half = Bytes::copy_from_slice(&text.as_bytes()[..text.len() / 2]);
        let broken = std::io::Error::other("the connection closes here");
        return (kind, HttpBody::from_stream(futures_util::stream::iter([Ok(half), Err(broken)])))
            .into_response();
    }
    (kind, text).into_response()
}

impl Service {
    /// Checks the key and the request.
    fn admit(&self, kind: Kind, headers: &HeaderMap, body: &[u8]) -> Result<Asked, Refused> {
        if let Some(key) = &self.options.key {
            let expected = format!("Bearer {key}");
            let given = headers.get(header::AUTHORIZATION).map(|value| value.as_bytes());
            if given != Some(expected.as_bytes()) {
                let message = "the key is missing or not the right one".to_owned();
                return Err(Refused { status: StatusCode::UNAUTHORIZED, code: "invalid_api_key", message });
            }
        }
        let offers = &self.options.offers;
        let served = match kind {
            Kind::Completions => offers.completions,
            Kind::Chat => offers.chat,
        };
        if !served {
            let message = "this interface is not offered".to_owned();
            return Err(Refused { status: StatusCode::NOT_FOUND, code: "not_found", message });
        }
        let body: Body = serde_json::from_slice(body)
            .map_err(|error| Refused::bad(format!("the request cannot be read: {error}")))?;
        body.check(kind, self.engine.model(), offers)
    }

    /// The first fault that strikes this request.
    fn fault(&self, asked: &Asked) -> Option<Fault> {
        self.options.behaviours.iter().zip(&self.meant).find_map(|(behaviour, meant)| {
            let Behaviour::Fault { fault, containing, times, after } = behaviour else { return None };
            let for_it = containing
                .as_ref()
                .is_none_or(|text| asked.prompts.iter().any(|prompt| prompt.contains(text.as_str())));
            if !for_it {
                return None;
            }
            let place = meant.fetch_add(1, Ordering::Relaxed).checked_sub(after.unwrap_or(0))?;
            times.is_none_or(|times| place < times).then(|| fault.clone())
        })
    }

    /// What comes instead of an answer.
    async fn instead(&self, fault: &Fault, headers: &HeaderMap) -> Option<Response> {
        match fault {
            Fault::FilterStatus => Some(refusal(&Refused {
                status: StatusCode::BAD_REQUEST,
                code: "content_filter",
                message: "the prompt was stopped by the content filter".to_owned(),
            })),
            Fault::Status { status, retry_after } => {
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                let message = "this server was told to fail".to_owned();
                let mut response = refusal(&Refused { status, code: "fault", message });
                if let Some(seconds) = retry_after {
                    response.headers_mut().insert(header::RETRY_AFTER, (*seconds).into());
                }
                Some(response)
            }
            Fault::TellKey { status } => {
                let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
                let given = given.unwrap_or("no key").to_owned();
                let status = StatusCode::from_u16(*status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
                if status == StatusCode::OK {
                    let choice = json!({ "index": 0, "text": given, "message": { "content": given } });
                    return Some(
                        Json(json!({ "model": self.engine.model(), "choices": [choice] })).into_response(),
                    );
                }
                Some(refusal(&Refused { status, code: "fault", message: format!("I was sent {given}") }))
            }
            Fault::Garbage => Some("<html>this is no JSON</html>".into_response()),
            Fault::Large { bytes } => Some(" ".repeat(*bytes).into_response()),
            Fault::Slow { milliseconds } => {
                tokio::time::sleep(Duration::from_millis(*milliseconds)).await;
                None
            }
            _ => None,
        }
    }

    /// The refusal of what is beyond the rate limit.
    fn beyond_limit(&self) -> Option<Response> {
        let (most, seconds) = self.options.behaviours.iter().find_map(|behaviour| match behaviour {
            Behaviour::RateLimit { requests, seconds } => Some((*requests as usize, *seconds)),
            _ => None,
        })?;
        let mut recent = self.recent.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        while recent.front().is_some_and(|first| now.duration_since(*first) >= Duration::from_secs(seconds)) {
            recent.pop_front();
        }
        if recent.len() < most {
            recent.push_back(now);
            return None;
        }
        let message = format!("at most {most} requests in {seconds} s");
        let mut response =
            refusal(&Refused { status: StatusCode::TOO_MANY_REQUESTS, code: "rate_limit_exceeded", message });
        response.headers_mut().insert(header::RETRY_AFTER, seconds.into());
        Some(response)
    }

    fn latency(&self, number: u64) -> Duration {
        let late = self.options.behaviours.iter().map(|behaviour| match behaviour {
            Behaviour::Latency { milliseconds, jitter, seed } => {
                let more = Duration::from_millis(*jitter).mul_f64(draw(*seed, number));
                Duration::from_millis(*milliseconds).saturating_add(more)
            }
            _ => Duration::ZERO,
        });
        late.fold(Duration::ZERO, Duration::saturating_add)
    }

    fn answer(&self, asked: &Asked, number: u64, fault: Option<&Fault>) -> Result<String, EngineError> {
        let seen = Seen {
            number,
            prompts: &asked.prompts,
            log_probabilities: asked.top.is_some() || asked.of_prompt.is_some(),
        };
        let behaviours = &self.options.behaviours;
        let view = View {
            engine: choose(behaviours, self.engine.as_ref(), self.options.other.as_deref(), &seen),
            behaviours,
            memory: &self.memory,
            template: (asked.kind == Kind::Chat).then_some(self.options.template.as_str()),
        };
        answer(asked, &view, (self.engine.model(), number), fault)
    }
}

fn of_engine(error: &EngineError) -> Refused {
    let (status, code) = match error {
        EngineError::TooLong { .. } => (StatusCode::BAD_REQUEST, "context_length_exceeded"),
        EngineError::NotWhole { .. } | EngineError::Failed(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "engine")
        }
    };
    Refused { status, code, message: error.to_string() }
}

fn refusal(refused: &Refused) -> Response {
    let error = json!({ "message": refused.message, "type": refused.code, "code": refused.code });
    (refused.status, Json(json!({ "error": error }))).into_response()
}
