//! Senders that send without a pause. Each repeats a message with its idempotency key until it is
//! acknowledged.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
};
use testkit::{Client, history, number};
use tokio::{sync::watch, task::JoinHandle};

/// The acknowledged messages: `seq` by idempotency key.
type Acked = Arc<Mutex<BTreeMap<String, i64>>>;

/// Running senders.
pub struct Load {
    acked: Acked,
    /// The number of acknowledgements that each sender has received.
    counts: Vec<watch::Receiver<usize>>,
    stop: Arc<AtomicBool>,
    tasks: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts a sender for each of these clients.
    pub fn start(clients: &[Client], user: i64, chat: i64) -> Self {
        let (acked, stop) = (Acked::default(), Arc::new(AtomicBool::new(false)));
        let (mut counts, mut tasks) = (Vec::new(), Vec::new());
        for (n, client) in clients.iter().enumerate() {
            let (count, counting) = watch::channel(0);
            counts.push(counting);
            let sender = Sender {
                client: client.clone(),
                name: format!("{}-{n}", uuid::Uuid::new_v4().simple()),
                place: (user, chat),
            };
            tasks.push(tokio::spawn(sender.run(acked.clone(), count, stop.clone())));
        }
        Self {
            acked,
            counts,
            stop,
            tasks,
        }
    }

    /// Waits until each sender has received `more` further acknowledgements.
    pub async fn goes_on(&mut self, more: usize) {
        for count in &mut self.counts {
            let target = *count.borrow() + more;
            let waiting = count.wait_for(|count| *count >= target);
            testkit::patiently("acknowledgements", waiting)
                .await
                .expect("a sender at work");
        }
    }

    /// Ends the senders, and compares their acknowledgements with the stored messages.
    pub async fn stop(self, client: &Client, chat: i64) {
        self.stop.store(true, Ordering::Relaxed);
        for task in self.tasks {
            testkit::patiently("a sender to end", task)
                .await
                .expect("its end");
        }
        let acked = self.acked.lock().expect("the acknowledgements").clone();
        let stored = history(client, chat).await;
        let seqs: Vec<i64> = stored
            .iter()
            .map(|message| number(message, "seq"))
            .collect();
        let all: Vec<i64> = (1..=seqs.len() as i64).collect();
        assert_eq!(seqs, all, "numbers without a gap");
        let mut by_name: BTreeMap<&str, i64> = BTreeMap::new();
        for message in &stored {
            let name = message["clientMessageId"].as_str().expect("a name");
            let earlier = by_name.insert(name, number(message, "seq"));
            assert_eq!(earlier, None, "{name} is stored twice");
        }
        for (name, seq) in &acked {
            assert_eq!(
                by_name.get(name.as_str()),
                Some(seq),
                "{name} was acknowledged"
            );
        }
    }
}

struct Sender {
    client: Client,
    name: String,
    place: (i64, i64),
}

impl Sender {
    async fn run(self, acked: Acked, count: watch::Sender<usize>, stop: Arc<AtomicBool>) {
        let (user, chat) = self.place;
        let path = format!("/chat/{chat}/message");
        for n in 0.. {
            let name = format!("{}-{n}", self.name);
            let body = json!({ "customerId": user, "content": name, "clientMessageId": name });
            loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                match self.client.try_post(&path, &body).await {
                    Some((200 | 201, message)) => {
                        let seq = number(&message, "seq");
                        acked.lock().expect("no panic").insert(name, seq);
                        count.send_modify(|count| *count += 1);
                        break;
                    }
                    Some((status, error)) => assert_passing(status, &error),
                    None => panic!("no answer"),
                }
            }
        }
    }
}

/// Checks that a failure of the database is answered with 503 `unavailable`, which a caller may retry.
fn assert_passing(status: u16, error: &Value) {
    let told = (status, error["code"].as_str());
    assert_eq!(told, (503, Some("unavailable")), "{error}");
}
