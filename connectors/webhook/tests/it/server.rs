//! A real HTTP server on loopback that remembers what it was asked. It can be stopped, which cuts its connections, and
//! started again on the same port.

use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};

/// One request as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    /// What it was answered.
    pub(crate) status: u16,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

type Log = Arc<Mutex<Vec<Seen>>>;

/// The server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    log: Log,
    /// Its own runtime: dropping it ends the listener and every connection at once.
    running: Mutex<Option<tokio::runtime::Runtime>>,
}

impl Server {
    /// Starts on a free port.
    pub(crate) fn new() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let server = Self { address, log: Log::default(), running: Mutex::new(None) };
        server.serve(listener);
        server
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    /// Everything it was asked so far.
    pub(crate) fn requests(&self) -> Vec<Seen> {
        self.log.lock().expect("log").clone()
    }

    pub(crate) fn stop(&self) {
        if let Some(runtime) = self.running.lock().expect("running").take() {
            runtime.shutdown_background();
        }
    }

    pub(crate) fn start(&self) {
        // The port is ours again once the kernel has let go of the old listener.
        let listener = (0..500).find_map(|_| {
            let listener = TcpListener::bind(self.address).ok();
            if listener.is_none() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            listener
        });
        self.serve(listener.expect("the port is free again"));
    }

    fn serve(&self, listener: TcpListener) {
        listener.set_nonblocking(true).expect("nonblocking");
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("runtime");
        let app = Router::new().fallback(answer).with_state(Arc::clone(&self.log));
        let serving = async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("listener");
            axum::serve(listener, app).await.expect("serve");
        };
        {
            let _inside = runtime.enter();
            drop(model::task::spawn("test http server", serving));
        }
        *self.running.lock().expect("running") = Some(runtime);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// 204 for anything, except what a path or a body asks for.
async fn answer(State(log): State<Log>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body: Bytes = axum::body::to_bytes(body, 1 << 20).await.unwrap_or_default();
    let wanted = parts.uri.path().strip_prefix("/status/").and_then(|code| code.parse().ok());
    let forbidden = body.windows(11).any(|word| word == b"\"forbidden\"");
    let status = wanted.unwrap_or(if forbidden { 422 } else { 204 });
    log.lock().expect("log").push(Seen {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        headers: parts.headers,
        body: body.to_vec(),
        status,
    });
    let mut response = StatusCode::from_u16(status).expect("a status").into_response();
    if status == 429 {
        response.headers_mut().insert("retry-after", "60".parse().expect("a value"));
    }
    if status == 302 {
        response.headers_mut().insert("location", "/elsewhere".parse().expect("a value"));
    }
    response
}
