use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use super::exposition::Exposition;
use super::http::Requests;

type Collector = Box<dyn Fn(&mut Exposition) + Send + Sync>;

/// All figures of a process. Clones share them.
///
/// Requests are measured here; whatever else has figures, such as an engine or a
/// cache, is added by the host.
#[derive(Clone, Default)]
pub struct Metrics {
    inner: Arc<Inner>,
}

#[derive(Default)]
struct Inner {
    http: Requests,
    collectors: Mutex<Vec<Collector>>,
}

impl Metrics {
    /// Has somebody write figures each time they are asked for; must not block.
    pub fn add(&self, collect: impl Fn(&mut Exposition) + Send + Sync + 'static) {
        self.collectors().push(Box::new(collect));
    }

    pub(crate) fn http(&self) -> &Requests {
        &self.inner.http
    }

    /// Writes all figures as they are now.
    pub(crate) fn write(&self) -> String {
        let mut out = Exposition::default();
        self.inner.http.write(&mut out);
        for collect in self.collectors().iter() {
            collect(&mut out);
        }
        out.into_text()
    }

    fn collectors(&self) -> std::sync::MutexGuard<'_, Vec<Collector>> {
        let locked = self.inner.collectors.lock();
        locked.unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Metrics")
    }
}
