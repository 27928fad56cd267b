//! Settings that are right alone and wrong together.

use super::Config;
use crate::store::Target;

/// Shortest token for the metrics: shorter ones are guessed.
const SHORTEST_TOKEN: usize = 16;

impl Config {
    /// Refuses what each setting allows and all together do not.
    ///
    /// # Errors
    /// A sentence that says what would be right.
    pub fn check(&self) -> Result<(), String> {
        let renamed = |error| self.secret_files.renamed(error);
        self.check_together().map_err(renamed)
    }

    fn check_together(&self) -> Result<(), String> {
        if self.nats_url.is_some() && matches!(self.target()?, Target::Sqlite(_)) {
            return Err(
                "NATS_URL links several servers, which must share one Postgres: name it in \
                 DATABASE_URL, or leave NATS_URL out to run one server on the embedded database"
                    .to_owned(),
            );
        }
        if self.nats_url.is_none() && (self.nats_credentials.is_some() || self.nats_ca.is_some()) {
            return Err(
                "NATS_CREDENTIALS and NATS_CA say how to reach NATS: name it in NATS_URL, or leave \
                 them out"
                    .to_owned(),
            );
        }
        let token = self.metrics_token.as_deref();
        if token.is_some_and(|token| token.len() < SHORTEST_TOKEN || token.contains(' ')) {
            return Err(format!(
                "METRICS_TOKEN must be at least {SHORTEST_TOKEN} characters without a space; \
                 leave it out to show the metrics to nobody in required mode"
            ));
        }
        Ok(())
    }
}
