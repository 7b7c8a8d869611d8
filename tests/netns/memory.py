#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""memory.py PID TICKET-FILE: is the ticket's secret in that process, as text or as bytes? Prints where."""
import base64
import sys

pid, path = sys.argv[1:]
text = "".join(open(path).read().split())
body = text.split("-")[-1] if text.count("-") == 2 else text[len("ovl1-secret-"):]
raw = base64.urlsafe_b64decode(body + "=" * (-len(body) % 4))
secret = raw[-40:-8]  # then come eight bytes of a sum
# The text of the secret's middle, whatever it is aligned to.
begin = (len(raw) - 40 + 2) // 3 * 4
words = {"bytes": secret, "text": body[begin : begin + 36].encode()}
found = 0
with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as mem:
    for line in maps:
        span, rights = line.split()[:2]
        low, high = (int(x, 16) for x in span.split("-"))
        if "w" not in rights or high - low > 1 << 28:  # a sanitizer's shadows are larger
            continue
        try:
            mem.seek(low)
            data = mem.read(high - low)
        except (OSError, ValueError):
            continue
        for kind, word in words.items():
            at = data.find(word)
            while at >= 0:
                print(kind, line.split()[-1], hex(low + at))
                found += 1
                at = data.find(word, at + 1)
sys.exit(found > 0)
