#!/usr/bin/env python3
"""Prints a chat, says something, and ends once that is stored; a broken connection is resumed.

    pip install -r examples/requirements.txt
    python examples/python.py [CHAT] [USER] [TEXT]
"""

import http.client
import json
import os
import random
import re
import sys
import time
import urllib.request
import uuid

from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

URL = os.environ.get("MESSAGING_URL", "http://127.0.0.1:8080")
CHAT, USER, TEXT = (sys.argv[1:] + ["1", "1", "Hello from Python."][len(sys.argv) - 1 :])[:3]
NAME = str(uuid.uuid4())  # The message's own: sent again after a lost answer, it is stored once.

seen = 0  # The last change that was printed; after a lost connection, the next ones are asked for.
epoch = None  # The epoch of the log that it counts in; another one after a restore from a backup.


# What a terminal obeys instead of printing: control characters, line separators, direction marks.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def plain(text):
    """Text from others, fit for a terminal."""
    return UNPRINTABLE.sub(" ", str(text))


def show(kind, seq, text):
    """Prints a change, unless it was printed before."""
    global seen
    if seq > seen:
        seen = seq
        print(f"{seq} {kind}: {plain(text)}", flush=True)


def take(frame):
    """Prints a change. A frame with a seq beside its type is the next change; one of an unknown type counts too."""
    kind, content, seq = frame["type"], frame["content"], frame["seq"]
    if kind in ("send-message", "update-message"):
        done = "edited" if content["editedAt"] else "sent"
        show(done, seq, f"{content['username']}: {content['content']}")
    elif kind == "delete-message":
        show("deleted", seq, content)
    elif kind == "update-member":
        show("member", seq, f"{content['username']}: {content['role'] or 'none any more'}")
    elif kind == "update-chat":
        show("chat", seq, content["chatName"])
    else:
        show(plain(kind), seq, "")


def fill(head):
    """Reads over REST what was too much for the socket."""
    while seen < head:
        path = f"/chat/{CHAT}/change?limit=1000&since={seen}" + (f"&epoch={epoch}" if epoch else "")
        with urllib.request.urlopen(URL + path) as answer:
            for frame in json.load(answer):
                take(frame)


def talk(socket):
    """Connects, catches up, sends; true once the message is stored and printed."""
    global seen, epoch
    stored = None

    def ask(kind, content):
        socket.send(json.dumps({"type": kind, "content": content, "id": kind}))

    since = {"seq": seen, "epoch": epoch} if epoch else seen
    ask("connect-chat", {"chatId": int(CHAT), "customerId": int(USER), "since": since})
    for frame in map(json.loads, socket):
        kind, content = frame["type"], frame["content"]
        if kind == "error" and content["code"] == "invalid_field" and seen > 0:
            print("(the history begins again)", file=sys.stderr)
            seen, epoch = 0, None
            return False
        if kind == "error":
            sys.exit(plain(content["error"]))
        if "seq" in frame:
            take(frame)
        if kind == "ack" and frame["id"] == "connect-chat":
            epoch = content.get("epoch")
            fill(content["seq"])
            ask("send-message", {"chatId": int(CHAT), "content": TEXT, "clientMessageId": NAME})
        if kind == "ack" and frame["id"] == "send-message":
            stored = content["seq"]
        if stored is not None and seen >= stored:
            return True
    return False


for failures in range(20):
    try:
        with connect(URL.replace("http", "ws", 1) + "/ws") as socket:
            if talk(socket):
                sys.exit()
    except (OSError, http.client.HTTPException, WebSocketException) as error:
        print(f"({plain(error)})", file=sys.stderr)
    time.sleep(random.uniform(0, min(30, 0.5 * 2**failures)))
sys.exit("the server does not answer")
