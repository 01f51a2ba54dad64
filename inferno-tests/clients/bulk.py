"""Bulk Data exports by a published client, PyPI smart-fetch (of smart-on-fhir), against a running server: the whole system and a group, by
private_key_jwt. What arrives is compared with what searches find: as many lines of each type, and the same content.

usage: bulk.py BASE keys FILE                 writes a private key to FILE as a JWKS, and prints its public set
       bulk.py BASE run FILE CLIENT GROUP     CLIENT may have system/*.rs; the Group GROUP has patients
"""

import collections
import glob
import gzip
import hashlib
import json
import os
import subprocess
import sys
import tempfile
import time

import requests
from joserfc import jwt
from joserfc.jwk import ECKey

base, command, path = sys.argv[1:4]

if command == "keys":
    key = ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384", "key_ops": ["sign"]}, auto_kid=True)
    with open(path, "w") as file:
        json.dump({"keys": [key.as_dict(private=True)]}, file)
    public = {**key.as_dict(private=False), "key_ops": ["verify"]}
    print(json.dumps({"keys": [public]}))
    sys.exit()

client, group = sys.argv[4:6]
with open(path) as file:
    key = ECKey.import_key(json.load(file)["keys"][0])
token_url = requests.get(f"{base}/.well-known/smart-configuration", timeout=10).json()["token_endpoint"]
session = requests.Session()
expires = 0.0


def get(url, status=200, **headers):
    """Asks, with a token that has not expired."""
    global expires
    now = time.time()
    if now > expires:
        claims = {"iss": client, "sub": client, "aud": token_url, "exp": int(now) + 240, "jti": str(time.time_ns())}
        assertion = jwt.encode({"alg": "ES384", "kid": key.kid, "typ": "JWT"}, claims, key, algorithms=["ES384"])
        form = {"grant_type": "client_credentials", "scope": "system/*.rs", "client_assertion": assertion,
                "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"}
        granted = requests.post(token_url, data=form, timeout=10).json()
        session.headers["Authorization"] = f"Bearer {granted['access_token']}"
        expires = now + granted["expires_in"] - 30
    answer = session.get(url, headers=headers, timeout=120)
    assert answer.status_code == status, (url, answer.status_code, answer.text[:500])
    return answer


def content(resource):
    text = json.dumps(resource, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def found(query):
    """The contents of all that a search finds, by type and id."""
    contents, page = {}, f"{base}/{query}"
    while page:
        bundle = get(page).json()
        for entry in bundle.get("entry", []):
            resource = entry["resource"]
            if entry.get("search", {}).get("mode") != "outcome":
                contents[f"{resource['resourceType']}/{resource['id']}"] = content(resource)
        page = next((link["url"] for link in bundle.get("link", []) if link["relation"] == "next"), None)
    return contents


def lines(files):
    """The contents of files of NDJSON, by type and id; no resource twice."""
    contents = {}
    for text in files:
        for line in text.splitlines():
            resource = json.loads(line)
            name = f"{resource['resourceType']}/{resource['id']}"
            assert name not in contents, f"{name} comes twice"
            contents[name] = content(resource)
    return contents


def same(what, exported, stored):
    """Compares, and says how many there are of each type."""
    counts = [collections.Counter(name.split("/")[0] for name in of) for of in (exported, stored)]
    assert counts[0] == counts[1], (what, counts[0] - counts[1], counts[1] - counts[0])
    assert exported == stored, (what, [name for name in stored if exported.get(name) != stored[name]][:5])
    assert counts[0]["Patient"] > 0, what
    print(f"{what}: {len(exported)} resources of {len(counts[0])} types, as stored")


def smart_fetch(*more):
    """What smart-fetch writes into a directory."""
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(os.path.dirname(sys.executable), "smart-fetch")
        arguments = [program, "bulk", "--fhir-url", base, "--smart-client-id", client, "--smart-key", path,
                     "--no-default-filters", *more, folder]
        done = subprocess.run(arguments, timeout=600, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        files = []
        for name in glob.glob(os.path.join(folder, "**", "*.ndjson*"), recursive=True):
            if not os.path.basename(name).startswith("log."):
                with (gzip.open if name.endswith(".gz") else open)(name, "rt", encoding="utf-8") as file:
                    files.append(file.read())
        return lines(files)


def members(kind):
    """Of one type, what is in the compartments of the group's patients, by the server's compartment search."""
    contents = {}
    for patient in patients:
        contents.update(found(f"Patient/{patient}/{kind}?_count=500"))
    return contents


# The system: whatever smart-fetch asks for, by type.
fetched = smart_fetch()
kinds = sorted({name.split("/")[0] for name in fetched})
stored = {}
for kind in kinds:
    stored.update(found(f"{kind}?_count=500"))
same("smart-fetch, system", fetched, stored)

# A group: the compartments of its members, and no resource that is not stored so.
group_resource = get(f"{base}/Group/{group}").json()
patients = [member["entity"]["reference"].removeprefix("Patient/") for member in group_resource["member"]]
fetched = smart_fetch("--group", group)
in_compartments = {f"Patient/{patient}": stored[f"Patient/{patient}"] for patient in patients}
of_patients = {name.split("/")[0] for name in fetched} & {"AllergyIntolerance", "Condition", "DiagnosticReport", "DocumentReference",
               "Encounter", "Immunization", "MedicationRequest", "Observation", "Procedure", "ServiceRequest"}
for kind in sorted(of_patients):
    in_compartments.update(members(kind))
same("smart-fetch, group", {name: hashed for name, hashed in fetched.items() if name.split("/")[0] in of_patients | {"Patient"}},
     in_compartments)
