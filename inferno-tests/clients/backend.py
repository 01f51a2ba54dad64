"""A backend service made of PyPI joserfc (of the makers of Authlib) and requests, against a running server: a token by private_key_jwt, held to its scopes.

usage: backend.py BASE keys FILE         writes a private key to FILE, and prints its public set
       backend.py BASE run FILE CLIENT   CLIENT may have system/Patient.rs
"""

import json
import sys
import time

import requests
from joserfc import jwt
from joserfc.jwk import ECKey

base, command, path = sys.argv[1:4]

if command == "keys":
    key = ECKey.generate_key("P-384", {"use": "sig", "alg": "ES384"}, auto_kid=True)
    with open(path, "w") as file:
        json.dump(key.as_dict(private=True), file)
    print(json.dumps({"keys": [key.as_dict(private=False)]}))
    sys.exit()

client = sys.argv[4]
with open(path) as file:
    key = ECKey.import_key(json.load(file))
smart = requests.get(f"{base}/.well-known/smart-configuration", timeout=10).json()
token_url = smart["token_endpoint"]
assert "private_key_jwt" in smart["token_endpoint_auth_methods_supported"]
assert "client_credentials" in smart["grant_types_supported"]


def assertion(signed_with=key, **changed):
    now = int(time.time())
    claims = {"iss": client, "sub": client, "aud": token_url, "exp": now + 240, "jti": f"{time.time_ns()}", **changed}
    return jwt.encode({"alg": "ES384", "kid": key.kid, "typ": "JWT"}, claims, signed_with, algorithms=["ES384"])


def token(signed, scope="system/Patient.rs", **more):
    form = {
        "grant_type": "client_credentials",
        "scope": scope,
        "client_assertion_type": "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
        "client_assertion": signed,
        **more,
    }
    return requests.post(token_url, data={name: value for name, value in form.items() if value}, timeout=10)


def refused(answer, error):
    assert answer.status_code in (400, 401), answer.status_code
    assert answer.json()["error"] == error, answer.text


first = assertion()
granted = token(first)
assert granted.status_code == 200, granted.text
assert granted.headers["cache-control"] == "no-store" and granted.headers["pragma"] == "no-cache"
granted = granted.json()
assert granted["token_type"] == "Bearer" and granted["expires_in"] <= 300, granted
assert granted["scope"] == "system/Patient.rs" and "refresh_token" not in granted

# Held to its scopes.
session = requests.Session()
session.headers["Authorization"] = f"Bearer {granted['access_token']}"
patient = session.get(f"{base}/Patient?_count=1", timeout=10).json()["entry"][0]["resource"]
assert session.get(f"{base}/Patient/{patient['id']}", timeout=10).status_code == 200
for method, place in [("GET", "Observation"), ("GET", "Observation/x"), ("DELETE", f"Patient/{patient['id']}"),
                      ("PUT", f"Patient/{patient['id']}")]:
    body = json.dumps(patient) if method == "PUT" else None
    answer = session.request(method, f"{base}/{place}", data=body, timeout=10,
                             headers={"Content-Type": "application/fhir+json"} if body else {})
    assert answer.status_code == 403, (method, place, answer.status_code, answer.text)
    assert answer.json()["resourceType"] == "OperationOutcome"

# More than it may have is not granted; nothing of it is refused.
assert token(assertion(), "system/*.cruds").json()["scope"] == "system/Patient.rs"
refused(token(assertion(), "system/Observation.rs"), "invalid_scope")
refused(token(assertion(), "patient/Patient.rs"), "invalid_scope")

# Bad assertions.
refused(token(first), "invalid_client")
refused(token(assertion(exp=int(time.time()) - 120)), "invalid_client")
refused(token(assertion(exp=int(time.time()) + 3600)), "invalid_client")
refused(token(assertion(aud="https://elsewhere.example.org/token")), "invalid_client")
refused(token(assertion(iss="somebody-else")), "invalid_client")
other = ECKey.generate_key("P-384")
refused(token(assertion(signed_with=other)), "invalid_client")
refused(token(None), "invalid_client")
print("joserfc: token by private_key_jwt, held to its scopes")
