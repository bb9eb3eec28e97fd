//! The stores pass the suite.

use std::sync::Arc;

use auterity_core::store::{MemoryStore, Store};
use auterity_core::testing::store_suite::CASES;

#[tokio::test]
async fn memory_passes_the_suite() {
    for (name, case) in CASES {
        println!("memory: {name}");
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        case(store).await;
    }
}
