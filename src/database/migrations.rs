//! The migrations of both databases. The binary holds their texts.

use sqlx::{
    SqlStr,
    migrate::{Migration, MigrationType, Migrator},
};
use std::sync::LazyLock;

/// The text of a file in `migrations`.
macro_rules! file {
    ($path:literal) => {
        ($path, include_str!(concat!("../../migrations/", $path)))
    };
}

/// The migrations of Postgres.
pub(super) static POSTGRES: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(&[
        file!("postgres/0001_original.sql"),
        file!("postgres/0002_log.sql"),
        file!("postgres/0003_session.sql"),
        file!("postgres/0004_shards.sql"),
        file!("postgres/0005_deleted_chat.sql"),
        file!("postgres/0006_epoch.sql"),
        file!("postgres/0007_name_skeleton.sql"),
        file!("postgres/0008_invariants.sql"),
        file!("postgres/0009_joined.sql"),
        file!("postgres/0012_write_probe.sql"),
        file!("postgres/0013_last_message.sql"),
        file!("postgres/0014_live_messages.sql"),
        file!("postgres/0015_user_deletion.sql"),
        file!("postgres/0016_message_search.sql"),
        file!("postgres/0017_chat_admin.sql"),
        file!("postgres/0018_message_keys.sql"),
        file!("postgres/0019_chat_changes.sql"),
    ])
});

/// The migrations of SQLite.
pub(super) static SQLITE: LazyLock<Migrator> = LazyLock::new(|| {
    migrator(&[
        file!("sqlite/0001_log.sql"),
        file!("sqlite/0002_session.sql"),
        file!("sqlite/0003_deleted_chat.sql"),
        file!("sqlite/0004_epoch.sql"),
        file!("sqlite/0005_name_skeleton.sql"),
        file!("sqlite/0006_empty_chat.sql"),
        file!("sqlite/0007_joined.sql"),
        file!("sqlite/0012_write_probe.sql"),
        file!("sqlite/0013_last_message.sql"),
        file!("sqlite/0014_live_messages.sql"),
        file!("sqlite/0015_user_deletion.sql"),
        file!("sqlite/0016_message_search.sql"),
        file!("sqlite/0017_chat_admin.sql"),
        file!("sqlite/0019_chat_changes.sql"),
    ])
});

/// Builds the migrator of the files. A file is named `folder/VERSION_description.sql`.
fn migrator(files: &[(&str, &'static str)]) -> Migrator {
    let migrations = files.iter().filter_map(|(path, sql)| {
        let (version, description) = version_and_description(path)?;
        Some(Migration::new(
            version,
            description.into(),
            MigrationType::Simple,
            SqlStr::from_static(sql),
            false,
        ))
    });
    Migrator::with_migrations(migrations.collect())
}

/// Splits the name of a migration's file; `None` if the name has another form.
fn version_and_description(path: &str) -> Option<(i64, String)> {
    let (_, file) = path.split_once('/')?;
    let (version, description) = file.strip_suffix(".sql")?.split_once('_')?;
    Some((version.parse().ok()?, description.replace('_', " ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{error::Error, fs, path::Path};

    #[test]
    fn every_file_of_the_folders_is_a_migration() -> Result<(), Box<dyn Error>> {
        for (folder, migrator) in [("postgres", &POSTGRES), ("sqlite", &SQLITE)] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations");
            let mut stored = Vec::new();
            for file in fs::read_dir(root.join(folder))? {
                let file = file?;
                let name = format!("{folder}/{}", file.file_name().display());
                let sql = fs::read_to_string(file.path())?;
                stored.push((version_and_description(&name).ok_or(name)?, sql));
            }
            stored.sort();
            let embedded: Vec<_> = migrator
                .iter()
                .map(|one| {
                    let name = (one.version, one.description.to_string());
                    (name, one.sql.as_str().to_owned())
                })
                .collect();
            assert_eq!(embedded, stored);
        }
        Ok(())
    }
}
