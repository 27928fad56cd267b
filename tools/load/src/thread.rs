//! A load on a thread of its own.

use tokio::{
    runtime::Builder,
    task::{JoinHandle, LocalSet, spawn_blocking},
};

/// Runs a load on a thread of its own, so that its work does not delay the clients that are measured.
pub fn apart<T, F>(load: impl FnOnce() -> F + Send + 'static) -> JoinHandle<Result<T, String>>
where
    T: Send + 'static,
    F: Future<Output = Result<T, String>>,
{
    spawn_blocking(move || {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|e| format!("a load cannot start: {e}"))?;
        LocalSet::new().block_on(&runtime, load())
    })
}

/// Waits for the result of a load.
pub async fn result<T>(load: JoinHandle<Result<T, String>>) -> Result<T, String> {
    load.await.map_err(|e| format!("a load ended: {e}"))?
}
