use std::collections::BTreeMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use poem::http::{Method, StatusCode};

use super::exposition::{Exposition, Kind};

/// Upper bounds in seconds, as OpenTelemetry advises for `http.server.request.duration`.
const BOUNDS: [f64; 14] = [
    0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
];
const DURATION: &str = "http_server_request_duration_seconds";
/// What stands for the addresses of the host's own pages and for those that are none:
/// a label from outside would make as many series as a client likes.
const ROUTE_OTHER: &str = "other";
const METHOD_OTHER: &str = "_OTHER";

/// How requests went, by method, route and status.
#[derive(Debug, Default)]
pub(crate) struct Requests {
    active: AtomicI64,
    series: Mutex<BTreeMap<Key, Series>>,
}

type Key = (&'static str, String, u16);

#[derive(Debug, Clone, Copy, Default)]
struct Series {
    /// Not yet cumulative; the last holds what is over every bound.
    buckets: [u64; BOUNDS.len() + 1],
    seconds: f64,
}

/// A request under way; it counts as such until this is dropped.
#[derive(Debug)]
pub(crate) struct Active<'a> {
    requests: &'a Requests,
}

impl Requests {
    pub(crate) fn begin(&self) -> Active<'_> {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active { requests: self }
    }

    pub(super) fn write(&self, out: &mut Exposition) {
        let active = self.active.load(Ordering::Relaxed);
        let help = "Requests whose answer has not begun.";
        #[expect(
            clippy::cast_precision_loss,
            reason = "no process has 2^52 requests under way"
        )]
        out.single(
            "http_server_active_requests",
            Kind::Gauge,
            help,
            active as f64,
        );
        let series = self
            .series
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let help = "The time from a request's head to the beginning of its answer.";
        out.family(DURATION, Kind::Histogram, help);
        for ((method, route, status), series) in &series {
            let status = status.to_string();
            series.write(
                out,
                [
                    ("http_request_method", method),
                    ("http_route", route),
                    ("http_response_status_code", &status),
                ],
            );
        }
    }
}

impl Active<'_> {
    /// Notes how the request ended.
    pub(crate) fn end(
        self,
        method: &Method,
        route: Option<&str>,
        status: StatusCode,
        took: Duration,
    ) {
        let route = route.unwrap_or(ROUTE_OTHER).to_owned();
        let key = (word(method), route, status.as_u16());
        let seconds = took.as_secs_f64();
        let mut all = self
            .requests
            .series
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let series = all.entry(key).or_default();
        series.buckets[BOUNDS.partition_point(|bound| *bound < seconds)] += 1;
        series.seconds += seconds;
    }
}

impl Drop for Active<'_> {
    fn drop(&mut self) {
        self.requests.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Series {
    #[expect(
        clippy::cast_precision_loss,
        reason = "exact up to 2^52 requests, and the format has floats only"
    )]
    fn write(&self, out: &mut Exposition, labels: [(&str, &str); 3]) {
        let mut count = 0;
        let [method, route, status] = labels;
        for (place, inside) in self.buckets.iter().enumerate() {
            count += inside;
            let bound = BOUNDS
                .get(place)
                .map_or_else(|| "+Inf".to_owned(), f64::to_string);
            let labels = [method, route, status, ("le", &bound)];
            out.sample(&format!("{DURATION}_bucket"), &labels, count as f64);
        }
        out.sample(&format!("{DURATION}_sum"), &labels, self.seconds);
        out.sample(&format!("{DURATION}_count"), &labels, count as f64);
    }
}

fn word(method: &Method) -> &'static str {
    match method.as_str() {
        "GET" => "GET",
        "HEAD" => "HEAD",
        "POST" => "POST",
        "PUT" => "PUT",
        "PATCH" => "PATCH",
        "DELETE" => "DELETE",
        "OPTIONS" => "OPTIONS",
        _ => METHOD_OTHER,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(requests: &Requests) -> String {
        let mut out = Exposition::default();
        requests.write(&mut out);
        out.into_text()
    }

    #[test]
    fn requests_fall_into_cumulative_buckets() {
        let requests = Requests::default();
        for millis in [1, 5, 6, 20_000] {
            let active = requests.begin();
            let took = Duration::from_millis(millis);
            active.end(&Method::GET, Some("/livez"), StatusCode::OK, took);
        }
        let text = written(&requests);
        let labels =
            "http_request_method=\"GET\",http_route=\"/livez\",http_response_status_code=\"200\"";
        for (bound, count) in [("0.005", 2), ("0.01", 3), ("10", 3), ("+Inf", 4)] {
            let line = format!("{DURATION}_bucket{{{labels},le=\"{bound}\"}} {count}\n");
            assert!(text.contains(&line), "{line} in {text}");
        }
        assert!(
            text.contains(&format!("{DURATION}_count{{{labels}}} 4\n")),
            "{text}"
        );
        assert!(text.contains("http_server_active_requests 0\n"), "{text}");
    }

    #[test]
    fn clients_cannot_make_series() {
        let requests = Requests::default();
        for number in 0..1_000 {
            let method = Method::from_bytes(format!("M{number}").as_bytes()).unwrap();
            let active = requests.begin();
            active.end(&method, None, StatusCode::NOT_FOUND, Duration::ZERO);
        }
        assert_eq!(requests.series.lock().unwrap().len(), 1);
    }
}
