//! One request for every method of the repository, each with the number of rows that it may read.

use super::{
    Check,
    fill::{
        DELETER, LARGE_ACCOUNT, LARGEST, LATE_READER, MEMBER_OF_1000, MEMBER_OF_ALL, Sizes,
        TOMBSTONES,
    },
};
use messaging_api::{
    database::Database,
    model::{
        ChatId, ChatName, ChatUpdate, ClientMessageId, Content, Epoch, MessageId, NewChat,
        NewMessage, Role, SearchText, Seq, SessionId, SoughtName, Timestamp, UserId, Username,
    },
    repository::{
        CommitError, DeletionCursor, IdempotencyKey, NewSession, PageLimit, ReadMark,
        SessionCutoff, SingleSender, Snapshot,
    },
};
use std::time::Duration;

/// The rows that a lookup of a few rows may read, with the rows of its conditions.
const FEW: i64 = 30;
/// The size of a page, and the rows that it may read: a message, its author and the condition of its chat.
const PAGE: i64 = 51;
const PAGE_ROWS: i64 = 4 * PAGE;
/// The rows that a page of changes may read: a page of messages, and as many memberships, each with its user and the
/// membership twice.
const CHANGE_ROWS: i64 = PAGE_ROWS + 4 * PAGE;
/// The most messages that the unread count of one chat reads.
const UNREAD: i64 = 1000;

const LIMIT: PageLimit = PageLimit {
    rows: PAGE,
    bytes: 1024 * 1024,
};

/// Sends all requests.
///
/// # Errors
/// A request fails. A request that reads too much is noted in `check`.
pub async fn ask_all(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    messages(database, sizes, check).await?;
    changes(database, sizes, check).await?;
    chat_lists(database, sizes, check).await?;
    chats(database, sizes, check).await?;
    members(database, check).await?;
    users(database, check).await?;
    sessions(database, check).await?;
    upkeep(database, sizes, check).await?;
    let priority = database.priority(2);
    writer(&priority, sizes, check).await?;
    single_sends(&priority, check).await?;
    deletions(&priority, check).await
}

async fn messages(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let messages = database.messages();
    let newest = MessageId(i64::MAX);
    let oldest = MessageId(sizes.before_largest() + 20);
    let middle = MessageId(sizes.messages - sizes.largest);
    let largest = ChatId(LARGEST);
    for (name, chat, before) in [
        ("page: newest of the largest chat", largest, newest),
        ("page: middle of the largest chat", largest, middle),
        ("page: oldest of the largest chat", largest, oldest),
        (
            "page: newest of a small chat",
            ChatId(sizes.chats / 2),
            newest,
        ),
        ("page: among tombstones", ChatId(TOMBSTONES), newest),
        ("page: oldest of all", ChatId(TOMBSTONES), MessageId(10)),
    ] {
        check
            .often(name, PAGE_ROWS, || messages.page(chat, before, LIMIT))
            .await?;
    }
    for (name, since) in [
        ("since: from the start", 0),
        ("since: near the head", sizes.messages - 60),
    ] {
        check
            .often(name, PAGE_ROWS, || {
                messages.since(largest, Seq(since), LIMIT)
            })
            .await?;
    }
    let id = MessageId(sizes.messages / 2);
    let user = UserId(MEMBER_OF_ALL);
    check.often("find", FEW, || messages.find(id)).await?;
    check
        .often("find_as", FEW, || messages.find_as(user, id))
        .await?;
    check
        .often("locate_as", FEW, || messages.locate_as(user, id))
        .await?;
    check.often("chat_of", FEW, || messages.chat_of(id)).await?;
    let ids: Vec<MessageId> = (1..=64)
        .map(|n| MessageId(n * (sizes.messages / 65)))
        .collect();
    check
        .often("find_all", PAGE_ROWS, || messages.find_all(&ids))
        .await?;
    let text = SearchText::parse("nowhere").ok_or("no search text")?;
    // A search without the index compares at most 20,000 messages.
    check
        .once(
            "search before the index",
            41_000,
            database.search().find(largest, &text, newest, LIMIT),
        )
        .await?;
    search_index(database, sizes, check).await
}

/// The log of a chat: its messages, its memberships and the chat itself.
async fn changes(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let changes = database.changes();
    let (largest, small) = (ChatId(LARGEST), ChatId(sizes.changed_chat()));
    for (name, chat, since) in [
        ("changes: from the start", largest, 0),
        (
            "changes: from the middle",
            largest,
            sizes.messages - sizes.largest,
        ),
        ("changes: near the head", largest, sizes.messages - 60),
        ("changes: at the head", largest, sizes.messages + 1),
        ("changes: of a small chat", small, 0),
        ("changes: of members alone", small, sizes.messages),
        (
            "changes: of the tombstones",
            ChatId(TOMBSTONES),
            sizes.messages / 2,
        ),
    ] {
        check
            .often(name, CHANGE_ROWS, || changes.since(chat, Seq(since), LIMIT))
            .await?;
    }
    // At most 1,001 rows of each kind are counted.
    check
        .often("count_since", 2 * 1001 + FEW, || {
            changes.count_since(largest, Seq(0), 1001)
        })
        .await?;
    Ok(())
}

/// The search index of some small chats, and a search in one of them.
async fn search_index(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let index = database.search_index();
    check
        .often("positions of 1,000 chats", 3020, || {
            index.compare(ChatId(10))
        })
        .await?;
    let first = sizes.chats / 2;
    let mut chats: Vec<ChatId> = (first..first + 20).map(ChatId).collect();
    let some = chats[0];
    while !chats.is_empty() {
        // A step reads at most 500 messages, and writes some 40 tokens of each.
        let step = index.step(&chats, false);
        let step = check.once("index 500 messages", 40_000, step).await?;
        chats = [step.behind, step.left].concat();
    }
    check
        .often("positions without a chat", 100, || {
            index.orphans(ChatId(10))
        })
        .await?;
    check
        .once(
            "purge a chat that exists",
            FEW,
            database.search_purge().step(some),
        )
        .await?;
    let text = SearchText::parse("nowhere").ok_or("no search text")?;
    let newest = MessageId(i64::MAX);
    check
        .often("search in the index", FEW, || {
            database.search().find(some, &text, newest, LIMIT)
        })
        .await?;
    Ok(())
}

async fn chat_lists(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let members = database.members();
    for (user, chats, name) in [
        (UserId(MEMBER_OF_1000), 1000, "a user's chats, of 1,000"),
        (UserId(MEMBER_OF_ALL), sizes.chats, "a user's chats, of all"),
    ] {
        // Each membership is read with its chat, and the unread messages of the chats on the page.
        let most = 2 * chats + 30 * (UNREAD + FEW);
        let page = check
            .often(name, most, || members.chats_of(user, None, 21))
            .await?;
        let after = page.get(19).map(|row| row.position());
        let name = format!("{name}: second page");
        check
            .often(&name, most, || members.chats_of(user, after, 21))
            .await?;
        let chat = ChatId(LARGEST);
        check
            .often("position_of", FEW, || members.position_of(user, chat))
            .await?;
    }
    let late = UserId(LATE_READER);
    check
        .often("unread messages behind tombstones", UNREAD + FEW, || {
            members.chats_of(late, None, 21)
        })
        .await?;
    let marks = [ReadMark {
        user: late,
        chat: ChatId(TOMBSTONES),
        message: MessageId(1),
    }];
    let positions = database.read_positions();
    check
        .often("read positions", FEW, || positions.read(&marks))
        .await?;
    check
        .once("advance a read position", FEW, positions.advance(&marks))
        .await?;
    let marks = [ReadMark {
        user: UserId(DELETER),
        ..marks[0]
    }];
    check
        .often("the deleter's read position", FEW, || {
            positions.read(&marks)
        })
        .await?;
    Ok(())
}

async fn chats(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let chats = database.chats();
    let (middle, user) = (ChatId(sizes.chats / 2), UserId(MEMBER_OF_ALL));
    check
        .often("chats", PAGE_ROWS, || chats.list(middle, PAGE))
        .await?;
    check
        .often("own chats", PAGE_ROWS, || chats.list_of(user, middle, PAGE))
        .await?;
    check.often("a chat", FEW, || chats.find(middle)).await?;
    check.often("a head", FEW, || chats.head(middle)).await?;
    let name = ChatName::parse("growing".to_owned()).map_err(|e| e.to_string())?;
    let new = NewChat {
        name: name.clone(),
        topic: None,
        data: None,
    };
    check
        .once(
            "create a chat",
            FEW,
            chats.create(&new, Some(user), Some(1000)),
        )
        .await?;
    let mut locked = check
        .once("lock a chat", FEW, chats.lock(ChatId(LARGEST)))
        .await?;
    check.once("role", FEW, locked.role(user)).await?;
    // The members of one chat are read.
    check
        .once("another admin", 1020, locked.has_other_admin(user))
        .await?;
    let added = UserId(sizes.users());
    let adding = locked.set_member(added, None, Some(user));
    check.once("add a member", FEW, adding).await?;
    check
        .once(
            "limit of memberships",
            1020,
            locked.hold_to(Some(1000), UserId(MEMBER_OF_1000)),
        )
        .await
        .ok();
    let appointing = locked.set_member(added, Some(Role::Admin), None);
    check.once("set a role", FEW, appointing).await?;
    let update = ChatUpdate {
        name: Some(name),
        ..ChatUpdate::default()
    };
    check
        .once("change a chat", FEW, locked.update(&update, Some(user)))
        .await?;
    check
        .once("remove a member", FEW, locked.remove(added, Some(added)))
        .await?;
    check
        .once("appoint an admin", 2020, locked.appoint_eldest())
        .await?;
    check
        .once("a chat without members", FEW, locked.is_empty())
        .await?;
    check
        .once("note an empty chat", FEW, locked.note_empty(None))
        .await?;
    check.once("commit", FEW, locked.commit()).await
}

async fn members(database: &Database, check: &mut Check) -> Result<(), String> {
    let members = database.members();
    let (largest, user) = (ChatId(LARGEST), UserId(MEMBER_OF_ALL));
    check
        .often("members", PAGE_ROWS, || {
            members.list(largest, UserId(500), PAGE)
        })
        .await?;
    check
        .often("a membership", FEW, || members.find(user, largest))
        .await?;
    let pairs: Vec<_> = (1..=100).map(|n| (user, ChatId(n))).collect();
    check
        .often("membership statuses", 500, || members.memberships(&pairs))
        .await?;
    check
        .often("no members", 500, || members.non_members(&pairs))
        .await?;
    check
        .once("join as a member", 500, members.join(&pairs))
        .await?;
    // Each reads its user, its chat, the chat's latest message and its own state, and stores three rows.
    let pairs: Vec<_> = (1..=100)
        .map(|n| (UserId(LATE_READER), ChatId(n + 500)))
        .collect();
    check
        .once("join 100 chats", 1500, members.join(&pairs))
        .await?;
    let pairs: Vec<_> = (1..=100).map(|n| (UserId(2000 + n), largest)).collect();
    check
        .once("100 users join", 1500, members.join(&pairs))
        .await?;
    Ok(())
}

async fn users(database: &Database, check: &mut Check) -> Result<(), String> {
    let users = database.users();
    let ids: Vec<UserId> = (1001..=1100).map(UserId).collect();
    check
        .often("users", PAGE_ROWS, || users.list(UserId(1000), PAGE))
        .await?;
    check
        .often("missing users", 250, || users.missing(&ids))
        .await?;
    check
        .often("users by id", 250, || users.find_all(&ids))
        .await?;
    let sought = SoughtName::new("user2000");
    check
        .often("a user by name", FEW, || users.find_by_name(&sought))
        .await?;
    let name = |text: &str| Username::parse(text.to_owned()).map_err(|e| e.to_string());
    let (name, other) = (name("growing")?, name("grown")?);
    let created = check
        .once("create a user", FEW, users.create(&name, "!"))
        .await?;
    let id = created.customer_id;
    check
        .once(
            "update a user",
            FEW,
            users.update(id, Some(&other), Some("!"), None),
        )
        .await?;
    check
        .often("credentials", FEW, || users.credentials(&sought))
        .await?;
    Ok(())
}

async fn sessions(database: &Database, check: &mut Check) -> Result<(), String> {
    let sessions = database.sessions();
    let now = check.once("now", FEW, sessions.now()).await?;
    let user = UserId(2000);
    let new = NewSession {
        user,
        proved: "!".to_owned(),
        rehashed: None,
        alone: false,
        token_hash: [7; 32],
        created_at: now,
        expires_at: now,
        user_agent: None,
    };
    let begun = check
        .once("begin a session", FEW, sessions.begin(&new, |_| 0))
        .await?;
    let session = begun.ok_or("no session")?.session.session_id;
    let cutoff = SessionCutoff {
        now: now.before(Duration::from_secs(1)),
        idle_since: now.before(Duration::from_secs(1)),
    };
    check
        .often("a session by token", FEW, || sessions.find([7; 32], cutoff))
        .await?;
    check
        .often("sessions", FEW, || sessions.list(user, cutoff))
        .await?;
    let ids: Vec<SessionId> = (1..=100).map(SessionId).collect();
    check
        .often("missing sessions", 250, || sessions.missing(&ids))
        .await?;
    check
        .once("touch sessions", 250, sessions.touch(&ids, now))
        .await?;
    check
        .once(
            "end the other sessions",
            FEW,
            sessions.end_others(user, session),
        )
        .await?;
    check
        .once("end a session", FEW, sessions.end(user, session))
        .await?;
    let long_ago = SessionCutoff {
        now: now.before(Duration::from_secs(1 << 32)),
        idle_since: now.before(Duration::from_secs(1 << 32)),
    };
    check
        .once("expire sessions", FEW, sessions.sweep(long_ago))
        .await?;
    Ok(())
}

async fn upkeep(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let epoch = database.epoch();
    check.often("epoch", FEW, || epoch.read()).await?;
    let state = check.once("advance the mark", FEW, epoch.advance()).await?;
    check
        .once(
            "renew the epoch",
            FEW,
            epoch.renew(&Epoch::random(), state.mark),
        )
        .await?;
    let purge = database.chat_purge();
    check
        .often("tenures of 1,000 chats", 3020, || purge.tenures(ChatId(10)))
        .await?;
    check
        .once("forget empty chats", FEW, purge.forget_empty())
        .await?;
    check.once("purge nothing", FEW, purge.step()).await?;
    let last_messages = database.last_messages();
    check
        .often("last messages of 1,000 chats", 1020, || {
            last_messages.step(ChatId(10))
        })
        .await?;
    check
        .once("skeletons", FEW, database.skeletons().step(UserId(0)))
        .await?;
    let legacy = database.legacy_passwords();
    check
        .often("plain passwords", FEW, || legacy.count())
        .await?;
    let plain = check
        .often("plain passwords to hash", FEW, || {
            legacy.plain_passwords(UserId(0), 100)
        })
        .await?;
    if let Some(plain) = plain.first() {
        check
            .once("hash a password", FEW, legacy.replace(plain, "!"))
            .await?;
    }
    check
        .once("sample data", FEW, database.demo_data().fill())
        .await?;
    // Totals count at most 100,000 rows of each table.
    check
        .once("totals", 450_000, database.totals().read())
        .await?;
    let log = database.message_log();
    let heads: Vec<ChatId> = (1..=sizes.chats.min(10_000)).map(ChatId).collect();
    check
        .often("heads of 10,000 chats", 5 * 10_000, || log.heads(&heads))
        .await?;
    check
        .often("a head of the log", FEW, || log.heads(&heads[..1]))
        .await?;
    export(database, check).await
}

/// The first pages of an export of each kind.
async fn export(database: &Database, check: &mut Check) -> Result<(), String> {
    let tx = database.begin().await.map_err(|e| e.to_string())?;
    let mut snapshot = Snapshot::new(tx);
    check.once("last ids", FEW, snapshot.last_ids()).await?;
    let (mut kind, mut pages) = (None, 0);
    loop {
        let page = snapshot.next();
        // A page has 500 rows, each with its chat.
        let page = match pages {
            0..3 => check.once("a page of an export", 1100, page).await?,
            _ => page.await.map_err(|e| e.to_string())?,
        };
        let Some(first) = page.first() else {
            return Ok(());
        };
        if kind != Some(first.kind()) {
            kind = Some(first.kind());
            pages = 0;
            println!("  of {kind:?}");
        }
        pages += 1;
    }
}

/// A message to a chat.
fn new(author: i64, chat: i64, key: Option<&str>) -> Result<NewMessage, String> {
    let key = key.map(|key| ClientMessageId::parse(key.to_owned()));
    Ok(NewMessage {
        author: UserId(author),
        chat: ChatId(chat),
        content: Content::parse("a new message".to_owned()).map_err(|e| e.to_string())?,
        client_message_id: key.transpose().map_err(|e| e.to_string())?,
        reply_to: None,
    })
}

/// The statements of a batch, and of "my latest message".
async fn writer(database: &Database, sizes: Sizes, check: &mut Check) -> Result<(), String> {
    let log = database.message_log();
    let chats: Vec<ChatId> = (1..=100).map(ChatId).collect();
    let begun = log.begin_with_short_lock_timeout();
    drop(check.once("begin with a short wait", FEW, begun).await?);
    check
        .once("unlocked chats", 250, log.unlocked(&chats))
        .await?;
    for _ in 0..3 {
        let mut tx = check.once("begin a batch", FEW, log.begin()).await?;
        let mut heads = check
            .once("lock 100 chats", 250, tx.lock_chats(&chats))
            .await?;
        let authors: Vec<(UserId, ChatId)> = chats
            .iter()
            .map(|chat| (UserId(MEMBER_OF_ALL), *chat))
            .collect();
        check.once("authors", 250, tx.authors(&authors)).await?;
        let named = [(ChatId(LARGEST), MessageId(sizes.messages))];
        let messages = check
            .once("messages of a batch", FEW, tx.messages(&named))
            .await?;
        let mut sent = Vec::new();
        let mut keys = Vec::new();
        for chat in &chats {
            let seq = heads.next(*chat).ok_or("a chat does not exist")?;
            let key = format!("{chat}-{seq}");
            let message = new(MEMBER_OF_ALL, chat.0, Some(&key))?;
            keys.extend(IdempotencyKey::of(&message));
            sent.push((seq, message));
        }
        check.once("duplicates", 250, tx.duplicates(&keys)).await?;
        let latest = tx.latest(UserId(DELETER), ChatId(TOMBSTONES));
        let latest = check
            .once("my latest message, after the tombstones", FEW, latest)
            .await?;
        if latest != Some(MessageId(1)) {
            return Err(format!("the latest message of the deleter is {latest:?}"));
        }
        let latest = tx.latest(UserId(LARGE_ACCOUNT), ChatId(LARGEST));
        check
            .once("my latest message, of an eighth", FEW, latest)
            .await?;
        let latest = tx.latest(UserId(LARGE_ACCOUNT), ChatId(TOMBSTONES));
        check
            .once("my latest message, of none", FEW, latest)
            .await?;
        let now = Timestamp::now();
        check
            .once("append 100 messages", 1000, tx.append(&sent, &heads, now))
            .await?;
        check
            .once("update a message", FEW, tx.update(&messages))
            .await?;
        check.once("advance heads", 500, tx.advance(&heads)).await?;
        check.once("commit a batch", FEW, tx.commit()).await?;
    }
    Ok(())
}

async fn single_sends(database: &Database, check: &mut Check) -> Result<(), String> {
    let mut single = SingleSender::new(database);
    for n in 0..3 {
        for (key, members_only) in [(None, false), (Some(format!("single-{n}")), true)] {
            let message = new(MEMBER_OF_ALL, LARGEST, key.as_deref())?;
            let sending = async {
                let sent = single.send(&message, members_only, Timestamp::now()).await;
                sent.map_err(|(CommitError::NotCommitted(e) | CommitError::InDoubt(e))| e)
            };
            check.once("a single message", FEW, sending).await?;
        }
    }
    Ok(())
}

/// The first steps of the deletion of a large account, and the purge of a chat.
async fn deletions(database: &Database, check: &mut Check) -> Result<(), String> {
    let log = database.message_log();
    let large = database.large_deletions();
    let user = UserId(LARGE_ACCOUNT);
    check
        .once("a large account", 60_030, large.is_large(user))
        .await?;
    check
        .once("store a deletion", 60, large.store(user, true))
        .await?;
    let now = Timestamp::now();
    check
        .once("claim a deletion", FEW, large.claim(now, now))
        .await?;
    check
        .once("touch a deletion", FEW, large.touch_deletion(user, now))
        .await?;
    for (user, steps) in [(LARGE_ACCOUNT, 5), (MEMBER_OF_1000, 10)] {
        let mut after = DeletionCursor::start(100);
        for _ in 0..steps {
            let step = log.delete_user(UserId(user), Timestamp::now(), true, after);
            // A step takes at most 100 messages and 200 chats, and reads and writes them by several statements. The end
            // of each membership takes a number.
            let step = check.once("a step of a deletion", 5000, step).await?;
            match step.and_then(|step| step.next) {
                Some(next) => after = next,
                None => break,
            }
        }
    }
    let mut locked = database
        .chats()
        .lock(ChatId(LARGEST))
        .await
        .map_err(|e| e.to_string())?;
    check.once("delete a chat", FEW, locked.delete()).await?;
    check
        .once("commit the deletion", FEW, locked.commit())
        .await?;
    for _ in 0..3 {
        check
            .once("purge 500 messages", 2100, database.chat_purge().step())
            .await?;
    }
    Ok(())
}
