//! Serves metrics over HTTP/1.1 on a listener of its own. Knows no metric.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use http::header::{ALLOW, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::Metrics;
use crate::server::net::listen::accept;

const PATH: &str = "/metrics";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const TEXT: &str = "text/plain; charset=utf-8";
/// Those who ask are few. Further ones are closed at once.
const CONNECTIONS_MAX: usize = 16;
/// A connection is for one request. So long may it take in all, however slowly its client writes or reads.
const CONNECTION_TIME_MAX: Duration = Duration::from_secs(10);
/// What it may take of that to send its request.
const REQUEST_TIME_MAX: Duration = Duration::from_secs(5);
const REQUEST_BYTES_MAX: usize = 16 << 10;
const HEADERS_MAX: usize = 64;

/// Serves for as long as this is polled. Its connections end with it.
pub(in crate::server) async fn serve(listener: Arc<TcpListener>, metrics: Arc<Metrics>) {
    let mut tasks = JoinSet::new();
    loop {
        let (socket, address) = tokio::select! {
            accepted = accept(&listener) => accepted,
            Some(_) = tasks.join_next() => continue,
        };
        while tasks.try_join_next().is_some() {}
        if tasks.len() >= CONNECTIONS_MAX {
            tracing::debug!(%address, "a connection for metrics was refused: there are as many as there may be");
            continue;
        }
        let metrics = Arc::clone(&metrics);
        tasks.spawn(async move {
            match timeout(CONNECTION_TIME_MAX, serve_one(socket, metrics)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, %address, "a connection for metrics ended with an error")
                }
                Err(_) => tracing::debug!(%address, "a connection for metrics took too long"),
            }
        });
    }
}

async fn serve_one(socket: TcpStream, metrics: Arc<Metrics>) -> hyper::Result<()> {
    let answer = service_fn(move |request| {
        let metrics = Arc::clone(&metrics);
        async move { Ok::<_, Infallible>(answer(&request, metrics).await) }
    });
    http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(REQUEST_TIME_MAX)
        .max_buf_size(REQUEST_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), answer)
        .await
}

async fn answer(request: &Request<Incoming>, metrics: Arc<Metrics>) -> Response<String> {
    if request.uri().path() != PATH {
        return text(StatusCode::NOT_FOUND, "there is /metrics, and nothing else\n");
    }
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "metrics can only be read\n");
        refused.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return refused;
    }
    // It looks at files.
    match spawn_blocking(move || metrics.text()).await {
        Ok(Ok(metrics)) => {
            let mut response = Response::new(metrics);
            response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(OPEN_METRICS));
            response
        }
        Ok(Err(error)) => failed(&error),
        Err(error) => failed(&error),
    }
}

fn failed(error: &dyn std::error::Error) -> Response<String> {
    tracing::error!(%error, "the metrics could not be written");
    text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be written\n")
}

fn text(status: StatusCode, text: &str) -> Response<String> {
    let mut response = Response::new(text.to_owned());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    response
}
