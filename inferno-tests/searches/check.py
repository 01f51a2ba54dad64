#!/usr/bin/env python3
"""Hand-checked searches: what a running server answers against what the input files say.

usage: check.py ndjson  BASE synthea-bulk-ndjson.tar.gz
       check.py bundles BASE synthea-us-core.tar.gz

The server at BASE holds exactly the archive's resources. Every expectation is computed here from the files
with plain Python, from the words of https://hl7.org/fhir/R4/search.html; nothing is shared with the server.
Exit status 0 when every search returns exactly the right resources, each once, over all pages.
"""

import bz2
import gzip
import json
import re
import sys
import tarfile
import unicodedata
import urllib.error
import urllib.parse
import urllib.request
from datetime import datetime, timedelta, timezone

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
UCUM = "http://unitsofmeasure.org"
CATEGORY = "http://terminology.hl7.org/CodeSystem/observation-category"


def read_archive(path):
    """The files of the archive: (name, text)."""
    with tarfile.open(path) as archive:
        for member in archive:
            if not member.isfile() or not re.search(r"\.(nd)?json(\.|$)", member.name):
                continue
            data = archive.extractfile(member).read()
            if member.name.endswith(".gz"):
                data = gzip.decompress(data)
            elif member.name.endswith(".bz2"):
                data = bz2.decompress(data)
            yield member.name, data.decode()


def get(base, path):
    request = urllib.request.Request(f"{base}/{path}" if not path.startswith("http") else path)
    request.add_header("Accept", "application/fhir+json")
    with urllib.request.urlopen(request) as response:
        return json.load(response)


def encode(query):
    """A readable query (`a=b&c=d e|f`) as a URL's query."""
    pairs = [pair.partition("=")[::2] for pair in query.split("&")]
    return urllib.parse.urlencode(pairs, safe=":,|$/_")


def pages(base, path):
    """Every page of a search."""
    kind, _, query = path.partition("?")
    bundle = get(base, f"{kind}?{encode(query)}")
    while True:
        yield bundle
        following = [link["url"] for link in bundle.get("link", []) if link["relation"] == "next"]
        if not following:
            return
        bundle = get(base, following[0])


def entries(base, path, mode="match"):
    for bundle in pages(base, path):
        for entry in bundle.get("entry", []):
            if entry["search"]["mode"] == mode:
                yield entry["resource"]


def span(text):
    """The span a FHIR date or dateTime stands for: first instant, and the first instant after it."""
    if len(text) == 4:
        return utc(int(text), 1, 1), utc(int(text) + 1, 1, 1)
    if len(text) == 7:
        year, month = int(text[:4]), int(text[5:])
        return utc(year, month, 1), utc(year + month // 12, month % 12 + 1, 1)
    if len(text) == 10:
        start = utc(*map(int, text.split("-")))
        return start, start + timedelta(days=1)
    start = datetime.fromisoformat(text.replace("Z", "+00:00"))
    return start, start + (timedelta(milliseconds=1) if "." in text else timedelta(seconds=1))


def utc(*parts):
    return datetime(*parts, tzinfo=timezone.utc)


BEFORE_ALL, AFTER_ALL = utc(1, 1, 1), utc(9999, 1, 1)


def period_span(period):
    low = span(period["start"])[0] if "start" in period else BEFORE_ALL
    high = span(period["end"])[1] if "end" in period else AFTER_ALL
    return low, high


def compare(prefix, wanted, found):
    """https://hl7.org/fhir/R4/search.html#prefix over half-open spans."""
    (wlo, whi), (flo, fhi) = wanted, found
    equal = wlo <= flo and fhi <= whi
    return {
        "eq": equal,
        "ne": not equal,
        "gt": fhi > whi,
        "lt": flo < wlo,
        "ge": equal or fhi > whi,
        "le": equal or flo < wlo,
        "sa": flo >= whi,
        "eb": fhi <= wlo,
    }[prefix]


def codings(concept):
    concepts = concept if isinstance(concept, list) else [concept] if concept else []
    return {(c.get("system", ""), c.get("code", "")) for k in concepts for c in k.get("coding", [])}


def fold(text):
    plain = unicodedata.normalize("NFD", text)
    return "".join(c for c in plain if not unicodedata.combining(c)).lower()


def reference(element):
    return (element or {}).get("reference")


def name_parts(patient):
    for name in patient.get("name", []):
        for part in [name.get("text"), name.get("family"), *name.get("given", []), *name.get("prefix", []), *name.get("suffix", [])]:
            if part:
                yield part


def address_parts(patient):
    for address in patient.get("address", []):
        for part in [address.get("text"), *address.get("line", []), address.get("city"), address.get("district"),
                     address.get("state"), address.get("postalCode"), address.get("country")]:
            if part:
                yield part


class Checks:
    def __init__(self, base):
        self.base, self.run, self.wrong = base, 0, 0

    def same(self, title, found, expected):
        """Both are lists of keys; order is not compared, repetition is."""
        self.run += 1
        found, expected = list(found), set(expected)
        good = len(found) == len(expected) and set(found) == expected
        self.wrong += not good
        detail = "" if good else f"  missing {sorted(expected - set(found))[:3]} extra {sorted(set(found) - expected)[:3]}"
        print(f"{'ok  ' if good else 'FAIL'} {title}: {len(found)} of {len(expected)}{detail}", flush=True)

    def equal(self, title, found, expected):
        self.run += 1
        self.wrong += found != expected
        print(f"{'ok  ' if found == expected else 'FAIL'} {title}: {found}{'' if found == expected else f' instead of {expected}'}", flush=True)

    def done(self):
        print(f"searches: {self.run - self.wrong} passed, {self.wrong} failed")
        sys.exit(1 if self.wrong or not self.run else 0)


def check_ndjson(base, archive):
    data = {}
    for name, text in read_archive(archive):
        for line in text.splitlines():
            if line.strip():
                resource = json.loads(line)
                data.setdefault(resource["resourceType"], {})[resource["id"]] = resource
    checks = Checks(base)

    def search(kind, query, predicate):
        found = (r["id"] for r in entries(base, f"{kind}?{query}"))
        checks.same(f"{kind}?{query}", found, (i for i, r in data[kind].items() if predicate(r)))

    for kind, resources in sorted(data.items()):
        checks.equal(f"{kind}?_summary=count", get(base, f"{kind}?_summary=count")["total"], len(resources))

    patients = data["Patient"]
    some = sorted(patients)[7]
    mine = f"Patient/{some}"
    of_mine = lambda r: reference(r.get("subject") or r.get("patient")) == mine
    search("Patient", "gender=female&birthdate=ge1980-01-01", lambda r: r["gender"] == "female" and compare("ge", span("1980-01-01"), span(r["birthDate"])))
    search("Patient", "birthdate=1949", lambda r: compare("eq", span("1949"), span(r["birthDate"])))
    search("Patient", "birthdate=lt1950&birthdate=gt1939", lambda r: "1940" <= r["birthDate"][:4] < "1950")
    search("Patient", "family=ha", lambda r: any(fold(n.get("family", "")).startswith("ha") for n in r["name"]))
    search("Patient", "family:exact=Hartmann", lambda r: any(n.get("family") == "Hartmann" for n in r["name"]))
    search("Patient", "family:contains=man", lambda r: any("man" in fold(n.get("family", "")) for n in r["name"]))
    search("Patient", "name=an,mr", lambda r: any(fold(p).startswith(("an", "mr")) for p in name_parts(r)))
    search("Patient", "given=JOS\u00c9", lambda r: any(fold(g).startswith("jose") for n in r["name"] for g in n.get("given", [])))
    search("Patient", "address=worcester", lambda r: any(fold(p).startswith("worcester") for p in address_parts(r)))
    search("Patient", "address-state=Massachusetts&deceased=true", lambda r: "deceasedDateTime" in r and any(a.get("state") == "Massachusetts" for a in r["address"]))
    search("Patient", "death-date:missing=true", lambda r: "deceasedDateTime" not in r)
    search("Patient", "gender:not=male", lambda r: r["gender"] != "male")
    ssn = next(i["value"] for i in patients[some]["identifier"] if i["system"].endswith("us-ssn"))
    search("Patient", f"identifier=http://hl7.org/fhir/sid/us-ssn|{ssn}", lambda r: any(i["value"] == ssn and i["system"].endswith("us-ssn") for i in r["identifier"]))
    search("Patient", "telecom=555-186-2275", lambda r: any(t.get("value") == "555-186-2275" for t in r.get("telecom", [])))
    search("Patient", "race=2106-3", lambda r: any(s.get("valueCoding", {}).get("code") == "2106-3" for e in r["extension"] if e["url"].endswith("us-core-race") for s in e["extension"]))
    search("Patient", "_tag=https://smarthealthit.org/tags|synthea-5-2019&gender=male", lambda r: r["gender"] == "male" and any(t["code"] == "synthea-5-2019" for t in r["meta"]["tag"]))

    search("Observation", f"patient={some}&category=vital-signs", lambda r: of_mine(r) and (CATEGORY, "vital-signs") in codings(r["category"]))
    search("Observation", f"subject={mine}&code={LOINC}|8302-2,{LOINC}|29463-7", lambda r: of_mine(r) and codings(r["code"]) & {(LOINC, "8302-2"), (LOINC, "29463-7")})
    search("Observation", f"patient={mine}&date=ge2010&date=lt2015-06-15", lambda r: of_mine(r) and compare("ge", span("2010"), span(r["effectiveDateTime"])) and compare("lt", span("2015-06-15"), span(r["effectiveDateTime"])))
    search("Observation", f"code={LOINC}|8302-2&value-quantity=gt190||cm", lambda r: (LOINC, "8302-2") in codings(r["code"]) and r.get("valueQuantity", {}).get("value", 0) > 190 and "cm" in (r["valueQuantity"].get("code"), r["valueQuantity"].get("unit")))
    search("Observation", f"value-quantity=175|{UCUM}|cm", lambda r: 174.5 <= r.get("valueQuantity", {}).get("value", 0) < 175.5 and r["valueQuantity"].get("code") == "cm")
    search("Observation", f"code-value-quantity={LOINC}|29463-7$lt10", lambda r: (LOINC, "29463-7") in codings(r["code"]) and r.get("valueQuantity", {"value": 99})["value"] < 10)
    search("Observation", f"component-code-value-quantity={LOINC}|8480-6$gt150", lambda r: any((LOINC, "8480-6") in codings(c["code"]) and c.get("valueQuantity", {"value": 0})["value"] > 150 for c in r.get("component", [])))
    search("Observation", "code=72166-2&value-concept=8517006", lambda r: any(c == "72166-2" for _, c in codings(r["code"])) and any(c == "8517006" for _, c in codings(r.get("valueCodeableConcept"))))
    search("Observation", "status=final&category=laboratory&date=2012-02-08", lambda r: r["status"] == "final" and (CATEGORY, "laboratory") in codings(r["category"]) and compare("eq", span("2012-02-08"), span(r["effectiveDateTime"])))
    search("Observation", "patient.birthdate=1949-11-29&code=8302-2", lambda r: (LOINC, "8302-2") in codings(r["code"]) and patients.get(reference(r["subject"]).split("/")[1], {}).get("birthDate") == "1949-11-29")
    search("Observation", "subject:Patient.family=Hartmann&category=survey", lambda r: (CATEGORY, "survey") in codings(r["category"]) and any(n.get("family", "").lower().startswith("hartmann") for n in patients.get(reference(r["subject"]).split("/")[1], {}).get("name", [])))

    search("Condition", "clinical-status=active&onset-date=2018", lambda r: any(c == "active" for _, c in codings(r["clinicalStatus"])) and compare("eq", span("2018"), span(r["onsetDateTime"])))
    search("Condition", f"code={SNOMED}|&abatement-date:missing=false&recorded-date=eb1960", lambda r: any(s == SNOMED for s, _ in codings(r["code"])) and "abatementDateTime" in r and compare("eb", span("1960"), span(r["recordedDate"])))
    search("Encounter", f"patient={some}&date=sa2005-03", lambda r: of_mine(r) and compare("sa", span("2005-03"), period_span(r["period"])))
    search("Encounter", "class=http://terminology.hl7.org/CodeSystem/v3-ActCode|EMER&date=eq1951", lambda r: r["class"]["code"] == "EMER" and compare("eq", span("1951"), period_span(r["period"])))
    search("Encounter", "class:not=AMB,WELLNESS", lambda r: r["class"]["code"] not in ("AMB", "WELLNESS"))
    search("MedicationRequest", "intent=order&status=active&code=http://www.nlm.nih.gov/research/umls/rxnorm|563026", lambda r: r["intent"] == "order" and r["status"] == "active" and any(c == "563026" for _, c in codings(r.get("medicationCodeableConcept"))))
    search("Immunization", "vaccine-code=140&date=gt2018-06-01", lambda r: any(c == "140" for _, c in codings(r["vaccineCode"])) and compare("gt", span("2018-06-01"), span(r["occurrenceDateTime"])))
    search("Procedure", f"patient={mine}&date=le2010", lambda r: of_mine(r) and compare("le", span("2010"), period_span(r["performedPeriod"]) if "performedPeriod" in r else span(r["performedDateTime"])))
    search("Organization", "name=BOSTON", lambda r: any(fold(n).startswith("boston") for n in [r.get("name", ""), *r.get("alias", [])]))
    some_ids = sorted(data["Claim"])[:3]
    search("Claim", f"_id={','.join(some_ids)},nothing-here", lambda r: r["id"] in some_ids)

    # Order, includes and a compartment.
    found = [r["effectiveDateTime"] for r in entries(base, f"Observation?patient={some}&_sort=-date&_count=17")]
    checks.equal("Observation?patient&_sort=-date is in order", found, sorted(found, key=lambda d: span(d)[0], reverse=True))
    found = [(r["gender"], r["birthDate"]) for r in entries(base, "Patient?_sort=gender,-birthdate&_count=50")]
    expected = sorted(((r["gender"], r["birthDate"]) for r in patients.values()), key=lambda k: (k[0], [-ord(c) for c in k[1]]))
    checks.equal("Patient?_sort=gender,-birthdate is in order", found == expected, True)
    bundle = get(base, f"Encounter?patient={some}&_include=Encounter:subject&_include=Encounter:service-provider&_count=1000")
    included = [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"] if e["search"]["mode"] == "include"]
    mine_encounters = [r for r in data["Encounter"].values() if of_mine(r)]
    checks.same("Encounter?patient&_include=subject, service-provider", included, {mine} | {reference(r.get("serviceProvider")) for r in mine_encounters if "serviceProvider" in r and reference(r["serviceProvider"]).split("/")[1] in data["Organization"]})
    bundle = get(base, f"Patient?_id={some}&_revinclude=Condition:patient&_revinclude=Immunization:patient")
    included = [f"{e['resource']['resourceType']}/{e['resource']['id']}" for e in bundle["entry"] if e["search"]["mode"] == "include"]
    checks.same("Patient?_id&_revinclude=Condition, Immunization", included, [f"{k}/{i}" for k in ("Condition", "Immunization") for i, r in data[k].items() if of_mine(r)])
    found = (r["id"] for r in entries(base, f"{mine}/Procedure?_count=7"))
    checks.same("Patient/x/Procedure", found, (i for i, r in data["Procedure"].items() if of_mine(r)))
    found = [f"{r['resourceType']}/{r['id']}" for r in entries(base, f"{mine}/*?_count=100")]
    members = {"subject", "patient"}
    expected = [f"{k}/{i}" for k, resources in data.items() for i, r in resources.items() if any(reference(r.get(m)) == mine for m in members)]
    checks.same("Patient/x/*", found, [mine, *expected])
    checks.equal("?_type=Patient,Goal", get(base, "?_type=Patient,Goal&_summary=count")["total"], len(patients) + len(data["Goal"]))
    checks.done()


def check_bundles(base, archive):
    counts, keys, patients, own = {}, {}, {}, {}
    for name, text in read_archive(archive):
        bundle = json.loads(text)
        patient = next((e["resource"]["id"] for e in bundle["entry"] if e["resource"]["resourceType"] == "Patient"), None)
        for entry in bundle["entry"]:
            resource = entry["resource"]
            kind = resource["resourceType"]
            if patient:
                patients.setdefault(patient, []).append(resource)
            condition = entry["request"].get("ifNoneExist")
            if condition:
                keys.setdefault(kind, set()).add(condition)
            else:
                counts[kind] = counts.get(kind, 0) + 1
    for kind, conditions in keys.items():
        counts[kind] = counts.get(kind, 0) + len(conditions)
    checks = Checks(base)
    for kind, count in sorted(counts.items()):
        checks.equal(f"{kind}?_summary=count", get(base, f"{kind}?_summary=count")["total"], count)
    synthea = "https://github.com/synthetichealth/synthea"
    for wanted in sorted(patients)[:5]:
        found = list(entries(base, f"Patient?identifier={synthea}|{wanted}"))
        checks.equal("Patient?identifier finds one", [r["identifier"][0]["value"] for r in found], [wanted])
        here = found[0]["id"]
        for kind, parameter in (("Observation", "patient"), ("Encounter", "subject"), ("DocumentReference", "patient"), ("Claim", "patient")):
            expected = sum(r["resourceType"] == kind for r in patients[wanted])
            checks.equal(f"{kind}?{parameter}", sum(1 for _ in entries(base, f"{kind}?{parameter}={here}&_count=200")), expected)
        # Conditional references were resolved to the practitioner with that identifier.
        encounter = next(entries(base, f"Encounter?patient={here}&_count=1"))
        checks.equal("a conditional reference points to a resource", get(base, reference(encounter["participant"][0]["individual"]))["resourceType"], "Practitioner")
    everyone = [r for resources in patients.values() for r in resources]
    observations = [r for r in everyone if r["resourceType"] == "Observation"]
    profile = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-observation-lab"
    checks.equal("Observation?_profile", get(base, f"Observation?_summary=count&_profile={profile}")["total"], sum(profile in r.get("meta", {}).get("profile", []) for r in observations))
    checks.equal("Observation?category=laboratory", get(base, "Observation?_summary=count&category=laboratory")["total"], sum((CATEGORY, "laboratory") in codings(r.get("category")) for r in observations))
    checks.done()


if __name__ == "__main__":
    if len(sys.argv) != 4 or sys.argv[1] not in ("ndjson", "bundles"):
        sys.exit(__doc__)
    {"ndjson": check_ndjson, "bundles": check_bundles}[sys.argv[1]](sys.argv[2].rstrip("/"), sys.argv[3])
