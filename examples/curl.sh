#!/usr/bin/env bash
# The REST API by curl, in open mode: sign up, join a chat, send a message, repeat it as after a lost
# answer, edit it, and read what changed.
#
#   examples/curl.sh [URL]      # by default MESSAGING_URL, else http://127.0.0.1:8080
set -euo pipefail

url=${1:-${MESSAGING_URL:-http://127.0.0.1:8080}}
ask() { curl --silent --show-error --fail-with-body --header 'Content-Type: application/json' "$@"; }
# Text from others, fit for a terminal: without control characters, line separators and direction marks.
plain() { LC_ALL=C sed $'s/[\x01-\x1f\x7f]//g; s/\xc2[\x80-\x9f]//g; s/\xd8\x9c//g; s/\xe2\x80[\x8e\x8f\xa8-\xae]//g; s/\xe2\x81[\xa6-\xa9]//g'; }
field() { grep -o "\"$1\":[0-9]*" | head -n 1 | cut -d : -f 2; }

name=dora-$RANDOM$RANDOM
user=$(ask "$url/user" --data "{\"username\":\"$name\",\"password\":\"correct horse\"}" | field customerId)
echo "signed up: $name"

ask --request PUT "$url/chat/1/user/$user" >/dev/null
seen=$(ask "$url/chat/1/message?limit=1" | field seq)
echo "joined chat 1"

# The same clientMessageId is the same message, however often it is sent.
body="{\"customerId\":$user,\"content\":\"Hello from curl.\",\"clientMessageId\":\"$name-1\"}"
first=$(ask "$url/chat/1/message" --data "$body" | field messageId)
again=$(ask "$url/chat/1/message" --data "$body" | field messageId)
[ "$first" = "$again" ] && echo "sent twice, stored once"

ask --request PUT "$url/message/$first" --data '{"content":"Hello, from curl."}' >/dev/null
echo "since then:"
ask "$url/chat/1/message?since=$seen" | grep -o '"content":"[^"]*"' | plain
