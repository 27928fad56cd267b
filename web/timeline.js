// The messages of one chat as this page knows them: those from some point on without a hole, and
// after them what one has written that the server has not confirmed yet.

export class Timeline {
  /** Known messages, oldest first. */
  messages = [];
  /** What waits for its confirmation, as the client library has it. */
  pending;
  /** Whether the newest page has been loaded: it can be shown. */
  loaded = false;
  /** Whether it was loaded while connected: from here on changes are added to it. */
  settled = false;
  /** Whether there is nothing older. */
  complete = false;
  #byId = new Map();
  #early = [];

  /** Begins with what was written before and is not sent yet. */
  constructor(pending) {
    this.pending = pending;
  }

  /**
   * Takes the newest page in place of what there was. Where it was read while connected, it is
   * settled: whatever has come while it was on its way is added.
   */
  load(page, complete, settled) {
    this.loaded = true;
    this.settled = settled;
    this.complete = complete;
    this.messages = [];
    this.#byId.clear();
    for (const message of page) this.#insert(message);
    if (settled) for (const change of this.#early.splice(0)) change();
  }

  /** Takes a page of older messages. */
  prepend(page, complete) {
    this.complete = complete;
    const fresh = page.filter((message) => !this.#byId.has(message.messageId));
    for (const message of fresh) this.#byId.set(message.messageId, message);
    this.messages.unshift(...fresh);
  }

  /** Takes a message that was sent or edited just now. Of two states of one message the later one stays. */
  put(message) {
    this.confirm(message.clientMessageId);
    if (!this.settled) {
      this.#early.push(() => this.put(message));
      return;
    }
    const oldest = this.messages[0]?.messageId ?? 0;
    // Older than what is loaded: it will come with its page, in its present state.
    if (!this.complete && message.messageId < oldest) return;
    this.#insert(message);
  }

  /** Turns a message into its tombstone. */
  bury(messageId, seq) {
    if (!this.settled) {
      this.#early.push(() => this.bury(messageId, seq));
      return;
    }
    const known = this.#byId.get(messageId);
    if (known && known.seq < seq) this.#insert({ ...known, seq, content: null, deletedAt: new Date().toISOString() });
  }

  /** What was written under this name has arrived. */
  confirm(clientMessageId) {
    if (!clientMessageId) return;
    const place = this.pending.findIndex((one) => one.clientMessageId === clientMessageId);
    if (place >= 0) this.pending.splice(place, 1);
  }

  /** The message with this id, if it is known. */
  get(messageId) {
    return this.#byId.get(messageId);
  }

  /** The last message of an author that can still be edited. */
  lastOf(customerId) {
    return this.messages.findLast((one) => one.customerId === customerId && one.deletedAt === null);
  }

  /** How many known messages after `messageId` are of others, and not deleted. */
  unread(messageId, me) {
    return this.messages.slice(this.indexOf(messageId + 1)).filter((one) => one.customerId !== me && one.deletedAt === null).length;
  }

  /** Where a message stands, or would stand. */
  indexOf(messageId) {
    let [low, high] = [0, this.messages.length];
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.messages[middle].messageId < messageId) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  #insert(message) {
    const known = this.#byId.get(message.messageId);
    if (known && known.seq >= message.seq) return;
    this.#byId.set(message.messageId, message);
    const place = this.indexOf(message.messageId);
    this.messages.splice(place, known ? 1 : 0, message);
  }
}
