# SPDX-License-Identifier: GPL-2.0-or-later
"""Session protocol version 1 as release 0.1.0 speaks it, written anew from its description.

A FIXTURE: it shows what nodes that are not updated yet do. Never change what it says or takes, not
even together with overlayd; a later version gets a file of its own.

session_v1.py NAME ADDRESS KEY DIR [--call ADDRESS] [--lowest N] [--highest N] [--release TEXT] [--more]
                                     [--record DIR]

A whole member, as far as sessions go: it listens on ADDRESS and calls another, says which bundle it
has (DIR/bundle, or none), signed with its node KEY (PEM), takes what it is sent, whole or as a
difference, asks for what it has not, gives what it is asked for. A file put at DIR/next becomes its
bundle. --more: with keys and messages of a later release, which this one passes over. --record: one of each
message that came, as bytes (tests/unit/session-v1 is made so).
Prints one line for all that happens; what it knows no better it does not judge: no signatures.
"""
import argparse
import hashlib
import json
import os
import selectors
import socket
import struct
import subprocess
import tempfile
import time

PORT = 450
RECORD_MAX = 4096
NONE = {"serial": 0, "digest": "0" * 64}


def say(*words):
    print("%.3f" % time.monotonic(), *words, flush=True)


def text_of(file):
    """A bundle's file without the four lines of its signature."""
    return b"".join(line + b"\n" for line in file.split(b"\n")[:-5])


def head_of(file):
    if not file:
        return NONE
    text = text_of(file)
    return {"serial": json.loads(text.split(b"\n", 1)[0])["serial"], "digest": hashlib.sha256(text).hexdigest()}


def patched(base, delta):
    """The new file, from the one before and a difference with its signature behind it."""
    lines, signature = text_of(delta).split(b"\n")[:-1], delta[len(text_of(delta)):]
    first, head, changes = json.loads(lines[0]), lines[1], lines[2:]
    assert first["overlayd-delta"] == 1
    assert first["base"] == hashlib.sha256(text_of(base)).hexdigest(), "from another base"
    old = text_of(base).split(b"\n")[:-1]
    gone = {int(c[1:]) for c in changes if c.startswith(b"-")}
    # Lines count from 1 with the head, which is the new one's in any case.
    kept = [line for number, line in enumerate(old, 1) if number > 1 and number not in gone]
    new = [head] + sorted(kept + [c[1:] for c in changes if c.startswith(b"+")])
    text = b"".join(line + b"\n" for line in new)
    assert first["digest"] == hashlib.sha256(text).hexdigest(), "it comes to something else"
    return text + signature


class Member:
    def __init__(self, args):
        self.args = args
        self.sel = selectors.DefaultSelector()
        self.conns, self.call_at = [], 0.0
        self.file = self.read("bundle")
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((args.address, PORT))
        s.listen(8)
        self.sel.register(s, selectors.EVENT_READ, None)
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind((args.address, PORT))
        self.sel.register(self.udp, selectors.EVENT_READ, None)
        say("listening")

    def read(self, name):
        try:
            return open(os.path.join(self.args.dir, name), "rb").read()
        except FileNotFoundError:
            return b""

    def take(self, file):
        self.file = file
        path = os.path.join(self.args.dir, "bundle")
        open(path + ".new", "wb").write(file)
        os.rename(path + ".new", path)
        for conn in self.conns:
            conn.state()

    def note(self, data, peer):
        n, m = struct.unpack(">II", data[:8])
        header = json.loads(data[8:])
        assert n == len(data) - 8 and not m and header["note"] == "overlayd-session"
        say("note of", peer[0], header["head"]["serial"])
        self.keep("note", data)

    def keep(self, kind, raw):
        """One of each; true: it was kept."""
        path = os.path.join(self.args.record or "", kind)
        if not self.args.record or len(raw) > RECORD_MAX or os.path.exists(path):
            return False
        open(path, "wb").write(raw)
        return True

    def record(self):
        """What it says of itself: signed, as anybody may pass it on."""
        head = head_of(self.file)
        signed = b"overlayd statement v1\n" + bytes([1]) + self.args.name.encode() + b"\0" + \
            struct.pack(">Q", head["serial"]) + bytes.fromhex(head["digest"]) + self.args.release.encode()
        with tempfile.NamedTemporaryFile() as f:
            f.write(signed)
            f.flush()
            sig = subprocess.run(["openssl", "pkeyutl", "-sign", "-rawin", "-inkey", self.args.key, "-in", f.name],
                                 check=True, stdout=subprocess.PIPE).stdout
        return struct.pack(">H", len(signed) + 64) + signed + sig

    def call(self):
        self.call_at = time.monotonic() + 0.5
        s = socket.socket()
        s.settimeout(1)
        try:
            s.bind((self.args.address, 0))
            s.connect((self.args.call, PORT))
        except OSError as e:
            s.close()
            say("no connection:", e)
            return
        self.conns.append(Conn(self, s, self.args.call, True))

    def run(self):
        while True:
            if self.args.call and time.monotonic() > self.call_at and not any(c.ours for c in self.conns):
                self.call()
            if os.path.exists(os.path.join(self.args.dir, "next")):
                file = self.read("next")
                os.unlink(os.path.join(self.args.dir, "next"))
                self.take(file)
                say("given", head_of(file)["serial"])
            for key, _ in self.sel.select(0.05):
                if key.data:
                    key.data.readable()
                elif key.fileobj is self.udp:
                    self.note(*self.udp.recvfrom(2048))
                else:
                    s, peer = key.fileobj.accept()
                    s.settimeout(5)
                    self.conns.append(Conn(self, s, peer[0], False))


class Conn:
    def __init__(self, member, s, peer, ours):
        self.member, self.s, self.peer, self.ours = member, s, peer, ours
        self.data, self.version = b"", 0
        member.sel.register(s, selectors.EVENT_READ, self)
        a = member.args
        self.send({"hello": "overlayd-session", "lowest": a.lowest, "highest": a.highest, "release": a.release,
                   "cluster": "demo", "node": a.name, **({"languages": ["latin"]} if a.more else {})})

    def send(self, header, payload=b""):
        text = json.dumps(header, separators=(",", ":")).encode()
        try:
            self.s.sendall(struct.pack(">II", len(text), len(payload)) + text + payload)
        except OSError:
            pass  # the end of it is read

    def state(self):
        if self.version:
            self.send({"msg": "state", "head": head_of(self.member.file)}, self.member.record())

    def readable(self):
        try:
            data = self.s.recv(1 << 16)
        except OSError:
            data = b""
        self.data += data
        while len(self.data) >= 8:
            n, m = struct.unpack(">II", self.data[:8])
            if len(self.data) < 8 + n + m:
                break
            header, payload = json.loads(self.data[8:8 + n]), self.data[8 + n:8 + n + m]
            self.keep(header, self.data[:8 + n + m])
            self.data = self.data[8 + n + m:]
            self.message(header, payload)
        if not data:
            say("closed by" if self.version else "refused by", self.peer)
            self.member.sel.unregister(self.s)
            self.s.close()
            self.member.conns.remove(self)

    def keep(self, header, raw):
        base = header.get("base")
        if base and base != head_of(self.member.file):
            return
        kind = "hello" if "hello" in header else "difference" if base else header["msg"]
        if self.member.keep(kind, raw) and base:
            self.member.keep("base", self.member.file)

    def message(self, header, payload):
        a = self.member.args
        if not self.version:
            assert header["hello"] == "overlayd-session" and not payload
            low, high = max(header["lowest"], a.lowest), min(header["highest"], a.highest)
            if low > high:
                say("no common version with", self.peer)
                return
            self.version = high
            say("version", high, "with", self.peer, header["node"], header["release"])
            if a.more:
                self.send({"msg": "weather", "sky": "blue"}, b"\x07" * 100)
            self.state()
            self.send({"msg": "who", "since": "0" * 16})
        elif header["msg"] == "state":
            self.heard(header["head"], payload)
        elif header["msg"] == "bundle":
            self.bundle(header, payload)
        elif header["msg"] == "want":
            say("asked by", self.peer)
            if self.member.file:
                self.send({"msg": "bundle", "head": head_of(self.member.file)}, self.member.file)
        elif header["msg"] == "who":
            self.send({"msg": "statements", "since": "0" * 15 + "1"}, self.member.record())
        elif header["msg"] == "statements":
            assert len(bytes.fromhex(header["since"])) == 8
            while payload:
                n = struct.unpack(">H", payload[:2])[0]
                self.statement(payload[2:2 + n])
                payload = payload[2 + n:]
        else:
            say("unknown", header["msg"])

    def heard(self, head, payload):
        assert struct.unpack(">H", payload[:2])[0] == len(payload) - 2
        self.statement(payload[2:])
        if head["serial"] > head_of(self.member.file)["serial"]:
            self.send({"msg": "want", "head": head_of(self.member.file)})

    def statement(self, record):
        opening = b"overlayd statement v1\n"
        assert record.startswith(opening)
        if record[len(opening)] != 1:
            return
        name, rest = record[len(opening) + 1:-64].split(b"\0", 1)
        say("applied", name.decode(), struct.unpack(">Q", rest[:8])[0])

    def bundle(self, header, payload):
        base = header.get("base")
        if header["head"]["serial"] <= head_of(self.member.file)["serial"]:
            return
        if base and base != head_of(self.member.file):
            self.send({"msg": "want", "head": head_of(self.member.file)})
            return
        file = patched(self.member.file, payload) if base else payload
        assert head_of(file) == header["head"], "another than it said"
        say("bundle", header["head"]["serial"], "difference" if base else "whole")
        self.member.take(file)


def main():
    p = argparse.ArgumentParser()
    for name in ("name", "address", "key", "dir"):
        p.add_argument(name)
    p.add_argument("--call")
    p.add_argument("--lowest", type=int, default=1)
    p.add_argument("--highest", type=int, default=1)
    p.add_argument("--release", default="0.1.0")
    p.add_argument("--more", action="store_true")
    p.add_argument("--record")
    Member(p.parse_args()).run()


if __name__ == "__main__":
    main()
