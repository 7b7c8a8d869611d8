#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Tables from the rows of the measurements (see bench.h).

  table.py ROWS [RESULTS.json]     one JSON object per line -> tables; exit 1 if a target was missed
"""
import json
import sys

OPS = {"<=": lambda a, b: a <= b, ">=": lambda a, b: a >= b, "==": lambda a, b: a == b}
WORDS = {"<=": "≤", ">=": "≥", "==": "="}
WIDTH, NAME = 96, 56


def number(v):
    if abs(v) >= 1000:
        return f"{v:,.0f}"
    if v == int(v) and abs(v) < 1000:
        return str(int(v))
    return f"{v:.0f}" if abs(v) >= 100 else f"{v:.1f}" if abs(v) >= 10 else f"{v:.3g}" if abs(v) < 1 else f"{v:.2f}"


def with_unit(v, unit):
    return f"{number(v)} {unit}".strip() if unit != "x" else f"{v:.3f}×"


def judge(rows):
    for r in rows:
        if "skip" in r:
            r["verdict"] = "skipped"
        elif "op" in r:
            r["verdict"] = "ok" if OPS[r["op"]](r["value"], r["target"]) else "MISS"


def wrap(text, indent):
    line = indent
    for word in text.split():
        if len(line) + len(word) + 1 > WIDTH:
            yield line.rstrip()
            line = indent
        line += word + " "
    yield line.rstrip()


def show(r):
    if "title" in r:
        print("\n" + r["title"])
        print("\n".join(wrap(r["method"], "  ")))
        print("  " + "─" * (WIDTH - 2))
    elif "skip" in r:
        print(f"  {r['what']:<{NAME}} not measured: {r['skip']}")
    else:
        value = with_unit(r["value"], r["unit"])
        target, mark = "", ""
        if "op" in r:
            target = f"{WORDS[r['op']]} {number(r['target'])} {r['unit'] if r['unit'] != 'x' else '×'}"
            mark = "✓" if r["verdict"] == "ok" else "✗ MISS"
        print(f"  {r['what']:<{NAME}} {value:>14}  {target:>12}  {mark}".rstrip())


def main():
    rows = [json.loads(line) for line in open(sys.argv[1]) if line.strip()]
    judge(rows)
    parts = list(dict.fromkeys(r["part"] for r in rows))
    for part in parts:
        for r in sorted((r for r in rows if r["part"] == part), key=lambda r: "title" not in r):
            show(r)
    count = {v: sum(r.get("verdict") == v for r in rows) for v in ("ok", "MISS", "skipped")}
    print(f"\n{count['ok']} targets met, {count['MISS']} missed, {count['skipped']} not measured")
    if len(sys.argv) > 2:
        json.dump({"rows": rows, **count}, open(sys.argv[2], "w"), indent=1, ensure_ascii=False)
    return 1 if count["MISS"] else 0


if __name__ == "__main__":
    sys.exit(main())
