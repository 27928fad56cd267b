// A client by the pseudo-code of docs/DELIVERY.md as it was when only messages had numbers: it knows neither
// `update-member` nor `update-chat`, and pages /message. It is not changed when the page is.

/** Its frames of changes. */
const CHANGES = ["send-message", "update-message", "delete-message"];

/** How long it waits before it connects again, in milliseconds. */
const WAIT = 20;

export class EarlierClient {
  seen = 0;
  epoch = null;
  /** Messages by id. */
  messages = new Map();
  /** What it did: "connect", "gap", "page", "behind". */
  did = [];
  #asked = new Map();
  #lastId = 0;
  #held = null;
  #ended = false;

  constructor(url, chat, me) {
    Object.assign(this, { url, chat, me });
    this.open();
  }

  open() {
    if (this.#ended) return;
    const socket = new WebSocket(`${this.url.replace("http", "ws")}/ws`);
    this.socket = socket;
    socket.onopen = () => this.connect();
    socket.onmessage = ({ data }) => this.receive(JSON.parse(data));
    const closed = () => {
      if (this.socket !== socket) return;
      this.socket = null;
      this.#asked.clear();
      this.#held = null;
      setTimeout(() => this.open(), WAIT);
    };
    socket.onclose = closed;
    // In Node.js 20 no close follows where the socket never opened.
    socket.onerror = () => socket.readyState === 0 && closed();
  }

  connect() {
    this.did.push("connect");
    const since = this.epoch ? { seq: this.seen, epoch: this.epoch } : this.seen;
    this.ask("connect-chat", { chatId: this.chat, customerId: this.me, since }, ({ type, content }) => {
      if (type === "error") throw new Error(content.error);
      this.epoch = content.epoch;
      if (content.truncated) {
        this.#held = [];
        this.page(content.seq);
      } else {
        this.seen = Math.max(this.seen, content.seq);
      }
    });
  }

  ask(type, content, then) {
    const id = ++this.#lastId;
    this.#asked.set(id, then);
    this.socket.send(JSON.stringify({ type, content, id }));
  }

  receive(frame) {
    const { type, content, id } = frame;
    if (type === "ack" || type === "error") {
      const then = this.#asked.get(id);
      this.#asked.delete(id);
      then?.(frame);
    } else if (type === "heartbeat") {
      if (content[this.chat] > this.seen && this.#held === null) {
        this.did.push("behind");
        this.connect();
      }
    } else if (CHANGES.includes(type)) {
      if (this.#held) this.#held.push(frame);
      else this.apply(frame);
    }
  }

  apply(frame) {
    const seq = frame.seq ?? frame.content.seq;
    if (seq <= this.seen) return;
    if (seq > this.seen + 1 && !frame.replay) {
      this.did.push("gap");
      this.connect();
      return;
    }
    if (frame.type === "delete-message") this.messages.set(frame.content, null);
    else this.messages.set(frame.content.messageId, frame.content.content);
    this.seen = seq;
  }

  async page(head) {
    this.did.push("page");
    while (this.seen < head) {
      const path = `/chat/${this.chat}/message?since=${this.seen}&epoch=${this.epoch}&limit=1000`;
      const list = await (await fetch(this.url + path)).json();
      if (list.length === 0) break;
      for (const { messageId, content } of list) this.messages.set(messageId, content);
      this.seen = list.at(-1).seq;
    }
    const held = this.#held ?? [];
    this.#held = null;
    for (const frame of held) this.apply(frame);
  }

  end() {
    this.#ended = true;
    this.socket?.close();
  }
}
