#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A small vici client for the tests: an observer independent of vici-client/.

  vici.py SOCKET sas [CONNECTION]              one line per IKE_SA: name state uniqueid I|R children
  vici.py SOCKET COMMAND [JSON] [EVENT]        one command; events that it streams are printed first
  vici.py SOCKET monitor EVENT…                print events as they come
In JSON, a string that begins with @@ stands for the contents of that file.
The protocol: strongSwan's src/libcharon/plugins/vici/README.md.
"""
import json
import socket
import struct
import sys
import time

REQUEST, RESPONSE, UNKNOWN, REGISTER, UNREGISTER, CONFIRM, _, EVENT = range(8)
START, END, KEY, LIST, ITEM, LIST_END = range(1, 7)


def value(v):
    if isinstance(v, bytes):
        return v
    v = str(v)
    return open(v[2:], "rb").read() if v.startswith("@@") else v.encode()


def encode(d):
    out = b""
    for k, v in d.items():
        name = bytes([len(k)]) + k.encode()
        if isinstance(v, dict):
            out += bytes([START]) + name + encode(v) + bytes([END])
        elif isinstance(v, list):
            out += bytes([LIST]) + name
            for i in map(value, v):
                out += bytes([ITEM]) + struct.pack(">H", len(i)) + i
            out += bytes([LIST_END])
        else:
            v = value(v)
            out += bytes([KEY]) + name + struct.pack(">H", len(v)) + v
    return out


def decode(b):
    p, stack, items = 0, [{}], None
    while p < len(b):
        t, p = b[p], p + 1
        if t in (START, KEY, LIST):
            name, p = b[p + 1:p + 1 + b[p]].decode(), p + 1 + b[p]
        if t in (KEY, ITEM):
            n = struct.unpack(">H", b[p:p + 2])[0]
            v, p = b[p + 2:p + 2 + n].decode(errors="replace"), p + 2 + n
        if t == START:
            stack[-1][name] = {}
            stack.append(stack[-1][name])
        elif t == END:
            stack.pop()
        elif t == KEY:
            stack[-1][name] = v
        elif t == LIST:
            items = stack[-1][name] = []
        elif t == ITEM:
            items.append(v)
    return stack[0]


class Vici:
    def __init__(self, path):
        self.s = socket.socket(socket.AF_UNIX)
        self.s.settimeout(30)
        self.s.connect(path)

    def send(self, kind, name, body=b""):
        b = bytes([kind, len(name)]) + name.encode() + body
        self.s.sendall(struct.pack(">I", len(b)) + b)

    def read(self, n):
        b = b""
        while len(b) < n:
            part = self.s.recv(n - len(b))
            if not part:
                raise EOFError("charon closed the vici socket")
            b += part
        return b

    def recv(self):
        b = self.read(struct.unpack(">I", self.read(4))[0])
        if b[0] == EVENT:
            return EVENT, b[2:2 + b[1]].decode(), decode(b[2 + b[1]:])
        return b[0], None, decode(b[1:])

    def register(self, event, kind=REGISTER):
        self.send(kind, event)
        while self.recv()[0] == EVENT:
            pass

    def call(self, name, message={}, event=None):
        """(reply, [(event, message)…])"""
        events = []
        if event:
            self.register(event)
        self.send(REQUEST, name, encode(message))
        while True:
            kind, what, reply = self.recv()
            if kind != EVENT:
                break
            events.append((what, reply))
        if event:
            self.register(event, UNREGISTER)
        return (reply if kind == RESPONSE else {"success": "no", "errmsg": "unknown command"}), events


def sas(v, name=None):
    _, events = v.call("list-sas", {"ike": name} if name else {}, "list-sa")
    for _, e in events:
        for ike, sa in e.items():
            children = " ".join("%s:%s %s" % (c["name"], c["reqid"], c["state"]) for c in sa.get("child-sas", {}).values())
            print(ike, sa["state"], sa["uniqueid"], "I" if "initiator" in sa else "R", children)


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    v, cmd, rest = Vici(sys.argv[1]), sys.argv[2], sys.argv[3:]
    if cmd == "sas":
        return sas(v, *rest)
    if cmd == "monitor":
        v.s.settimeout(None)
        for e in rest:
            v.register(e)
        print("%.3f monitoring" % time.monotonic(), flush=True)
        while True:
            _, name, message = v.recv()
            print("%.3f" % time.monotonic(), name, json.dumps(message), flush=True)
    reply, events = v.call(cmd, json.loads(rest[0]) if rest else {}, rest[1] if len(rest) > 1 else None)
    for name, message in events:
        print(name, json.dumps(message))
    print(json.dumps(reply))
    return 1 if reply.get("success") == "no" else 0


if __name__ == "__main__":
    sys.exit(main())
