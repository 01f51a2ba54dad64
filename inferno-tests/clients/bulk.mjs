// Bulk Data exports by a published client, npm @medplum/core, against a running server: system, all patients and a group, by
// private_key_jwt. What arrives is compared with what searches find: as many lines of each type, and the same content.
//
// usage: node bulk.mjs BASE KEYS CLIENT GROUP     KEYS is a JWKS with the private key; CLIENT may have system/*.rs
import assert from 'node:assert/strict';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { MedplumClient } from '@medplum/core';
import { importJWK, SignJWT } from 'jose';

const [address, keys, clientId, group] = process.argv.slice(2);
const base = new URL(address);
const configuration = await (await fetch(`${address}/.well-known/smart-configuration`)).json();
const [jwk] = JSON.parse(readFileSync(keys, 'utf8')).keys;
const assertion = await new SignJWT({})
  .setProtectedHeader({ alg: jwk.alg, kid: jwk.kid, typ: 'JWT' })
  .setIssuer(clientId).setSubject(clientId).setAudience(configuration.token_endpoint)
  .setExpirationTime('4m').setJti(randomUUID())
  .sign(await importJWK(jwk, jwk.alg));
const client = new MedplumClient({
  baseUrl: `${base.origin}/`, fhirUrlPath: base.pathname.slice(1), cacheTime: 0, autoBatchTime: 0,
  tokenUrl: configuration.token_endpoint,
});
await client.startJwtAssertionLogin(assertion);

const sorted = (value) => (value === null || typeof value !== 'object' || Array.isArray(value) ? value
  : Object.fromEntries(Object.keys(value).sort().map((key) => [key, value[key]])));
const content = (resource) =>
  createHash('sha256').update(JSON.stringify(resource, (_, value) => sorted(value))).digest('hex');

// The contents of all that a search of a path finds, by type and id.
const found = async (path) => {
  const contents = new Map();
  for (let url = `${client.fhirUrl(path)}?_count=500`; url;) {
    const bundle = await client.get(url);
    for (const { resource } of bundle.entry ?? []) contents.set(`${resource.resourceType}/${resource.id}`, content(resource));
    url = bundle.link?.find((link) => link.relation === 'next')?.url;
  }
  return contents;
};
// The same of an export; no resource comes twice.
const exported = async (level, types) => {
  const manifest = await client.bulkExport(level, types, undefined, { pollStatusOnAccepted: true });
  assert.equal(manifest.requiresAccessToken, true);
  assert.deepEqual(manifest.error, []);
  const contents = new Map();
  for (const file of manifest.output) {
    assert.equal((await fetch(file.url)).status, 401);
    const lines = (await (await client.download(file.url)).text()).trimEnd().split('\n').map((line) => JSON.parse(line));
    assert.equal(lines.length, file.count, file.url);
    for (const resource of lines) {
      const name = `${resource.resourceType}/${resource.id}`;
      assert.equal(resource.resourceType, file.type);
      assert.ok(!contents.has(name), `${name} comes twice`);
      contents.set(name, content(resource));
    }
  }
  return contents;
};
const kinds = (contents) => [...new Set([...contents.keys()].map((name) => name.split('/')[0]))].sort();
const counted = (contents) => {
  const counts = {};
  for (const name of [...contents.keys()].sort()) counts[name.split('/')[0]] = (counts[name.split('/')[0]] ?? 0) + 1;
  return counts;
};
const same = (what, arrived, stored) => {
  assert.deepEqual(counted(arrived), counted(stored), what);
  assert.ok(counted(arrived).Patient > 0, what);
  for (const [name, hash] of stored) assert.equal(arrived.get(name), hash, `${what}: ${name}`);
  console.log(`@medplum/core, ${what}: ${arrived.size} resources of ${kinds(arrived).length} types, as stored`);
};

const all = await exported('');
const stored = new Map();
for (const kind of kinds(all)) {
  for (const [name, hash] of await found(kind)) {
    // Each request since is an AuditEvent more.
    if (kind !== 'AuditEvent' || all.has(name)) stored.set(name, hash);
  }
}
same('system', all, stored);

// The compartments of patients have every resource of these types.
const types = ['Patient', 'Condition', 'Encounter', 'Immunization', 'MedicationRequest', 'Observation'];
const of = (contents, wanted) => new Map([...contents].filter(([name]) => wanted.includes(name.split('/')[0])));
same('all patients', await exported('Patient', types.join(',')), of(stored, types));

const members = (await client.readResource('Group', group)).member.map((member) => member.entity.reference);
const compartments = new Map(members.map((name) => [name, stored.get(name)]));
for (const member of members) {
  for (const kind of types.slice(1)) {
    for (const [name, hash] of await found(`${member}/${kind}`)) compartments.set(name, hash);
  }
}
same('group', await exported(`Group/${group}`, types.join(',')), compartments);
