/**
 * A client for messaging-api: a chat that is complete and in order on every network.
 *
 *     import { Messaging } from "/messaging.js";
 *     const chat = new Messaging({ customerId: 1, username: "carl" });
 *     chat.on("message", (message) => console.log(message.username, message.content));
 *     await chat.connect(1);
 *     await chat.send(1, "Hi world.").stored;
 *
 * For browsers and for Node.js 20 or later, without dependencies. (Node.js 20 has its WebSocket
 * behind `--experimental-websocket`; or pass one as `WebSocket`. `request` needs none.)
 *
 * What it promises, as long as the client is not closed:
 * - Every change of a connected chat (message, update, delete, member, chat) reaches the listeners
 *   once, in the order of `seq`, across lost connections, restarts of the server and absences of any
 *   length. Of a message, a membership or a chat that changed several times while the client was
 *   away, its present state comes once.
 * - A sent message is stored once, in the order of the calls within its chat, however often the
 *   connection breaks; or its promise is rejected and its state is "failed".
 * - No promise is left unhandled, no listener is required, and `close()` leaves no timer behind.
 */

/** A stored message, as the server gives it. */
export interface Message {
  messageId: number;
  chatId: number;
  /** Its author; null once the author was deleted. */
  customerId: number | null;
  username: string | null;
  /** Null once the message was deleted. */
  content: string | null;
  /** The number of its latest change in the chat. */
  seq: number;
  sentAt: string;
  editedAt: string | null;
  deletedAt: string | null;
  replyTo: number | null;
  clientMessageId: string | null;
}

/** A chat, as the server gives it. */
export interface Chat {
  chatId: number;
  chatName: string;
  createdAt: string;
  /** Missing where the chat has none. */
  topic?: string;
  /** Data of the application's own, as they were given; missing where the chat has none. */
  data?: Record<string, unknown>;
}

/** The role of a member. */
export type Role = "admin" | "participant";

/** A member of a chat. */
export interface Member {
  customerId: number;
  username: string;
  role: Role;
  joinedAt: string;
}

/** A membership after a change of it. */
export interface MemberChange {
  chatId: number;
  customerId: number;
  /** The user's name; null once the user was deleted. */
  username: string | null;
  /** Null where the user is no member any more. */
  role: Role | null;
  /** Null where the user is no member any more. */
  joinedAt: string | null;
}

/** A message on its way. The object stays the same; its `state` changes. */
export interface LocalMessage {
  /** The name under which it is sent, and under which the stored message comes back. */
  readonly clientMessageId: string;
  readonly chatId: number;
  readonly content: string;
  readonly replyTo: number | null;
  /** When `send` was called; milliseconds since 1970, different for each message. */
  readonly createdAt: number;
  /** "sending" until it is stored, also while there is no connection. */
  state: "sending" | "sent" | "failed";
  /** The stored message, once it is sent. */
  message: Message | null;
  /** Why it failed. */
  error: MessagingError | null;
}

/** What `send` and `retry` return. */
export interface Sending {
  /** To be shown at once. */
  local: LocalMessage;
  /**
   * The stored message, once the server has it. Rejected if it failed, and by `close()`. The rejection
   * need not be handled.
   */
  stored: Promise<Message>;
}

/** A user who is connected to a chat. */
export interface Online {
  customerId: number;
  username: string;
}

/**
 * A place in a chat's log: all changes up to `seq`, in this `epoch` of the log. The server begins a new
 * epoch at an import and after a restore from a backup: numbers of an older one mean other messages.
 */
export interface Place {
  seq: number;
  /** Null where the server names none: it is of an earlier version. */
  epoch: string | null;
}

/** How a chat was connected. */
export interface Connected {
  chatId: number;
  /** The last change before everything is live. */
  seq: number;
  /** The epoch of the log that `seq` counts in; null where the server names none. */
  epoch: string | null;
  /** The connected users, this one included. */
  online: Online[];
  /** Whether what was missed is still being fetched; "caught-up" tells when it is there. */
  truncated: boolean;
}

/** What the connection is doing. */
export type State =
  /** A socket is being opened, or its first chat being connected. */
  | "connecting"
  /** Connected: at least one chat is. */
  | "online"
  /** Lost; it is tried again in `retryInMs`. */
  | "waiting"
  /**
   * Nothing is open: there is nothing to connect to yet, or the browser says that there is no
   * network (`retryInMs` is then given: it is tried anyway, servers on one's own machine exist).
   */
  | "offline"
  /** Ended by `close()`, or signed out. */
  | "closed";

/** The events, and what their listeners get. */
export interface Events {
  /**
   * A message that is new to this client, one's own too. One's own is recognised by its
   * `clientMessageId`; this may come before or after the "outgoing" event of state "sent".
   */
  message: [message: Message, info: ChangeInfo];
  /**
   * A message that was edited. While away it may have been sent *and* edited: put a message that
   * you do not know where it belongs (messages of a chat are ordered by `messageId`).
   */
  update: [message: Message, info: ChangeInfo];
  /** A message that was deleted, perhaps one that this client never saw. */
  delete: [deleted: Deleted, info: ChangeInfo];
  /**
   * A user was added, or joined by connecting in open mode; got another role; was removed or left.
   * `members()` has the change already.
   */
  member: [change: MemberChange, info: ChangeInfo];
  /** The chat got another name, topic or data. `chat()` has the change already. */
  chat: [chat: Chat, info: ChangeInfo];
  /**
   * A user who is online in one of the chats has another name. May be lost, as "join" may: names come
   * with every read.
   */
  user: [user: Named];
  /** A user connected to the chat. */
  join: [who: Presence];
  /** A user left the chat. */
  leave: [who: Presence];
  /** A user is typing; repeated every few seconds meanwhile. */
  typing: [who: Presence];
  /** A user has read up to a message. */
  read: [read: Read];
  /** This user does not belong to the chat any more; nothing more comes of it. */
  removed: [chat: { chatId: number }];
  /**
   * The chat is gone; nothing more comes of it. Where only members see a chat, one who was removed
   * while away gets this too: to them, it does not exist.
   */
  "deleted-chat": [chat: { chatId: number }];
  /** A chat is connected, the first time and after every lost connection. Refresh the list of online users. */
  connected: [connected: Connected];
  /** Everything up to `seq` was delivered; from here on it is live. Follows every "connected". */
  "caught-up": [chat: { chatId: number; seq: number }];
  /**
   * The server's log is not the one this client knows: it is of another epoch, or has fewer changes,
   * as after a restore from a backup. The place in the chat is forgotten by itself, and the chat is
   * connected again from its present head: drop what was shown and stored of it, and load it again.
   */
  reset: [chat: { chatId: number }];
  /** A message on its way was added or changed its state. */
  outgoing: [local: LocalMessage];
  /** The state of the connection changed. */
  state: [change: StateChange];
  /**
   * The session ended, or was refused. The client does not try again by itself: after a new
   * log-in, call `connect` again, or make a new client.
   */
  "signed-out": [error: MessagingError];
  /** Something failed that no promise tells. */
  error: [error: MessagingError];
}

/** Where a change comes from. */
export interface ChangeInfo {
  chatId: number;
  seq: number;
  /**
   * Who made the change. Null for the server, for a message of a user who was deleted, for an unnamed
   * caller in open mode, and where an earlier version of the server does not say it.
   */
  customerId: number | null;
  /** Whether it happened while this client was away. */
  replay: boolean;
}

export interface Deleted {
  messageId: number;
  chatId: number;
  /** Who deleted it; null where that is not known. */
  customerId: number | null;
  seq: number;
}

export interface Named {
  customerId: number;
  username: string;
}

export interface Presence {
  chatId: number;
  customerId: number;
  username: string;
}

export interface Read {
  chatId: number;
  customerId: number;
  messageId: number;
}

export interface StateChange {
  state: State;
  /** How long until the next try, where there is one, in milliseconds. */
  retryInMs: number | null;
}

/** What can be set. Only who one is, is needed. */
export interface Options {
  /** The server, such as "http://127.0.0.1:8080"; by default where the page comes from. */
  url?: string;
  /** Who one is. Not needed with a token. */
  customerId?: number;
  /** The name for "join" and "leave", in open mode; by default the stored one. */
  username?: string;
  /**
   * The session's token, in required mode; or a function that gives it, called whenever one is
   * needed. It goes into frames and headers, never into a URL.
   */
  token?: string | null | (() => string | null | Promise<string | null>);
  /**
   * Where unsent messages survive a reload, such as `localStorage`; by default nowhere. Messages
   * found there are sent once its chat is connected; `outgoing()` lists it.
   */
  storage?: StorageLike;
  /** Most messages that wait to be sent, failed ones included; 100 by default. */
  maxQueued?: number;
  /** How long an answer may take, in milliseconds; 15,000 by default. */
  requestMs?: number;
  /** How often the server sends a heartbeat, in milliseconds; 30,000 by default. */
  heartbeatMs?: number;
  /** The first wait after a lost connection is random up to this, in milliseconds; 500 by default. */
  backoffMs?: number;
  /** The longest wait, in milliseconds; 30,000 by default. */
  maxBackoffMs?: number;
  /** A WebSocket constructor, where there is no global one; without either, `connect` is rejected. */
  WebSocket?: new (url: string) => WebSocket;
  /** A fetch, where there is no global one. */
  fetch?: typeof fetch;
}

/** The part of the Web Storage interface that is used. */
export interface StorageLike {
  readonly length: number;
  key(index: number): string | null;
  getItem(key: string): string | null;
  setItem(key: string, value: string): void;
  removeItem(key: string): void;
}

/**
 * What goes wrong. `code` is the server's (`chat_not_found`, `forbidden`, `too_large`,
 * `rate_limited`, `unavailable` …) or one of the client's own:
 * - `offline`: the chat was not connected in time; nothing was asked of the server
 * - `connection_lost`: the answer did not come; what was asked may have happened
 * - `timeout`: the same, because it took too long
 * - `queue_full`: too many messages wait already
 * - `closed`: the client is closed
 * - `socket_closed`: the server closed the socket for a reason of its own, see `closeCode`
 * - `storage`: unsent messages could not be kept
 * - `bad_answer`: what answered is not a messaging-api
 */
export class MessagingError extends Error {
  constructor(code: string, message: string, more?: Partial<MessagingError>);
  readonly code: string;
  /** The HTTP status, over REST. */
  readonly status: number | null;
  /** How long to wait before another try, where the server says so, in milliseconds. */
  readonly retryAfterMs: number | null;
  /** The socket's close code, where that is what happened. */
  readonly closeCode: number | null;
  /** The chat of the request that failed, over REST too; null where the request names none. */
  readonly chatId: number | null;
}

/**
 * An answer of `request`. A list has `next`: the path of its next page, to be asked for by `request`
 * again; null after the last page. The property is not enumerable.
 */
export type Paged<T> = T extends readonly unknown[] ? T & { readonly next: string | null } : T;

/** One user's connection to the server: many chats over one socket. */
export class Messaging {
  constructor(options?: Options);

  /** What the connection is doing. */
  readonly state: State;

  /**
   * Connects to a chat, and keeps it connected until `leave` or `close`. Resolves once the server
   * has said so, for as long as that takes; rejected where it refuses (`chat_not_found`,
   * `forbidden` …), and by `leave` and `close`. A chat that is connected already resolves with how
   * it was connected last.
   *
   * `since`: the highest `seq` the caller has seen of the chat. Every change after it is delivered
   * first. To show a chat: `request("GET", "/chat/1/message")`, draw it, then connect with the
   * highest `seq` on that page (0 where it is empty). Without `since` only what happens from now on
   * comes. A place that was stored (see `place`) is given whole: where the log has another epoch by
   * now, "reset" comes and the chat is connected from its present head.
   */
  connect(chatId: number, options?: { since?: number | { seq: number; epoch?: string | null } }): Promise<Connected>;

  /**
   * Sends a message, now or as soon as its chat is connected. It has a clientMessageId from the
   * start, so it can be sent as often as it takes and is stored once. One message of a chat is on
   * its way at a time: that keeps them in order. Never throws: what cannot be sent is "failed", and
   * what was not even queued (`not_connected`, `queue_full`) is forgotten at once.
   */
  send(chatId: number, text: string, options?: { replyTo?: number | null }): Sending;

  /**
   * Sends a failed message again, under its clientMessageId: it is stored once even where the
   * failed try was stored after all. One that is on its way is left alone. Null where there is no
   * such message.
   */
  retry(clientMessageId: string): Sending | null;

  /** Forgets a failed message. False where there is none of that name. */
  discard(clientMessageId: string): boolean;

  /** The messages that are not sent yet, failed ones included, oldest first. */
  outgoing(chatId?: number): LocalMessage[];

  /**
   * Edits a message; without a messageId, this user's latest in the chat. Waits for a connection
   * no longer than an answer may take.
   */
  update(chatId: number, messageId: number | null, text: string): Promise<Message>;

  /** Deletes a message. Waits like `update`. */
  delete(chatId: number, messageId: number): Promise<{ messageId: number; chatId: number; seq: number }>;

  /** Leaves a chat, without ending the membership. Its queued messages wait for the next `connect`. */
  leave(chatId: number): Promise<void>;

  /**
   * A connected chat: its name, topic and data. The first call reads it over REST; from then on its
   * changes keep it. `reload` reads it again.
   */
  chat(chatId: number, options?: { reload?: boolean }): Promise<Chat>;

  /**
   * The members of a connected chat, by id. The first call reads them over REST; from then on their
   * changes keep them. A user's new name may be lost ("user"): it comes with the user's next change, or
   * with `reload`, which reads them again.
   */
  members(chatId: number, options?: { reload?: boolean }): Promise<Member[]>;

  /** Tells the others that this user is typing: call it at every key, it is sent every few seconds. */
  typing(chatId: number): void;

  /** Tells how far this user has read. Kept until it can be sent; it only moves forward. */
  markRead(chatId: number, messageId: number): void;

  /** The highest `seq` delivered of a chat; null where there is none yet. */
  seen(chatId: number): number | null;

  /** The same with its epoch, to be stored with what was delivered and given to `connect` as `since`. */
  place(chatId: number): Place | null;

  /**
   * Asks the REST API, with the token. `path` begins with a slash; `body` is sent as JSON. Resolves
   * with the answer's JSON, null where it is empty; rejected with a MessagingError. It changes what
   * the socket does not, and the events tell it:
   *
   *     await chat.request("PUT", "/chat/1", { chatName: "tea", topic: "Leaves only" });
   *     await chat.request("PUT", "/chat/1/user/2", { role: "admin" });
   *     await chat.request("DELETE", "/chat/1/user/2");
   *
   * A list has the path of its next page as `next`:
   *
   *     for (let path = "/user"; path; ) {
   *       const page = await chat.request("GET", path);
   *       users.push(...page);
   *       path = page.next;
   *     }
   */
  request<T = any>(method: string, path: string, body?: unknown): Promise<Paged<T>>;

  /** Listens to an event; the returned function ends that. */
  on<K extends keyof Events>(type: K, listener: (...args: Events[K]) => void): () => void;

  /** Ends listening. */
  off<K extends keyof Events>(type: K, listener: (...args: Events[K]) => void): void;

  /** Tries at once where a next try is waited for. Browsers that come online do it by themselves. */
  reconnect(): void;

  /** Ends everything. What was not sent stays in `storage`. */
  close(): void;
}
