//! Serves `/metrics` and `/healthz`.

use std::{convert::Infallible, io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{ACCEPT, ALLOW, CONTENT_TYPE, HeaderMap, HeaderValue, VARY},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use nix::sys::socket::{setsockopt, sockopt::IpFreebind};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::Semaphore,
    task::spawn_blocking,
    time::timeout,
};

use super::{collect::collect, encode::openmetrics, text_format::from_openmetrics};
use crate::daemon::Agent;

/// Connections at one time; further ones wait in the kernel's queue.
const CONNECTIONS: usize = 32;

/// Connections in the kernel's queue.
const BACKLOG: u32 = 128;

/// How long the header of a request may take.
const HEADER_PATIENCE: Duration = Duration::from_secs(5);

/// How long a connection may last, so that nobody keeps one for ever. Scrapers connect again.
const CONNECTION_PATIENCE: Duration = Duration::from_mins(5);

/// Largest header.
const HEADER_BYTES: usize = 16 << 10;

/// Scrapes that read the kernel at one time.
const SCRAPES: usize = 2;

const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";
const PLAIN: &str = "text/plain; charset=utf-8";

/// The monitoring endpoint cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address} for the monitoring: {source}")]
pub struct MetricsError {
    address: SocketAddr,
    source: io::Error,
}

/// The monitoring endpoint, listening.
pub struct MetricsServer {
    listener: TcpListener,
    agent: Arc<Agent>,
}

impl MetricsServer {
    /// Listens, also on an address that this host does not have yet: the agent starts before the network does, and an
    /// address may move between hosts. To be called within a tokio runtime.
    pub fn bind(address: SocketAddr, agent: Arc<Agent>) -> Result<Self, MetricsError> {
        let listener = listen(address).map_err(|source| MetricsError { address, source })?;
        Ok(Self { listener, agent })
    }

    /// Where it listens; with port 0 the kernel has chosen one.
    pub fn local_address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves clients for ever.
    pub async fn serve(self) {
        let connections = Arc::new(Semaphore::new(CONNECTIONS));
        let scrapes = Arc::new(Semaphore::new(SCRAPES));
        loop {
            let Ok(place) = connections.clone().acquire_owned().await else {
                return;
            };
            match self.listener.accept().await {
                Ok((stream, _)) => {
                    let served = connection(stream, self.agent.clone(), scrapes.clone());
                    tokio::spawn(async move {
                        // A client that stays too long is left; what it was sent is whole or visibly cut.
                        let _ = timeout(CONNECTION_PATIENCE, served).await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection of the monitoring");
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        }
    }
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // As the standard library does it: a restart finds connections of the former agent in TIME-WAIT.
    socket.set_reuseaddr(true)?;
    // For IPv6, too: such sockets hand on what is meant for IPv4 (net/ipv6/ipv6_sockglue.c).
    setsockopt(&socket, IpFreebind, &true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

async fn connection(stream: TcpStream, agent: Arc<Agent>, scrapes: Arc<Semaphore>) {
    let service = service_fn(move |request| {
        let (agent, scrapes) = (agent.clone(), scrapes.clone());
        async move { Ok::<_, Infallible>(answer(&request, agent, &scrapes).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_PATIENCE)
        .max_buf_size(HEADER_BYTES)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection of the monitoring ended early");
    }
}

async fn answer(
    request: &Request<Incoming>,
    agent: Arc<Agent>,
    scrapes: &Semaphore,
) -> Response<Full<Bytes>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = reply(StatusCode::METHOD_NOT_ALLOWED, PLAIN, "only GET and HEAD\n");
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    match request.uri().path() {
        "/metrics" => metrics(wants_openmetrics(request.headers()), agent, scrapes).await,
        "/healthz" => health(agent).await,
        "/" => reply(StatusCode::OK, PLAIN, "firewall-agent: /metrics, /healthz\n"),
        _ => reply(StatusCode::NOT_FOUND, PLAIN, "there are /metrics and /healthz\n"),
    }
}

async fn metrics(as_openmetrics: bool, agent: Arc<Agent>, scrapes: &Semaphore) -> Response<Full<Bytes>> {
    let Ok(_turn) = scrapes.acquire().await else {
        return reply(StatusCode::SERVICE_UNAVAILABLE, PLAIN, "ending\n");
    };
    let text = spawn_blocking(move || {
        let families = collect(&agent).map_err(|failure| failure.message)?;
        openmetrics(families).map_err(|_| "a metric cannot be written".to_owned())
    })
    .await;
    let mut response = match text {
        Ok(Ok(text)) if as_openmetrics => reply(StatusCode::OK, OPENMETRICS, text),
        Ok(Ok(text)) => reply(StatusCode::OK, TEXT, from_openmetrics(&text)),
        Ok(Err(error)) => {
            tracing::error!(error, "the metrics cannot be read");
            reply(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, format!("{error}\n"))
        }
        Err(error) => {
            tracing::error!(%error, "the metrics cannot be read");
            reply(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, "the agent failed\n")
        }
    };
    response
        .headers_mut()
        .insert(VARY, HeaderValue::from_static("Accept"));
    response
}

/// Healthy is an agent whose kernel side answers.
async fn health(agent: Arc<Agent>) -> Response<Full<Bytes>> {
    match spawn_blocking(move || agent.probe()).await {
        Ok(true) => reply(StatusCode::OK, PLAIN, "ok\n"),
        _ => reply(
            StatusCode::SERVICE_UNAVAILABLE,
            PLAIN,
            "the kernel side does not answer\n",
        ),
    }
}

fn reply(status: StatusCode, kind: &'static str, text: impl Into<Bytes>) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(text.into()));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Whether the client names `OpenMetrics` 1.0 and does not like plain text better (RFC 9110 12.5.1).
fn wants_openmetrics(headers: &HeaderMap) -> bool {
    let weight_of = |format| {
        headers
            .get_all(ACCEPT)
            .iter()
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(accepted)
            .filter(|(accepted, _)| *accepted == format)
            .map(|(_, weight)| weight)
            .fold(0.0, f32::max)
    };
    let openmetrics = weight_of(Format::OpenMetrics);
    openmetrics > 0.0 && openmetrics >= weight_of(Format::Text)
}

/// A format that is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Format {
    OpenMetrics,
    Text,
}

/// One element of an Accept header, if it names one of the formats, with its weight.
fn accepted(element: &str) -> Option<(Format, f32)> {
    let mut parts = element.split(';').map(str::trim);
    let kind = parts.next().unwrap_or_default();
    let (mut version, mut weight) = (None, 1.0);
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        match name.trim() {
            "q" => weight = value.trim().parse().unwrap_or(0.0),
            "version" => version = Some(value.trim()),
            _ => {}
        }
    }
    if kind.eq_ignore_ascii_case("application/openmetrics-text") && matches!(version, None | Some("1.0.0")) {
        Some((Format::OpenMetrics, weight))
    } else {
        kind.eq_ignore_ascii_case("text/plain")
            .then_some((Format::Text, weight))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accept(value: &str) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_str(value).expect("a header"));
        wants_openmetrics(&headers)
    }

    #[test]
    fn openmetrics_is_sent_where_it_is_asked_for_only() {
        assert!(!wants_openmetrics(&HeaderMap::new()));
        assert!(!accept("*/*"));
        assert!(!accept("text/plain"));
        assert!(!accept("application/openmetrics-text;version=0.0.1"));
        assert!(!accept("application/openmetrics-text;q=0"));
        assert!(!accept(
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;version=0.0.4;q=0.5"
        ));
        assert!(accept("application/openmetrics-text; version=1.0.0"));
        // What Prometheus 2.42 sends.
        assert!(accept(
            "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
             text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
        ));
    }
}
