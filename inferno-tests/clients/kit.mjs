// A published JavaScript client, npm fhir-kit-client, against a running server.
// usage: node kit.mjs BASE
import assert from 'node:assert/strict';
import { Client } from 'fhir-kit-client';

const base = process.argv[2];
const client = new Client({ baseUrl: base });
const mark = `kit-${Date.now()}`;
const patient = (family, n) => ({
  resourceType: 'Patient',
  identifier: [{ system: 'urn:vesta:kit', value: `${mark}-${n}` }],
  name: [{ family, given: ['Ada'] }],
  birthDate: '1815-12-10',
});
const refused = async (status, code, work) => {
  const error = await work().then(() => assert.fail(`expected ${status}`), (e) => e);
  assert.equal(error.response?.status, status, String(error));
  assert.equal(error.response.data.resourceType, 'OperationOutcome');
  assert.equal(error.response.data.issue[0].code, code);
};

const statement = await client.capabilityStatement();
assert.equal(statement.fhirVersion, '4.0.1');

// create, read, vread, update with If-Match, history, delete
const made = await client.create({ resourceType: 'Patient', body: patient('Lovelace', 0) });
assert.equal(made.meta.versionId, '1');
const read = await client.read({ resourceType: 'Patient', id: made.id });
assert.deepEqual(read, made);
const updated = await client.update({
  resourceType: 'Patient', id: made.id, body: { ...read, gender: 'female' },
  options: { headers: { 'If-Match': 'W/"1"' } },
});
assert.equal(updated.meta.versionId, '2');
await refused(412, 'conflict', () => client.update({
  resourceType: 'Patient', id: made.id, body: { ...read, gender: 'unknown' },
  options: { headers: { 'If-Match': 'W/"1"' } },
}));
assert.equal((await client.vread({ resourceType: 'Patient', id: made.id, version: '1' })).gender, undefined);
const patched = await client.patch({
  resourceType: 'Patient', id: made.id,
  jsonPatch: [{ op: 'test', path: '/gender', value: 'female' }, { op: 'add', path: '/name/0/given/-', value: 'Augusta' }],
});
assert.deepEqual(patched.name[0].given, ['Ada', 'Augusta']);
await refused(422, 'conflict', () => client.patch({
  resourceType: 'Patient', id: made.id, jsonPatch: [{ op: 'test', path: '/gender', value: 'male' }],
}));
const history = await client.history({ resourceType: 'Patient', id: made.id });
assert.deepEqual(history.entry.map((e) => e.resource.meta.versionId), ['3', '2', '1']);

// transaction: twelve patients and an observation that refers to one of them by its fullUrl
const transaction = await client.transaction({
  body: {
    resourceType: 'Bundle', type: 'transaction',
    entry: [
      ...Array.from({ length: 12 }, (_, n) => ({
        fullUrl: `urn:uuid:00000000-0000-4000-8000-0000000000${String(n + 10)}`,
        resource: patient(`Babbage${mark.replace(/\D/g, '')}`, n + 1),
        request: { method: 'POST', url: 'Patient' },
      })),
      {
        resource: {
          resourceType: 'Observation', status: 'final',
          code: { coding: [{ system: 'http://loinc.org', code: '8302-2' }] },
          subject: { reference: 'urn:uuid:00000000-0000-4000-8000-000000000010' },
          valueQuantity: { value: 175.50, unit: 'cm', system: 'http://unitsofmeasure.org', code: 'cm' },
        },
        request: { method: 'POST', url: 'Observation' },
      },
    ],
  },
});
assert.equal(transaction.type, 'transaction-response');
assert.ok(transaction.entry.every((e) => e.response.status.startsWith('201')));
const first = transaction.entry[0].response.location.split('/_history')[0].split('/').slice(-2).join('/');

// search with paging, by POST too, and include
let page = await client.search({ resourceType: 'Patient', searchParams: { family: `babbage${mark.replace(/\D/g, '')}`, _count: 5, _sort: 'identifier' } });
const seen = [];
while (page) {
  seen.push(...page.entry.map((e) => e.resource.id));
  page = await client.nextPage({ bundle: page });
}
assert.equal(seen.length, 12);
assert.equal(new Set(seen).size, 12);
const posted = await client.search({ resourceType: 'Patient', searchParams: { identifier: `urn:vesta:kit|${mark}-3` }, options: { postSearch: true } });
assert.equal(posted.entry.length, 1);
const included = await client.search({ resourceType: 'Observation', searchParams: { subject: first, _include: 'Observation:subject' } });
assert.deepEqual(included.entry.map((e) => e.search.mode), ['match', 'include']);
await refused(400, 'invalid', () => client.search({ resourceType: 'Patient', searchParams: { nosuchthing: '1' } }));

await client.delete({ resourceType: 'Patient', id: made.id });
await refused(410, 'deleted', () => client.read({ resourceType: 'Patient', id: made.id }));
await refused(404, 'not-found', () => client.read({ resourceType: 'Patient', id: 'never-was' }));
const after = await client.history({ resourceType: 'Patient', id: made.id });
assert.equal(after.entry[0].request.method, 'DELETE');

// a transaction with a fault leaves nothing behind
await refused(422, 'structure', () => client.transaction({
  body: {
    resourceType: 'Bundle', type: 'transaction',
    entry: [
      { resource: patient('Nobody', 99), request: { method: 'POST', url: 'Patient' } },
      { resource: { resourceType: 'Patient', nonsense: true }, request: { method: 'POST', url: 'Patient' } },
    ],
  },
}));
assert.equal((await client.search({ resourceType: 'Patient', searchParams: { identifier: `urn:vesta:kit|${mark}-99`, _total: 'accurate' } })).total, 0);
console.log('fhir-kit-client: passed');
