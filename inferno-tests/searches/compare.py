#!/usr/bin/env python3
"""The same searches on two servers that hold the same Bundles, the one on each engine.

usage: compare.py BASE OTHER_BASE

Both servers gave ids of their own, so resources are compared by the rest of their content, references left out. Compared
are totals, every match over all pages, what is included, and for sorted searches the order of what they are sorted by. Exit
status 0 when all agree, and most found something.
"""

import collections
import hashlib
import json
import sys

from check import LOINC, SNOMED, UCUM, encode, get, pages

ANSWERS = 30


def content(value):
    """A resource without what differs from server to server."""
    if isinstance(value, dict):
        left_out = {"id", "reference", "fullUrl", "versionId", "lastUpdated", "text"}
        return {name: content(inner) for name, inner in value.items() if name not in left_out}
    if isinstance(value, list):
        return [content(inner) for inner in value]
    return value


def identity(resource):
    text = json.dumps(content({k: v for k, v in resource.items() if k != "meta"}), sort_keys=True)
    return resource["resourceType"] + " " + hashlib.sha256(text.encode()).hexdigest()[:16]


def ask(base, path):
    """Total, matches in order, includes; and the values of the sort keys, which stand in `sorted_by`."""
    matches, included, total = [], [], None
    for page in pages(base, path):
        total = page.get("total", total)
        for entry in page.get("entry", []):
            (matches if entry["search"]["mode"] == "match" else included).append(entry["resource"])
    return total, matches, included


# A patient's id stands for {patient}; the two servers have others for the same one.
SEARCHES = [
    ("Patient?gender=female", None),
    ("Patient?birthdate=ge1960-01-01&birthdate=lt1990", None),
    ("Patient?name=a", None),
    ("Patient?family:contains=er", None),
    ("Patient?address-state=MA,Massachusetts", None),
    ("Patient?address-city:exact=Boston", None),
    ("Patient?_has-no=1", "refused"),
    ("Patient?gender:not=male&deceased=true", None),
    ("Patient?death-date:missing=true", None),
    ("Patient?_sort=birthdate&_count=7", lambda r: r["birthDate"]),
    ("Patient?_sort=-birthdate&_count=7", lambda r: r["birthDate"]),
    ("Observation?patient={patient}&category=vital-signs", None),
    ("Observation?patient={patient}&category=laboratory&_sort=-date&_count=20", lambda r: r["effectiveDateTime"]),
    ("Observation?patient={patient}&date=ge2015&date=lt2019", None),
    (f"Observation?code={LOINC}|8302-2&value-quantity=gt150||cm", None),
    (f"Observation?value-quantity=lt10|{UCUM}|mg/dL", None),
    (f"Observation?code-value-quantity={LOINC}|29463-7$gt90", None),
    (f"Observation?component-code-value-quantity={LOINC}|8480-6$gt140", None),
    (f"Observation?combo-code={LOINC}|8462-4&patient={{patient}}", None),
    ("Observation?subject:Patient.birthdate=lt1960&code=8302-2", None),
    ("Observation?patient.name=a&code=72166-2", None),
    ("Observation?patient={patient}&_summary=count", None),
    ("Condition?patient={patient}&clinical-status=active", None),
    (f"Condition?code={SNOMED}|&onset-date=gt2018", None),
    ("Condition?_sort=onset-date&_count=100&onset-date=ge2019", lambda r: r["onsetDateTime"]),
    ("Encounter?patient={patient}&_include=Encounter:practitioner&_include=Encounter:service-provider", None),
    ("Encounter?class=AMB&date=2019", None),
    ("Encounter?status=finished&_total=accurate&_count=100&date=ge2020", None),
    ("Practitioner?_revinclude=Encounter:practitioner&name=a&_count=5", "first page"),
    ("Organization?name:exact=PCP1", None),
    ("MedicationRequest?patient={patient}&intent=order&status=stopped", None),
    ("Immunization?patient={patient}&_sort=date", lambda r: r["occurrenceDateTime"]),
    ("Procedure?patient={patient}&date=gt2010", None),
    ("DiagnosticReport?patient={patient}&_elements=code,status", None),
    ("Claim?patient={patient}&_summary=true", None),
    ("Patient/{patient}/Observation?status=final&_count=50", None),
    ("Patient/{patient}/*?_count=100&_type=Condition,Procedure", None),
    ("AllergyIntolerance?clinical-status:missing=false", None),
    ("CareTeam?status=active&patient={patient}", None),
    ("?_type=CarePlan,CareTeam,Goal&_count=100", None),
]


def patients(base):
    """The ids, by the identifier that the Bundles give."""
    found = {}
    for page in pages(base, "Patient?_count=100"):
        for entry in page.get("entry", []):
            resource = entry["resource"]
            found[resource["identifier"][0]["value"]] = resource["id"]
    return found


def refused(base, path):
    try:
        get(base, path)
    except Exception as error:
        return getattr(error, "code", None)
    return None


def main(bases):
    ids = [patients(base) for base in bases]
    if set(ids[0]) != set(ids[1]) or not ids[0]:
        sys.exit(f"the servers hold other patients: {len(ids[0])} and {len(ids[1])}")
    chosen = sorted(ids[0])[3]
    wrong = answered = 0
    for path, kind in SEARCHES:
        asked = [path.replace("{patient}", known[chosen]) for known in ids]
        if kind == "refused":
            same = [refused(base, it) for base, it in zip(bases, asked)] == [400, 400]
            note = "refused by both"
        elif kind == "first page":
            keys = []
            for base, it in zip(bases, asked):
                resource_type, _, query = it.partition("?")
                page = get(base, f"{resource_type}?{encode(query)}")
                keys.append(collections.Counter(e["search"]["mode"] for e in page.get("entry", []) if e["search"]["mode"] == "match"))
            same, note = keys[0] == keys[1], str(dict(keys[0]))
            answered += bool(keys[0])
        else:
            (total, matches, included), (total2, matches2, included2) = [ask(base, it) for base, it in zip(bases, asked)]
            multiset = lambda resources: collections.Counter(map(identity, resources))
            same = total == total2 and multiset(matches) == multiset(matches2) and multiset(included) == multiset(included2)
            if kind is not None:
                order, order2 = [kind(r) for r in matches], [kind(r) for r in matches2]
                same = same and order == order2
            note = f"{len(matches)} of {total} and {len(included)} included; {len(matches2)} of {total2} and {len(included2)}"
            answered += bool(matches or total)
        wrong += not same
        print(f"{'ok  ' if same else 'FAIL'} {path}: {note}", flush=True)
    print(f"compare: {len(SEARCHES) - wrong} agree, {wrong} differ, {answered} found something")
    sys.exit(0 if not wrong and answered >= ANSWERS else 1)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main([base.rstrip("/") for base in sys.argv[1:]])
