#!/usr/bin/env python3
"""Loads transaction Bundles over HTTP while others look on: each is there as a whole or not at all.

usage: atomic.py BASE synthea-us-core.tar.gz

Every resource gets a tag that names its Bundle. While Bundles are sent, two at a time, readers ask for what is there of each:
none of its resources or all of them, over all types and by type, and whatever the history shows is found whole. Exit status
0 when every Bundle was acknowledged and no reader saw a part of one.
"""

import json
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

from check import get, read_archive

SYSTEM = "urn:vesta:bundle"
SENDERS, READERS = 2, 1
# Between two rounds of looks, s: the emulator evaluates a query on every document, one at a time.
PAUSE = 0.5


def post(base, bundle):
    request = urllib.request.Request(base, json.dumps(bundle).encode(), {"Content-Type": "application/fhir+json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)


class Load:
    def __init__(self, base, archive):
        self.base = base
        self.shared, self.patients = [], []
        for name, text in sorted(read_archive(archive), key=lambda file: file[0]):
            bundle = json.loads(text)
            label = f"bundle-{len(self.shared) + len(self.patients)}"
            for entry in bundle["entry"]:
                entry["resource"].setdefault("meta", {}).setdefault("tag", []).append({"system": SYSTEM, "code": label})
            if bundle["type"] == "transaction":
                self.patients.append((label, bundle))
            else:
                # Hospitals come before practitioners by name, and both before all that refers to them.
                self.shared.append((label, bundle))
        self.sizes = {label: self.count(bundle) for label, bundle in self.patients}
        self.waiting = list(reversed(self.patients))
        self.under_way, self.done = set(), set()
        self.lock = threading.Lock()
        self.faults, self.polls, self.seen_whole, self.seen_none, self.refused, self.rounds = [], 0, 0, 0, 0, 0

    @staticmethod
    def count(bundle):
        sizes = {"": len(bundle["entry"])}
        for entry in bundle["entry"]:
            kind = entry["resource"]["resourceType"]
            sizes[kind] = sizes.get(kind, 0) + 1
        return sizes

    def send(self):
        while not self.faults:
            with self.lock:
                if not self.waiting:
                    return
                label, bundle = self.waiting.pop()
                self.under_way.add(label)
            answer = self.post(bundle)
            statuses = {entry["response"]["status"].split()[0] for entry in answer["entry"]}
            if statuses != {"201"} or len(answer["entry"]) != self.sizes[label][""]:
                raise ValueError(f"{label}: {statuses}")
            with self.lock:
                self.done.add(label)
                self.under_way.discard(label)
            # The last of it can be read, and so can the first.
            for entry in (answer["entry"][-1], answer["entry"][0]):
                self.get(entry["response"]["location"].split("/fhir/")[-1].split("/_history/")[0])

    def get(self, path):
        return self.answer(lambda: get(self.base, path))

    def post(self, bundle):
        return self.answer(lambda: post(self.base, bundle))

    def answer(self, ask):
        """What the server answers. One that has no time now did nothing and showed nothing, and is asked again."""
        while True:
            try:
                return ask()
            except urllib.error.HTTPError as error:
                if error.code not in (429, 503) or self.refused > 50:
                    raise
                self.refused += 1
                time.sleep(PAUSE)

    def found(self, label, kind=""):
        tag = urllib.parse.quote(f"{SYSTEM}|{label}")
        return self.get(f"{kind}?_tag={tag}&_summary=count")["total"]

    def look(self):
        while True:
            with self.lock:
                if not self.waiting and not self.under_way:
                    return
                labels, done = sorted(self.under_way), set(self.done)
            time.sleep(PAUSE)
            for label in labels:
                self.look_at(label, label in done)
            # What was written last, whichever it is: the rest of its Bundle is there too.
            for entry in self.get("_history?_count=1").get("entry", []):
                resource = entry["resource"]
                label = next((t["code"] for t in resource["meta"].get("tag", []) if t.get("system") == SYSTEM), None)
                if label in self.sizes:
                    self.get(f"{resource['resourceType']}/{resource['id']}")
                    self.look_at(label, True)

    def look_at(self, label, must_be_there):
        # Over all types seldom: that reads everything there is.
        self.rounds += 1
        for kind in ("Observation", "Patient") if self.rounds % 8 else ("", "Claim", ""):
            size = self.sizes[label].get(kind, 0)
            total = self.found(label, kind)
            self.polls += 1
            if size and total == size:
                must_be_there = True
                self.seen_whole += 1
            elif total == 0 and not must_be_there:
                self.seen_none += 1
            elif size or total:
                self.faults.append(f"{label}: {total} of {size} {kind or 'resources'}{', and it was there before' if must_be_there else ''}")

    def run(self):
        for label, bundle in self.shared:
            self.post(bundle)
        failed = []

        def guarded(work):
            try:
                work()
            except Exception as error:  # any fault ends the test, by name
                detail = error.read().decode()[:500] if isinstance(error, urllib.error.HTTPError) else ""
                failed.append(f"{type(error).__name__}: {error} {detail}")
                self.faults.append(failed[-1])
                with self.lock:
                    self.waiting.clear()
                    self.under_way.clear()

        threads = [threading.Thread(target=guarded, args=(work,)) for work in [self.send] * SENDERS + [self.look] * READERS]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for label in self.sizes:
            if not self.faults:
                self.look_at(label, True)
        for fault in self.faults[:20]:
            print(f"FAIL {fault}")
        print(f"atomic: {len(self.done)} of {len(self.sizes)} Bundles, {sum(s[''] for s in self.sizes.values())} resources; "
              f"{self.polls} looks saw {self.seen_none} times nothing, {self.seen_whole} times all, {len(self.faults)} times a part or a fault; {self.refused} were refused for the moment")
        # Readers who never came before or after a Bundle have shown nothing.
        return not self.faults and len(self.done) == len(self.sizes) > 0 and self.seen_none > 0 and self.seen_whole > 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(0 if Load(sys.argv[1].rstrip("/"), sys.argv[2]).run() else 1)
