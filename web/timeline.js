// The messages of one chat that the page has loaded: the newest ones without a gap, followed by the
// user's own messages that the server has not confirmed yet. Between them stand the notices about changes
// of the members and of the chat; see notices.js.

export class Timeline {
  /** Loaded messages, oldest first. */
  messages = [];
  /** The user's unconfirmed messages, as the client library has them. */
  pending;
  /** Whether the newest page has been loaded, so that the chat can be shown. */
  loaded = false;
  /** Whether the page was loaded while connected. Then changes from the socket are applied to it. */
  settled = false;
  /** Whether the oldest message of the chat is loaded. */
  complete = false;
  /** The notices by the id of the message before them, each list by `seq`; 0 stands for the first loaded message. */
  notices = new Map();
  #byId = new Map();
  #early = [];

  /** Starts with the user's messages that are not sent yet. */
  constructor(pending) {
    this.pending = pending;
  }

  /**
   * Replaces the messages by the newest page. `settled` means that the page was read while connected:
   * then the changes that arrived during the request are applied to it.
   */
  load(page, complete, settled) {
    this.loaded = true;
    this.settled = settled;
    this.complete = complete;
    this.messages = [];
    this.#byId.clear();
    for (const message of page) this.#insert(message);
    this.#placeAll([...this.notices.values()].flat());
    if (settled) for (const change of this.#early.splice(0)) change();
  }

  /** Adds a page of older messages. */
  prepend(page, complete) {
    this.complete = complete;
    const fresh = page.filter((message) => !this.#byId.has(message.messageId));
    for (const message of fresh) this.#byId.set(message.messageId, message);
    this.messages.unshift(...fresh);
    this.#placeAll(this.notices.get(0) ?? []);
  }

  /** Adds a notice. One with the `seq` of a known one is left out. */
  notice(notice) {
    if (!this.settled) this.#early.push(() => this.notice(notice));
    else if (![...this.notices.values()].some((all) => all.some((one) => one.seq === notice.seq))) this.#place(notice);
  }

  /** The name of an author of a loaded message; undefined if there is none. */
  nameOf(customerId) {
    return this.messages.findLast((one) => one.customerId === customerId)?.username;
  }

  /** Adds a new or edited message. Of two states of one message, the later one is kept. */
  put(message) {
    this.confirm(message.clientMessageId);
    if (!this.settled) {
      this.#early.push(() => this.put(message));
      return;
    }
    const oldest = this.messages[0]?.messageId ?? 0;
    // The message is older than the loaded ones. It will come in its present state with a page of older messages.
    if (!this.complete && message.messageId < oldest) return;
    this.#insert(message);
  }

  /** Replaces a message by its tombstone. */
  bury(messageId, seq) {
    if (!this.settled) {
      this.#early.push(() => this.bury(messageId, seq));
      return;
    }
    const known = this.#byId.get(messageId);
    if (known && known.seq < seq) this.#insert({ ...known, seq, content: null, deletedAt: new Date().toISOString() });
  }

  /** Removes the pending message with this id, because the server has stored it. */
  confirm(clientMessageId) {
    if (!clientMessageId) return;
    const place = this.pending.findIndex((one) => one.clientMessageId === clientMessageId);
    if (place >= 0) this.pending.splice(place, 1);
  }

  /** The message with this id; undefined if it is not loaded. */
  get(messageId) {
    return this.#byId.get(messageId);
  }

  /** The last message of an author that can still be edited. */
  lastOf(customerId) {
    return this.messages.findLast((one) => one.customerId === customerId && one.deletedAt === null);
  }

  /** The number of loaded messages after `messageId` that are by other users and not deleted. */
  unread(messageId, me) {
    return this.messages.slice(this.indexOf(messageId + 1)).filter((one) => one.customerId !== me && one.deletedAt === null).length;
  }

  /** The index of a message, or the index at which it would be inserted. */
  indexOf(messageId) {
    let [low, high] = [0, this.messages.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.messages[middle].messageId < messageId) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Gives the messages of an author another name. */
  rename(customerId, username) {
    this.messages = this.messages.map((one) => (one.customerId === customerId ? { ...one, username } : one));
    for (const message of this.messages) this.#byId.set(message.messageId, message);
  }

  #placeAll(notices) {
    for (const [after, all] of this.notices) this.notices.set(after, all.filter((one) => !notices.includes(one)));
    for (const notice of notices) this.#place(notice);
  }

  /**
   * Puts a notice after the last message with an earlier change. A message that was edited after the notice
   * has a later `seq` only; there is no other message before the notice to tell by.
   */
  #place(notice) {
    const after = this.messages.findLast((one) => one.seq < notice.seq)?.messageId ?? 0;
    const all = [...(this.notices.get(after) ?? []), notice].sort((a, b) => a.seq - b.seq);
    this.notices.set(after, all);
  }

  #insert(message) {
    const known = this.#byId.get(message.messageId);
    if (known && known.seq >= message.seq) return;
    this.#byId.set(message.messageId, message);
    const place = this.indexOf(message.messageId);
    this.messages.splice(place, known ? 1 : 0, message);
  }
}
