//! A run: its servers, and its eras. Each era but the last ends with a restored backup.

use crate::{
    acts::{Ending, Request},
    check,
    client::Client,
    directory::Role,
    disk::Disk,
    journal::Journal,
    nemesis::{Faults, Nemesis},
    network::Network,
    options::Options,
    phase::Phase,
    postgres::{self, Postgres},
    probe::Probe,
    record::ChatId,
    report::Report,
    rest::{Log, Reply, Rest},
    server::Server,
    volume::Volume,
};
use reqwest::{Method, StatusCode};
use serde_json::json;
use std::{
    collections::BTreeMap, fs, net::SocketAddr, os::unix::fs::PermissionsExt, path::Path,
    time::Duration,
};
use testkit::Store;
use tokio::{sync::watch, task::JoinSet};

/// Everything that is stored of each chat.
pub type Rows = BTreeMap<ChatId, Log>;

/// The state of a run that outlives an era.
pub struct Run<'a> {
    pub options: &'a Options,
    pub addresses: Vec<SocketAddr>,
    pub rest: Rest,
    pub rng: fastrand::Rng,
    pub chats: Vec<ChatId>,
    /// The number of times a backup is restored.
    pub restores: u32,
    /// The number of rounds so far.
    pub rounds: u32,
    /// The time that clients worked so far.
    pub worked: Duration,
    pub clients: Vec<Client>,
    /// Sends the last message of each chat.
    pub last_sender: Journal,
    pub nemesis: Nemesis,
    /// What was stored when the era began.
    pub baseline: Rows,
    pub report: Report,
}

/// Runs all eras and checks each.
pub async fn run(options: &Options, seed: u64) -> Result<Report, String> {
    let mut folder = tempfile::tempdir().map_err(|e| e.to_string())?;
    if options.keep {
        folder.disable_cleanup(true);
        eprintln!("checker: keeping {}", folder.path().display());
    }
    let mut run = Run::prepare(options, folder.path(), seed).await?;
    for era in 0..=run.restores {
        let rows = run.era(era).await?;
        if run.must_stop() {
            break;
        }
        if era < run.restores {
            run.restore(&rows).await?;
        }
    }
    run.report.seconds = run.worked.as_secs_f64().round() as u64;
    run.report.faults = run.nemesis.all_faults();
    run.report.add_violations(run.nemesis.violations);
    Ok(run.report)
}

impl<'a> Run<'a> {
    /// Starts the servers, and creates users and chats.
    async fn prepare(options: &'a Options, folder: &Path, seed: u64) -> Result<Self, String> {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut infrastructure = Infrastructure::prepare(options, folder).await?;
        for server in &mut infrastructure.servers {
            server.start().await?;
        }
        let addresses: Vec<SocketAddr> =
            (infrastructure.servers.iter().map(|server| server.address)).collect();
        let rest = Rest::new(&addresses)?;
        let mut chats = Vec::new();
        for n in 0..options.chats {
            let body = json!({ "chatName": format!("chat {n}") });
            chats.push(rest.make("/chat", body, "chatId").await?);
        }
        let mut clients = Vec::new();
        for index in 0..options.clients {
            clients.push(Client {
                addresses: addresses.clone(),
                rest: rest.clone(),
                chats: chats.clone(),
                rng: rng.fork(),
                phase: watch::channel(Phase::Working).1,
                journal: Journal::new(index, make_user(&rest, index).await?),
            });
        }
        let last_sender = make_user(&rest, options.clients).await?;
        let mut last_sender = Journal::new(options.clients, last_sender);
        for &chat in &chats {
            make_admin(&rest, &mut last_sender, chat).await?;
        }
        let nemesis = Nemesis {
            servers: infrastructure.servers,
            network: infrastructure.network,
            postgres: infrastructure.postgres,
            volume: infrastructure.volume,
            disk: infrastructure.disk,
            probe: Probe::new(&rest).await?,
            rng: rng.fork(),
            faults: Faults::default(),
            only: options.only.clone(),
            repairs: Vec::new(),
            clocks: options.faketime.is_some(),
            plan: None,
            backup: None,
            folder: folder.to_owned(),
            violations: Vec::new(),
        };
        let can_restore = options.store == Store::Sqlite || nemesis.postgres.is_some();
        Ok(Self {
            options,
            restores: if can_restore { options.restores() } else { 0 },
            rounds: 0,
            worked: Duration::ZERO,
            addresses,
            rest,
            rng,
            chats,
            clients,
            last_sender,
            nemesis,
            baseline: Rows::new(),
            report: Report::new(options, seed),
        })
    }

    /// Restores the backup of this era while no client is connected. The clients return with the
    /// cursors they had before.
    async fn restore(&mut self, rows: &Rows) -> Result<(), String> {
        let backup = self.nemesis.restore().await?;
        let mut restored = Rows::new();
        for &chat in &self.chats {
            restored.insert(chat, self.rest.stored(chat).await?);
        }
        let journals = self.journals();
        let found = check::restored(&journals, (&self.baseline, rows), &restored, &backup.heads);
        self.report.add_violations(found);
        self.baseline = restored;
        let mut returning = JoinSet::new();
        for mut client in self.clients.drain(..) {
            returning.spawn(async move {
                client.resume_old_epoch().await;
                client
            });
        }
        self.clients = returning.join_all().await;
        self.clients.sort_by_key(|client| client.journal.client);
        for client in &mut self.clients {
            self.report.add_violations(client.journal.begin_era());
        }
        self.report.add_violations(self.last_sender.begin_era());
        Ok(())
    }

    /// True if the report has a violation of the kind in `--stop-at`.
    pub fn must_stop(&self) -> bool {
        let found = &self.report.violations_by_kind;
        let kind = self.options.stop_at;
        kind.is_some_and(|kind| found.contains_key(&kind))
    }

    /// All journals, ordered by the number of their client.
    pub fn journals(&self) -> Vec<&Journal> {
        let journals = self.clients.iter().map(|client| &client.journal);
        let mut journals: Vec<&Journal> = journals.chain([&self.last_sender]).collect();
        journals.sort_by_key(|journal| journal.client);
        journals
    }
}

/// The infrastructure that the clients do not see.
struct Infrastructure {
    servers: Vec<Server>,
    network: Option<Network>,
    postgres: Option<Postgres>,
    volume: Option<Volume>,
    disk: Option<Disk>,
}

impl Infrastructure {
    /// Prepares the servers, which are not started, and their infrastructure, which is.
    async fn prepare(options: &Options, folder: &Path) -> Result<Self, String> {
        // Postgres runs as another user, which must be able to read the library that fails its disk.
        let open = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder, open).map_err(|e| e.to_string())?;
        let mut infrastructure = match options.store {
            Store::Sqlite if options.nodes > 1 => {
                return Err("several servers need --store postgres".to_owned());
            }
            Store::Sqlite => Self::sqlite(options, folder)?,
            Store::Postgres => Self::postgres(options, folder).await?,
        };
        if options.nodes > 1 {
            let network = Network::new(options.nodes, folder).await?;
            for (n, server) in infrastructure.servers.iter_mut().enumerate() {
                server.link(n, network.url(n), options.faketime.clone());
            }
            infrastructure.network = Some(network);
        }
        Ok(infrastructure)
    }

    fn sqlite(options: &Options, folder: &Path) -> Result<Self, String> {
        let place = folder.join("data");
        let volume = match options.calm {
            true => None,
            false => Volume::mount(&place).map_err(|e| e.to_string())?,
        };
        let url = format!("sqlite://{}/messaging.db", place.display());
        let mut server = Server::new(options.server()?, folder, &url)?;
        let disk = options.disk(folder);
        server.environment = disk.as_ref().map(Disk::environment).unwrap_or_default();
        Ok(Self {
            servers: vec![server],
            network: None,
            postgres: None,
            volume,
            disk,
        })
    }

    async fn postgres(options: &Options, folder: &Path) -> Result<Self, String> {
        let disk = options.disk(folder);
        let environment = disk.as_ref().map(Disk::environment).unwrap_or_default();
        let (postgres, url) = match options.standby {
            true => {
                let (pair, url) = Postgres::pair(environment).await?;
                (Some(pair), url)
            }
            false => {
                let url = postgres::new_database(&postgres::url()?).await?;
                (Postgres::single(&url, environment).await?, url)
            }
        };
        let server = || Server::new(options.server()?, folder, &url);
        let servers = (0..options.nodes)
            .map(|_| server())
            .collect::<Result<_, _>>()?;
        Ok(Self {
            servers,
            network: None,
            postgres,
            volume: None,
            disk,
        })
    }
}

async fn make_user(rest: &Rest, n: u32) -> Result<i64, String> {
    let body = json!({ "username": format!("user {n}"), "password": "a long password" });
    rest.make("/user", body, "customerId").await
}

/// Makes the last sender an admin of the chat, so that the server never appoints another one.
async fn make_admin(rest: &Rest, journal: &mut Journal, chat: ChatId) -> Result<(), String> {
    let user = journal.user;
    let act = journal.begin_act(chat, Request::Set(user, Some(Role::Admin)));
    let path = format!("/chat/{chat}/user/{user}");
    let body = json!({ "role": "admin" });
    match rest.call(Method::PUT, &path, Some(body)).await {
        Reply::Done(StatusCode::CREATED, _) => {
            journal.end_act(act, Ending::Changed);
            Ok(())
        }
        reply => Err(format!("{path} was answered {reply:?}")),
    }
}
